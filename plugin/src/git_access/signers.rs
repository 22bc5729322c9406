//! The public keys by which commits must be signed that Flux takes: `spec.verify` of its GitRepository.

use super::public_file;
use kubiya_hook::edge::Failure;
use kubiya_hook::git::{SignerKeys, bare_key};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How the names of entries end by which Flux knows the kind of a key (source-controller,
/// `gitrepository_controller.go`); entries with other names are of OpenPGP for it.
const PGP: &str = ".asc";
const SSH: &str = ".sshpub";

/// Reads files of public keys as the entries of the Secret.
pub(super) fn entries(files: &[PathBuf], problems: &mut Vec<Failure>) -> BTreeMap<String, SecretString> {
    let mut entries = BTreeMap::new();
    for file in files {
        match entry(file) {
            Ok((stem, end, text)) => {
                // Two files of one name are two entries.
                let names = (1..).map(|number| match number {
                    1 => format!("{stem}{end}"),
                    number => format!("{stem}-{number}{end}"),
                });
                let free = names.into_iter().find(|name| !entries.contains_key(name));
                entries.extend(free.map(|name| (name, SecretString::from(text))));
            }
            Err(problem) => problems.push(problem),
        }
    }
    entries
}

fn entry(file: &Path) -> Result<(String, &'static str, String), Failure> {
    let flag = "--verify-keys";
    let wrong = |what: &str| Failure::usage(format!("{flag}: {what}")).at(file.display().to_string());
    let (text, _) = public_file(file, flag)?;
    let text = Zeroizing::new(text);
    if text.contains("PRIVATE KEY") {
        return Err(wrong("there is a private key in it, and only public ones belong into the cluster"));
    }
    let end = if text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        PGP
    } else {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let is_key = |line: &str| bare_key(line).is_some();
        // One line that is no key keeps Flux from using the others.
        if !lines.clone().all(is_key) || lines.next().is_none() {
            return Err(wrong("neither a public key of OpenPGP in armor nor lines of ssh keys")
                .hint("gpg --armor --export WHO > signer.asc")
                .hint("cp ~/.ssh/id_ed25519.pub signer.pub"));
        }
        SSH
    };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.trim_end_matches(PGP).trim_end_matches(SSH).trim_end_matches(".pub");
    // What the name of an entry may hold.
    let stem: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let stem = stem.trim_matches('.');
    Ok((if stem.is_empty() { "signer".to_owned() } else { stem.to_owned() }, end, text.as_str().to_owned()))
}

/// The keys of a Secret, as Flux tells them apart.
#[must_use]
pub fn signer_keys<'d>(data: impl Iterator<Item = (&'d String, &'d [u8])>) -> SignerKeys {
    let mut keys = SignerKeys::default();
    for (name, bytes) in data {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if name.ends_with(SSH) { keys.ssh.push(text) } else { keys.pgp.push(text) }
    }
    keys
}

/// The same of entries that are to be written.
#[must_use]
pub fn signer_keys_of(entries: &BTreeMap<String, SecretString>) -> SignerKeys {
    signer_keys(entries.iter().map(|(name, text)| (name, text.expose_secret().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_public_keys_become_entries_by_their_kind() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [
            write("a b.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"),
            write("id.pub", "# me\nssh-ed25519 AAAA me@example.com\n"),
            write("other/id.pub", "from=\"x\" ssh-ed25519 BBBB\n"),
        ];
        let mut problems = Vec::new();
        let found = entries(&files, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a-b.asc", "id-2.sshpub", "id.sshpub"]);
        let keys = signer_keys_of(&found);
        assert_eq!((keys.pgp.len(), keys.ssh.len()), (1, 2));
        for text in
            ["", "# nobody\n", "ssh-ed25519 AAAA\nwords\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n"]
        {
            let mut problems = Vec::new();
            assert!(entries(&[write("wrong", text)], &mut problems).is_empty());
            assert!(problems.len() == 1 && !format!("{problems:?}").contains("CANARY"), "{problems:?}");
        }
    }
}

//! Whether a commit is signed by one of a few public keys and by nothing else that this machine trusts: as Flux's
//! source-controller checks it by `spec.verify` (fluxcd/pkg `git/signature`). OpenPGP is checked by `gpg`, ssh by
//! `ssh-keygen`, each in a folder of its own.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The public keys that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignerKeys {
    /// Blocks of OpenPGP keys in armor.
    pub pgp: Vec<String>,
    /// Lines of ssh keys, as in `authorized_keys`.
    pub ssh: Vec<String>,
}

/// Why a commit does not count as signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It has no signature.
    #[error("it is not signed")]
    NoSignature,
    /// It is signed in a way that Flux does not know, such as X.509.
    #[error("its signature is neither of OpenPGP nor of ssh")]
    OtherKind,
    /// There is no key that could have made the signature.
    #[error("it is signed by {0}, and no key of that kind counts")]
    NoKeys(&'static str),
    /// None of the keys made the signature, or it is not good.
    #[error("it is signed by a key that does not count, or the signature is not good: {0}")]
    NotByThese(String),
    /// The program that checks is not here, or broke off: nothing is known.
    #[error("cannot check: {0}")]
    Unknown(String),
}

/// The signature of a commit object and what was signed: the object without the signature.
fn split(commit: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = commit.windows(2).position(|pair| pair == b"\n\n")? + 1;
    let (header, message) = commit.split_at(end);
    let (mut signature, mut signed) = (Vec::new(), Vec::new());
    let mut inside = false;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        let rest = match line.strip_prefix(b"gpgsig ") {
            Some(first) => Some(first),
            None => line.strip_prefix(b" ").filter(|_| inside),
        };
        inside = rest.is_some();
        match rest {
            Some(rest) => signature.extend_from_slice(rest),
            None => signed.extend_from_slice(line),
        }
    }
    signed.extend_from_slice(message);
    (!signature.is_empty()).then(|| (String::from_utf8_lossy(&signature).into_owned(), signed))
}

/// Who of the keys signed a commit object (its bytes without Git's own header): a key's id of OpenPGP, a fingerprint of
/// ssh.
///
/// # Errors
/// Nobody of them did, or that cannot be found out here.
pub fn signer(commit: &[u8], keys: &SignerKeys) -> Result<String, Unsigned> {
    let (signature, signed) = split(commit).ok_or(Unsigned::NoSignature)?;
    let folder = tempfile::Builder::new().prefix("kubiya-").tempdir().map_err(|error| unknown(&error))?;
    let path = folder.path().join("signature");
    std::fs::write(&path, &signature).map_err(|error| unknown(&error))?;
    match signature.trim_start() {
        text if text.starts_with("-----BEGIN PGP SIGNATURE-----") => {
            if keys.pgp.is_empty() {
                Err(Unsigned::NoKeys("OpenPGP"))
            } else {
                by_pgp(folder.path(), &signed, keys)
            }
        }
        text if text.starts_with("-----BEGIN SSH SIGNATURE-----") => {
            if keys.ssh.is_empty() {
                Err(Unsigned::NoKeys("ssh"))
            } else {
                by_ssh(folder.path(), &signed, keys)
            }
        }
        _ => Err(Unsigned::OtherKind),
    }
}

fn unknown(error: &dyn std::fmt::Display) -> Unsigned {
    Unsigned::Unknown(error.to_string())
}

/// Checks with `gpg` and a keyring that holds these keys alone. A revoked or expired key made no good signature.
fn by_pgp(folder: &Path, signed: &[u8], keys: &SignerKeys) -> Result<String, Unsigned> {
    let gpg = || {
        let mut command = Command::new("gpg");
        // No agent and no key server has a part in this.
        command.args([
            "--batch",
            "--no-tty",
            "--no-autostart",
            "--trust-model",
            "always",
            "--status-fd",
            "1",
        ]);
        command.arg("--homedir").arg(folder).env("LC_ALL", "C");
        command
    };
    for block in &keys.pgp {
        let mut import = gpg();
        import.arg("--import");
        // What of it can be read is there afterwards.
        run(import, block.as_bytes())?;
    }
    let mut verify = gpg();
    verify.arg("--verify").arg(folder.join("signature")).arg("-");
    let output = run(verify, signed)?;
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    let good = status.lines().find_map(|line| line.strip_prefix("[GNUPG:] GOODSIG "));
    match good.and_then(|line| line.split(' ').next()) {
        Some(key) if output.status.success() => Ok(key.to_owned()),
        _ => Err(Unsigned::NotByThese(last_line(&output.stderr))),
    }
}

/// Checks with `ssh-keygen` and a list of allowed signers that holds these keys alone.
fn by_ssh(folder: &Path, signed: &[u8], keys: &SignerKeys) -> Result<String, Unsigned> {
    let list = folder.join("allowed");
    let lines = keys.ssh.iter().flat_map(|text| text.lines()).filter_map(bare_key);
    let text: String = lines.map(|key| format!("signer {key}\n")).collect();
    std::fs::write(&list, text).map_err(|error| unknown(&error))?;
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-I", "signer", "-n", "git", "-f"]).arg(&list);
    command.arg("-s").arg(folder.join("signature")).env("LC_ALL", "C");
    let output = run(command, signed)?;
    if !output.status.success() {
        return Err(Unsigned::NotByThese(last_line(&output.stderr)));
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(said.split_whitespace().find(|word| word.starts_with("SHA256:")).unwrap_or("an ssh key").to_owned())
}

/// Kind and key of a line of `authorized_keys`, without the options before and the comment behind it.
#[must_use]
pub fn bare_key(line: &str) -> Option<String> {
    let is_kind =
        |word: &&str| ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| word.starts_with(start));
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace().skip_while(|word| !is_kind(word));
    let (kind, key) = (words.next()?, words.next()?);
    Some(format!("{kind} {key}"))
}

fn run(mut command: Command, input: &[u8]) -> Result<Output, Unsigned> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |error: &std::io::Error| Unsigned::Unknown(format!("{program}: {error}"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let stdin = child.stdin.take();
    let input = input.to_owned();
    // Beside the reading: either pipe may fill up first, and the program may end before it has read all.
    let feeder = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let output = child.wait_with_output().map_err(|error| failed(&error));
    let _ = feeder.join();
    output
}

fn last_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim_end().lines().next_back().unwrap_or("no reason was given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_testdata::env::TestEnv;
    use kubiya_testdata::git::GitRepo;

    fn commit(repo: &GitRepo<'_>, settings: &[&str]) -> Vec<u8> {
        let words = [settings, &["commit", "--quiet", "--allow-empty", "-m", "one\n\ntwo"]].concat();
        repo.ok(&words);
        let output = repo.command("git").args(["cat-file", "commit", "HEAD"]).output().unwrap();
        output.stdout
    }

    fn ssh_key(folder: &Path, name: &str) -> (String, String) {
        let path = folder.join(name).display().to_string();
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path]).status().unwrap();
        assert!(made.success());
        (path.clone(), std::fs::read_to_string(format!("{path}.pub")).unwrap())
    }

    #[test]
    fn a_commit_counts_when_one_of_the_ssh_keys_signed_it() {
        let env = TestEnv::new();
        let repo = GitRepo::init(&env, "r");
        let folder = tempfile::tempdir().unwrap();
        let [(one, one_public), (_, other_public)] =
            ["one", "other"].map(|name| ssh_key(folder.path(), name));
        let keys = |lines: &[&str]| SignerKeys {
            pgp: Vec::new(),
            ssh: lines.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(signer(&commit(&repo, &[]), &keys(&[&one_public])), Err(Unsigned::NoSignature));
        let setting = format!("user.signingKey={one}");
        let signed = commit(&repo, &["-c", "gpg.format=ssh", "-c", "commit.gpgSign=true", "-c", &setting]);
        let options = format!("# people\nfrom=\"10.0.0.0/8\" {one_public}");
        for lines in [&[&*one_public][..], &[&other_public, &one_public], &[&options]] {
            assert!(signer(&signed, &keys(lines)).unwrap().starts_with("SHA256:"));
        }
        assert!(matches!(signer(&signed, &keys(&[&other_public])), Err(Unsigned::NotByThese(_))));
        assert_eq!(signer(&signed, &keys(&[])), Err(Unsigned::NoKeys("ssh")));
        // Another content under the same signature.
        let changed = String::from_utf8(signed).unwrap().replace("two", "three").into_bytes();
        assert!(matches!(signer(&changed, &keys(&[&one_public])), Err(Unsigned::NotByThese(_))));
    }

    #[test]
    fn a_commit_counts_when_one_of_the_pgp_keys_signed_it() {
        let env = TestEnv::new();
        let repo = GitRepo::init(&env, "r");
        let home = tempfile::tempdir().unwrap();
        let gpg = |words: &[&str]| {
            let output = Command::new("gpg")
                .args(["--batch", "--quiet", "--homedir"])
                .arg(home.path())
                .args(words)
                .output();
            let output = output.expect("gpg (Debian: gnupg) is needed for this test");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        for name in ["one@example.com", "other@example.com"] {
            gpg(&["--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never"]);
        }
        let public = |name: &str| gpg(&["--armor", "--export", name]);
        let keys = |names: &[&str]| SignerKeys {
            pgp: names.iter().map(|name| public(name)).collect(),
            ssh: Vec::new(),
        };
        // Git runs it with the keys of this test.
        let program = home.path().join("gpg-here");
        std::fs::write(
            &program,
            format!("#!/bin/sh\nexec gpg --homedir '{}' \"$@\"\n", home.path().display()),
        )
        .unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = format!("gpg.program={}", program.display());
        let signed = commit(
            &repo,
            &["-c", &program, "-c", "commit.gpgSign=true", "-c", "user.signingKey=one@example.com"],
        );
        assert_eq!(signer(&signed, &keys(&["one@example.com"])).unwrap().len(), 16);
        assert!(signer(&signed, &keys(&["other@example.com", "one@example.com"])).is_ok());
        assert!(matches!(signer(&signed, &keys(&["other@example.com"])), Err(Unsigned::NotByThese(_))));
        assert_eq!(signer(&signed, &SignerKeys::default()), Err(Unsigned::NoKeys("OpenPGP")));
        let changed = String::from_utf8(signed).unwrap().replace("two", "three").into_bytes();
        assert!(matches!(signer(&changed, &keys(&["one@example.com"])), Err(Unsigned::NotByThese(_))));
        let _ = Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).status();
    }

    #[test]
    fn another_kind_of_signature_does_not_count() {
        let text =
            b"tree 1\ngpgsig -----BEGIN SIGNED MESSAGE-----\n x\n -----END SIGNED MESSAGE-----\n\nmessage\n";
        assert_eq!(signer(text, &SignerKeys::default()), Err(Unsigned::OtherKind));
        let (signature, signed) = split(text).unwrap();
        assert_eq!(signature, "-----BEGIN SIGNED MESSAGE-----\nx\n-----END SIGNED MESSAGE-----\n");
        assert_eq!(signed, b"tree 1\n\nmessage\n");
    }
}

//! Keys, against the programs that people have: what sops wraps opens here, and the other way round.
//!
//! `scripts/test` puts sops and age-keygen on PATH; ssh-keygen comes with the system.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails in a test fails the test")]

use kubiya_policies::sops::age::{AgeKeys, Identity, IdentityFile, IdentityKind, SshKey};
use kubiya_policies::sops::keys::{KeyError, KeyService as _, lock, unlock};
use kubiya_policies::sops::metadata::Metadata;
use kubiya_policies::sops::recipient::{KeyGroup, Recipient};
use kubiya_policies::yaml;
use secrecy::{ExposeSecret as _, SecretString};
use std::process::{Command, Stdio};

const PLAIN: &str = "password: hunter2\n";

/// A folder, and programs run in it with an environment of its own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
        let mut command = Command::new(on_path(program));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.0.path()).env("SOPS_DISABLE_VERSION_CHECK", "1");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Encrypts [`PLAIN`] with sops, by a `.sops.yaml` with this rule, and gives the file's metadata.
    fn encrypted(&self, rule: &str) -> (String, Metadata) {
        self.write(".sops.yaml", &format!("creation_rules:\n  - {rule}\n"));
        self.write("plain.yaml", PLAIN);
        let text = self.run("sops", &["encrypt", "plain.yaml"], &[]).unwrap();
        let metadata = metadata(&text);
        (text, metadata)
    }

    /// Decrypts with sops and nothing but this key file.
    fn decrypted(&self, text: &str, keys: &str) -> Result<String, String> {
        self.write("encrypted.yaml", text);
        self.write("keys.txt", keys);
        self.run("sops", &["decrypt", "encrypted.yaml"], &[("SOPS_AGE_KEY_FILE", "keys.txt")])
    }
}

fn on_path(program: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("`{program}` is not on PATH: run the tests by scripts/test"))
}

fn metadata(text: &str) -> Metadata {
    let source = yaml::Source::new(text.as_bytes());
    let readings = yaml::readings(&source, yaml::Limits::default());
    let (_, root) = readings[0].1.documents().next().unwrap();
    Metadata::of_document(root).unwrap()
}

fn line(identity: &Identity) -> String {
    identity.expose_line().expose_secret().to_owned()
}

fn public(identity: &Identity) -> String {
    identity.recipient().unwrap()
}

/// Numbers that need not be random.
fn counting(buffer: &mut [u8]) {
    for (index, byte) in buffer.iter_mut().enumerate() {
        *byte = 37_u8.wrapping_mul(u8::try_from(index % 251).unwrap()).wrapping_add(91);
    }
}

/// The same file with each wrapped key replaced by one of ours.
fn with_our_keys(text: &str, before: &Metadata, groups: &[KeyGroup], keys: &AgeKeys) -> String {
    let key = unlock(before, keys).unwrap();
    let ours = lock(&key, groups, before.shamir_threshold, keys, &mut counting).unwrap();
    let mut text = text.to_owned();
    for (old, new) in before.wrapped.iter().flatten().zip(ours.iter().flatten()) {
        assert_eq!(old.recipient, new.recipient);
        let indented = |enc: &str, indent: usize| {
            enc.lines().map(|line| format!("{:indent$}{line}\n", "")).collect::<String>()
        };
        let indent = (0..40).find(|indent| text.contains(&indented(&old.enc, *indent))).unwrap();
        text = text.replace(&indented(&old.enc, indent), &indented(&new.enc, indent));
    }
    assert_ne!(metadata(&text), *before);
    text
}

/// A key that a program made, from its file.
fn made_by_age_keygen(folder: &Folder, arguments: &[&str]) -> Identity {
    let text = folder.run("age-keygen", arguments, &[]).unwrap();
    let identity = IdentityFile::parse(text.as_bytes()).unwrap().identities()[0].clone();
    assert!(text.contains(&format!("# public key: {}\n", public(&identity))));
    identity
}

fn made_by_ssh_keygen(folder: &Folder, kind: &str, bits: &str, passphrase: &str) -> SshKey {
    let name = format!("id_{kind}");
    let arguments = ["-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", "somebody@home", "-f", &name];
    folder.run("ssh-keygen", &arguments, &[]).unwrap();
    SshKey::parse(folder.read(&name).as_bytes()).unwrap()
}

fn opened(key: SshKey) -> Identity {
    match key {
        SshKey::Open(identity) => identity,
        SshKey::Locked(key) => panic!("it has a passphrase: {key:?}"),
    }
}

#[test]
fn shares_of_sops_open_here_and_ours_in_sops() {
    let folder = Folder::new();
    let people = [Identity::generate(), Identity::generate(), Identity::generate()];
    let groups = people.iter().map(|one| format!("{{age: [{}]}}", public(one))).collect::<Vec<_>>();
    for (groups, threshold) in [(&groups[..2], 2), (&groups[..], 2), (&groups[..], 3)] {
        let rule = format!("{{shamir_threshold: {threshold}, key_groups: [{}]}}", groups.join(", "));
        let (text, found) = folder.encrypted(&rule);
        assert_eq!(found.groups.len(), groups.len());
        let keys = |people: &[Identity]| AgeKeys::new(people.to_vec());
        let key = unlock(&found, &keys(&people)).unwrap();
        // Other shares, the same key.
        assert_eq!(unlock(&found, &keys(&people[..threshold])).unwrap(), key);
        let last = &people[groups.len() - threshold..groups.len()];
        assert_eq!(unlock(&found, &keys(last)).unwrap(), key);
        let locked = unlock(&found, &keys(&people[..threshold - 1])).unwrap_err();
        assert_eq!((locked.needed, locked.opened), (threshold, threshold - 1));
        assert_eq!(locked.tried.len(), groups.len() + 1 - threshold);

        let ours = with_our_keys(&text, &found, &found.groups, &keys(&people));
        let lines = people[..threshold].iter().map(line).collect::<Vec<_>>();
        assert_eq!(folder.decrypted(&ours, &lines.join("\n")).unwrap(), PLAIN);
        assert!(folder.decrypted(&ours, &lines[1..].join("\n")).is_err());
    }
}

#[test]
fn a_missing_threshold_means_every_group() {
    let folder = Folder::new();
    let people = [Identity::generate(), Identity::generate(), Identity::generate()];
    let groups = people.iter().map(|one| format!("{{age: [{}]}}", public(one))).collect::<Vec<_>>();
    let (_, mut found) = folder.encrypted(&format!("{{key_groups: [{}]}}", groups.join(", ")));
    assert_eq!(found.shamir_threshold, Some(3));
    found.shamir_threshold = None;
    unlock(&found, &AgeKeys::new(people.to_vec())).unwrap();
    assert_eq!(unlock(&found, &AgeKeys::new(people[1..].to_vec())).unwrap_err().needed, 3);
}

#[test]
fn post_quantum_keys_of_age_open_here_and_ours_in_sops() {
    let folder = Folder::new();
    let mine = made_by_age_keygen(&folder, &["-pq"]);
    assert_eq!(mine.kind(), IdentityKind::PostQuantum);
    let other = made_by_age_keygen(&folder, &["-pq"]);
    let (text, found) = folder.encrypted(&format!("{{age: '{}'}}", public(&mine)));
    let keys = AgeKeys::new(vec![other.clone(), mine.clone()]);
    let ours = with_our_keys(&text, &found, &found.groups, &keys);
    assert_eq!(folder.decrypted(&ours, &line(&mine)).unwrap(), PLAIN);
    let locked = unlock(&found, &AgeKeys::new(vec![other])).unwrap_err();
    assert!(matches!(locked.tried[0].error, KeyError::NoIdentity { tried: 1, skipped: 0, .. }));
}

#[test]
fn ssh_keys_open_here_what_sops_wraps_and_ours_in_sops() {
    for (kind, bits) in [("ed25519", "256"), ("rsa", "2048")] {
        let folder = Folder::new();
        let mine = opened(made_by_ssh_keygen(&folder, kind, bits, ""));
        let recipient = folder.read(&format!("id_{kind}.pub")).trim().to_owned();
        assert!(recipient.ends_with(" somebody@home"), "{recipient}");
        assert_eq!(format!("{} somebody@home", public(&mine)), recipient);
        let (text, found) = folder.encrypted(&format!("{{age: '{recipient}'}}"));
        assert_eq!(found.groups[0].recipients, [Recipient::Age(recipient)]);
        let ours = with_our_keys(&text, &found, &found.groups, &AgeKeys::new(vec![mine]));
        folder.write("encrypted.yaml", &ours);
        let key = format!("id_{kind}");
        let variables = [("SOPS_AGE_SSH_PRIVATE_KEY_FILE", key.as_str())];
        assert_eq!(folder.run("sops", &["decrypt", "encrypted.yaml"], &variables).unwrap(), PLAIN);
    }
}

#[test]
fn a_protected_ssh_key_tells_its_public_key_and_opens_with_its_passphrase() {
    for (kind, bits) in [("ed25519", "256"), ("rsa", "2048")] {
        let folder = Folder::new();
        let SshKey::Locked(mine) = made_by_ssh_keygen(&folder, kind, bits, "correct horse") else {
            panic!("it needs no passphrase");
        };
        let recipient = folder.read(&format!("id_{kind}.pub")).trim().to_owned();
        let stranger = Identity::generate();
        let (_, found) = folder.encrypted(&format!("{{age: '{},{recipient}'}}", public(&stranger)));
        let may = found.wrapped[0].iter().map(|wrapped| mine.may_open(wrapped)).collect::<Vec<_>>();
        assert_eq!(may, [false, true]);
        assert!(mine.open(&SecretString::from("wrong")).is_none());
        let mine = mine.open(&SecretString::from("correct horse")).unwrap();
        unlock(&found, &AgeKeys::new(vec![mine])).unwrap();
    }
}

#[test]
fn other_ssh_keys_are_refused_with_the_reason() {
    let folder = Folder::new();
    let arguments = ["-q", "-t", "ecdsa", "-N", "", "-f", "id_ecdsa"];
    folder.run("ssh-keygen", &arguments, &[]).unwrap();
    let problem = SshKey::parse(folder.read("id_ecdsa").as_bytes()).unwrap_err();
    assert!(problem.to_string().contains("ssh-ed25519"), "{problem}");
    let problem = SshKey::parse(folder.read("id_ecdsa.pub").as_bytes()).unwrap_err();
    assert_eq!(problem.to_string(), "it is not an ssh private key");
}

#[test]
fn all_problems_of_locking_are_told_at_once() {
    let good = Recipient::Age(public(&Identity::generate()));
    let group = |recipients: &[&Recipient]| KeyGroup {
        recipients: recipients.iter().map(|recipient| (*recipient).clone()).collect(),
    };
    let (bad, pgp) = (Recipient::Age("age1nope".into()), Recipient::Pgp("AB".into()));
    let groups = [group(&[&good, &bad]), group(&[]), group(&[&pgp])];
    let key = kubiya_policies::sops::keys::DataKey::new([4; 32]);
    let keys = AgeKeys::default();
    let problems = lock(&key, &groups, Some(4), &keys, &mut counting).unwrap_err();
    assert!(matches!(
        problems.as_slice(),
        [KeyError::Split(_), KeyError::BadRecipient(_), KeyError::EmptyGroup(2), KeyError::NotServed(_)]
    ));
    assert_eq!(lock(&key, &[], None, &keys, &mut counting).unwrap_err(), [KeyError::NoGroups]);
    assert!(keys.wrap(&key.clone().into(), &good).is_ok());
}

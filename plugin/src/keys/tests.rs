//! The key ring in an environment of its own: where it looks, whom it disturbs, what it says.

use super::ask::Ask;
use super::{KeyRing, Surroundings};
use kubiya_hook::edge::{Console, Failure};
use kubiya_policies::sops::age::{AgeKeys, Identity};
use kubiya_policies::sops::keys::{DataKey, KeyBytes, KeyService as _, Locked, WrappedKey, unlock};
use kubiya_policies::sops::metadata::Metadata;
use kubiya_policies::sops::recipient::Recipient;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// In every passphrase and command: must never be shown.
const CANARY: &str = "canary-Zx81";

/// Somebody with answers, who remembers what was said.
#[derive(Default)]
struct Person {
    secrets: Mutex<Vec<String>>,
    heard: Mutex<Vec<String>>,
}

impl Person {
    fn knowing(secrets: &[&str]) -> Arc<Self> {
        let secrets = secrets.iter().rev().map(|secret| (*secret).to_owned()).collect();
        Arc::new(Self { secrets: Mutex::new(secrets), heard: Mutex::default() })
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Ask for Person {
    fn secret(&self, question: &str) -> Option<SecretString> {
        self.heard.lock().unwrap().push(question.to_owned());
        self.secrets.lock().unwrap().pop().map(SecretString::from)
    }

    fn line(&self, question: &str) -> Option<String> {
        self.heard.lock().unwrap().push(question.to_owned());
        None
    }

    fn say(&self, message: &str) {
        self.heard.lock().unwrap().push(message.to_owned());
    }

    fn warn(&self, message: &str, hint: &str) {
        self.heard.lock().unwrap().push(format!("{message}: {hint}"));
    }
}

/// A home folder with variables.
struct World {
    home: tempfile::TempDir,
    variables: HashMap<String, OsString>,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = HashMap::from([("HOME".to_owned(), home.path().as_os_str().to_owned())]);
        Self { home, variables }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A program that counts its calls in `calls`, and then runs a line of shell.
    fn command(&self, then: &str) -> String {
        self.write(
            "command",
            format!("echo \"$SOPS_AGE_RECIPIENT\" >> {}\n{then}\n", self.path("calls").display()),
        );
        format!("sh '{}' {CANARY}", self.path("command").display())
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    fn ssh_key(&self, name: &str, passphrase: &str) -> String {
        std::fs::create_dir_all(self.path(".ssh")).unwrap();
        let mut command = std::process::Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-a", "2", "-C", "me", "-N", passphrase, "-f"]);
        assert!(command.arg(self.path(name)).status().unwrap().success(), "ssh-keygen is needed on PATH");
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    fn ring(&self, person: &Arc<Person>) -> KeyRing {
        let variables = self.variables.clone();
        let surroundings = Surroundings::new(move |name| variables.get(name).cloned(), self.home.path());
        KeyRing::ambient(&surroundings, person.clone())
    }

    /// The failure as the user reads it, with the folder masked.
    fn shown(&self, failure: Failure) -> String {
        let (console, _, err) = Console::captured();
        let code = console.finish(Err(failure));
        let text = format!("{}exit code {code}\n", err.take());
        assert!(!text.contains(CANARY) && !text.contains("AGE-SECRET-KEY"), "{text}");
        text.replace(self.home.path().to_str().unwrap(), "[HOME]")
    }
}

fn line(identity: &Identity) -> String {
    identity.expose_line().expose_secret().to_owned()
}

fn public(identity: &Identity) -> String {
    identity.recipient().unwrap()
}

fn secret() -> KeyBytes {
    KeyBytes::Whole(DataKey::new([7; 32]))
}

fn wrapped(recipient: &str) -> WrappedKey {
    AgeKeys::default().wrap(&secret(), &Recipient::Age(recipient.to_owned())).unwrap()
}

/// A file for these recipients.
fn file(recipients: &[String]) -> Metadata {
    let wrapped = recipients.iter().map(|recipient| wrapped(recipient)).collect();
    Metadata { wrapped: vec![wrapped], ..Metadata::default() }
}

fn opens(ring: &KeyRing, recipient: &str) -> bool {
    unlock(&file(&[recipient.to_owned()]), ring).is_ok()
}

fn locked(ring: &KeyRing, recipients: &[String]) -> Locked {
    unlock(&file(recipients), ring).unwrap_err()
}

fn protected(content: &str, passphrase: &str) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(2);
    age::encrypt(&recipient, content.as_bytes()).unwrap()
}

#[test]
fn every_place_is_read_and_a_bad_one_does_not_matter() {
    let mut world = World::new();
    let keys = (0..7).map(|_| Identity::generate()).collect::<Vec<_>>();
    world.set("SOPS_AGE_KEY", format!("{} {}", line(&keys[0]), line(&keys[1])));
    world.write("named.txt", line(&keys[2]));
    world.set("SOPS_AGE_KEY_FILE", "named.txt");
    world.set("SOPS_AGE_KEY_CMD", format!("echo {}", line(&keys[3])));
    world.write(".config/sops/age/keys.txt", line(&keys[4]));
    world.write("age.agekey", line(&keys[5]));
    std::fs::create_dir(world.path(".git")).unwrap();
    let ssh = [world.ssh_key("somewhere", ""), world.ssh_key(".ssh/id_ed25519", "")];
    world.set("SOPS_AGE_SSH_PRIVATE_KEY_CMD", format!("cat {}", world.path("somewhere").display()));
    world.set("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "missing");
    world.write(".ssh/id_rsa", "damaged");
    let person = Person::knowing(&[]);
    let ring = world.ring(&person);
    for recipient in keys[..6].iter().map(public).chain(ssh) {
        assert!(opens(&ring, &recipient), "{recipient}");
    }
    assert!(!opens(&ring, &public(&keys[6])));
    assert_eq!(person.heard(), [""; 0]);
}

#[test]
fn the_default_file_follows_the_configuration_folder() {
    let mut world = World::new();
    let mine = Identity::generate();
    world.write("config/sops/age/keys.txt", line(&mine));
    world.set("XDG_CONFIG_HOME", world.path("config"));
    assert!(opens(&world.ring(&Person::knowing(&[])), &public(&mine)));
}

#[test]
fn a_command_runs_only_where_nothing_else_opens_and_once() {
    let mut world = World::new();
    let (mine, of_command, stranger) = (Identity::generate(), Identity::generate(), Identity::generate());
    world.set("SOPS_AGE_KEY", line(&mine));
    let command = world.command(&format!("echo {}", line(&of_command)));
    world.set("SOPS_AGE_KEY_CMD", command);
    let ring = world.ring(&Person::knowing(&[]));
    assert!(unlock(&file(&[public(&stranger), public(&mine)]), &ring).is_ok());
    assert_eq!(world.calls(), [""; 0]);
    assert!(unlock(&file(&[public(&stranger), public(&of_command)]), &ring).is_ok());
    assert!(opens(&ring, &public(&of_command)));
    assert!(!opens(&ring, &public(&stranger)));
    assert_eq!(world.calls(), [public(&stranger)]);
}

#[test]
fn a_command_that_knows_one_key_for_each_recipient_is_asked_for_each_once() {
    let mut world = World::new();
    let (one, two, stranger) = (Identity::generate(), Identity::generate(), Identity::generate());
    let cases = [&one, &two].map(|key| format!("{}) echo {};; ", public(key), line(key))).concat();
    let command = world.command(&format!("case $SOPS_AGE_RECIPIENT in {cases} *) exit 1;; esac"));
    world.set("SOPS_AGE_KEY_CMD", command);
    let ring = world.ring(&Person::knowing(&[]));
    let recipients = [public(&stranger), public(&one)];
    for _ in 0..2 {
        assert!(unlock(&file(&recipients), &ring).is_ok());
        assert!(opens(&ring, &public(&two)));
    }
    assert_eq!(world.calls(), [public(&stranger), public(&one), public(&two)]);
}

#[test]
fn the_passphrase_of_an_ssh_key_is_asked_for_where_the_file_is_for_it_and_once() {
    let world = World::new();
    let ssh = world.ssh_key(".ssh/id_ed25519", CANARY);
    let person = Person::knowing(&["wrong", CANARY]);
    let ring = world.ring(&person);
    assert!(!opens(&ring, &public(&Identity::generate())));
    assert_eq!(person.heard(), [""; 0]);
    assert!(opens(&ring, &ssh) && opens(&ring, &ssh));
    let question = format!("Passphrase for the ssh key {}:", world.path(".ssh/id_ed25519").display());
    assert_eq!(person.heard(), [question.clone(), "The passphrase is wrong.".to_owned(), question]);
}

#[test]
fn the_passphrase_of_a_key_file_is_asked_for_last_and_once() {
    let mut world = World::new();
    let (open, mine) = (Identity::generate(), Identity::generate());
    world.write(".config/sops/age/keys.txt", protected(&line(&mine), CANARY));
    world.set("SOPS_AGE_KEY", line(&open));
    let person = Person::knowing(&[CANARY]);
    let ring = world.ring(&person);
    assert!(unlock(&file(&[public(&mine), public(&open)]), &ring).is_ok());
    assert_eq!(person.heard(), [""; 0]);
    assert!(opens(&ring, &public(&mine)) && opens(&ring, &public(&mine)));
    assert!(!opens(&ring, &public(&Identity::generate())));
    assert_eq!(person.heard().len(), 1);
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let mine = Identity::generate();
    world.write(".config/sops/age/keys.txt", line(&mine));
    let path = world.path(".config/sops/age/keys.txt");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let person = Person::knowing(&[]);
    assert!(opens(&world.ring(&person), &public(&mine)));
    assert!(person.heard()[0].ends_with(&format!("chmod 600 {}", path.display())));
}

#[test]
fn many_threads_open_with_one_question() {
    let world = World::new();
    let mine = Identity::generate();
    world.write(".config/sops/age/keys.txt", protected(&line(&mine), CANARY));
    let person = Person::knowing(&[CANARY]);
    let ring = world.ring(&person);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(opens(&ring, &public(&mine))));
        }
    });
    assert_eq!(person.heard().len(), 1);
}

#[test]
fn what_was_looked_at_is_told_with_public_keys_only() {
    let mut world = World::new();
    let mut names = Vec::new();
    let mut known = |name: &str| {
        let identity = Identity::generate();
        names.push((public(&identity), format!("[{name}]")));
        identity
    };
    let (mine, stranger, other) = (known("mine"), known("stranger"), known("other"));
    world.set("SOPS_AGE_KEY", line(&mine));
    world.set("SOPS_AGE_KEY_FILE", "missing");
    world.set("SOPS_AGE_KEY_CMD", format!("sh -c 'exit 4' {CANARY}"));
    world.write(".ssh/id_rsa", CANARY);
    world.write(".config/sops/age/keys.txt", protected(&line(&other), CANARY));
    let ring = world.ring(&Person::knowing(&["wrong", "wrong", "wrong"]));
    let locked = locked(&ring, &[public(&stranger), public(&other)]);
    let mut shown = world.shown(ring.explain(&locked).at("db.yaml"));
    for (key, name) in names {
        shown = shown.replace(&key, &name);
    }
    insta::assert_snapshot!(shown, @r"
    error: db.yaml: cannot be decrypted: none of the keys at hand opens it
      cause: it is for [stranger], [other]
      cause: [HOME]/.ssh/id_rsa: not an age key file: line 1 is not an age identity, a comment or an empty line
      cause: SOPS_AGE_KEY has [mine]
      cause: SOPS_AGE_KEY_FILE ([HOME]/missing): cannot read the age key: No such file or directory (os error 2)
      cause: SOPS_AGE_KEY_CMD: it ended with exit status: 4
      cause: [HOME]/.config/sops/age/keys.txt: the passphrase is wrong
      cause: nothing at SOPS_AGE_SSH_PRIVATE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_CMD, [HOME]/.ssh/id_ed25519

    hint: name the key of one of these recipients: --age-key-file FILE, or --from-cluster for Flux's
    exit code 3
    ");
}

#[test]
fn without_any_key_it_is_said_where_to_put_one() {
    let world = World::new();
    let ring = world.ring(&Person::knowing(&[]));
    let stranger = Identity::generate();
    let locked = locked(&ring, &[public(&stranger)]);
    let shown = world.shown(ring.explain(&locked)).replace(&public(&stranger), "[stranger]");
    insta::assert_snapshot!(shown, @r"
    error: cannot be decrypted: none of the keys at hand opens it
      cause: it is for [stranger]
      cause: nothing at SOPS_AGE_SSH_PRIVATE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_CMD, [HOME]/.ssh/id_ed25519, [HOME]/.ssh/id_rsa, SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, SOPS_AGE_KEY_CMD, [HOME]/.config/sops/age/keys.txt

    hint: put the key into [HOME]/.config/sops/age/keys.txt, or name its file: --age-key-file FILE
    exit code 2
    ");
}

#[test]
fn without_a_terminal_a_protected_key_says_what_to_do() {
    let world = World::new();
    let mine = Identity::generate();
    world.write(".config/sops/age/keys.txt", protected(&line(&mine), CANARY));
    let ring = world.ring(&Person::knowing(&[]));
    let locked = locked(&ring, &[public(&mine)]);
    let shown = world.shown(ring.explain(&locked)).replace(&public(&mine), "[mine]");
    insta::assert_snapshot!(shown, @r"
    error: cannot be decrypted: none of the keys at hand opens it
      cause: it is for [mine]
      cause: [HOME]/.config/sops/age/keys.txt: protected with a passphrase, and no passphrase was given: it is asked for on a terminal only
      cause: nothing at SOPS_AGE_SSH_PRIVATE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_CMD, [HOME]/.ssh/id_ed25519, [HOME]/.ssh/id_rsa, SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, SOPS_AGE_KEY_CMD

    hint: age -d [HOME]/.config/sops/age/keys.txt | … --age-key-file -   # or run it in a terminal
    exit code 2
    ");
}

/// A plugin that wraps nothing: the stanza holds the file key itself.
const PLUGIN: &str = r#"#!/bin/sh
read_message() {
    IFS= read -r header || exit 0
    body=
    while IFS= read -r part; do
        body=$body$part
        [ ${#part} -lt 64 ] && break
    done
}
while read_message && [ "$header" != "-> done" ]; do
    case $header in
    "-> wrap-file-key"*) key=$body ;;
    "-> recipient-stanza 0 bare"*) key=$body ;;
    esac
done
answer() { printf '%s\n%s\n' "$1" "$2"; read_message; }
answer "-> msg" "$(printf touch | base64 | tr -d =)"
if [ "$1" = --age-plugin=recipient-v1 ]; then
    answer "-> recipient-stanza 0 bare" "$key"
elif [ -n "$key" ]; then
    answer "-> file-key 0" "$key"
fi
printf '%s\n\n' "-> done"
"#;

/// age finds plugins on the PATH of the process, so the test runs itself with another.
#[test]
fn plugins_wrap_and_unwrap_and_say_why_not() {
    const INNER: &str = "KUBIYA_TEST_INNER";
    if std::env::var_os(INNER).is_none() {
        let world = World::new();
        world.write("age-plugin-bare", PLUGIN);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(world.path("age-plugin-bare"), mode).unwrap();
        let path = format!("{}:/usr/bin:/bin", world.home.path().display());
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let name = std::thread::current().name().unwrap().to_owned();
        let output = command.args([&name, "--exact"]).env("PATH", path).env(INNER, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let encode = |name: &str, data: &[u8]| {
        let name = bech32::Hrp::parse(name).unwrap();
        bech32::encode::<bech32::Bech32>(name, data).unwrap()
    };
    let mut world = World::new();
    let recipient = encode("age1bare", b"x");
    world.set("SOPS_AGE_KEY", encode("age-plugin-bare-", b"x").to_uppercase());
    let person = Person::knowing(&[]);
    let ring = world.ring(&person);
    let wrapped = ring.wrap(&secret(), &Recipient::Age(recipient)).unwrap();
    assert_eq!(ring.unwrap(&wrapped).unwrap(), secret());
    assert_eq!(person.heard(), ["touch", "touch"]);

    // A file that opens without it does not start it.
    let mine = Identity::generate();
    world.write(".config/sops/age/keys.txt", line(&mine));
    let ring = world.ring(&person);
    let group = [wrapped.clone(), self::wrapped(&public(&mine))];
    assert_eq!(ring.unwrap_one(&group).unwrap(), secret());
    assert_eq!(person.heard().len(), 2);

    let absent = encode("age1absent", b"x");
    let error = ring.wrap(&secret(), &Recipient::Age(absent)).unwrap_err();
    assert!(error.to_string().contains("age-plugin-absent is not on PATH"), "{error}");
    world.set("SOPS_AGE_KEY", encode("age-plugin-absent-", b"x").to_uppercase());
    std::fs::remove_file(world.path(".config/sops/age/keys.txt")).unwrap();
    let error = world.ring(&person).unwrap(&wrapped).unwrap_err();
    assert!(error.to_string().contains("age-plugin-absent is not on PATH"), "{error}");
}

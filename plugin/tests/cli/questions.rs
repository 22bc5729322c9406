//! What only a person can say is asked on the terminal, with Ctrl-C as a way out; without a terminal it is a clear error.

use crate::sandbox::Sandbox;
use crate::typist::{CTRL_C, Typist, program};
use insta::assert_snapshot;
use kubiya_policies::sops::age::Identity;
use secrecy::ExposeSecret as _;
use std::os::unix::fs::PermissionsExt as _;

const PASSPHRASE: &str = "correct horse";
const ASKED_FOR_PASSPHRASE: &str = "Passphrase for the key file locked.agekey: ";

fn with_locked_key() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut recipient = age::scrypt::Recipient::new(PASSPHRASE.into());
    recipient.set_work_factor(2);
    let identity = Identity::generate();
    let locked = age::encrypt(&recipient, identity.expose_line().expose_secret().as_bytes()).unwrap();
    std::fs::write(sandbox.path("locked.agekey"), locked).unwrap();
    std::fs::set_permissions(sandbox.path("locked.agekey"), std::fs::Permissions::from_mode(0o600)).unwrap();
    sandbox
}

const LOCKED: [&str; 3] = ["--age-key-file", "locked.agekey", "--export"];

#[test]
fn the_passphrase_of_a_key_file_is_asked_for_and_not_shown() {
    let sandbox = with_locked_key();
    let mut typist = Typist::start(&sandbox.command(&Sandbox::arguments(None, &LOCKED)));
    typist.answer(ASKED_FOR_PASSPHRASE, "wrong\n");
    typist.answer("The passphrase is wrong.", "");
    typist.answer(ASKED_FOR_PASSPHRASE, &format!("{PASSPHRASE}\n"));
    let (code, shown) = typist.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("horse") && !shown.contains("wrong\n"), "{shown}");
}

#[test]
fn ctrl_c_at_the_question_for_a_passphrase_ends_the_run() {
    let sandbox = with_locked_key();
    let mut typist = Typist::start(&sandbox.command(&Sandbox::arguments(None, &LOCKED)));
    typist.answer(ASKED_FOR_PASSPHRASE, CTRL_C);
    let (code, shown) = typist.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("error: interrupted"), "{shown}");
}

#[test]
fn without_a_terminal_a_locked_key_file_is_an_error() {
    assert_snapshot!(with_locked_key().bootstrap(&LOCKED), @"
    ------- stderr
    error: locked.agekey: protected with a passphrase, and no passphrase was given: it is asked for on a terminal only

    hint: age -d KEYFILE | … --age-key-file -   # or run it in a terminal
    ------- exit code 2
    ");
}

const MADE: [&str; 3] = ["--age-key-file", "made.agekey", "--generate-age-key"];
const ASKED_WHO: &str = "Who can decrypt when the new key is lost?";

#[test]
fn who_can_decrypt_when_a_made_key_is_lost_is_asked_for_before_there_is_a_key() {
    let sandbox = Sandbox::new();
    let start = || Typist::start(&sandbox.command(&Sandbox::arguments(None, &MADE)));
    for (keys, wanted_code, wanted) in [
        (CTRL_C, 130, "error: interrupted"),
        ("\n", 2, "--no-recovery where nobody is to"),
        ("age1nonsense\n", 2, "--recovery: no public key of age"),
    ] {
        let mut typist = start();
        typist.answer(ASKED_WHO, keys);
        let (code, shown) = typist.end();
        assert_eq!(code, Some(wanted_code), "{shown}");
        assert!(shown.contains(wanted), "{shown}");
        assert!(!sandbox.path("made.agekey").exists());
    }
    let mut typist = start();
    typist.answer(ASKED_WHO, &format!("{}\n", sandbox.recipient()));
    let (code, shown) = typist.end();
    // There is no cluster to go on with.
    assert_eq!(code, Some(3), "{shown}");
    assert!(
        shown.contains("a new age key is in made.agekey") && !shown.contains("AGE-SECRET-KEY"),
        "{shown}"
    );
    assert_eq!(sandbox.path("made.agekey").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn without_a_terminal_a_key_is_made_only_with_a_word_on_its_loss() {
    assert_snapshot!(Sandbox::new().bootstrap(&MADE), @"
    ------- stderr
    error: who can decrypt when the new key is lost?

    hint: --recovery age1…   # the public half of a key that is kept elsewhere; may be repeated
    hint: --no-recovery where nobody is to
    ------- exit code 2
    ");
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICU5XaFI0cpvZNsDIVItyJG2PTw4Kr4x6PMUEhGQFLIn";
const ASKED_ABOUT_HOST: &str =
    "Are they its own, as its operator publishes them? They are kept in known_hosts. Type yes: ";

/// With a program that shows the keys of a server, in place of one that would ask over the network.
fn with_server() -> Sandbox {
    let sandbox = Sandbox::new();
    let keyscan = format!(
        "#!/bin/sh\necho '# git.example.com:2222 SSH-2.0-OpenSSH'\ncase \"$*\" in *'-p 2222 -- git.example.com') echo '[git.example.com]:2222 {KEY}';; esac\n"
    );
    sandbox.write("ssh-keyscan", &keyscan);
    std::fs::set_permissions(sandbox.path("ssh-keyscan"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(program("ssh-keygen"), sandbox.path("ssh-keygen")).unwrap();
    sandbox
}

const OVER_SSH: [&str; 7] = [
    "--url",
    "ssh://git@git.example.com:2222/gitops.git",
    "--private-key-file",
    "deploy-key",
    "--generate-private-key",
    "--known-hosts-file",
    "known_hosts",
];

#[test]
fn a_server_that_is_not_known_is_taken_only_on_the_word_of_somebody_who_saw_its_fingerprint() {
    let sandbox = with_server();
    let start = || Typist::start(&sandbox.command(&Sandbox::arguments(None, &OVER_SSH)));
    for (keys, wanted_code, wanted) in [
        (CTRL_C, 130, "error: interrupted"),
        ("\n", 2, "the keys that it shows were not confirmed"),
        ("no\n", 2, "the keys that it shows were not confirmed"),
    ] {
        let mut typist = start();
        typist
            .answer("[git.example.com]:2222 ED25519 SHA256:xqodVk9VqUG2NSjksfcBXRWKxuuUFli+H94l/+83brA", "");
        typist.answer(ASKED_ABOUT_HOST, keys);
        let (code, shown) = typist.end();
        assert_eq!(code, Some(wanted_code), "{shown}");
        assert!(shown.contains(wanted), "{shown}");
        assert!(!sandbox.path("known_hosts").exists() && !sandbox.path("deploy-key").exists(), "{shown}");
    }
    // Hosts that are there stay.
    let other = format!("other.example.com {KEY}");
    sandbox.write("known_hosts", &other);
    let mut typist = start();
    typist.answer(ASKED_ABOUT_HOST, "yes\n");
    let (code, shown) = typist.end();
    assert_eq!(code, Some(3), "{shown}");
    assert!(sandbox.path("deploy-key").exists(), "{shown}");
    let known = std::fs::read_to_string(sandbox.path("known_hosts")).unwrap();
    assert_eq!(known, format!("{other}\n[git.example.com]:2222 {KEY}\n"));
    // What is known is not asked for again.
    let again = sandbox.bootstrap(&OVER_SSH);
    assert!(again.contains("exit code 3") && !again.contains("--known-hosts-file"), "{again}");
}

#[test]
fn without_a_terminal_a_server_that_is_not_known_is_refused() {
    let sandbox = with_server();
    assert_snapshot!(sandbox.bootstrap(&OVER_SSH), @"
    ------- stderr
    The server [git.example.com]:2222 is not known. The keys that it shows:
      [git.example.com]:2222 ED25519 SHA256:xqodVk9VqUG2NSjksfcBXRWKxuuUFli+H94l/+83brA
    error: known_hosts: --known-hosts-file: it is not there, and so has no key of `[git.example.com]:2222`
      cause: nobody can be asked here whether these keys are its own

    hint: ssh-keyscan -p 2222 git.example.com   # compare with what the server's operator publishes, then add it to the file
    hint: or run it in a terminal (no dry run, no export): it shows the server's keys and asks
    ------- exit code 2
    ");
    let elsewhere = ["--url", "ssh://git@other.example.com/gitops.git"];
    assert_snapshot!(sandbox.bootstrap(&[&elsewhere[..], &OVER_SSH[2..]].concat()), @"
    ------- stderr
    error: known_hosts: --known-hosts-file: it is not there, and so has no key of `other.example.com`
      cause: the server showed no key: it did not answer

    hint: ssh-keyscan other.example.com   # compare with what the server's operator publishes, then add it to the file
    hint: or run it in a terminal (no dry run, no export): it shows the server's keys and asks
    ------- exit code 2
    ");
    assert_snapshot!(sandbox.bootstrap(&[&OVER_SSH[..], &["--dry-run"]].concat()), @"
    ------- stderr
    error: known_hosts: --known-hosts-file: it is not there, and so has no key of `[git.example.com]:2222`

    hint: ssh-keyscan -p 2222 git.example.com   # compare with what the server's operator publishes, then add it to the file
    hint: or run it in a terminal (no dry run, no export): it shows the server's keys and asks
    ------- exit code 2
    ");
}

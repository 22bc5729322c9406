//! `edit`, with editors that do one thing.

use crate::locked::{CANARY, Locked, PLAIN};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Child;

#[test]
fn what_was_changed_in_the_editor_changes_and_nothing_else() {
    let locked = Locked::new();
    let before = locked.read("db.yaml");
    locked.editor("sed -i 's/two/three/' \"$1\"");
    insta::assert_snapshot!(locked.run(&["edit", "db.yaml"]), @"
    ------- stderr
        updated db.yaml (encrypted: stringData.pem)
    ------- exit code 0
    ");
    assert_eq!(Locked::changed(&before, &locked.read("db.yaml")), ["pem", "mac"]);
    assert_eq!(locked.decrypted("db.yaml"), PLAIN.replace("two", "three"));
    assert!(locked.left_in_clear().is_empty(), "{:?}", locked.left_in_clear());
}

#[test]
fn the_clear_copy_is_in_memory_for_its_owner_alone() {
    let locked = Locked::new();
    locked.editor("stat -c '%a %n' \"$1\" \"$(dirname \"$1\")\" >&2; grep -c sops \"$1\" >&2 || true; rm \"$1\"; exit 3");
    let said = locked.run(&["edit", "db.yaml"]);
    let number = regex(&said);
    insta::assert_snapshot!(said.replace(&number, "[N]"), @"
    ------- stderr
    600 [MEMORY]/kubiya-edit-[N]/db.yaml
    700 [MEMORY]/kubiya-edit-[N]
    0
    error: $EDITOR: the editor ended with exit status: 3; the file stays as it was
    ------- exit code 2
    ");
    assert_eq!(std::fs::read_dir(locked.memory.path()).unwrap().count(), 0);
}

/// What follows the name of our folders.
fn regex(said: &str) -> String {
    let rest = said.split("kubiya-edit-").nth(1).unwrap();
    rest.split('/').next().unwrap().to_owned()
}

#[test]
fn without_a_change_the_file_is_not_touched() {
    let locked = Locked::new();
    let before = locked.path("db.yaml").metadata().unwrap().modified().unwrap();
    locked.editor("touch \"$1\"");
    insta::assert_snapshot!(locked.run(&["edit", "db.yaml"]), @"
    ------- stderr
      unchanged db.yaml
    ------- exit code 0
    ");
    assert_eq!(locked.path("db.yaml").metadata().unwrap().modified().unwrap(), before);
}

#[test]
fn a_text_that_cannot_be_encrypted_leaves_the_file_as_it_was() {
    let locked = Locked::new();
    let before = locked.read("db.yaml");
    locked.editor("echo '  user: [' >> \"$1\"");
    insta::assert_snapshot!(locked.run(&["edit", "db.yaml"]), @"
    ------- stderr
    error: db.yaml:12:3: not valid YAML: expected block mapping key
    ------- exit code 2
    ");
    locked.editor("echo 'sops: {mac: x}' >> \"$1\"");
    insta::assert_snapshot!(locked.run(&["edit", "db.yaml"]), @"
    ------- stderr
    error: db.yaml: sops: the key is reserved for the metadata of sops
    ------- exit code 2
    ");
    assert_eq!(locked.read("db.yaml"), before);
    assert!(locked.left_in_clear().is_empty());
}

#[test]
fn what_is_not_to_be_edited_is_refused_before_an_editor_runs() {
    let locked = Locked::new();
    locked.editor("touch ran");
    locked.write("plain.yaml", "a: 1\n");
    insta::assert_snapshot!(locked.run(&["edit", "plain.yaml"]), @"
    ------- stderr
    error: plain.yaml: the file is not encrypted: it has no `sops` metadata

    hint: kubectl kubiya encrypt plain.yaml
    ------- exit code 2
    ");
    insta::assert_snapshot!(locked.run(&["edit", "other.yaml"]), @"
    ------- stderr
    error: other.yaml: no creation rule is for this file

    hint: kubectl kubiya explain other.yaml
    ------- exit code 2
    ");
    let text = locked.read("db.yaml").replace("name: db", "name: other");
    locked.write("db.yaml", &text);
    let said = locked.run(&["edit", "db.yaml"]);
    assert!(
        said.contains("the message authentication code does not fit") && said.ends_with("exit code 3\n"),
        "{said}"
    );
    assert!(!locked.path("ran").exists());
    locked.editor("sed -i 's/two/three/' \"$1\"");
    assert!(locked.run(&["edit", "--ignore-mac", "db.yaml"]).contains("updated db.yaml"));
    assert_eq!(locked.decrypted("db.yaml"), PLAIN.replace("two", "three").replace("name: db", "name: other"));
}

#[test]
fn a_new_file_begins_with_an_example_and_is_encrypted() {
    let locked = Locked::new();
    locked
        .editor("cat \"$1\" >&2; printf 'kind: Secret\\napiVersion: v1\\nstringData:\\n  a: b\\n' >> \"$1\"");
    insta::assert_snapshot!(locked.run(&["edit", "new.yaml"]), @"
    ------- stderr
    # Write a document below, such as this one, save, and leave the editor: it is encrypted by its creation rule.
    # These lines are taken out. Leave without a change to create nothing.
    #
    #   apiVersion: v1
    #   kind: Secret
    #   metadata:
    #     name: example
    #     namespace: default
    #   stringData:
    #     password: …
        created new.yaml (encrypted: stringData.a)
    ------- exit code 0
    ");
    assert_eq!(locked.decrypted("new.yaml"), "kind: Secret\napiVersion: v1\nstringData:\n    a: b\n");
    locked.editor("true");
    insta::assert_snapshot!(locked.run(&["edit", "new2.yaml"]), @"
    ------- stderr
    not created new2.yaml
    ------- exit code 0
    ");
    assert!(!locked.path("new2.yaml").exists());
}

#[test]
fn recipients_follow_the_rule() {
    let locked = Locked::new();
    let other = Locked::new();
    locked.rule("^(data|stringData)$", &[&locked.recipient(), &other.recipient()]);
    locked.editor("sed -i 's/two/three/' \"$1\"");
    let said = locked.run(&["edit", "db.yaml"]).replace(&other.recipient(), "[OTHER]");
    insta::assert_snapshot!(said, @"
    ------- stderr
    warning: db.yaml: by its creation rule [OTHER] can read it now
        updated db.yaml (encrypted: stringData.pem)
    ------- exit code 0
    ");
    other.write("db.yaml", &locked.read("db.yaml"));
    assert_eq!(other.decrypted("db.yaml"), PLAIN.replace("two", "three"));
}

#[test]
fn another_version_on_the_disk_is_not_written_over_and_no_work_is_lost() {
    let locked = Locked::new();
    locked.editor("sed -i 's/two/three/' \"$1\"; echo '# other' >> db.yaml");
    insta::assert_snapshot!(locked.run(&["edit", "db.yaml"]), @"
    ------- stderr
    error: db.yaml: it changed on the disk in the meantime; what you wrote is beside it, encrypted
      cause: it is in db.yaml.edited

    hint: git diff --no-index db.yaml db.yaml.edited
    hint: mv db.yaml.edited db.yaml   # if yours is the right one
    ------- exit code 5
    ");
    assert!(locked.read("db.yaml").ends_with("# other\n"));
    let mine = locked.sops(&["decrypt", "--input-type", "yaml", "--output-type", "yaml", "db.yaml.edited"]);
    assert_eq!(mine, PLAIN.replace("two", "three"));
    assert!(locked.left_in_clear().is_empty());
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_signal_wipes_the_clear_copy() {
    for signal in [Signal::TERM, Signal::HUP] {
        let locked = Locked::new();
        let before = locked.read("db.yaml");
        let (child, file) = locked.waiting();
        assert_eq!(locked.left_in_clear().len(), 2, "the file and its backup are there");
        // The terminal's own: for the editor.
        send(&child, Signal::INT);
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(file.exists());
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            locked.shown(&output),
            "------- stderr\nerror: interrupted; the clear copy is removed\n------- exit code 130\n"
        );
        assert_eq!(std::fs::read_dir(locked.memory.path()).unwrap().count(), 0);
        assert_eq!(locked.read("db.yaml"), before);
    }
}

#[test]
fn what_a_killed_run_left_is_wiped_by_the_next_and_a_living_one_keeps_its_own() {
    let locked = Locked::new();
    let (mut killed, left) = locked.waiting();
    send(&killed, Signal::KILL);
    killed.wait().unwrap();
    assert!(left.exists());
    let (living, kept) = locked.waiting();
    assert!(!left.exists() && kept.exists());
    locked.editor("true");
    assert!(locked.run(&["edit", "db.yaml"]).contains("unchanged db.yaml"));
    assert!(kept.exists());
    send(&living, Signal::TERM);
    let said = locked.shown(&living.wait_with_output().unwrap());
    assert!(said.contains("clear copies of killed runs were there and are removed: 1"), "{said}");
    assert!(locked.left_in_clear().is_empty());
}

#[test]
fn no_process_shows_a_value() {
    let locked = Locked::new();
    let (child, _) = locked.waiting();
    let mut looked = 0;
    for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        for name in ["cmdline", "environ"] {
            let Ok(bytes) = std::fs::read(process.path().join(name)) else { continue };
            assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "{:?}", process.path());
            looked += 1;
        }
    }
    assert!(looked > 2);
    send(&child, Signal::TERM);
    child.wait_with_output().unwrap();
}

#[test]
fn the_file_keeps_its_mode() {
    let locked = Locked::new();
    std::fs::set_permissions(locked.path("db.yaml"), std::fs::Permissions::from_mode(0o640)).unwrap();
    locked.editor("sed -i 's/two/three/' \"$1\"");
    locked.run(&["edit", "db.yaml"]);
    assert_eq!(locked.path("db.yaml").metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn editors_are_looked_for_in_order() {
    let locked = Locked::new();
    locked.editor("echo \"$2\" > ran; sed -i 's/two/three/' \"$1\" || true");
    let with = |variables: &[(&str, &str)]| {
        let mut command = locked.command(&["edit", "db.yaml"]);
        command.env_remove("EDITOR").envs(variables.iter().copied());
        locked.shown(&command.output().unwrap())
    };
    insta::assert_snapshot!(with(&[]), @"
    ------- stderr
    error: no editor: SOPS_EDITOR, VISUAL and EDITOR are not set, and neither vi nor nano is on PATH

    hint: EDITOR='code --wait' kubectl kubiya edit …
    ------- exit code 2
    ");
    insta::assert_snapshot!(with(&[("VISUAL", "'a"), ("EDITOR", "/bin/true")]), @"
    ------- stderr
    error: $VISUAL: it is not a command: a quote is not closed
    ------- exit code 2
    ");
    insta::assert_snapshot!(with(&[("SOPS_EDITOR", "/nowhere/x"), ("VISUAL", "/bin/true")]), @"
    ------- stderr
    error: $SOPS_EDITOR: the editor cannot be started
      cause: No such file or directory (os error 2)
    ------- exit code 2
    ");
    let words = format!("{} 'a  b'", locked.path("editor").display());
    with(&[("SOPS_EDITOR", &words), ("EDITOR", "/bin/false")]);
    assert!(locked.read("ran").ends_with("/db.yaml\n"));
}

//! `git diff` and its relatives.

use crate::world::{BINARY, CANARY, World, changes, secret};
use kubiya_testdata::env::TestEnv;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn changed_values_have_other_names_and_equal_values_equal_ones() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.commit("db.yaml", &secret("1", "2"));
    world.commit("db.yaml", &secret("1", "changed"));
    let (code, diff) = world.git(["show"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(changes(&diff), @"
    -  two: «str A»
    +  two: «str B»
    ");
    // Back to what it was, and sealed with another data key: the names are those of before.
    let _ = world.repo.ok(["rm", "-q", "--cached", "db.yaml"]);
    let _ = world.repo.commit_all("gone");
    world.repo.write("db.yaml", secret("1", "2"));
    world.repo.write("new.yaml", secret("1", "2"));
    world.kubiya(["encrypt", "db.yaml", "new.yaml"]);
    let _ = world.repo.ok(["add", "--all"]);
    let (_, diff) = world.git(["diff", "HEAD~1", "--", "db.yaml"]);
    insta::assert_snapshot!(changes(&diff), @"
    -  two: «str A»
    +  two: «str B»
    ");
    let (_, diff) = world.git(["diff", "HEAD~2", "--", "db.yaml"]);
    assert_eq!(changes(&diff), "", "nothing changed but the encryption:\n{diff}");
}

#[test]
fn a_new_file_shows_its_layout_its_recipients_and_its_selector() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.commit("my apps/it's \"quoted\".yaml", &secret("1", "1"));
    let (_, log) = world.git(["log", "-p", "-1"]);
    let recipient = world.identity.recipient().unwrap();
    insta::assert_snapshot!(changes(&log).replace(&recipient, "age1…"), @"
    +apiVersion: v1
    +kind: Secret
    +metadata:
    +  name: db
    +stringData:
    +  one: «str A»
    +  #«comment B»
    +  two: «str C»
    +sops:
    +    age: age1…
    +    encrypted_regex: ^(data|stringData)$
    ");
}

#[test]
fn other_stores_are_shown_too() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let rule = world.read(".sops.yaml").replace("^(data|stringData)$", "^secret");
    world.repo.write(".sops.yaml", rule);
    let json = |value: &str| format!("{{\n\t\"plain\": 1,\n\t\"secret\": \"{CANARY}{value}\"\n}}\n");
    for (path, before, after) in [
        ("a.json", json("1"), json("2")),
        ("a.env", format!("plain=1\nsecret={CANARY}1\n"), format!("plain=2\nsecret={CANARY}2\n")),
        ("a.ini", format!("[s]\nsecret = {CANARY}1\n"), format!("[s]\nsecret = {CANARY}2\n")),
    ] {
        world.commit(path, &before);
        world.commit(path, &after);
        let (_, diff) = world.git(["show", "--", path]);
        let changes = changes(&diff);
        assert!(changes.contains("«str A»") && changes.contains("«str B»"), "{diff}");
        assert!(!changes.contains("mac") && !changes.contains("lastmodified"), "{diff}");
    }
}

#[test]
fn without_a_key_files_are_shown_by_their_ciphertexts() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.commit("db.yaml", &secret("1", "2"));
    world.commit("db.yaml", &secret("1", "3"));
    world.take_key();
    let (code, diff) = world.git(["show"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(changes(&diff), @"
    -  two: «encrypted A»
    +  two: «encrypted B»
    ");
}

#[test]
fn the_key_of_the_names_is_for_its_owner_alone_and_of_no_use_in_another_clone() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let key = world.repo.path().join(".git/kubiya/textconv.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(key.metadata().unwrap().len(), 32);
    world.commit("db.yaml", &secret("1", "2"));
    let (_, before) = world.git(["show"]);
    std::fs::remove_file(&key).unwrap();
    let (_, after) = world.git(["show"]);
    assert!(key.exists());
    assert_eq!(changes(&before), changes(&after));
    assert_ne!(before, after, "another key gives other names");
}

#[test]
fn broken_and_damaged_files_do_not_break_the_diff() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.commit("db.yaml", &secret("1", "2"));
    let good = world.read("db.yaml");
    for (broken, wanted) in [
        (format!("<<<<<<< HEAD\n{good}"), "+<<<<<<< HEAD"),
        (good.replace("name: db", "name: changed"), "does not fit"),
        (good.replace("two: ENC[", "renamed: ENC["), "«encrypted "),
        (good.replace("recipient: age1", "recipient: age2"), "age: age2"),
        ("sops: {}\n".to_owned(), "+sops: {}"),
        (String::new(), "-  two: «str "),
        ("\u{0}ENC[AES256_GCM, sops lastmodified".to_owned(), "+\u{0}ENC[AES256_GCM, sops"),
    ] {
        world.repo.write("db.yaml", &broken);
        let (code, diff) = world.git(["diff"]);
        assert_eq!(code, Some(0), "{diff}");
        assert!(diff.contains(wanted), "{wanted}\n{diff}");
    }
}

#[test]
fn an_executable_that_is_gone_leaves_a_working_diff() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let gone = world.repo.ok(["config", "diff.kubiya.textconv"]).replace(BINARY, "/nowhere/kubectl-kubiya");
    let _ = world.repo.ok(["config", "diff.kubiya.textconv", &gone]);
    let _ = world.repo.commit_file("plain.yaml", "a: 1\n");
    let (code, diff) = world.git(["show"]);
    assert_eq!(code, Some(0));
    assert_eq!(changes(&diff), "+a: 1\n");
}

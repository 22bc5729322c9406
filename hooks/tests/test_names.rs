//! Names that are no plain text: they are judged like others, and shown so that they do no harm.

use crate::common::{World, lines_with, named_secret, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

#[test]
fn hostile_names_are_escaped() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let names: [&[u8]; 6] = [
        b"line\nerror: fake.yaml",
        b"red\x1b[31m.yaml",
        b"latin\xe9.yaml",
        "right\u{202e}lmay.yaml".as_bytes(),
        b"-rf.yaml",
        b"it's a space.yaml",
    ];
    for (number, name) in names.into_iter().enumerate() {
        world.clone.write(name, named_secret(&format!("n{number}")));
    }
    world.clone.commit_all("names");
    let refused = world.push(["main"]);
    assert!(!refused.stderr().contains('\u{1b}') && !refused.stderr().contains('\u{202e}'));
    assert_snapshot!(refused, @r#"
    ------- stderr -------
    remote: error: push refused: 6 findings
    remote:
    remote: commit ab26106578 on refs/heads/main
    remote:   -rf.yaml
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:   it's a space.yaml
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:   "latin\351.yaml"
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:   "line\nerror: fake.yaml"
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:   "red\033[31m.yaml"
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:   "right\342\200\256lmay.yaml"
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:
    remote: hint: Encrypt the file, and if it was ever pushed make a new value:
    remote: hint:   kubectl kubiya encrypt ./-rf.yaml
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY001
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    "#);
}

#[test]
fn keys_are_names_too() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  \"a\\e[2J\\nerror: b\": value-of-it\n";
    world.clone.commit_file("secret.yaml", secret);
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1));
    assert!(!refused.stderr().contains('\u{1b}'), "{refused:?}");
    assert_eq!(lines_with(&refused, "remote: error:").len(), 1, "{refused}");
}

#[test]
fn a_repository_may_have_any_name() {
    let env = TestEnv::new();
    // Git quotes the path of the old objects here, and libgit2 alone would not find them.
    let world = World::with_server(&env, "with: colon and \"space\".git");
    world.clone.commit_file("good.txt", "good\n");
    assert_snapshot!(world.push(["main"]), @"");
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(world.push(["main"]).code(), Some(1));
}

#[test]
fn a_ref_may_have_any_name() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("secret.yaml", plain_secret());
    let refused = world.push(["main:refs/heads/ä\u{202e}b"]);
    assert_eq!(lines_with(&refused, r#"on "refs/heads/ä\342\200\256b""#).len(), 1, "{refused}");
}

//! Where the new key of `rotate-key` comes from, and where it is stored before anything depends on it.

use crate::repository::Repository;
use crate::rotate_key::{encrypted, opens, public, run};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use std::process::Stdio;

/// Stores what it is given, and keeps what others could see of it meanwhile.
const PUT: &str =
    "sh -c 'env > ../seen; echo \"$0 $@\" >> ../seen; cat > ../stored; cat ../stored >&2; cat ../stored'";
const GET: &str = "sh -c 'cat ../stored >&2; cat ../stored'";

/// A rotation with a store, which must not show the key that it got.
fn stored_by(repository: &Repository<'_>, put: &str, get: &str) -> String {
    let shown = run(repository, &["--store-command", put, "--read-back-command", get]);
    assert!(!shown.contains("AGE-SECRET-KEY"), "the key was shown:\n{shown}");
    shown
}

fn untouched(repository: &Repository<'_>) {
    assert_eq!(repository.git.ok(["status", "--porcelain"]), "", "something was changed");
}

#[test]
fn a_command_stores_the_new_key_and_sees_it_on_its_standard_input_alone() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let shown = stored_by(&repository, PUT, GET);
    let new = public(&repository, "../stored");
    assert_snapshot!(shown.replace(&new, "[NEW]"), @"
    ------- stderr -------
         stored the store of --store-command ([NEW])
        updated .sops.yaml
        renewed apps/db.yaml (new data key)
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    let seen = std::fs::read_to_string(env.root().join("seen")).unwrap();
    assert!(seen.contains("PATH=") && !seen.contains("AGE-SECRET-KEY"), "{seen}");
    assert!(
        opens(&repository, "../stored", "apps/db.yaml") && !opens(&repository, "age.agekey", "apps/db.yaml")
    );
    // What is there is never replaced: it may be the only copy of a key.
    assert_snapshot!(stored_by(&repository, PUT, GET), @"
    ------- stderr -------
    error: --read-back-command: something is stored there already, which the new key would replace

    hint: --new-age-key-command COMMAND   # if this is the new key already
    hint: store the new key under another name: the old one may be needed again
    [exit status: 2]
    ");
}

#[test]
fn a_store_that_cannot_be_relied_on_keeps_all_as_it_is() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let fails = "sh -c 'cat >&2; exit 4'";
    assert_snapshot!(stored_by(&repository, fails, GET), @"
    ------- stderr -------
    error: --store-command: the command did not take the new key
      cause: it ended with exit status: 4

    hint: what it says is not shown, because it was given the key: try it by hand with another text
    [exit status: 2]
    ");
    untouched(&repository);
    let forgets = "sh -c 'cat > /dev/null'";
    assert_snapshot!(stored_by(&repository, forgets, GET), @"
    ------- stderr -------
    error: the store of --store-command: the new key is not read back as it was stored, so nothing else was changed

    hint: look at what is stored there; then run it again with another name, or with the command mended
    [exit status: 3]
    ");
    untouched(&repository);
    // It gives another key back than it got.
    let mixes_up = "sh -c 'cat > /dev/null; cat age.agekey > ../stored'";
    assert_snapshot!(stored_by(&repository, mixes_up, GET), @"
    ------- stderr -------
    error: the store of --store-command: the new key is not read back as it was stored, so nothing else was changed

    hint: look at what is stored there; then run it again with another name, or with the command mended
    [exit status: 3]
    ");
    untouched(&repository);
    std::fs::remove_file(env.root().join("stored")).unwrap();
    let does_not_listen = "true";
    assert_snapshot!(stored_by(&repository, does_not_listen, GET), @"
    ------- stderr -------
    error: the store of --store-command: the new key is not read back as it was stored, so nothing else was changed

    hint: look at what is stored there; then run it again with another name, or with the command mended
    [exit status: 3]
    ");
    untouched(&repository);
    assert_snapshot!(stored_by(&repository, PUT, "no-such-program --token hunter2"), @"
    ------- stderr -------
    error: --read-back-command: the command gave no key
      cause: it cannot be started: No such file or directory (os error 2)

    hint: it is a program with its arguments, run without a shell: sh -c '…' where one is needed
    [exit status: 2]
    ");
    assert_snapshot!(stored_by(&repository, "a 'quote", GET), @"
    ------- stderr -------
    error: --store-command: the command did not take the new key
      cause: it is not a command: a quote is not closed, or nothing is in it

    hint: it is a program with its arguments, run without a shell: sh -c '…' where one is needed
    [exit status: 2]
    ");
    assert_snapshot!(run(&repository, &["--store-command", PUT]), @"
    ------- stderr -------
    error: the following required arguments were not provided:
      --read-back-command <COMMAND>

    Usage: kubectl kubiya rotate-key --store-command <COMMAND> --read-back-command <COMMAND> --no-cluster [PATH]...

    For more information, try '--help'.
    [exit status: 2]
    ");
    untouched(&repository);
}

#[test]
fn a_new_key_that_is_there_comes_from_a_command_or_from_standard_input() {
    let env = TestEnv::new();
    let repository = encrypted(&env);
    let mut keygen = repository.git.command("age-keygen");
    assert!(keygen.args(["-o", "new.agekey"]).output().unwrap().status.success());
    assert_snapshot!(run(&repository, &["--new-age-key-command", "cat new.agekey", "--stage", "overlap"]), @"
    ------- stderr -------
        updated .sops.yaml
        renewed apps/db.yaml (new data key)
        renewed env/web.env (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    assert!(
        opens(&repository, "new.agekey", "apps/db.yaml") && opens(&repository, "age.agekey", "apps/db.yaml")
    );
    let words = ["rotate-key", "--no-cluster", "--new-age-key-file", "-", "--age-key-file", "age.agekey"];
    let mut command = repository.command(&words);
    let key = std::fs::File::open(repository.path("new.agekey")).unwrap();
    let shown = repository.finish(command.stdin(Stdio::from(key)));
    assert!(shown.contains("renewed apps/db.yaml"), "{shown}");
    assert!(!opens(&repository, "age.agekey", "apps/db.yaml"));
    for (command, wanted) in [
        ("false", "it ended with exit status: 1"),
        ("echo hunter2", "not an age key file"),
        ("sh -c 'cat age.agekey; echo; cat new.agekey'", "there are 2 identities, and one is to come"),
    ] {
        let shown = run(&repository, &["--new-age-key-command", command]);
        assert!(shown.contains(wanted) && !shown.contains("hunter2"), "{shown}");
    }
}

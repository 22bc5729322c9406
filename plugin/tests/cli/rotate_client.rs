//! `rotate-key --client` in a repository with a key per client: a new key for one of them, and nothing else changes.

use crate::repository::Repository;
use crate::rotate_key::{opens, public, sops};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

const A: &str = "clients/client-a/values_override.enc.yaml";
const A_TOO: &str = "clusters/client-a/values.enc.yaml";
const B: &str = "clients/client-b/values_override.enc.yaml";
const SHARED: &str = "shared/all.enc.yaml";
const VALUES: &str = "organization: customer\nnats:\n    jwt: CANARY-one-1f2e\n";

/// Two clients with a key each, `a.agekey` and `b.agekey`; the operator's key, `age.agekey`, reads all.
fn two_clients(env: &TestEnv) -> Repository<'_> {
    let repository = Repository::new(env);
    repository.git.write(".gitignore", "*.agekey\n");
    let (a, b) = (made(&repository, "a.agekey"), made(&repository, "b.agekey"));
    repository.rules(&format!(
        "creation_rules:\n  # who is first\n  - path_regex: /client-a/\n    age: {a},{operator}\n  \
         - path_regex: ^clients/client-b/.*enc\n    # who is second\n    age: {b},{operator}\n  \
         - path_regex: \\.enc\\.yaml$\n    age: {operator}\n",
        operator = repository.recipient()
    ));
    for path in [A, A_TOO, B, SHARED] {
        repository.git.write(path, VALUES);
    }
    repository.git.write("clients/client-b/helmrelease.yaml", "kind: HelmRelease\n");
    let said = repository.run(&["encrypt", A, A_TOO, B, SHARED]);
    assert!(!said.contains("error"), "{said}");
    repository.git.commit_all("encrypted");
    repository
}

fn made(repository: &Repository<'_>, key: &str) -> String {
    let mut keygen = repository.git.command("age-keygen");
    assert!(keygen.args(["-o", key]).output().unwrap().status.success());
    public(repository, key)
}

/// The output with public keys masked.
fn run(repository: &Repository<'_>, words: &[&str]) -> String {
    let mut shown = repository.run(&[&["rotate-key", "--no-cluster"], words].concat());
    for (key, mask) in [("a.agekey", "[A]"), ("b.agekey", "[B]"), ("new.agekey", "[NEW]")] {
        let public = public(repository, key);
        if !public.is_empty() {
            shown = shown.replace(&public, mask);
        }
    }
    shown
}

#[test]
fn a_client_gets_a_new_key_and_nothing_of_the_others_changes() {
    let env = TestEnv::new();
    let repository = two_clients(&env);
    let (a, rules) = (public(&repository, "a.agekey"), repository.read(".sops.yaml"));
    let before = [A, A_TOO].map(|path| sops(&repository, "a.agekey", path).stdout);
    assert!(before.iter().all(|clear| !clear.is_empty()));
    assert_snapshot!(run(&repository, &["--client", "client-a", "--store-key", "new.agekey"]), @"
    ------- stderr -------
         stored new.agekey ([NEW])
        updated .sops.yaml
        renewed clients/client-a/values_override.enc.yaml (new data key)
        renewed clusters/client-a/values.enc.yaml (new data key)
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    let new = public(&repository, "new.agekey");
    assert_eq!(repository.read(".sops.yaml"), rules.replace(&a, &new), "the first rule and nothing else");
    for (path, before) in [A, A_TOO].into_iter().zip(before) {
        assert_eq!(sops(&repository, "new.agekey", path).stdout, before, "{path}");
        assert!(opens(&repository, "age.agekey", path), "{path}: the operator reads it no more");
        assert!(!opens(&repository, "a.agekey", path), "{path}: the old key opens it");
        assert!(!opens(&repository, "b.agekey", path), "{path}: another client opens it");
    }
    // Of what Git knows, the rules and the files of the client alone are other bytes.
    let changed = repository.git.ok(["diff", "--name-only"]);
    assert_eq!(changed.split_whitespace().collect::<Vec<_>>(), [".sops.yaml", A, A_TOO]);
    assert!(opens(&repository, "b.agekey", B) && !opens(&repository, "new.agekey", B));
    let checked = repository.run(&["check", "--decrypt"]);
    assert!(checked.contains("4 as they should be, 0 not"), "{checked}");
}

#[test]
fn the_overlap_of_a_client_is_ended_by_its_name() {
    let env = TestEnv::new();
    let repository = two_clients(&env);
    let client = ["--client", "client-a"];
    run(&repository, &[&client[..], &["--store-key", "new.agekey", "--stage", "overlap"]].concat());
    for key in ["a.agekey", "new.agekey"] {
        assert!(opens(&repository, key, A) && opens(&repository, key, A_TOO), "{key}");
    }
    // Both are the client's now; the one that comes is not the one that goes.
    let shown = run(&repository, &[&client[..], &["--store-key", "other.agekey"]].concat());
    assert!(shown.contains("2 keys are for files of client-a alone"), "{shown}");
    assert!(
        ["[A]", "[NEW]"].iter().all(|key| shown.contains(&format!("hint: --old-recipient {key}"))),
        "{shown}"
    );
    assert!(!repository.path("other.agekey").exists());
    run(&repository, &[&client[..], &["--new-age-key-file", "new.agekey"]].concat());
    assert!(opens(&repository, "new.agekey", A) && !opens(&repository, "a.agekey", A));
    assert!(!repository.read(".sops.yaml").contains(&public(&repository, "a.agekey")));
}

#[test]
fn somebody_comes_for_one_client_alone() {
    let env = TestEnv::new();
    let repository = two_clients(&env);
    let mate = made(&repository, "new.agekey");
    assert_snapshot!(run(&repository, &["--client", "client-a", "--add-recipient", &mate]), @"
    ------- stderr -------
        updated .sops.yaml
        renewed clients/client-a/values_override.enc.yaml
        renewed clusters/client-a/values.enc.yaml
    ");
    assert!(opens(&repository, "new.agekey", A) && !opens(&repository, "new.agekey", B));
}

#[test]
fn what_is_not_the_clients_alone_is_refused_and_nothing_changes() {
    let env = TestEnv::new();
    let repository = two_clients(&env);
    let store = ["--store-key", "new.agekey"];
    let client = |name: &str| run(&repository, &[&["--client", name], &store[..]].concat());
    assert_snapshot!(client("client-c"), @"
    ------- stderr -------
    error: no encrypted file is in a folder with the name client-c

    hint: --client client-a
    hint: --client client-b
    [exit status: 2]
    ");
    // The folder has a file for the operator alone.
    assert_snapshot!(client("shared"), @"
    ------- stderr -------
    error: shared has no key of its own
      cause: [RECIPIENT] also reads files in clients/client-a, clients/client-b, clusters/client-a

    hint: --old-recipient [RECIPIENT]   # a new key for all of them
    [exit status: 2]
    ");
    let b = ["--client", "client-a", "--new-age-key-file", "b.agekey"];
    assert_snapshot!(run(&repository, &b), @"
    ------- stderr -------
    error: the new key is not for client-a alone
      cause: [B] also reads files in clients/client-b

    hint: --store-key FILE   # makes one
    [exit status: 2]
    ");
    assert_eq!(repository.git.ok(["status", "--porcelain"]), "", "something was changed");

    // The first client's key became the second one's too, by mistake: the rule says so already, the files not yet.
    let (a, b) = (public(&repository, "a.agekey"), public(&repository, "b.agekey"));
    let rules = repository.read(".sops.yaml").replace(&b, &format!("{a},{b}"));
    repository.rules(&rules);
    let files = [A, A_TOO, B].map(|path| repository.read(path));
    let shown = client("client-a");
    for line in [
        "error: client-a has no key of its own\n",
        "  cause: [A] also reads files in clients/client-b\n",
        "  cause: [RECIPIENT] also reads files in clients/client-b, shared\n",
        "hint: --old-recipient [A]   # a new key for all of them\n",
        "[exit status: 2]",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert_eq!([A, A_TOO, B].map(|path| repository.read(path)), files);
    assert_eq!(repository.read(".sops.yaml"), rules);
    assert!(!repository.path("new.agekey").exists(), "no key is left behind that nothing depends on");
}

#[test]
fn a_client_is_named_in_place_of_a_key_or_of_files() {
    let env = TestEnv::new();
    let repository = two_clients(&env);
    for other in
        [&["--old-recipient", "age1"][..], &["--only-data-keys"], &["--remove-recipient", "age1"], &[B]]
    {
        let shown = run(&repository, &[&["--client", "client-a"], other].concat());
        assert!(shown.contains("cannot be used with") && shown.contains("[exit status: 2]"), "{shown}");
    }
}

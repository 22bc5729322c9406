//! What was there before: old debts, baselines, exemptions, profiles.

use crate::common::{CANARY, World, hook, lines_with, plain_secret, rule};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

const KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nVEhJUyBJUyBOT1QgQSBLRVkgQlVUIEEgRklYVFVSRQ==\n-----END PRIVATE KEY-----\n";

/// A server that took a plaintext Secret before it had the hook.
fn indebted(env: &TestEnv) -> World<'_> {
    let world = World::new(env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    world.clone.commit_file("secret.yaml", plain_secret());
    let _ = world.push(["main"]).success();
    world.server.hook("pre-receive", hook());
    world
}

#[test]
fn an_old_value_is_a_warning_after_an_unrelated_edit() {
    let env = TestEnv::new();
    let world = indebted(&env);
    world.clone.commit_file("secret.yaml", format!("# of the database\n{}", plain_secret()));
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: warning: the push passes; worth a look:
    remote:
    remote: commit 779fee01bc on refs/heads/main
    remote:   secret.yaml
    remote:     warning: 7:13 stringData.password: a value of a Secret is plaintext,
    remote:       as it was before [KBY001]
    ");
    // On a new branch, too, also with more than one commit.
    world.clone.commit_file("secret.yaml", format!("# again\n{}", plain_secret()));
    world.clone.commit_file("secret.yaml", format!("# and again\n{}", plain_secret()));
    assert_eq!(world.push(["main:refs/heads/topic"]).code(), Some(0));
}

#[test]
fn a_new_value_an_old_one_elsewhere_and_one_that_was_mended_are_no_debts() {
    let env = TestEnv::new();
    let world = indebted(&env);
    let start = world.clone.ok(["rev-parse", "HEAD"]);
    let refused = |what: &str| {
        let refused = world.push(["--force", "main"]);
        assert_eq!(refused.code(), Some(1), "{what}: {refused}");
        let _ = world.clone.ok(["reset", "--hard", "--quiet", &start]);
    };
    world.clone.commit_file("secret.yaml", plain_secret().replace(CANARY, "another-one"));
    refused("another value");
    world.clone.commit_file("secret.yaml", format!("# x\n{}", plain_secret()));
    world.clone.commit_file("secret.yaml", plain_secret().replace(CANARY, "another-one"));
    refused("another value after an unrelated edit");
    world.clone.commit_file("secret.yaml", plain_secret() + "  second: value-of-mine\n");
    refused("a value more");
    world.clone.commit_file("other.yaml", plain_secret());
    refused("another path");
    world.clone.commit_file("secret.yaml", plain_secret().replace("password:", "pass:"));
    refused("another key");
    let copy = plain_secret().replace("name: db", "name: copy");
    world.clone.commit_file("secret.yaml", format!("{}---\n{copy}", plain_secret()));
    refused("the value once more, in another Secret");
    world.clone.commit_file("secret.yaml", "kind: ConfigMap\napiVersion: v1\n");
    let _ = world.push(["main"]).success();
    world.clone.commit_file("secret.yaml", format!("# x\n{}", plain_secret()));
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1), "what was taken out does not come back: {refused}");
}

#[test]
fn a_commit_with_an_old_value_passes_with_a_warning() {
    let env = TestEnv::new();
    let world = indebted(&env);
    world.clone.hook("pre-commit", hook());
    world.clone.write("secret.yaml", format!("# x\n{}", plain_secret()));
    let _ = world.clone.ok(["add", "--all"]);
    let passed = world.clone.git(["commit", "--quiet", "-m", "comment"]);
    assert_eq!(passed.code(), Some(0), "{passed}");
    assert!(passed.stderr().contains("as it was before"), "{passed}");
}

#[test]
fn a_governed_file_that_was_plain_may_change_elsewhere() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("vault/values.yaml", format!("password: {CANARY}\nport: 1\n"));
    let _ = world.push(["main"]).success();
    world.clone.commit_file(".sops.yaml", rule("^vault/", crate::common::ALICE));
    let _ = world.push(["main"]).success();
    world.clone.commit_file("vault/values.yaml", format!("# x\nport: 1\npassword: {CANARY}\n"));
    assert_eq!(world.push(["main"]).code(), Some(0));
    world.clone.commit_file("vault/values.yaml", format!("port: 1\npassword: {CANARY}\nmore: {CANARY}\n"));
    assert_eq!(world.push(["main"]).code(), Some(1));
}

#[test]
fn keys_of_tests_warn_in_a_repository_of_code_and_are_refused_beside_flux() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("tests/key.pem", KEY);
    let passed = world.push(["main"]);
    assert_eq!((passed.code(), lines_with(&passed, "[KBY013]").len()), (Some(0), 1), "{passed}");
    world.clone.commit_file("apps.yaml", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n");
    world.clone.commit_file("tests/other.pem", format!("{KEY}\n"));
    let refused = world.push(["main"]);
    assert_eq!((refused.code(), lines_with(&refused, "[KBY013]").len()), (Some(1), 1), "{refused}");
}

#[test]
fn profiles_are_for_repositories() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.configure("profiles:\n- {repositories: ['**/server'], profile: code}\n");
    world.clone.commit_file("fixtures/secret.yaml", plain_secret());
    let passed = world.push(["main"]);
    assert_eq!((passed.code(), lines_with(&passed, "[KBY001]").len()), (Some(0), 1), "{passed}");
    world.configure("profiles:\n- {repositories: ['**/server'], profile: strict}\n");
    world.clone.commit_file("tests/key.pem", KEY);
    assert_eq!(world.push(["main"]).code(), Some(1));
}

#[test]
fn exempt_paths_are_not_judged_for_a_time() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("docs/secret.yaml", plain_secret());
    world.configure("exemptions:\n- {paths: ['docs/**'], reason: examples, expires: 2001-01-01}\n");
    assert_eq!(world.push(["main"]).code(), Some(1));
    world.configure("exemptions:\n- {paths: ['docs/**'], reason: examples, expires: 9999-01-01}\n");
    assert_snapshot!(world.push(["main"]), @"");
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(world.push(["main"]).code(), Some(1));
}

#[test]
fn a_baseline_lists_old_findings_and_survives_edits_elsewhere() {
    let env = TestEnv::new();
    let clone = kubiya_testdata::git::GitRepo::init(&env, "clone");
    clone.write("secret.yaml", plain_secret());
    let two = format!("stringData:\n  first: {CANARY}\n  second: {CANARY}\nkind: Secret\n");
    clone.write("two.yaml", &two);
    let scan = || env.run(clone.command(hook()).args(["scan", "--baseline", "../baseline", "."]));
    assert_snapshot!(scan(), @"
    note[KBY001]: a value of a Secret is plaintext, as the baseline lists
      --> secret.yaml:6:13 (stringData.password)
       = help: Encrypt the file, and if it was ever pushed make a new value:
                 kubectl kubiya encrypt secret.yaml

    note[KBY001]: a value of a Secret is plaintext, as the baseline lists
      --> two.yaml:2:10 (stringData.first)

    note[KBY001]: a value of a Secret is plaintext, as the baseline lists
      --> two.yaml:3:11 (stringData.second)

    ------- stderr -------
    written: ../baseline
    2 files judged, nothing found
    ");
    let list = std::fs::read_to_string(env.root().join("baseline")).unwrap();
    assert!(!list.contains(CANARY));
    let shape: Vec<_> =
        list.lines().map(|line| line.split(' ').skip(1).collect::<Vec<_>>().join(" ")).collect();
    assert_snapshot!(shape.join("\n"), @"
    kubiya-hook baseline 1: keyed hash, path, keys
    secret.yaml stringData.password
    two.yaml stringData.first
    two.yaml stringData.second
    ");
    let hashes: std::collections::BTreeSet<_> =
        list.lines().skip(1).map(|line| line.split(' ').next()).collect();
    assert_eq!(hashes.len(), 3, "equal values cannot be told from it");
    clone.write("secret.yaml", format!("# moved down\n\n{}", plain_secret()));
    assert_eq!(scan().code(), Some(0));
    clone.write("two.yaml", two.replace("second", "third"));
    assert_snapshot!(scan(), @"
    note[KBY001]: a value of a Secret is plaintext, as the baseline lists
      --> secret.yaml:8:13 (stringData.password)
       = help: Encrypt the file, and if it was ever pushed make a new value:
                 kubectl kubiya encrypt secret.yaml

    note[KBY001]: a value of a Secret is plaintext, as the baseline lists
      --> two.yaml:2:10 (stringData.first)

    error[KBY001]: a value of a Secret is plaintext
      --> two.yaml:3:10 (stringData.third)

    ------- stderr -------
    2 files judged: 1 error
    [exit status: 1]
    ");
    // With another key, it lists nothing.
    let key = env.root().join("clone/.git/kubiya/baseline.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&key.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(key).unwrap();
    assert_eq!(scan().code(), Some(1));
}

#[test]
fn a_server_takes_its_baseline_from_its_own_file_or_the_trusted_reference() {
    let env = TestEnv::new();
    let world = indebted(&env);
    // Another value at the same key is no debt, and so needs the list.
    world.clone.commit_file("more/secret.yaml", plain_secret());
    let scan = |list: &str| {
        let mut scan = world.clone.command(hook());
        let _ = env.run(scan.args(["scan", "--baseline", list, "--baseline-key", "../key", "."])).success();
    };
    scan("../list");
    let (list, key) = (env.root().join("list"), env.root().join("key"));
    assert_eq!(world.push(["main"]).code(), Some(1));
    world.configure(&format!("baseline: {{file: {}, key: {}}}\n", list.display(), key.display()));
    assert_snapshot!(world.push(["main:refs/heads/topic"]), @"");
    let _ = world.push([":topic"]).success();
    // The list of what is pushed says nothing, only that of what was there.
    world.configure(&format!("baseline: {{trusted: baseline, key: {}}}\n", key.display()));
    scan("baseline");
    world.clone.commit_all("list");
    assert_eq!(world.push(["main"]).code(), Some(1));
    let _ = world.clone.ok(["checkout", "--quiet", "origin/main"]);
    world.clone.write("baseline", std::fs::read(&list).unwrap());
    world.clone.commit_all("list");
    let _ = world.push(["HEAD:refs/heads/main"]).success();
    assert_eq!(world.push(["main:refs/heads/other"]).code(), Some(0));
}

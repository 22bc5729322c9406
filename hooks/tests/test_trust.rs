//! Whose word counts: rules of before, and changes of rules.

use crate::common::{ALICE, CANARY, MALLORY, World, governed, lines_with, rule};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

fn values() -> String {
    format!("database:\n  password: {CANARY}\n")
}

#[test]
fn rules_that_are_weakened_with_a_plain_file_do_not_help_it() {
    let weaker = [
        ("gone", String::new()),
        ("other paths", rule("^other/", ALICE)),
        ("nothing encrypted", format!("{}    encrypted_regex: ^nothing$\n", rule("^vault/", ALICE))),
        (
            "a rule before it",
            format!("creation_rules:\n  - age: {ALICE}\n  - path_regex: ^vault/\n    age: {ALICE}\n"),
        ),
        ("no rules", "creation_rules: []\n".to_owned()),
    ];
    for (what, rules) in weaker {
        let env = TestEnv::new();
        let world = governed(&env);
        if rules.is_empty() {
            let _ = world.clone.ok(["rm", "--quiet", ".sops.yaml"]);
        } else {
            world.clone.write(".sops.yaml", rules);
        }
        world.clone.commit_file("vault/app.yaml", values());
        let refused = world.push(["main"]);
        assert_eq!(refused.code(), Some(1), "{what}: {refused}");
        assert_eq!(lines_with(&refused, "  vault/app.yaml").len(), 1, "{what}: {refused}");
        assert!(!refused.stderr().contains(CANARY));
    }
}

#[test]
fn nested_rules_that_shadow_others_do_not_help_a_plain_file() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.clone.write("vault/.sops.yaml", rule("^nothing$", ALICE));
    world.clone.commit_file("vault/app.yaml", values());
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: commit 345a6de3d6 on refs/heads/main
    remote:   vault/app.yaml
    remote:     2:13 database.password: creation rule 1 of .sops.yaml is for this
    remote:       file, and it is not encrypted (by the rules before this change)
    remote:       [KBY003]
    remote:   vault/.sops.yaml
    remote:     warning: new rules for this folder, before those above it [KBY025]
    remote:     warning: no rule is left for vault/app.yaml [KBY025]
    remote:
    remote: hint: Encrypt it:
    remote: hint:   kubectl kubiya encrypt vault/app.yaml
    remote: hint: If it holds no secret, move it out of the rule's path or give it
    remote: hint: another name.
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY003
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn neither_a_new_branch_nor_a_second_push_launders_weaker_rules() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.clone.commit_file(".sops.yaml", rule("^other/", ALICE));
    assert_eq!(world.push(["main:refs/heads/topic"]).code(), Some(0));
    world.clone.commit_file("vault/app.yaml", values());
    for target in ["main:refs/heads/topic", "main:refs/heads/new", "main:refs/tags/v1", "main"] {
        let refused = world.push([target]);
        assert_eq!(lines_with(&refused, "by the rules before").len(), 1, "{target}: {refused}");
    }
}

/// A file of nothing but the words that a file encrypted by SOPS has.
fn sealed() -> &'static str {
    "a: ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\nsops:\n  age:\n  - enc: eA==\n"
}

#[test]
fn an_encrypted_file_that_is_there_keeps_a_rule() {
    let env = TestEnv::new();
    let world = governed(&env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    world.clone.commit_file("vault/app.yaml", sealed());
    let _ = world.push(["main"]).success();
    world.server.hook("pre-receive", crate::common::hook());
    world.clone.commit_file(".sops.yaml", rule("^nothing$", ALICE));
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert_eq!(lines_with(&refused, "no rule is left for vault/app.yaml [KBY026]").len(), 1, "{refused}");
    // What moved away leaves nothing behind that a next push could bring in plain.
    let _ = world.clone.ok(["rm", "--quiet", "vault/app.yaml"]);
    world.clone.commit_all("gone");
    let passed = world.push(["main"]);
    assert_eq!(lines_with(&passed, "warning: `^nothing$`").len(), 1, "{passed}");
    assert_eq!(passed.code(), Some(0), "{passed}");
}

#[test]
fn recipients_rotate_on_a_branch_whose_rules_are_not_the_trusted_ones() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.clone.commit_file("vault/empty.yaml", "a: ''\n");
    let _ = world.push(["main"]).success();
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "prod"]);
    world.clone.commit_file(".sops.yaml", rule("^vault/", &format!("{ALICE},{MALLORY}")));
    let _ = world.push(["prod"]).success();
    world.clone.commit_file(".sops.yaml", rule("^vault/", MALLORY));
    let passed = world.push(["prod"]);
    assert_eq!(passed.code(), Some(0), "{passed}");
    assert_eq!(lines_with(&passed, "gone [KBY025]").len(), 1, "{passed}");
}

#[test]
fn a_trusted_reference_can_be_named() {
    let env = TestEnv::new();
    let world = governed(&env);
    let _ = world.server.ok(["update-ref", "refs/policy/rules", "main"]);
    world.configure("trustedRef: refs/policy/rules\n");
    world.clone.commit_file(".sops.yaml", rule("^other/", ALICE));
    let _ = world.push(["main"]).success();
    world.clone.commit_file("vault/app.yaml", values());
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "by the rules before").len(), 1, "{refused}");
}

#[test]
fn changes_of_rules_pass_with_a_warning_and_a_takeover_does_not() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.clone.commit_file(".sops.yaml", rule("^vault/", &format!("{ALICE},{MALLORY}")));
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: warning: the push passes; worth a look:
    remote:
    remote: commit d77f2949c9 on refs/heads/main
    remote:   .sops.yaml
    remote:     warning: `^vault/`: new recipient
    remote:       age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    remote:       [KBY025]
    ");
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    let _ = world.push(["--force", "main"]);
    world.clone.commit_file(".sops.yaml", rule("^vault/", MALLORY));
    assert_snapshot!(world.push(["--force", "main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: commit d33752b2cd on refs/heads/main
    remote:   .sops.yaml
    remote:     `^vault/`: no recipient stays [KBY026]
    remote:     warning: `^vault/`: new recipient
    remote:       age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    remote:       [KBY025]
    remote:     warning: `^vault/`: recipient
    remote:       age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77 is
    remote:       gone [KBY025]
    remote:
    remote: hint: Keep one of the recipients, encrypt the files for both, and take
    remote: hint: the old one out afterwards:
    remote: hint:   kubectl kubiya encrypt .
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY026
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn a_takeover_by_a_rule_that_comes_first_or_by_nested_rules_is_refused() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.clone.commit_file("vault/empty.yaml", "a: ''\n");
    let _ = world.push(["main"]).success();
    let first = format!("creation_rules:\n  - age: {MALLORY}\n  - path_regex: ^vault/\n    age: {ALICE}\n");
    world.clone.commit_file(".sops.yaml", first);
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "no recipient stays for vault/empty.yaml").len(), 1, "{refused}");
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    world.clone.commit_file("vault/.sops.yaml", rule(".*", MALLORY));
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "no recipient stays for vault/empty.yaml").len(), 1, "{refused}");
}

#[test]
fn rules_that_are_gone_or_renamed_leave_nobody() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.clone.commit_file("vault/empty.yaml", "a: ''\n");
    let _ = world.push(["main"]).success();
    let _ = world.clone.ok(["mv", ".sops.yaml", ".sops.yml"]);
    world.clone.commit_all("renamed");
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: commit 2989aaeac2 on refs/heads/main
    remote:   .sops.yaml
    remote:     no rule is left for vault/empty.yaml [KBY026]
    remote:   .sops.yml
    remote:     warning: 1:1 sops reads `.sops.yaml` only, not this name [KBY017]
    remote:   .sops.yaml
    remote:     warning: the rules are gone [KBY025]
    remote:
    remote: hint: Keep one of the recipients, encrypt the files for both, and take
    remote: hint: the old one out afterwards:
    remote: hint:   kubectl kubiya encrypt .
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY026
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn a_commit_that_weakens_rules_is_judged_by_those_of_before() {
    let env = TestEnv::new();
    let clone = kubiya_testdata::git::GitRepo::init(&env, "clone");
    clone.commit_file(".sops.yaml", rule("^vault/", ALICE));
    clone.hook("pre-commit", crate::common::hook());
    clone.write(".sops.yaml", rule("^other/", ALICE));
    clone.write("vault/app.yaml", values());
    let _ = clone.ok(["add", "--all"]);
    let refused = clone.git(["commit", "--quiet", "-m", "weaker"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert!(refused.stderr().contains("by the rules before this change"), "{refused}");
}

#[test]
fn rules_that_cannot_be_used_stop_what_they_could_be_about_and_nothing_else() {
    let env = TestEnv::new();
    let world = World::new(&env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    world.clone.commit_file(".sops.yaml", "creation_rules: 5\n");
    let _ = world.push(["main"]).success();
    world.server.hook("pre-receive", crate::common::hook());
    world.clone.write("app.yaml", "apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n");
    world.clone.commit_file("deploy.yaml", "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 2}\n");
    let _ = world.push(["main"]).success();
    world.clone.commit_file("values.yaml", values());
    assert_eq!(world.push(["main"]).code(), Some(1));
}

#[test]
fn the_old_tip_of_each_ref_has_its_word_in_whatever_order_they_come() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let start = world.clone.ok(["rev-parse", "HEAD"]);
    world.clone.commit_file(".sops.yaml", rule("^vault/", ALICE));
    let _ = world.push(["main:refs/heads/release"]).success();
    world.clone.commit_file(".sops.yaml", rule("^other/", ALICE));
    world.clone.commit_file("vault/app.yaml", values());
    let refused = world.push(["main:refs/heads/a", "main:refs/heads/release"]);
    assert_eq!(lines_with(&refused, "by the rules before").len(), 1, "{refused}");
    // HEAD of the server has no rules: there, the weaker ones are the first.
    assert_eq!(world.on_server("HEAD"), start);
    assert_eq!(world.push(["main:refs/heads/a"]).code(), Some(0));
}

#[test]
fn a_head_that_names_no_branch_leaves_main_its_word() {
    let env = TestEnv::new();
    let world = governed(&env);
    let _ = world.server.ok(["symbolic-ref", "HEAD", "refs/heads/unused"]);
    world.clone.write(".sops.yaml", rule("^other/", ALICE));
    world.clone.commit_file("vault/app.yaml", values());
    let refused = world.push(["main:refs/heads/new"]);
    assert_eq!(lines_with(&refused, "by the rules before").len(), 1, "{refused}");
}

#[test]
fn what_cannot_be_verified_has_an_exit_code_of_its_own() {
    let env = TestEnv::new();
    let clone = kubiya_testdata::git::GitRepo::init(&env, "clone");
    clone.write(".sops.yaml", rule("^vault/", ALICE));
    clone.write("vault/app.yaml", "a: [1\n");
    let scan = || env.run(clone.command(crate::common::hook()).args(["scan", "."])).code();
    assert_eq!(scan(), Some(3));
    clone.write("vault/other.yaml", values());
    assert_eq!(scan(), Some(1));
}

#[test]
fn a_private_key_in_the_place_of_a_recipient_is_not_shown() {
    let env = TestEnv::new();
    let world = governed(&env);
    let key = "AGE-SECRET-KEY-1QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE6";
    world.clone.commit_file(".sops.yaml", rule("^vault/", &format!("{ALICE},{key}")));
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert!(!refused.stderr().contains(&key[20..40]), "{refused}");
}

#[test]
fn a_trusted_reference_that_is_not_there_is_a_wrong_configuration() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.configure("trustedRef: refs/heads/mian\n");
    world.clone.commit_file("a.txt", "a\n");
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert_eq!(lines_with(&refused, "refs/heads/mian").len(), 1, "{refused}");
    // A longer name that ends like it does not take its place.
    let _ = world.server.ok(["update-ref", "refs/heads/refs/heads/mian", "main"]);
    assert_eq!(world.push(["main"]).code(), Some(1));
    world.configure("trustedRef: mian\n");
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "`trustedRef` must be").len(), 1, "{refused}");
    // Whoever makes it begins.
    let _ = world.server.ok(["update-ref", "-d", "refs/heads/refs/heads/mian"]);
    world.configure("trustedRef: refs/heads/mian\n");
    let made = world.push(["main:refs/heads/mian"]);
    assert_eq!(made.code(), Some(0), "{made}");
    assert_eq!(world.push(["main"]).code(), Some(0));
}

#[test]
fn all_branches_have_their_word_where_head_names_none() {
    let env = TestEnv::new();
    let world = governed(&env);
    let _ = world.server.ok(["branch", "-m", "main", "trunk"]);
    let _ = world.server.ok(["symbolic-ref", "HEAD", "refs/heads/unused"]);
    world.clone.write(".sops.yaml", rule("^other/", ALICE));
    world.clone.commit_file("vault/app.yaml", values());
    let refused = world.push(["main:refs/heads/new"]);
    assert_eq!(lines_with(&refused, "by the rules before").len(), 1, "{refused}");
}

#[test]
fn what_has_nothing_to_do_with_the_rules_does_not_take_them_away() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.clone.commit_file(
        ".sops.yaml",
        format!("creation_rules:\n  - age: {ALICE}\n    encrypted_regex: ^data$\n"),
    );
    let _ = world.push(["main"]).success();
    world.configure("policyChanges: owners\npolicyOwners: [alice]\n");
    let _ = world.clone.ok(["notes", "add", "-m", "reviewed"]);
    let passed = world.push_as("bob", ["refs/notes/commits"]);
    assert_eq!(passed.code(), Some(0), "{passed}");
    let _ = world.clone.ok(["checkout", "--quiet", "--orphan", "pages"]);
    let _ = world.clone.ok(["rm", "-rfq", "."]);
    world.clone.commit_file("index.yaml", "apiVersion: v1\n");
    let passed = world.push_as("bob", ["pages"]);
    assert_eq!((passed.code(), lines_with(&passed, "KBY")), (Some(0), vec![]), "{passed}");
    // What lacks them takes them away where they are.
    let refused = world.push_as("bob", ["--force", "pages:main"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
}

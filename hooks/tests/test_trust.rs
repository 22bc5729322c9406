//! Whose word counts: rules of before, changes of rules, what only some may change.

use crate::common::{ALICE, CANARY, MALLORY, World, lines_with, rule};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

fn values() -> String {
    format!("database:\n  password: {CANARY}\n")
}

/// A server whose main branch wants what is under `vault/` encrypted.
fn governed(env: &TestEnv) -> World<'_> {
    let world = World::new(env);
    world.clone.write("apps/web.yaml", "kind: ConfigMap\napiVersion: v1\n");
    world.clone.commit_file(".sops.yaml", rule("^vault/", ALICE));
    let _ = world.push(["main"]).success();
    world
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
fn only_owners_change_rules_where_they_are_named() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.configure("policyChanges: owners\npolicyOwners: [alice]\ncontact: the platform team\n");
    world.clone.commit_file(".sops.yaml", rule("^(vault|more)/", ALICE));
    assert_snapshot!(world.push_as("bob", ["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: commit 157199d52c on refs/heads/main
    remote:   .sops.yaml
    remote:     `^(vault|more)/`: the rule was for `^vault/` [KBY025]
    remote:
    remote: hint: Let somebody who owns the rules look at the change, and push it by
    remote: hint: itself.
    remote: hint: more about it: kubiya-hook explain KBY025
    remote: hint: questions: the platform team
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
    let nobody = world.push(["main"]);
    assert_eq!(nobody.code(), Some(1), "{nobody}");
    assert_eq!(world.push_as("alice", ["main"]).code(), Some(0));
    // What was accepted on the trusted branch is no change elsewhere.
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "topic", "HEAD~1"]);
    world.clone.commit_file("a.txt", "a\n");
    assert_eq!(world.push_as("bob", ["topic"]).code(), Some(0));
    let _ = world.clone.ok(["merge", "--quiet", "--no-edit", "main"]);
    assert_eq!(world.push_as("bob", ["topic"]).code(), Some(0));
}

#[test]
fn nobody_changes_rules_where_that_is_refused() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.configure("policyChanges: refuse\npolicyOwners: [alice]\n");
    world.clone.commit_file(".sops.yaml", format!("# about\n{}", rule("^vault/", ALICE)));
    let _ = world.push_as("bob", ["main"]).success();
    world.clone.commit_file(".sops.yaml", rule("^vault/", &format!("{ALICE},{MALLORY}")));
    assert_eq!(world.push_as("alice", ["main"]).code(), Some(1));
}

#[test]
fn who_signs_a_change_of_rules_is_known_by_the_operators_list() {
    let env = TestEnv::new();
    let world = governed(&env);
    for name in ["alice", "bob"] {
        let mut keygen = env.command("ssh-keygen");
        let _ = env.run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", name])).success();
    }
    let key = std::fs::read_to_string(env.root().join("alice.pub")).unwrap();
    std::fs::write(env.root().join("signers"), format!("alice@example.com {key}")).unwrap();
    let list = env.root().join("signers");
    let file = env.root().join("hook.yaml");
    let text = format!(
        "apiVersion: kubiya.dev/v1alpha1\nkind: HookConfig\nidentity: {{allowedSigners: {}}}\n\
         policyChanges: owners\npolicyOwners: [alice@example.com]\n",
        list.display()
    );
    std::fs::write(&file, text).unwrap();
    let _ = world.server.ok(["config", "kubiya.config", file.to_str().unwrap()]);
    let sign_rules = |who: &str, pattern: &str| {
        world.clone.write(".sops.yaml", rule(pattern, ALICE));
        let _ = world.clone.ok(["add", "--all"]);
        let key = format!("user.signingKey={}", env.root().join(format!("{who}.pub")).display());
        let commit = ["commit", "--quiet", "-S", "-m", "rules"];
        let _ = world.clone.ok(["-c", "gpg.format=ssh", "-c", &key].into_iter().chain(commit));
    };
    let sign = |who: &str| sign_rules(who, "^(vault|more)/");
    let sign_other = |who: &str| sign_rules(who, "^(vault|most)/");
    sign("bob");
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "[KBY025]").len(), 1, "{refused}");
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    let before = world.clone.ok(["rev-parse", "HEAD"]);
    sign("alice");
    let _ = world.push(["main"]).success();
    // A merge that takes the rules of before is nobody's word, whoever signed them long ago.
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "old", &before]);
    world.clone.commit_file("a.txt", "a\n");
    let _ = world.clone.ok(["checkout", "--quiet", "main"]);
    sign_other("alice");
    let _ = world.clone.ok(["merge", "--quiet", "--no-commit", "--strategy=ours", "old"]);
    let _ = world.clone.ok(["checkout", "--quiet", "old", "--", ".sops.yaml"]);
    world.clone.commit_all("merge");
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "[KBY025]").len(), 1, "{refused}");
}

#[test]
fn protected_fields_are_changed_by_those_who_may() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.configure(
        "protected:\n- kinds: [Kustomization]\n  fields: [spec.kubeConfig, spec.sourceRef]\n  owners: [alice]\n  reason: it decides where Flux deploys\n\
         - kinds: [Secret]\n  names: ['*-kubeconfig']\n  owners: [alice]\n- paths: [flux-system/**]\n  owners: [alice]\n",
    );
    let flux = |secret: &str, path: &str| {
        format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: apps}}\nspec:\n  path: {path}\n  kubeConfig: {{secretRef: {{name: {secret}}}}}\n"
        )
    };
    world.clone.commit_file("apps.yaml", flux("one", "./a"));
    assert_eq!(world.push_as("bob", ["main"]).code(), Some(1), "to make one is a change, too");
    let _ = world.push_as("alice", ["main"]).success();
    world.clone.commit_file("apps.yaml", flux("one", "./b"));
    let _ = world.push_as("bob", ["main"]).success();
    world.clone.commit_file("apps.yaml", flux("two", "./b"));
    assert_snapshot!(world.push_as("bob", ["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: commit f6aebaac91 on refs/heads/main
    remote:   apps.yaml
    remote:     only some people may change `spec.kubeConfig` of Kustomization apps:
    remote:       it decides where Flux deploys [KBY027]
    remote:
    remote: hint: Ask one of its owners to make the change.
    remote: hint: more about it: kubiya-hook explain KBY027
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    world
        .clone
        .commit_file("k.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: w1-kubeconfig}\ndata: {}\n");
    assert_eq!(world.push_as("bob", ["main"]).code(), Some(1));
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    world.clone.commit_file("flux-system/a.txt", "a\n");
    assert_eq!(world.push_as("bob", ["main"]).code(), Some(1));
    let _ = world.push_as("alice", ["main"]).success();
    let _ = world.clone.ok(["rm", "--quiet", "flux-system/a.txt"]);
    world.clone.commit_all("gone");
    assert_eq!(world.push_as("bob", ["main"]).code(), Some(1), "to delete is a change, too");
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

#[test]
fn a_change_that_another_ref_has_was_accepted_there_and_the_past_was_not() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.configure(
        "policyChanges: owners\npolicyOwners: [alice]\nprotected: [{paths: [flux/**], owners: [alice]}]\n",
    );
    world.clone.commit_file("flux/a.yaml", "v: 1\n");
    let _ = world.push_as("alice", ["main", "main:past"]).success();
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "feature"]);
    world.clone.commit_file("f.txt", "f\n");
    let _ = world.push_as("bob", ["feature"]).success();
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "develop", "main"]);
    world.clone.write("flux/a.yaml", "v: 2\n");
    world.clone.commit_file(".sops.yaml", rule("^(vault|more)/", ALICE));
    let _ = world.push_as("alice", ["develop", "develop:prod"]).success();
    let _ = world.clone.ok(["checkout", "--quiet", "feature"]);
    let _ = world.clone.ok(["merge", "--quiet", "--no-edit", "develop"]);
    let passed = world.push_as("bob", ["feature"]);
    assert_eq!(passed.code(), Some(0), "{passed}");
    // On the trusted reference the owners have the word.
    assert_eq!(world.push_as("bob", ["feature:main"]).code(), Some(1));
    let _ = world.push_as("alice", ["feature:main"]).success();
    // That a branch is still at what was changed since, does not bring it back.
    assert_eq!(world.push_as("bob", ["--force", "main:prod"]).code(), Some(1));
}

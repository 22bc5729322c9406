//! What only some may change: rules, and protected objects.

use crate::common::{ALICE, MALLORY, governed, lines_with, rule};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

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

#[test]
fn to_move_rename_or_delete_what_is_protected_is_a_change_of_it() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.configure(
        "protected:\n- kinds: [Kustomization]\n  owners: [alice]\n- kinds: [Secret]\n  names: ['*-kubeconfig']\n  owners: [alice]\n",
    );
    let object = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec: {path: ./a}\n";
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: w1-kubeconfig}\ndata: {}\n";
    world.clone.write("apps.yaml", object);
    world.clone.commit_file("k.yaml", secret);
    let _ = world.push_as("alice", ["main"]).success();
    let changes: [(&str, &[&str]); 5] = [
        ("renamed", &["mv", "apps.yaml", "others.yaml"]),
        ("moved to where nothing is applied", &["mv", "k.yaml", "k.txt"]),
        ("deleted", &["rm", "--quiet", "apps.yaml"]),
        ("deleted, the Secret", &["rm", "--quiet", "k.yaml"]),
        ("exchanged", &["mv", "--force", "k.yaml", "apps.yaml"]),
    ];
    for (what, command) in changes {
        let _ = world.clone.ok(command);
        world.clone.commit_all(what);
        let refused = world.push_as("bob", ["main"]);
        assert!(!lines_with(&refused, "[KBY027]").is_empty(), "{what}: {refused}");
        let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    }
    world.clone.commit_file("docs.yaml", "a: b\n");
    assert_eq!(world.push_as("bob", ["main"]).code(), Some(0));
}

#[test]
fn a_branch_that_is_made_again_at_what_no_ref_reaches_is_judged_as_new() {
    let env = TestEnv::new();
    let world = governed(&env);
    world.configure("protected: [{paths: [flux/**], owners: [alice]}]\n");
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "topic"]);
    world.clone.commit_file("flux/a.yaml", "v: 1\n");
    let old = world.clone.ok(["rev-parse", "HEAD"]);
    let _ = world.push_as("alice", ["topic"]).success();
    let _ = world.push_as("bob", [":topic"]).success();
    let refused = world.push_as("bob", [&format!("{}:refs/heads/topic", old.trim())]);
    assert_eq!(lines_with(&refused, "[KBY027]").len(), 1, "{refused}");
    // Somebody else's unreachable Secret, too.
    let hook = world.server.path().join("hooks/pre-receive");
    let aside = world.server.path().join("aside");
    std::fs::rename(&hook, &aside).unwrap();
    world.clone.commit_file("s.yaml", crate::common::plain_secret());
    let bad = world.clone.ok(["rev-parse", "HEAD"]);
    let _ = world.push(["topic:bad"]).success();
    std::fs::rename(&aside, &hook).unwrap();
    let _ = world.push_as("bob", [":bad"]).success();
    let refused = world.push_as("alice", [&format!("{}:refs/heads/bad", bad.trim())]);
    assert_eq!(lines_with(&refused, "[KBY001]").len(), 1, "{refused}");
}

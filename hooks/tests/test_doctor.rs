//! `doctor`: it says "protected" only where a false secret is refused, and leaves nothing behind.

use crate::common::{World, hook, lines_with};
use insta::assert_snapshot;
use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;
use std::os::unix::fs::PermissionsExt as _;

fn program<const N: usize>(env: &TestEnv, arguments: [&str; N]) -> Transcript {
    env.run(env.command(hook()).args(arguments))
}

fn unguarded(env: &TestEnv) -> World<'_> {
    let world = World::new(env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    world
}

fn said(transcript: &Transcript, word: &str) -> usize {
    String::from_utf8_lossy(transcript.stdout()).lines().filter(|line| line.contains(word)).count()
}

#[test]
fn a_server_is_proven_by_a_push_and_keeps_nothing_of_it() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    let objects = || world.server.ok(["count-objects", "--verbose"]);
    let refs = world.server.ok(["for-each-ref"]);
    let bad = program(&env, ["doctor", "server.git"]);
    assert_eq!(bad.code(), Some(1), "{bad}");
    assert_eq!(said(&bad, "a false secret was accepted, and taken away again"), 1, "{bad}");
    assert_eq!(world.server.ok(["for-each-ref"]), refs);
    let _ = program(&env, ["install", "server.git"]).success();
    let before = objects();
    let good = program(&env, ["doctor", "server.git"]);
    assert_eq!(good.code(), Some(0), "{good}");
    assert_eq!(said(&good, "a push: a false secret was refused, by this hook"), 1, "{good}");
    assert_eq!(said(&good, "receive.fsckObjects: malformed objects are taken"), 1, "{good}");
    assert_eq!(said(&good, "kubiya-hook.yaml; changes of rules pass with a warning"), 1, "{good}");
    assert_eq!(objects(), before, "what was refused is gone");
    assert_eq!(world.server.ok(["for-each-ref"]), refs);
}

#[test]
fn a_configuration_that_cannot_be_used_is_said() {
    let env = TestEnv::new();
    let _ = GitRepo::init_bare(&env, "server.git");
    let _ = program(&env, ["install", "server.git"]).success();
    std::fs::write(env.root().join("server.git/kubiya-hook.yaml"), "kind: Nothing\n").unwrap();
    let bad = program(&env, ["doctor", "server.git"]);
    assert_eq!(bad.code(), Some(1), "{bad}");
    assert_eq!(said(&bad, "bad  configuration:"), 1, "{bad}");
    assert_eq!(said(&bad, "a push: it was refused, but not by this hook"), 1, "{bad}");
}

#[test]
fn the_way_that_users_push_is_proven_from_a_clone() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let objects = world.clone.ok(["count-objects", "--verbose"]);
    let ask = |arguments: &[&str]| env.run(world.clone.command(hook()).arg("doctor").args(arguments));
    assert_snapshot!(ask(&["--remote"]), @"    good  a push: a false secret was refused, by this hook");
    let url = format!("file://{}", world.server.path().display());
    assert_eq!(ask(&["--remote", &url]).code(), Some(0));
    assert_eq!(world.clone.ok(["count-objects", "--verbose"]), objects);
    // Another hook that refuses proves nothing.
    let theirs = world.server.path().join("hooks/pre-receive");
    std::fs::remove_file(&theirs).unwrap();
    std::fs::write(&theirs, "#!/bin/sh\necho never >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&theirs, std::fs::Permissions::from_mode(0o755)).unwrap();
    let unclear = ask(&["--remote", "origin"]);
    assert_eq!(unclear.code(), Some(3), "{unclear}");
    assert_eq!(said(&unclear, "refused, but not by this hook"), 1, "{unclear}");
    // A ref that cannot be taken away again is named.
    std::fs::remove_file(&theirs).unwrap();
    let _ = world.server.ok(["config", "receive.denyDeletes", "true"]);
    let left = ask(&["--remote", "--ref", "refs/heads/doctor"]);
    assert_eq!(said(&left, "is still there: refs/heads/doctor"), 1, "{left}");
    assert_eq!(left.code(), Some(1));
    assert_eq!(ask(&["--remote", "nowhere"]).code(), Some(3));
}

#[test]
fn a_clone_is_proven_by_a_commit_beside_it() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let repo = &world.clone;
    repo.write("work-in-progress.txt", "not yet\n");
    let _ = repo.ok(["add", "--intent-to-add", "work-in-progress.txt"]);
    let state = || {
        (
            repo.ok(["status", "--short"]),
            repo.ok(["log", "--all", "--oneline"]),
            repo.ok(["count-objects", "-v"]),
        )
    };
    let before = state();
    let bad = program(&env, ["doctor", "clone"]);
    assert_eq!(bad.code(), Some(1), "{bad}");
    assert_eq!(said(&bad, "a commit: a false secret was accepted"), 1, "{bad}");
    assert_eq!(said(&bad, "pre-push: $ROOT"), 0);
    let _ = program(&env, ["install", "clone"]).success();
    let good = program(&env, ["doctor", "clone"]);
    assert_eq!(good.code(), Some(0), "{good}");
    assert_eq!(said(&good, "a commit: a false secret was refused, by this hook"), 1, "{good}");
    assert_eq!(state(), before, "nothing is left of it");
    assert_eq!(repo.ok(["worktree", "list"]).lines().count(), 1);
    // A hook that is not executable is passed over by Git without a word.
    let installed = repo.path().join(".git/hooks/pre-commit");
    std::fs::set_permissions(&installed, std::fs::Permissions::from_mode(0o644)).unwrap();
    let bad = program(&env, ["doctor", "clone"]);
    assert_eq!(said(&bad, "is not executable, so Git passes it over"), 1, "{bad}");
    assert_eq!(bad.code(), Some(1));
    // A path that leads elsewhere.
    std::fs::set_permissions(&installed, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _ = repo.ok(["config", "core.hooksPath", "/dev/null"]);
    let bad = program(&env, ["doctor", "clone"]);
    assert_eq!(said(&bad, "hooks are looked for in /dev/null"), 1, "{bad}");
    assert_eq!(bad.code(), Some(1), "{bad}");
}

#[test]
fn a_branch_without_commits_is_proven_too() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    let _ = program(&env, ["install", "repo"]).success();
    let good = program(&env, ["doctor", "repo"]);
    assert_eq!(good.code(), Some(0), "{good}");
    assert_eq!(repo.ok(["status", "--short"]), "");
}

#[test]
fn repositories_that_are_not_protected_are_listed() {
    let env = TestEnv::new();
    for name in ["srv/a.git", "srv/deep/b.git", "srv/c.git"] {
        let _ = GitRepo::init_bare(&env, name);
    }
    let _ = program(&env, ["install", "srv/a.git"]).success();
    let _ = program(&env, ["install", "srv/deep/b.git"]).success();
    let listed = program(&env, ["doctor", "--all", "srv", "--prove", "-o", "json"]);
    assert_eq!(listed.code(), Some(1), "{listed}");
    assert_eq!(lines_with(&listed, "3 repositories, 1 not protected").len(), 1, "{listed}");
    let report: serde_json::Value = serde_json::from_slice(listed.stdout()).unwrap();
    let open: Vec<_> = report["repositories"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|repository| repository["protected"] == false)
        .map(|repository| repository["path"].as_str().unwrap())
        .collect();
    assert_eq!(open, ["srv/c.git"]);
    assert_eq!(report["unprotected"], 1);
    let _ = program(&env, ["install", "--all", "srv"]).success();
    assert_eq!(program(&env, ["doctor", "--all", "srv", "--prove"]).code(), Some(0));
    assert_eq!(program(&env, ["doctor", "--all", "srv"]).code(), Some(0), "by what can be seen, too");
}

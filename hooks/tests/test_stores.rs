//! Repositories of other makes: those that libgit2 does not know are read through the `git` command.

use crate::common::{World, hook, lines_with, plain_secret};
use insta::assert_snapshot;
use kubiya_hook::git::remote::{Access, BranchTip, branch_tip, fetch_branch};
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;
use std::time::Duration;

#[test]
fn sha256_repositories_are_judged_too() {
    let env = TestEnv::new();
    let make = |bare: bool, name: &str| {
        let mut command = env.command("git");
        command.args(["init", "--quiet", "--object-format=sha256"]);
        if bare {
            command.arg("--bare");
        }
        let _ = env.run(command.arg(name)).success();
    };
    make(true, "server.git");
    make(false, "clone");
    let server = env.root().join("server.git");
    std::os::unix::fs::symlink(hook(), server.join("hooks/pre-receive")).unwrap();
    let clone = GitRepo::at(&env, "clone");
    clone.commit_file("good.txt", "good\n");
    let server = server.to_str().unwrap();
    assert_snapshot!(clone.git(["push", "--quiet", server, "main"]), @"");
    // On top of what is there, by a branch and by a tag.
    clone.commit_file("secret.yaml", plain_secret());
    let refused = clone.git(["push", "--quiet", server, "main"]);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
    let blob = clone.ok(["hash-object", "-w", "secret.yaml"]);
    let _ = clone.ok(["tag", "blob", &blob]);
    assert_eq!(clone.git(["push", "--quiet", server, "blob"]).code(), Some(1));
    // And before a commit.
    clone.hook("pre-commit", hook());
    clone.write("more.yaml", plain_secret());
    let _ = clone.ok(["add", "."]);
    let refused = clone.git(["commit", "--quiet", "--message", "leak"]);
    assert_eq!(lines_with(&refused, "  --> more.yaml").len(), 1, "{refused}");
}

#[test]
fn a_fork_borrows_the_objects_of_its_origin() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = env
        .run(env.command("git").args(["clone", "--quiet", "--bare", "--shared", "server.git", "fork.git"]))
        .success();
    let fork = env.root().join("fork.git");
    std::os::unix::fs::symlink(hook(), fork.join("hooks/pre-receive")).unwrap();
    let fork = fork.to_str().unwrap();
    world.clone.commit_file("good.txt", "good\n");
    assert_snapshot!(world.clone.git(["push", "--quiet", fork, "main"]), @"");
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(world.clone.git(["push", "--quiet", fork, "main"]).code(), Some(1));
}

#[test]
fn a_replacement_object_hides_nothing() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let good = world.clone.ok(["rev-parse", "HEAD"]);
    let bad = world.clone.commit_file("secret.yaml", plain_secret());
    let _ = world.clone.ok(["replace", &bad, &good]);
    let replacement = format!("refs/replace/{bad}");
    let mut push = world.clone.command("git");
    // Without the variable, the client itself takes the replacement for the commit.
    push.args(["push", "--quiet", "origin", "main", &replacement]).env("GIT_NO_REPLACE_OBJECTS", "1");
    let refused = env.run(&mut push);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
}

#[test]
fn a_remote_tells_its_branches() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let url = format!("file://{}", world.server.path().display());
    let (anybody, wait) = (Access::default(), Duration::from_secs(30));
    assert_eq!(branch_tip(&url, "main", &anybody, wait).unwrap(), BranchTip::Found(world.on_server("main")));
    assert_eq!(branch_tip(&url, "ma*", &anybody, wait).unwrap(), BranchTip::Missing);
    assert_eq!(branch_tip(&url, "other", &anybody, wait).unwrap(), BranchTip::Missing);
    let fetched = fetch_branch(&url, "main", &anybody, wait).unwrap().unwrap();
    assert_eq!(fetched.tip.to_string(), world.on_server("main"));
    assert!(fetched.repository.commit(fetched.tip).unwrap().is_some());
    assert!(fetch_branch(&url, "other", &anybody, wait).unwrap().is_none());
    let nothing = format!("file://user:pass@/{}/nothing", env.root().display());
    let error = branch_tip(&nothing, "main", &anybody, wait).unwrap_err().to_string();
    assert!(!error.contains("pass"), "{error}");
}

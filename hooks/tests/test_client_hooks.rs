//! The hooks of a clone other than `pre-commit`, by real merges, patches, messages and pushes.

use crate::common::{CANARY, World, hook, lines_with, named_secret, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;

/// A world whose server takes everything and whose clone has one hook.
fn unguarded<'e>(env: &'e TestEnv, name: &str) -> World<'e> {
    let world = World::new(env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    world.clone.hook(name, hook());
    world
}

#[test]
fn a_merge_without_conflicts_is_judged_by_what_neither_side_had() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.hook("pre-merge-commit", hook());
    repo.commit_file("a.txt", "a\n");
    let _ = repo.ok(["checkout", "--quiet", "-b", "side"]);
    repo.write(".sops.yaml", "creation_rules:\n  - path_regex: ^vault/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n");
    repo.commit_file("old-debt.yaml", named_secret("debt"));
    let _ = repo.ok(["checkout", "--quiet", "main"]);
    repo.commit_file("b.txt", "b\n");
    // What a side has is not new.
    assert_snapshot!(repo.git(["merge", "--quiet", "--no-edit", "side"]), @"");
}

#[test]
fn a_merge_that_brings_a_secret_of_its_own_is_refused() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.hook("pre-merge-commit", hook());
    // A value from one side under a name from the other: the merge is a Secret, and no side is.
    let document = |kind: &str, value: &str| {
        format!(
            "apiVersion: v1\n# 1\n# 2\n# 3\nkind: {kind}\n# 4\n# 5\n# 6\nmetadata: {{name: a}}\n# 7\n# 8\n# 9\nstringData:\n  a: {value}\n"
        )
    };
    repo.commit_file("a.yaml", document("ConfigMap", "''"));
    let _ = repo.ok(["checkout", "--quiet", "-b", "side"]);
    repo.commit_file("a.yaml", document("Secret", "''"));
    let _ = repo.ok(["checkout", "--quiet", "main"]);
    repo.commit_file("a.yaml", document("ConfigMap", CANARY));
    let refused = repo.git(["merge", "--quiet", "--no-edit", "side"]);
    assert_eq!(lines_with(&refused, "  --> a.yaml").len(), 1, "{refused}");
    assert_eq!(repo.ok(["rev-list", "--count", "main"]), "2");
}

#[test]
fn a_patch_is_judged_before_it_is_committed() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.commit_file("README.md", "hello\n");
    repo.commit_file("secret.yaml", plain_secret());
    let patch = repo.ok(["format-patch", "--stdout", "-1"]);
    std::fs::write(env.root().join("leak.patch"), format!("{patch}\n")).unwrap();
    let _ = repo.ok(["reset", "--quiet", "--hard", "HEAD~1"]);
    repo.hook("pre-applypatch", hook());
    let refused = repo.git(["am", "--quiet", "../leak.patch"]);
    assert_ne!(refused.code(), Some(0));
    assert_eq!(lines_with(&refused, "  --> secret.yaml").len(), 1, "{refused}");
}

fn commit_with(repo: &GitRepo<'_>, message: &str) -> Transcript {
    repo.git(["commit", "--quiet", "--allow-empty", "--message", message])
}

#[test]
fn a_message_with_a_secret_is_refused() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.hook("commit-msg", hook());
    assert_snapshot!(commit_with(&repo, "good: a Secret is encrypted, `kind: Secret`"), @"");
    assert_snapshot!(commit_with(&repo, &format!("leak\n\n{}", plain_secret())), @"
    ------- stderr -------
    error[KBY001]: a value of a Secret is plaintext
      --> the message:8:13 (stringData.password)

    the message of the commit: 1 error
    hint: git commit again, with a message without it; the one that was refused is in
    hint:   .git/COMMIT_EDITMSG
    [exit status: 1]
    ");
    let age = "AGE-SECRET-KEY-1XLZ4Y4QMYYVQ4N5A8Q4C5F2V8YCLKMU0EVAJ3KW9WXV5N6H2XEQSNV6WJG";
    let refused = commit_with(&repo, &format!("the key is {age}"));
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert!(!refused.to_string().contains(&age[..24]), "{refused}");
}

#[test]
fn the_changes_that_git_shows_below_a_message_are_no_message() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.commit_file("secret.yaml", plain_secret());
    repo.hook("commit-msg", hook());
    let _ = repo.ok(["rm", "--quiet", "secret.yaml"]);
    let mut commit = repo.command("git");
    commit.args(["commit", "--quiet", "--verbose", "--edit", "--message", "the secret goes"]);
    commit.env("GIT_EDITOR", "sed -i -e 's/^-//'");
    assert_snapshot!(env.run(&mut commit), @"");
}

#[test]
fn a_push_is_judged_by_what_the_remote_lacks() {
    let env = TestEnv::new();
    let world = unguarded(&env, "pre-push");
    // Old debt that the remote has is none of this push, also on a new branch and after a deletion.
    let _ =
        world.clone.ok(["-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--allow-empty", "-m", "x"]);
    world.clone.commit_file("debt.yaml", named_secret("debt"));
    let _ =
        world.clone.git(["-c", "core.hooksPath=/dev/null", "push", "--quiet", "origin", "main"]).success();
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "topic"]);
    world.clone.commit_file("good.txt", "good\n");
    assert_snapshot!(world.push(["topic"]), @"");
    // In an earlier commit of a new branch.
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "second"]);
    world.clone.commit_file("secret.yaml", plain_secret());
    world.clone.commit_file("later.txt", "later\n");
    let refused = world.push(["second"]);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
    assert_eq!(lines_with(&refused, "git rebase -i").len(), 1, "{refused}");
    assert_eq!(world.on_server("second"), "");
    // Every line counts, not the first alone; a deletion is free.
    let refused = world.push(["topic:refs/heads/copy", "second", ":topic"]);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
    assert_snapshot!(world.push([":topic"]), @"");
    // A tag on a blob.
    let blob = world.clone.ok(["hash-object", "-w", "secret.yaml"]);
    let _ = world.clone.ok(["tag", "blob", &blob]);
    assert_eq!(world.push(["blob"]).code(), Some(1));
}

#[test]
fn a_push_to_an_address_is_compared_with_the_remote_of_that_address() {
    let env = TestEnv::new();
    let world = unguarded(&env, "pre-push");
    world.clone.commit_file("debt.yaml", named_secret("debt"));
    let _ =
        world.clone.git(["-c", "core.hooksPath=/dev/null", "push", "--quiet", "origin", "main"]).success();
    world.clone.commit_file("good.txt", "good\n");
    let server = world.server.path().to_str().unwrap();
    assert_snapshot!(world.clone.git(["push", "--quiet", server, "main:refs/heads/new"]), @"");
    // Elsewhere nothing is known to be there.
    let other = GitRepo::init_bare(&env, "other.git");
    let refused = world.clone.git(["push", "--quiet", other.path().to_str().unwrap(), "main"]);
    assert_eq!(lines_with(&refused, "  debt.yaml").len(), 1, "{refused}");
}

#[test]
fn the_pre_commit_framework_names_a_push_by_variables() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let first = world.clone.ok(["rev-parse", "HEAD"]);
    world.clone.commit_file("secret.yaml", plain_secret());
    let last = world.clone.commit_file("good.txt", "good\n");
    let judge = |from: &str| {
        let mut command = world.clone.command(hook());
        command.args(["pre-commit", "good.txt"]);
        command.envs([("PRE_COMMIT_FROM_REF", from), ("PRE_COMMIT_TO_REF", last.as_str())]);
        command.envs([("PRE_COMMIT_REMOTE_NAME", "origin"), ("PRE_COMMIT_REMOTE_BRANCH", "refs/heads/main")]);
        env.run(&mut command)
    };
    let refused = judge(&first);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
    assert_eq!(judge(&last).code(), Some(0));
    assert_eq!(judge("no-such-revision").code(), Some(3));
}

#[test]
fn a_split_index_and_a_sparse_one_are_read() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write("a/one.txt", "one\n");
    repo.write("b/two.txt", "two\n");
    repo.commit_file("top.txt", "top\n");
    repo.hook("pre-commit", hook());
    let _ = repo.ok(["update-index", "--split-index"]);
    repo.write("a/secret.yaml", plain_secret());
    let _ = repo.ok(["add", "a/secret.yaml"]);
    let refused = repo.git(["commit", "--quiet", "--message", "leak"]);
    assert_eq!(lines_with(&refused, "  --> a/secret.yaml").len(), 1, "{refused}");
    let _ = repo.ok(["update-index", "--no-split-index"]);
    let _ = repo.ok(["sparse-checkout", "init", "--cone", "--sparse-index"]);
    let _ = repo.ok(["sparse-checkout", "set", "a"]);
    let refused = repo.git(["commit", "--quiet", "--message", "leak"]);
    assert_eq!(lines_with(&refused, "  --> a/secret.yaml").len(), 1, "{refused}");
    let _ = repo.ok(["rm", "--quiet", "--cached", "a/secret.yaml"]);
    repo.write("a/one.txt", "more\n");
    assert_snapshot!(repo.git(["commit", "--quiet", "--message", "good", "a/one.txt"]), @"");
}

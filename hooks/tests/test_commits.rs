//! `pre-commit` by real commits: the index that Git names decides, never the work tree.

use crate::common::{hook, lines_with, named_secret, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;
use std::path::Path;

fn clone(env: &TestEnv) -> GitRepo<'_> {
    let repo = GitRepo::init(env, "clone");
    repo.hook("pre-commit", hook());
    repo
}

#[test]
fn a_plaintext_secret_is_refused_before_it_is_committed() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.commit_file("README.md", "hello\n");
    repo.write("apps/db/secret.yaml", plain_secret());
    let _ = repo.ok(["add", "."]);
    assert_snapshot!(repo.git(["commit", "--quiet", "--message", "leak"]), @"
    ------- stderr -------
    error[KBY001]: a value of a Secret is plaintext
      --> apps/db/secret.yaml:6:13 (stringData.password)
       = help: Encrypt the file, and if it was ever pushed make a new value:
                 kubectl kubiya encrypt apps/db/secret.yaml

    1 file judged: 1 error
    hint: mend the files, `git add` them, and commit again: what is staged is judged
    [exit status: 1]
    ");
}

#[test]
fn an_unborn_branch_has_nothing_to_compare_with() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.write("a.txt", "a\n");
    let _ = repo.ok(["add", "."]);
    assert_snapshot!(repo.git(["commit", "--quiet", "--message", "good"]), @"");
    let repo = GitRepo::init(&env, "second");
    repo.hook("pre-commit", hook());
    repo.write("secret.yaml", plain_secret());
    let _ = repo.ok(["add", "."]);
    assert_eq!(repo.git(["commit", "--quiet", "--message", "leak"]).code(), Some(1));
}

#[test]
fn what_is_staged_counts_and_not_what_lies_there() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.commit_file("config.yaml", "kind: ConfigMap\n");
    // Staged bad, mended in the work tree alone.
    repo.write("config.yaml", plain_secret());
    let _ = repo.ok(["add", "config.yaml"]);
    repo.write("config.yaml", "kind: ConfigMap\n");
    assert_eq!(repo.git(["commit", "--quiet", "--message", "leak"]).code(), Some(1));
    // Staged good, bad in the work tree alone.
    repo.write("config.yaml", "kind: ConfigMap\ndata: {}\n");
    let _ = repo.ok(["add", "config.yaml"]);
    repo.write("config.yaml", plain_secret());
    assert_snapshot!(repo.git(["commit", "--quiet", "--message", "good"]), @"");
}

#[test]
fn rules_are_those_of_the_index() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.write(".sops.yaml", "creation_rules:\n  - path_regex: ^vault/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n");
    repo.commit_all("rules");
    repo.write(".sops.yaml", "creation_rules: []\n");
    repo.write("vault/app.yaml", "password: abc\n");
    let _ = repo.ok(["add", "vault"]);
    let refused = repo.git(["commit", "--quiet", "--message", "leak"]);
    assert_eq!(lines_with(&refused, "error[KBY003]").len(), 1, "{refused}");
}

#[test]
fn commit_all_and_commit_of_a_path_have_an_index_of_their_own() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.write("one.yaml", "kind: ConfigMap\n");
    repo.write("two.yaml", "kind: ConfigMap\n");
    repo.commit_all("first");
    repo.write("one.yaml", named_secret("one"));
    assert_eq!(repo.git(["commit", "--quiet", "--all", "--message", "leak"]).code(), Some(1));
    repo.write("two.yaml", "kind: ConfigMap\ndata: {}\n");
    let _ = repo.ok(["add", "one.yaml"]);
    // The staged leak is not part of this commit.
    assert_snapshot!(repo.git(["commit", "--quiet", "--message", "good", "two.yaml"]), @"");
    assert_eq!(repo.git(["commit", "--quiet", "--message", "leak", "one.yaml"]).code(), Some(1));
}

#[test]
fn an_intent_to_add_is_no_content() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.commit_file("a.txt", "a\n");
    repo.write("secret.yaml", plain_secret());
    let _ = repo.ok(["add", "--intent-to-add", "secret.yaml"]);
    repo.write("a.txt", "b\n");
    let _ = repo.ok(["add", "a.txt"]);
    assert_snapshot!(repo.git(["commit", "--quiet", "--message", "good"]), @"");
}

#[test]
fn a_merge_reports_what_neither_side_had() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.commit_file("a.txt", "a\n");
    let _ = repo.ok(["checkout", "--quiet", "-b", "side"]);
    repo.write("old-debt.yaml", named_secret("debt"));
    repo.commit_file("a.txt", "side\n");
    let _ = repo.ok(["checkout", "--quiet", "main"]);
    repo.commit_file("a.txt", "main\n");
    assert_eq!(repo.git(["merge", "--quiet", "side"]).code(), Some(1));
    repo.write("a.txt", "both\n");
    repo.write("new.yaml", named_secret("new"));
    let _ = repo.ok(["add", "."]);
    let refused = repo.git(["commit", "--quiet", "--no-edit"]);
    assert_eq!(lines_with(&refused, "  --> "), ["  --> new.yaml:6:13 (stringData.password)"]);
    let _ = repo.ok(["rm", "--quiet", "--force", "new.yaml"]);
    assert_snapshot!(repo.git(["commit", "--quiet", "--no-edit"]), @"");
}

#[test]
fn folders_below_and_linked_work_trees() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.commit_file("deep/a.txt", "a\n");
    repo.write("deep/secret.yaml", plain_secret());
    let below = env.run(repo.command("git").current_dir(repo.path().join("deep")).args(["add", "."]));
    let _ = below.success();
    let mut commit = repo.command("git");
    commit.current_dir(repo.path().join("deep")).args(["commit", "--quiet", "--message", "leak"]);
    let refused = env.run(&mut commit);
    assert_eq!(lines_with(&refused, "  --> deep/secret.yaml").len(), 1, "{refused}");

    let _ = repo.ok(["worktree", "add", "--quiet", "-b", "linked", "../linked"]);
    let linked = GitRepo::at(&env, "linked");
    linked.write("other.yaml", plain_secret());
    let _ = linked.ok(["add", "."]);
    let refused = linked.git(["commit", "--quiet", "--message", "leak"]);
    assert_eq!(lines_with(&refused, "  --> other.yaml").len(), 1, "{refused}");
}

#[test]
fn file_names_of_hook_managers_are_not_needed() {
    let env = TestEnv::new();
    let repo = clone(&env);
    repo.write("secret.yaml", plain_secret());
    let _ = repo.ok(["add", "."]);
    let named = env.run(repo.command(hook()).args(["pre-commit", "README.md", "--", "-x"]));
    assert_eq!(named.code(), Some(1), "{named}");
}

#[test]
fn outside_of_a_repository_nothing_can_be_verified() {
    let env = TestEnv::new();
    let lost = env.run(env.command(hook()).arg("pre-commit").current_dir(Path::new("/")));
    assert_eq!(lost.code(), Some(3), "{lost}");
    assert_eq!(lines_with(&lost, "the commit is refused").len(), 1, "{lost}");
}

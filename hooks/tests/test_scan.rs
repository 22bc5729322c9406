//! `scan`: files as they lie there, in a repository or not.

use crate::common::{copy_good_corpus, hook, lines_with, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;

fn scan<const N: usize>(repo: &GitRepo<'_>, arguments: [&str; N]) -> Transcript {
    repo.env().run(repo.command(hook()).arg("scan").args(arguments))
}

#[test]
fn people_read_what_where_and_what_to_do() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write("apps/two.yaml", format!("kind: ConfigMap\n---\n{}", plain_secret()));
    repo.write("secret.yaml", plain_secret());
    assert_snapshot!(scan(&repo, []), @"
    error[KBY001]: a value of a Secret is plaintext
      --> apps/two.yaml:8:13 (document 2, stringData.password)
       = help: Encrypt the file, and if it was ever pushed make a new value:
                 kubectl kubiya encrypt apps/two.yaml

    error[KBY001]: a value of a Secret is plaintext
      --> secret.yaml:6:13 (stringData.password)

    ------- stderr -------
    2 files judged: 2 errors
    [exit status: 1]
    ");
}

#[test]
fn programs_read_json() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write("secret.yaml", plain_secret());
    repo.write("apps/.sops.yaml", "creation_rules: 5\n");
    repo.write("apps/values.yaml", "a: b\n");
    assert_snapshot!(scan(&repo, ["--format", "json"]), @r#"
    {
      "schema": 1,
      "tool": {
        "name": "kubiya-hook",
        "version": "0.1.0"
      },
      "files": 3,
      "findings": [
        {
          "code": "KBY017",
          "severity": "error",
          "path": "apps/.sops.yaml",
          "line": 1,
          "column": 17,
          "document": null,
          "key_path": "",
          "message": "`creation_rules` must be a list"
        },
        {
          "code": "KBY001",
          "severity": "error",
          "path": "secret.yaml",
          "line": 6,
          "column": 13,
          "document": 1,
          "key_path": "stringData.password",
          "message": "a value of a Secret is plaintext"
        }
      ],
      "unverified": [
        {
          "path": "apps/.sops.yaml",
          "line": 1,
          "column": 17,
          "reason": "`creation_rules` must be a list",
          "files": [
            "apps/values.yaml"
          ]
        }
      ]
    }
    [exit status: 1]
    "#);
}

#[test]
fn good_files_are_counted() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    copy_good_corpus(&repo);
    let scanned = scan(&repo, ["."]);
    assert_eq!(scanned.code(), Some(0), "{scanned}");
}

#[test]
fn paths_are_named_as_they_are_typed_and_each_file_once() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write("deep/er/secret.yaml", plain_secret());
    let mut below = repo.command(hook());
    below.current_dir(repo.path().join("deep")).args(["scan", "er", "er/secret.yaml"]);
    let scanned = env.run(&mut below);
    assert_eq!(
        String::from_utf8_lossy(scanned.stdout()).matches("  --> er/secret.yaml:6:13").count(),
        1,
        "{scanned}"
    );
}

#[test]
fn outside_of_a_repository_the_nearest_rules_count() {
    let env = TestEnv::new();
    let folder = env.root().join("no-repo");
    std::fs::create_dir_all(folder.join("vault/deep")).unwrap();
    let rules = "creation_rules:\n  - path_regex: ^deep/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n";
    std::fs::write(folder.join("vault/.sops.yaml"), rules).unwrap();
    std::fs::write(folder.join("vault/deep/app.yaml"), "password: abc\n").unwrap();
    let scanned = env.run(env.command(hook()).args(["scan", "no-repo/vault/deep/app.yaml"]));
    assert_eq!(scanned.code(), Some(1), "{scanned}");
    let text = String::from_utf8_lossy(scanned.stdout()).into_owned();
    assert!(text.contains("error[KBY003]") && text.contains("  --> no-repo/vault/deep/app.yaml"), "{text}");
}

#[test]
fn git_itself_is_not_looked_into() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    std::fs::write(repo.path().join(".git/secret.yaml"), plain_secret()).unwrap();
    assert_snapshot!(scan(&repo, []), @"
    ------- stderr -------
    0 files judged, nothing found
    ");
}

#[test]
fn paths_that_are_not_there_are_all_named() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    assert_snapshot!(scan(&repo, ["one", "two", "/dev/null"]), @"
    ------- stderr -------
    error: 3 paths cannot be judged
    problem: one: cannot judge the path
      cause: No such file or directory (os error 2)
    problem: two: cannot judge the path
      cause: No such file or directory (os error 2)
    problem: /dev/null: cannot judge the path
      cause: it is neither a file nor a folder
    [exit status: 2]
    ");
}

#[test]
fn a_reader_that_stops_early_is_no_fault() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    for number in 0..2000 {
        repo.write(format!("{number}.yaml"), plain_secret());
    }
    let script = format!("{} scan . | head -1", hook().display());
    let scanned = env.run(repo.command("sh").args(["-c", &script]));
    assert!(lines_with(&scanned, "error").iter().all(|line| !line.contains("cannot write")), "{scanned}");
}

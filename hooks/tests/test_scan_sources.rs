//! `scan` of what is not a folder: index, revisions, history, archives, streams, runs of CI.

use crate::common::{World, hook, lines_with, named_secret, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;
use std::io::Write as _;
use std::process::Stdio;

fn scan<const N: usize>(repo: &GitRepo<'_>, arguments: [&str; N]) -> Transcript {
    repo.env().run(repo.command(hook()).arg("scan").args(arguments))
}

fn scan_of<const N: usize>(repo: &GitRepo<'_>, input: &[u8], arguments: [&str; N]) -> Transcript {
    let file = repo.env().root().join("input");
    std::fs::File::create(&file).unwrap().write_all(input).unwrap();
    let mut command = repo.command(hook());
    command.arg("scan").args(arguments).stdin(Stdio::from(std::fs::File::open(&file).unwrap()));
    repo.env().run(&mut command)
}

/// The places of findings, as `path:line:column`.
fn places(transcript: &Transcript) -> Vec<String> {
    let text = String::from_utf8_lossy(transcript.stdout()).into_owned();
    let places = text.lines().filter_map(|line| line.trim().strip_prefix("--> "));
    places.map(|place| place.split(' ').next().unwrap().to_owned()).collect()
}

/// Commits: an old debt, a leak that a later commit takes away, and a good one.
fn with_history(env: &TestEnv) -> GitRepo<'_> {
    let repo = GitRepo::init(env, "repo");
    repo.commit_file("debt.yaml", named_secret("debt"));
    repo.commit_file("leak.yaml", named_secret("leak"));
    let _ = repo.ok(["rm", "--quiet", "leak.yaml"]);
    repo.commit_all("taken away");
    repo.commit_file("good.txt", "good\n");
    repo
}

#[test]
fn what_git_ignores_is_left_out_and_what_git_has_is_not() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write(".gitignore", "*.local.yaml\nbuild/\n");
    repo.write("tracked.local.yaml", named_secret("tracked"));
    let _ = repo.ok(["add", "--force", "tracked.local.yaml"]);
    repo.write("mine.local.yaml", named_secret("mine"));
    repo.write("build/out.yaml", named_secret("out"));
    repo.write("deep/.gitignore", "*.yaml\n!kept.yaml\n");
    repo.write("deep/other.yaml", named_secret("other"));
    repo.write("deep/kept.yaml", named_secret("kept"));
    repo.write(".hidden/secret.yaml", named_secret("hidden"));
    repo.write(".ignore", "*\n");
    std::fs::write(repo.path().join(".git/info/exclude"), "excluded.yaml\n").unwrap();
    repo.write("excluded.yaml", named_secret("excluded"));
    let found = [".hidden/secret.yaml:6:13", "deep/kept.yaml:6:13", "tracked.local.yaml:6:13"];
    assert_eq!(places(&scan(&repo, ["."])), found);
    assert_eq!(places(&scan(&repo, ["--no-ignore"])).len(), 7);
    // What is named is looked at.
    assert_eq!(places(&scan(&repo, ["mine.local.yaml"])), ["mine.local.yaml:6:13"]);
    assert_eq!(places(&scan(&repo, ["deep"])), ["deep/kept.yaml:6:13"]);
}

#[test]
fn what_is_staged() {
    let env = TestEnv::new();
    let repo = with_history(&env);
    repo.write("staged.yaml", plain_secret());
    let _ = repo.ok(["add", "staged.yaml"]);
    repo.write("staged.yaml", "good: yes\n");
    repo.write("unstaged.yaml", plain_secret());
    assert_eq!(places(&scan(&repo, ["--staged"])), ["staged.yaml:6:13"]);
}

#[test]
fn a_range_is_what_its_commits_brought_and_a_revision_is_its_tree() {
    let env = TestEnv::new();
    let repo = with_history(&env);
    let range = scan(&repo, ["--rev", "HEAD~3..HEAD"]);
    assert_snapshot!(range, @"
    error[KBY001]: a value of a Secret is plaintext
      --> leak.yaml:6:13 (stringData.password)
       = note: in commit f1ee6322b3 on HEAD~3..HEAD
       = help: Encrypt the file, and if it was ever pushed make a new value:
                 kubectl kubiya encrypt leak.yaml

    ------- stderr -------
    3 commits judged: 1 error
    [exit status: 1]
    ");
    assert_eq!(places(&scan(&repo, ["--rev", "HEAD"])), ["debt.yaml:6:13"]);
    assert_eq!(places(&scan(&repo, ["--rev", "HEAD~2"])), ["debt.yaml:6:13", "leak.yaml:6:13"]);
    assert_eq!(scan(&repo, ["--rev", "HEAD~1..HEAD"]).code(), Some(0));
    let _ = repo.ok(["checkout", "--quiet", "-b", "side", "HEAD~3"]);
    repo.commit_file("side.yaml", named_secret("side"));
    assert_eq!(places(&scan(&repo, ["--rev", "main...side"])), ["leak.yaml:6:13", "side.yaml:6:13"]);
    for wrong in ["nothing..HEAD", "--all", "HEAD^{tree}x"] {
        let refused = scan(&repo, [&format!("--rev={wrong}")]);
        assert_eq!(refused.code(), Some(2), "{refused}");
    }
    assert_eq!(scan(&repo, ["--rev", "HEAD", "--staged"]).code(), Some(2), "one source at a time");
}

#[test]
fn all_of_the_history_with_its_tags() {
    let env = TestEnv::new();
    let repo = with_history(&env);
    let _ = repo.ok(["tag", "--annotate", "--message", &plain_secret(), "v1"]);
    let _ = repo.ok(["checkout", "--quiet", "--detach"]);
    repo.commit_file("detached.yaml", named_secret("detached"));
    let mut found = places(&scan(&repo, ["--all"]));
    found.sort();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.contains(&"detached.yaml:6:13".to_owned()), "{found:?}");
    let machine = scan(&repo, ["--all", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(machine.stdout()).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), 4);
}

#[test]
fn an_archive_has_its_own_rules_and_references() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write("top/.sops.yaml", "creation_rules:\n  - path_regex: ^vault/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n");
    repo.write("top/vault/app.yaml", "password: abc\n");
    repo.write("top/secret.yaml", plain_secret());
    repo.write("top/good.txt", "good\n");
    repo.commit_all("all");
    let archives = [["archive", "--output=../a.tar", "HEAD"], ["archive", "--output=../a.tar.gz", "HEAD"]];
    for archive in archives {
        let _ = repo.ok(archive);
    }
    let expected = ["top/secret.yaml:6:13", "top/vault/app.yaml:1:11"];
    assert_eq!(places(&scan(&repo, ["--archive", "../a.tar"])), expected);
    assert_eq!(places(&scan(&repo, ["--archive", "../a.tar.gz"])), expected);
    let bytes = std::fs::read(env.root().join("a.tar.gz")).unwrap();
    assert_eq!(places(&scan_of(&repo, &bytes, ["--archive", "-"])), expected);
    // One that breaks off says nothing about what is missing.
    let broken = scan_of(&repo, &bytes[..bytes.len() / 2], ["--archive", "-"]);
    assert_eq!(broken.code(), Some(3), "{broken}");
    let none = scan_of(&repo, b"no archive at all, only text that goes on and on", ["--archive", "-"]);
    assert_eq!(none.code(), Some(3), "{none}");
}

#[test]
fn a_stream_is_judged_alone_or_as_a_file() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write(".sops.yaml", "creation_rules:\n  - path_regex: ^vault/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n");
    repo.write("vault/there.yaml", "");
    assert_eq!(places(&scan_of(&repo, plain_secret().as_bytes(), ["-"])), ["-:6:13"]);
    assert_eq!(scan_of(&repo, b"password: abc\n", ["-"]).code(), Some(0));
    let named = scan_of(&repo, b"password: abc\n", ["-", "--stdin-filename", "vault/new.yaml"]);
    assert_eq!(places(&named), ["vault/new.yaml:1:11"]);
    let names = b"vault/there.yaml\nsecret.yaml\n";
    repo.write("secret.yaml", plain_secret());
    assert_eq!(places(&scan_of(&repo, names, ["--stdin-files"])), ["secret.yaml:6:13"]);
    repo.write("a\nb.yaml", plain_secret());
    let odd = scan_of(&repo, b"a\nb.yaml\0", ["--stdin-files", "-z"]);
    assert_eq!(places(&odd).len(), 1, "{odd}");
}

/// A clone as CI has it, and the run's variables.
fn run_of_ci(repo: &GitRepo<'_>, variables: &[(&str, &str)]) -> Transcript {
    let mut command = repo.command(hook());
    command.args(["scan", "--ci"]).envs(variables.iter().copied());
    repo.env().run(&mut command)
}

#[test]
fn a_run_of_ci_judges_what_it_was_started_for() {
    let env = TestEnv::new();
    let world = World::new(&env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    world.clone.commit_file("debt.yaml", named_secret("debt"));
    let _ = world.push(["main"]).success();
    let base = world.on_server("main");
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "topic"]);
    world.clone.commit_file("leak.yaml", named_secret("leak"));
    let tip = world.clone.commit_file("good.txt", "good\n");
    let zero = "0".repeat(40);
    let gitlab = |base: &str| {
        let common = [("GITLAB_CI", "true"), ("CI_COMMIT_SHA", &*tip), ("CI_DEFAULT_BRANCH", "main")];
        run_of_ci(&world.clone, &[&common[..], &[("CI_COMMIT_BEFORE_SHA", base)]].concat())
    };
    for base in [&*base, &zero, &"1".repeat(40)] {
        assert_eq!(places(&gitlab(base)), ["leak.yaml:6:13"], "since {base}");
    }
    let event = env.root().join("event.json");
    std::fs::write(&event, format!(r#"{{"before": "{zero}", "repository": {{"default_branch": "main"}}}}"#))
        .unwrap();
    let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_PATH", event.to_str().unwrap())];
    assert_eq!(places(&run_of_ci(&world.clone, &github)), ["leak.yaml:6:13"]);
    let request = [("GITHUB_ACTIONS", "true"), ("GITHUB_BASE_REF", "main")];
    assert_eq!(places(&run_of_ci(&world.clone, &request)), ["leak.yaml:6:13"]);
    assert_eq!(run_of_ci(&world.clone, &[]).code(), Some(2));
    // A shallow clone says so, and judges what is there.
    let _ = world.push(["topic"]).success();
    let url = format!("file://{}", world.server.path().display());
    let _ = env
        .run(env.command("git").args(["clone", "--quiet", "--depth=1", "--branch=topic", &url, "shallow"]))
        .success();
    let shallow =
        run_of_ci(&GitRepo::at(&env, "shallow"), &[("GITLAB_CI", "true"), ("CI_COMMIT_BEFORE_SHA", &*base)]);
    assert_eq!(places(&shallow), ["debt.yaml:6:13", "leak.yaml:6:13"]);
    assert_eq!(lines_with(&shallow, "so the whole tree is judged").len(), 1, "{shallow}");
}

#[test]
fn rules_of_before_count_beside_those_of_a_range() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let rules = "creation_rules:\n  - path_regex: ^vault/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n";
    world.clone.commit_file(".sops.yaml", rules);
    let _ = world.push(["main"]).success();
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "topic"]);
    // The rule goes first, and the plain file comes when it is gone.
    let _ = world.clone.ok(["rm", "--quiet", ".sops.yaml"]);
    let weakened = world.clone.commit_all("no rules");
    let tip = world.clone.commit_file("vault/app.yaml", "password: abc\n");
    let last = format!("{weakened}..{tip}");
    let by_rule = |arguments: [&str; 4]| {
        let scanned = scan(&world.clone, arguments);
        (scanned.code(), String::from_utf8_lossy(scanned.stdout()).matches("error[KBY003]").count())
    };
    assert_eq!(by_rule(["--format", "text", "--rev", &last]), (Some(1), 1), "where the branch left main");
    assert_eq!(by_rule(["--rev", &last, "--policy-rev", &weakened]), (Some(0), 0));
    assert_eq!(by_rule(["--format", "text", "--rev", &tip]), (Some(1), 1), "also in a whole tree");
    assert_eq!(scan(&world.clone, ["--rev", &last, "--policy-rev", "nothing"]).code(), Some(2));
}

//! A content is looked at once, however many commits and paths hold it.

use crate::common::named_secret;
use kubiya_hook::git::{ObjectId, RefUpdate, Repository};
use kubiya_hook::judge::Judge;
use kubiya_hook::push::{Terms, judge_push};
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;

fn id(hex: &str) -> Option<ObjectId> {
    ObjectId::from_hex(hex.as_bytes())
}

/// A history that no ref reaches: 200 commits which turn one file over between two contents.
fn history(repo: &GitRepo<'_>) -> String {
    let mut script = String::from("blob\nmark :1\ndata 5\na: 1\n\nblob\nmark :2\ndata 5\na: 2\n\n");
    for number in 0..200 {
        let blob = 1 + number % 2;
        script.push_str(&format!(
            "commit refs/heads/long\ncommitter T <t@e> {} +0000\ndata 1\nx\nM 644 :{blob} turning.yaml\nM 644 :1 copies/{number}.yaml\n\n",
            1_000_000_000 + number
        ));
    }
    repo.write("script", script);
    let fast_import = repo.command("sh").args(["-c", "git fast-import --quiet < script"]).output().unwrap();
    assert!(fast_import.status.success());
    let tip = repo.ok(["rev-parse", "refs/heads/long"]);
    let _ = repo.ok(["update-ref", "-d", "refs/heads/long"]);
    tip
}

#[test]
fn two_hundred_commits_and_two_contents() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    let tip = history(&repo);
    let repository = Repository::open_at(repo.path()).unwrap();
    let judge = Judge::new();
    let update = RefUpdate { old: None, new: id(&tip), name: b"refs/heads/long".to_vec() };
    let verdict = judge_push(&repository, &judge, &[update], &Terms::default()).unwrap();
    assert!(verdict.pushed.is_empty() && verdict.unverified.is_empty());
    assert_eq!(judge.checks(), 2);
}

#[test]
fn a_deletion_looks_at_nothing() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    let tip = history(&repo);
    let repository = Repository::open_at(repo.path()).unwrap();
    let judge = Judge::new();
    let update = RefUpdate { old: id(&tip), new: None, name: b"refs/heads/long".to_vec() };
    assert!(judge_push(&repository, &judge, &[update], &Terms::default()).unwrap().pushed.is_empty());
    assert_eq!(judge.checks(), 0);
}

#[test]
fn the_verdict_is_in_the_order_of_the_commits_whoever_judged_them() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    let mut script = String::new();
    for commit in 0..30 {
        script.push_str(&format!(
            "commit refs/heads/long\ncommitter T <t@e> {} +0000\ndata 1\nx\n",
            1_000_000_000 + commit
        ));
        for file in 0..20 {
            let secret = named_secret(&format!("s-{commit}-{file}"));
            let path = format!("c{commit:02}/s{file:02}.yaml");
            script.push_str(&format!("M 644 inline {path}\ndata {}\n{secret}\n", secret.len()));
        }
        script.push('\n');
    }
    repo.write("script", script);
    let fast_import = repo.command("sh").args(["-c", "git fast-import --quiet < script"]).output().unwrap();
    assert!(fast_import.status.success());
    let tip = repo.ok(["rev-parse", "refs/heads/long"]);
    let _ = repo.ok(["update-ref", "-d", "refs/heads/long"]);
    let repository = Repository::open_at(repo.path()).unwrap();
    let update = RefUpdate { old: None, new: id(&tip), name: b"refs/heads/long".to_vec() };
    let verdict = judge_push(&repository, &Judge::new(), &[update], &Terms::default()).unwrap();
    let paths: Vec<_> = verdict.pushed.iter().map(|pushed| pushed.found.finding.place.path.clone()).collect();
    assert_eq!(paths.len(), 600);
    assert!(paths.is_sorted(), "{paths:?}");
}

//! Ciphertext that is carried elsewhere, and rotations, with the real sops and age.

use crate::common::{World, lines_with};
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;

/// Makes an age key; gives its recipient.
fn key(env: &TestEnv, name: &str) -> String {
    let mut keygen = env.command("age-keygen");
    let _ = env.run(keygen.args(["-o", &format!("{name}.key")])).success();
    let text = std::fs::read_to_string(env.root().join(format!("{name}.key"))).unwrap();
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

/// Runs sops in a repository with a private key.
fn sops(repo: &GitRepo<'_>, who: &str, arguments: &[&str]) {
    let mut command = repo.command("sops");
    command.args(arguments).env("SOPS_DISABLE_VERSION_CHECK", "1");
    command.env("SOPS_AGE_KEY_FILE", repo.env().root().join(format!("{who}.key")));
    let _ = repo.env().run(&mut command).success();
}

fn rules(rules: &[(&str, &str)]) -> String {
    let rule = |(path, age): &(&str, &str)| {
        format!("  - {{path_regex: {path}, encrypted_regex: ^(data|stringData)$, age: '{age}'}}\n")
    };
    format!("creation_rules:\n{}", rules.iter().map(rule).collect::<String>())
}

fn encrypted(repo: &GitRepo<'_>, path: &str) {
    repo.write(
        path,
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2, user: me}\n",
    );
    sops(repo, "alice", &["encrypt", "--in-place", path]);
}

#[test]
fn a_copy_under_another_rule_is_refused_and_one_under_the_same_warns() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let alice = key(&env, "alice");
    world.clone.write(".sops.yaml", rules(&[("^prod/", &alice), ("^dev/", &alice)]));
    encrypted(&world.clone, "prod/db.yaml");
    world.clone.commit_all("encrypted");
    let _ = world.push(["main"]).success();
    let copy = std::fs::read(world.clone.path().join("prod/db.yaml")).unwrap();
    world.clone.commit_file("dev/db.yaml", &copy);
    let refused = world.push(["main"]);
    assert_eq!((refused.code(), lines_with(&refused, "[KBY028]").len()), (Some(1), 1), "{refused}");
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    world.clone.commit_file("prod/copy.yaml", &copy);
    let warned = world.push(["main"]);
    assert_eq!((warned.code(), lines_with(&warned, "[KBY028]").len()), (Some(0), 1), "{warned}");
    // To move a file is no copy, and to edit a copy is no new one.
    let _ = world.clone.ok(["mv", "prod/db.yaml", "prod/moved.yaml"]);
    let _ = world.clone.ok(["rm", "--quiet", "prod/copy.yaml"]);
    world.clone.commit_all("moved");
    let moved = world.push(["main"]);
    assert_eq!((moved.code(), moved.stderr().as_str()), (Some(0), ""));
}

#[test]
fn who_is_taken_out_without_a_new_data_key_keeps_it() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let (alice, bob) = (key(&env, "alice"), key(&env, "bob"));
    world.clone.write(".sops.yaml", rules(&[("^prod/", &format!("{alice},{bob}"))]));
    encrypted(&world.clone, "prod/db.yaml");
    world.clone.commit_all("for two");
    let _ = world.push(["main"]).success();
    world.clone.write(".sops.yaml", rules(&[("^prod/", &alice)]));
    sops(&world.clone, "alice", &["updatekeys", "--yes", "prod/db.yaml"]);
    world.clone.commit_all("bob is out");
    let refused = world.push(["main"]);
    assert_eq!((refused.code(), lines_with(&refused, "[KBY029]").len()), (Some(1), 1), "{refused}");
    sops(&world.clone, "alice", &["rotate", "--in-place", "prod/db.yaml"]);
    let _ = world.clone.ok(["add", "--all"]);
    let _ = world.clone.ok(["commit", "--quiet", "--amend", "--no-edit"]);
    let passed = world.push(["main"]);
    assert_eq!((passed.code(), lines_with(&passed, "[KBY025]").len()), (Some(0), 1), "{passed}");
}

#[test]
fn a_data_key_is_known_wherever_its_file_went() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let (alice, bob) = (key(&env, "alice"), key(&env, "bob"));
    clone.write(".sops.yaml", rules(&[("^prod/", &format!("{alice},{bob}"))]));
    encrypted(clone, "prod/db.yaml");
    let start = clone.commit_all("for two");
    let _ = world.push(["main"]).success();
    let refused = |world: &World<'_>| {
        let refused = world.push(["main"]);
        assert_eq!((refused.code(), lines_with(&refused, "[KBY029]").len()), (Some(1), 1), "{refused}");
        let _ = world.clone.ok(["reset", "--hard", "--quiet", &start]);
    };
    let without_bob = |path: &str| {
        clone.write(".sops.yaml", rules(&[("^prod/", &alice)]));
        sops(clone, "alice", &["updatekeys", "--yes", path]);
    };
    // In the commit that moves it.
    let _ = clone.ok(["mv", "prod/db.yaml", "prod/moved.yaml"]);
    without_bob("prod/moved.yaml");
    clone.commit_all("moved");
    refused(&world);
    // In one that brings back what an earlier one took away.
    let bytes = std::fs::read(clone.path().join("prod/db.yaml")).unwrap();
    let _ = clone.ok(["rm", "--quiet", "prod/db.yaml"]);
    clone.commit_all("away");
    clone.write("prod/db.yaml", bytes);
    without_bob("prod/db.yaml");
    clone.commit_all("back");
    refused(&world);
    // To move it for both is fine.
    let _ = clone.ok(["mv", "prod/db.yaml", "prod/moved.yaml"]);
    clone.commit_all("moved for both");
    let moved = world.push(["main"]);
    assert_eq!((moved.code(), moved.stderr().as_str()), (Some(0), ""));
}

#[test]
fn a_merge_that_keeps_both_copies_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let alice = key(&env, "alice");
    clone.write(".sops.yaml", rules(&[("^prod/", &alice), ("^dev/", &alice)]));
    encrypted(clone, "prod/db.yaml");
    encrypted(clone, "prod/web.yaml");
    clone.commit_all("encrypted");
    let _ = clone.ok(["checkout", "--quiet", "-b", "moved"]);
    clone.write("dev/README.md", "moved\n");
    let _ = clone.ok(["mv", "prod/db.yaml", "dev/db.yaml"]);
    clone.commit_all("moved");
    let _ = world.push(["main", "moved"]).success();
    let _ = clone.ok(["checkout", "--quiet", "main"]);
    let main = clone.commit_file("other.md", "other\n");
    let _ = clone.ok(["merge", "--quiet", "--no-commit", "--no-ff", "moved"]);
    let _ = clone.ok(["checkout", "--quiet", "HEAD", "--", "prod"]);
    clone.commit_all("both");
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert_ne!(lines_with(&refused, "[KBY028]").len(), 0, "{refused}");
    let _ = clone.ok(["reset", "--hard", "--quiet", &main]);
    let _ = clone.ok(["merge", "--quiet", "--no-edit", "moved"]);
    let passed = world.push(["main"]);
    assert_eq!((passed.code(), passed.stderr().as_str()), (Some(0), ""));
}

#[test]
fn a_rotation_goes_through() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let (old, new) = (key(&env, "alice"), key(&env, "new"));
    world.clone.write(".sops.yaml", rules(&[("^prod/", &old)]));
    encrypted(&world.clone, "prod/db.yaml");
    encrypted(&world.clone, "prod/web.yaml");
    world.clone.commit_all("encrypted");
    let _ = world.push(["main"]).success();
    let files = ["prod/db.yaml", "prod/web.yaml"];
    world.clone.write(".sops.yaml", rules(&[("^prod/", &format!("{old},{new}"))]));
    for file in files {
        sops(&world.clone, "alice", &["updatekeys", "--yes", file]);
    }
    world.clone.commit_all("for both");
    let passed = world.push(["main"]);
    assert_eq!((passed.code(), lines_with(&passed, "[KBY").len()), (Some(0), 1), "{passed}");
    world.clone.write(".sops.yaml", rules(&[("^prod/", &new)]));
    for file in files {
        sops(&world.clone, "new", &["updatekeys", "--yes", file]);
        sops(&world.clone, "new", &["rotate", "--in-place", file]);
    }
    world.clone.commit_all("for the new one");
    let passed = world.push(["main"]);
    assert_eq!((passed.code(), lines_with(&passed, "[KBY").len()), (Some(0), 1), "{passed}");
}

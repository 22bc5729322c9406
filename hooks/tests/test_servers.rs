//! `pre-receive` and `update` on servers of all makes, and in trouble: what is good passes, what is bad does not,
//! and what cannot be judged is refused with its reason.

use crate::common::{World, hook, lines_with, named_secret, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Puts a script where the server's hook is.
fn script(world: &World<'_>, text: &str) {
    let path = world.server.path().join("hooks/pre-receive");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Pushes something good and something bad, each as a branch of its own.
fn assert_judges(world: &World<'_>) {
    let _ = world.clone.ok(["checkout", "--quiet", "-B", "work", "main"]);
    world.clone.commit_file("good.txt", "good\n");
    let good = world.push(["work:refs/heads/good"]);
    assert_eq!(good.code(), Some(0), "{good}");
    world.clone.commit_file("secret.yaml", plain_secret());
    let bad = world.push(["work:refs/heads/bad"]);
    assert_eq!(lines_with(&bad, "  secret.yaml").len(), 1, "{bad}");
    assert_eq!(world.on_server("bad"), "");
}

#[test]
fn push_options_change_nothing() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = world.server.ok(["config", "receive.advertisePushOptions", "true"]);
    world.clone.commit_file("good.txt", "good\n");
    assert_snapshot!(world.push(["--push-option=ci.skip", "main"]), @"");
    world.clone.commit_file("secret.yaml", plain_secret());
    let refused = world.push(["--push-option=skip-secrets", "--push-option=force=1", "main"]);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
}

#[test]
fn hidden_refs_count_as_what_is_there() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("debt.yaml", named_secret("debt"));
    let _ = world.server.ok(["fetch", "--quiet", "../clone", "main:refs/hidden/one"]);
    let _ = world.server.ok(["config", "transfer.hideRefs", "refs/hidden"]);
    world.clone.commit_file("good.txt", "good\n");
    assert_snapshot!(world.push(["main"]), @"");
    assert_judges(&world);
}

#[test]
fn creations_and_deletions_in_one_push() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = world.push(["main:refs/heads/old", "main:refs/heads/older"]).success();
    world.clone.commit_file("good.txt", "good\n");
    assert_snapshot!(world.push([":old", "main:refs/heads/new"]), @"");
    world.clone.commit_file("secret.yaml", plain_secret());
    let refused = world.push([":older", "main:refs/heads/newer", ":new"]);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
    for kept in ["older", "new"] {
        assert_ne!(world.on_server(kept), "", "all or nothing: {kept}");
    }
}

#[test]
fn three_thousand_refs_in_one_push() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let good = world.clone.commit_file("good.txt", "good\n");
    let bad = world.clone.commit_file("secret.yaml", plain_secret());
    let input: String = (0..3000)
        .map(|number| format!("create refs/many/{number:04} {}\n", if number == 2999 { &bad } else { &good }))
        .collect();
    std::fs::write(env.root().join("refs"), input).unwrap();
    let mut update = world.clone.command("git");
    update.args(["update-ref", "--stdin"]).stdin(std::fs::File::open(env.root().join("refs")).unwrap());
    let _ = env.run(&mut update).success();
    let refused = world.push(["refs/many/*:refs/many/*"]);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{}", refused.stderr().len());
    assert_eq!(lines_with(&refused, "on refs/many/2999").len(), 1);
    let _ = world.clone.ok(["update-ref", "-d", "refs/many/2999"]);
    assert_eq!(world.push(["refs/many/*:refs/many/*"]).code(), Some(0));
}

#[test]
fn a_partial_clone_may_be_pushed_to() {
    let env = TestEnv::new();
    let origin = World::with_server(&env, "origin.git");
    let rules = "creation_rules:\n  - path_regex: ^vault/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n";
    origin.clone.commit_file(".sops.yaml", rules);
    let _ = origin.push(["main"]).success();
    let _ = origin.server.ok(["config", "uploadpack.allowFilter", "true"]);
    let _ = origin.server.ok(["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let url = format!("file://{}", origin.server.path().display());
    let clone = ["clone", "--quiet", "--bare", "--filter=blob:none", &url, "partial.git"];
    let _ = env.run(env.command("git").args(clone)).success();
    let partial = GitRepo::bare_at(&env, "partial.git");
    partial.hook("pre-receive", hook());
    let _ = origin.clone.ok(["remote", "set-url", "origin", partial.path().to_str().unwrap()]);
    let world = World { server: partial, clone: origin.clone };
    assert_judges(&world);
    // The rules are not there until somebody asks for them.
    let _ = world.clone.ok(["checkout", "--quiet", "main"]);
    world.clone.commit_file("vault/app.yaml", "password: abc\n");
    let refused = world.push(["main:refs/heads/ruled"]);
    assert_eq!(lines_with(&refused, "  vault/app.yaml").len(), 1, "{refused}");
}

#[test]
fn a_shallow_server_knows_what_it_has() {
    let env = TestEnv::new();
    let origin = World::with_server(&env, "origin.git");
    origin.clone.commit_file("good.txt", "good\n");
    let _ = origin.push(["main"]).success();
    let url = format!("file://{}", origin.server.path().display());
    let _ = env
        .run(env.command("git").args(["clone", "--quiet", "--bare", "--depth=1", &url, "cut.git"]))
        .success();
    let cut = GitRepo::bare_at(&env, "cut.git");
    cut.hook("pre-receive", hook());
    let _ = origin.clone.ok(["remote", "set-url", "origin", cut.path().to_str().unwrap()]);
    assert_judges(&World { server: cut, clone: origin.clone });
}

/// Old bases that come along in a thin pack are found through every store that the repository borrows from.
#[test]
fn several_stores_of_a_sha256_repository() {
    let env = TestEnv::new();
    let git = |arguments: &[&str]| {
        let _ = env.run(env.command("git").args(arguments)).success();
    };
    git(&["init", "--quiet", "--bare", "--object-format=sha256", "po:ol.git"]);
    git(&["init", "--quiet", "--object-format=sha256", "clone"]);
    let clone = GitRepo::at(&env, "clone");
    let long: String = (0..400).map(|number| format!("# line {number}\n")).collect();
    clone.commit_file("leak.yaml", format!("{}{long}", plain_secret()));
    let pool = env.root().join("po:ol.git");
    let _ = clone.ok(["push", "--quiet", pool.to_str().unwrap(), "main"]);
    git(&["clone", "--quiet", "--bare", "--shared", "po:ol.git", "fork.git"]);
    let fork = GitRepo::bare_at(&env, "fork.git");
    fork.hook("pre-receive", hook());
    let _ = clone.ok(["remote", "add", "origin", fork.path().to_str().unwrap()]);
    let world = World { server: fork, clone };
    // The push that takes the secret out: its pack is made against the file that had it.
    let mended = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: db\n";
    world.clone.commit_file("leak.yaml", format!("{mended}{long}"));
    let passed = world.push(["main"]);
    assert_eq!(passed.code(), Some(0), "{passed}");
    assert_judges(&world);
}

#[test]
fn a_server_that_has_only_update() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let hooks = world.server.path().join("hooks");
    std::fs::rename(hooks.join("pre-receive"), hooks.join("update")).unwrap();
    assert_judges(&world);
    // One ref at a time: the good ones pass, and what an earlier ref of the push brought is known then.
    let _ = world.clone.ok(["checkout", "--quiet", "-B", "more", "main"]);
    let good = world.clone.commit_file("more.txt", "more\n");
    world.clone.commit_file("later.yaml", named_secret("later"));
    let mixed = world.push([&format!("{good}:refs/heads/first"), "more:refs/heads/second", ":good"]);
    assert_eq!(mixed.code(), Some(1), "{mixed}");
    assert_eq!(lines_with(&mixed, "  later.yaml").len(), 1, "{mixed}");
    assert_eq!(world.on_server("first"), good);
    assert_eq!((world.on_server("second"), world.on_server("good")), (String::new(), String::new()));
    let wrong = env.run(env.command(hook()).args(["update", "refs/heads/a", "1", "2"]));
    assert_eq!(wrong.code(), Some(2), "{wrong}");
}

/// How many pushes at a time; 100 where `KUBIYA_PUSHES=100` says so.
fn pushes() -> usize {
    std::env::var("KUBIYA_PUSHES").ok().and_then(|number| number.parse().ok()).unwrap_or(20)
}

/// Pushes all at once, every other one with a secret, and says which were accepted.
fn all_at_once(env: &TestEnv, servers: &[&Path]) {
    let clone = GitRepo::init(env, "many");
    clone.commit_file("README.md", "hello\n");
    let mut started = Vec::new();
    for number in 0..pushes() {
        let bad = number % 2 == 1;
        let content = if bad { named_secret(&format!("n{number}")) } else { format!("good {number}\n") };
        let _ = clone.ok(["checkout", "--quiet", "-b", &format!("b{number}"), "main"]);
        clone.commit_file(format!("{number}.yaml"), content);
        let server = servers[number % servers.len()];
        let branch = format!("b{number}:refs/heads/b{number}");
        let mut push = clone.command("git");
        push.args(["push", "--quiet"]).arg(server).arg(&branch);
        push.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        started.push((number, bad, push));
    }
    let running: Vec<_> =
        started.into_iter().map(|(number, bad, mut push)| (number, bad, push.spawn().unwrap())).collect();
    for (number, bad, mut push) in running {
        let accepted = push.wait().unwrap().success();
        assert_eq!(accepted, !bad, "push {number}");
    }
}

#[test]
fn many_pushes_to_one_repository_at_a_time() {
    let env = TestEnv::new();
    let server = GitRepo::init_bare(&env, "one.git");
    server.hook("pre-receive", hook());
    all_at_once(&env, &[server.path()]);
    assert_eq!(server.ok(["for-each-ref"]).lines().count(), pushes().div_ceil(2));
}

#[test]
fn many_pushes_to_many_repositories_at_a_time() {
    let env = TestEnv::new();
    let servers: Vec<_> =
        (0..pushes()).map(|number| GitRepo::init_bare(&env, format!("{number}.git"))).collect();
    servers.iter().for_each(|server| server.hook("pre-receive", hook()));
    let paths: Vec<_> = servers.iter().map(GitRepo::path).collect();
    all_at_once(&env, &paths);
    for (number, server) in servers.iter().enumerate() {
        assert_eq!(server.ok(["for-each-ref"]).lines().count(), usize::from(number % 2 == 0), "{number}");
    }
}

#[test]
fn a_hook_that_is_killed_refuses() {
    let env = TestEnv::new();
    let world = World::new(&env);
    // It waits for input that never comes, and is killed.
    let text = format!(
        "#!/bin/sh\nmkfifo wait\n(sleep 0.2; kill -9 $$) &\nexec {} pre-receive <>wait\n",
        hook().display()
    );
    script(&world, &text);
    world.clone.commit_file("good.txt", "good\n");
    let before = world.on_server("main");
    assert_eq!(world.push(["main"]).code(), Some(1));
    assert_eq!(world.on_server("main"), before);
}

/// Nothing is written, so a full disk changes nothing; nor does a pusher who cannot be told.
#[test]
fn a_full_disk_changes_no_verdict() {
    let env = TestEnv::new();
    let world = World::new(&env);
    script(&world, &format!("#!/bin/sh\nulimit -f 0\nexec {} pre-receive\n", hook().display()));
    assert_judges(&world);
    script(&world, &format!("#!/bin/sh\nexec {} pre-receive 2>/dev/full >/dev/full\n", hook().display()));
    world.clone.commit_file("again.yaml", named_secret("again"));
    assert_eq!(world.push(["work:refs/heads/full"]).code(), Some(1));
    assert_eq!(world.on_server("full"), "");
}

#[test]
fn without_git_what_libgit2_reads_is_judged_and_the_rest_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let lonely = format!("#!/bin/sh\nPATH=/nowhere exec {} pre-receive\n", hook().display());
    script(&world, &lonely);
    world.clone.commit_file("secret.yaml", plain_secret());
    let refused = world.push(["main"]);
    assert_ne!(refused.code(), Some(0), "{refused}");
    // Here only the command can read.
    let _ = env
        .run(env.command("git").args(["init", "--quiet", "--bare", "--object-format=sha256", "new.git"]))
        .success();
    let _ =
        env.run(env.command("git").args(["init", "--quiet", "--object-format=sha256", "clone256"])).success();
    let clone = GitRepo::at(&env, "clone256");
    clone.commit_file("good.txt", "good\n");
    let _ = clone.ok(["remote", "add", "origin", "../new.git"]);
    let server = GitRepo::bare_at(&env, "new.git");
    server.hook("pre-receive", hook());
    let world = World { server, clone };
    script(&world, &lonely);
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "refused, because it cannot be verified").len(), 1, "{refused}");
    assert!(refused.stderr().replace("remote:  ", "").contains("git"), "{refused}");
}

#[test]
fn an_object_that_cannot_be_read_is_named_and_the_push_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = world.server.ok(["config", "receive.fsckObjects", "false"]);
    world.clone.commit_file("deep/one.txt", "one\n");
    let _ = world.push(["main"]).success();
    let folder = world.clone.ok(["rev-parse", "HEAD:deep"]);
    let object = world.server.path().join("objects").join(&folder[..2]).join(&folder[2..]);
    std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&object, "rot").unwrap();
    world.clone.commit_file("deep/two.txt", "two\n");
    let refused = world.push(["main"]);
    assert_ne!(refused.code(), Some(0), "{refused}");
    // Straight to the hook, as the checks of Git itself are not of every server.
    let mut ask = env.command(hook());
    let line =
        format!("{} {} refs/heads/main\n", world.on_server("main"), world.clone.ok(["rev-parse", "HEAD"]));
    std::fs::write(env.root().join("line"), line).unwrap();
    ask.arg("pre-receive").stdin(std::fs::File::open(env.root().join("line")).unwrap());
    ask.env("GIT_DIR", world.server.path());
    ask.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", world.clone.path().join(".git/objects"));
    std::fs::remove_file(world.clone.path().join(".git/objects").join(&folder[..2]).join(&folder[2..]))
        .unwrap();
    let refused = env.run(&mut ask);
    assert_eq!(refused.code(), Some(3), "{refused}");
    assert_eq!(lines_with(&refused, "refused, because it cannot be verified").len(), 1, "{refused}");
}

/// With `PATH` led by a Git of 2.45 or later.
#[test]
#[ignore = "needs git 2.45 or later first on PATH"]
fn a_repository_with_reftable() {
    let env = TestEnv::new();
    let git = |arguments: &[&str]| {
        let _ = env.run(env.command("git").args(arguments)).success();
    };
    git(&["init", "--quiet", "--bare", "--ref-format=reftable", "server.git"]);
    git(&["init", "--quiet", "--ref-format=reftable", "clone"]);
    let server = GitRepo::bare_at(&env, "server.git");
    server.hook("pre-receive", hook());
    let clone = GitRepo::at(&env, "clone");
    clone.commit_file("debt.yaml", named_secret("debt"));
    let _ = clone.ok(["remote", "add", "origin", "../server.git"]);
    let _ = server.ok(["fetch", "--quiet", "../clone", "main:refs/heads/main"]);
    let world = World { server, clone };
    assert_judges(&world);
    world.clone.hook("pre-commit", hook());
    world.clone.write("more.yaml", named_secret("more"));
    let _ = world.clone.ok(["add", "."]);
    let refused = world.clone.git(["commit", "--quiet", "--message", "leak"]);
    assert_eq!(lines_with(&refused, "  --> more.yaml").len(), 1, "{refused}");
}

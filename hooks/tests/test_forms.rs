//! What a push may be besides files in good folders: folders that Git does not write, messages, nothing at all.

use crate::common::{World, hook, lines_with, named_secret, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;
use std::fmt::Write as _;

/// A folder of these entries, whatever they are.
fn folder(repo: &GitRepo<'_>, entries: &[(&str, &str, &str)]) -> String {
    let mut script = String::new();
    for (mode, name, id) in entries {
        let raw = id.as_bytes().chunks(2).fold(String::new(), |mut raw, pair| {
            let byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            write!(raw, "\\{byte:03o}").unwrap();
            raw
        });
        writeln!(script, "printf '{mode} {name}\\000{raw}'").unwrap();
    }
    let script = format!("{{ {script} }} | git hash-object -t tree -w --literally --stdin");
    repo.env().run(repo.command("sh").args(["-c", &script])).success()
}

#[test]
fn folders_that_git_does_not_write_are_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    clone.write("good", "a: 1\n");
    clone.write("bad", plain_secret());
    let good = clone.ok(["hash-object", "-w", "good"]);
    let bad = clone.ok(["hash-object", "-w", "bad"]);
    let below = folder(clone, &[("100644", "q.yaml", &good)]);
    let file = "100644";
    for entries in [
        &[(file, "z.yaml", &*good), (file, "z.yaml", &*bad)][..],
        &[(file, ".sops.yaml", &good), (file, ".sops.yaml", &bad)],
        &[("40000", "docs", &below), ("40000", "docs", &below)],
        &[(file, "docs", &good), ("40000", "docs", &below)],
        &[(file, "docs/q.yaml", &good)],
        &[("40000", ".GIT", &below)],
        &[(file, "..", &good)],
    ] {
        let tree = folder(clone, entries);
        let commit = clone.ok(["commit-tree", &tree, "-p", "HEAD", "-m", "x"]);
        let refused = world.push([&format!("{commit}:refs/heads/x")]);
        assert_eq!(lines_with(&refused, "cannot be verified: object").len(), 1, "{entries:?} {refused}");
        let tagged = world.push([&format!("{tree}:refs/tags/x")]);
        assert_eq!(lines_with(&tagged, "cannot be verified: object").len(), 1, "{entries:?} {tagged}");
    }
}

#[test]
fn a_malformed_folder_of_old_stops_nobody() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let hooks = world.server.path().join("hooks/pre-receive");
    std::fs::remove_file(&hooks).unwrap();
    let good = clone.ok(["rev-parse", "HEAD:README.md"]);
    let below = folder(clone, &[("100644", "q", &good), ("100644", "q", &good)]);
    let tree = folder(clone, &[("100644", "a", &good), ("40000", "old", &below)]);
    let old = clone.ok(["commit-tree", &tree, "-p", "HEAD", "-m", "x"]);
    let _ = world.push([&format!("{old}:refs/heads/main")]).success();
    world.server.hook("pre-receive", hook());
    let tree = folder(clone, &[("100644", "b", &good), ("40000", "old", &below)]);
    let beside = clone.ok(["commit-tree", &tree, "-p", &old, "-m", "x"]);
    assert_snapshot!(world.push([&format!("{beside}:refs/heads/main")]), @"");
    let tree = folder(clone, &[("100644", "b", &good)]);
    let mended = clone.ok(["commit-tree", &tree, "-p", &beside, "-m", "x"]);
    assert_snapshot!(world.push([&format!("{mended}:refs/heads/main")]), @"");
}

/// Pushes `main` by a client of its own making, whose pack holds objects more than the push needs.
fn push_with(world: &World<'_>, more: &[&str]) -> String {
    let old = world.on_server("main");
    let new = world.clone.ok(["rev-parse", "HEAD"]);
    let script = format!(
        r#"{{ line="{old} {new} refs/heads/main"; printf '%04x%s\0 report-status\n0000' $((${{#line}} + 20)) "$line"
             {{ git rev-list --objects {old}..{new} | cut -d' ' -f1; printf '%s\n' {}; }} | git pack-objects --stdout -q
           }} | git receive-pack "{}""#,
        more.join(" "),
        world.server.path().display()
    );
    let answer = world.clone.env().run(world.clone.command("sh").args(["-c", &script]));
    format!("{}{}", String::from_utf8_lossy(answer.stdout()), answer.stderr())
}

#[test]
fn messages_that_nothing_leads_to_are_judged() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    clone.commit_file("a.txt", "a\n");
    let old = world.on_server("main");
    let message = format!("leak\n\n{}", named_secret("loose"));
    let commit = clone.ok(["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", &message]);
    let _ = clone.ok(["tag", "--annotate", "--cleanup=verbatim", "--message", &message, "loose"]);
    let tag = clone.ok(["rev-parse", "loose"]);
    for id in [&commit, &tag] {
        let text = push_with(&world, &[id]);
        assert!(text.contains("ng refs/heads/main pre-receive hook declined"), "{text}");
        assert_eq!(world.on_server("main"), old);
    }
    let harmless = clone.ok(["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "no leak"]);
    let text = push_with(&world, &[&harmless]);
    assert!(text.contains("ok refs/heads/main"), "{text}");
}

#[test]
fn a_private_key_in_a_message_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let identity = "AGE-SECRET-KEY-1XLZ4Y4QMYYVQ4N5A8Q4C5F2V8YCLKMU0EVAJ3KW9WXV5N6H2XEQSNV6WJG";
    world.clone.commit_all(&format!("the key\n\nis {identity}"));
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert!(!refused.to_string().contains("AGE-SECRET-KEY"), "{refused}");
}

#[test]
fn a_hook_that_gets_no_lines_refuses() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let hooks = world.server.path().join("hooks/pre-receive");
    std::fs::remove_file(&hooks).unwrap();
    let script =
        format!("#!/bin/sh\nwhile read -r old new name; do :; done\nexec {} pre-receive\n", hook().display());
    std::fs::write(&hooks, script).unwrap();
    let _ = env.run(env.command("chmod").arg("+x").arg(&hooks)).success();
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: refused, because it cannot be verified: standard input is empty;
    remote:   a script that calls this hook must hand on what Git gives it
    remote: hint: this is no finding but a fault; ask who runs the hook
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn a_tag_on_what_is_there_brings_nothing() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    clone.commit_file("old/secret.yaml", plain_secret());
    let _ = clone.ok(["rm", "--quiet", "-r", "old"]);
    clone.commit_all("gone");
    let _ = world.push(["main"]).success();
    world.server.hook("pre-receive", hook());
    for (name, object) in
        [("blob", "HEAD^:old/secret.yaml"), ("below", "HEAD^:old"), ("tree", "HEAD^^{tree}")]
    {
        let object = clone.ok(["rev-parse", object]);
        let passed = world.push([&format!("{object}:refs/tags/{name}")]);
        assert_eq!(passed.code(), Some(0), "{passed}");
    }
    // What is new in a folder is new.
    clone.write("more", named_secret("more"));
    let new = clone.ok(["hash-object", "-w", "more"]);
    let refused = world.push([&format!("{new}:refs/tags/new")]);
    assert_eq!(refused.code(), Some(1), "{refused}");
}

//! Which objects count as new: everything a push brings or makes reachable, and nothing else.

use crate::common::{World, hook, lines_with, named_secret, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;

#[test]
fn a_secret_that_a_later_commit_removes_is_in_the_history() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("secret.yaml", plain_secret());
    let _ = world.clone.ok(["rm", "--quiet", "secret.yaml"]);
    world.clone.commit_all("take it out");
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: commit 5626fa3478 on refs/heads/main
    remote:   secret.yaml
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:
    remote: hint: Encrypt the file, and if it was ever pushed make a new value:
    remote: hint:   kubectl kubiya encrypt secret.yaml
    remote: hint: It is in an earlier commit of the push, and a later one does not
    remote: hint: take it out of the history. Mark that commit `edit`, mend it, go
    remote: hint: on:
    remote: hint:   git rebase -i 5626fa3478^
    remote: hint:   git commit --all --amend --no-edit && git rebase --continue
    remote: hint: more about it: kubiya-hook explain KBY001
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn a_merge_may_bring_what_no_parent_had() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "side"]);
    world.clone.commit_file("side.txt", "side\n");
    let _ = world.clone.ok(["checkout", "--quiet", "main"]);
    world.clone.commit_file("main.txt", "main\n");
    let _ = world.clone.ok(["merge", "--quiet", "--no-commit", "--no-ff", "side"]);
    let merge = world.clone.commit_file("secret.yaml", plain_secret());
    let refused = world.push(["main"]);
    let place = format!("commit {} on refs/heads/main", &merge[..10]);
    assert_eq!(lines_with(&refused, &place).len(), 1, "{refused}");
}

#[test]
fn a_merge_does_not_report_its_sides_again() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let bare = GitRepo::init_bare(&env, "open.git");
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "side"]);
    world.clone.commit_file("secret.yaml", plain_secret());
    let _ = world.clone.ok(["checkout", "--quiet", "main"]);
    world.clone.commit_file("main.txt", "main\n");
    // The secret is there from before the hook was.
    let open = bare.path().to_str().unwrap();
    let _ = world.clone.ok(["push", "--quiet", open, "main", "side"]);
    bare.hook("pre-receive", hook());
    let _ = world.clone.ok(["merge", "--quiet", "--no-ff", "--no-edit", "side"]);
    assert_snapshot!(world.clone.git(["push", "--quiet", open, "main"]), @"");
}

#[test]
fn tags_are_followed_to_what_they_hold() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.write("loose.yaml", plain_secret());
    let blob = world.clone.ok(["hash-object", "-w", "loose.yaml"]);
    let _ = world.clone.ok(["tag", "plain", &blob]);
    assert_snapshot!(world.push(["plain"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: object 6ab4d8ebaf on refs/tags/plain
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:
    remote: hint: Encrypt the file, and if it was ever pushed make a new value:
    remote: hint:   kubectl kubiya encrypt FILE
    remote: hint: more about it: kubiya-hook explain KBY001
    To $ROOT/server.git
     ! [remote rejected] plain -> plain (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
    let _ = world.clone.ok(["tag", "--annotate", "--message", "one", "first", "plain"]);
    let _ = world.clone.ok(["tag", "--annotate", "--message", "two", "nested", "first"]);
    let refused = world.push(["nested"]);
    assert_eq!(lines_with(&refused, "KBY001]").len(), 1, "{refused}");
    let _ = world.clone.ok(["add", "loose.yaml"]);
    let tree = world.clone.ok(["write-tree"]);
    let refused = world.push([&format!("{tree}:refs/tags/tree")]);
    assert_eq!(lines_with(&refused, "  loose.yaml").len(), 1, "{refused}");
}

#[test]
fn an_annotated_tag_of_a_good_commit_passes() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("a.txt", "a\n");
    let _ = world.clone.ok(["tag", "--annotate", "--message", "release", "v1"]);
    assert_snapshot!(world.push(["v1"]), @"");
    assert_ne!(world.on_server("v1"), "");
}

#[test]
fn the_message_of_a_tag_is_stored_too() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.write("message", plain_secret());
    let _ = world.clone.ok(["tag", "--annotate", "--cleanup=verbatim", "--file", "message", "v1"]);
    let refused = world.push(["v1"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
}

#[test]
fn what_was_there_is_not_reported_again() {
    let env = TestEnv::new();
    let world = World::new(&env);
    // Old debt: pushed before the server had the hook.
    let hooks = world.server.path().join("hooks/pre-receive");
    std::fs::remove_file(&hooks).unwrap();
    let old = world.clone.commit_file("secret.yaml", plain_secret());
    world.clone.commit_file("a.txt", "a\n");
    let _ = world.push(["main"]).success();
    world.server.hook("pre-receive", hook());
    // A new branch on an old commit: the quarantine is empty.
    assert_snapshot!(world.push([&format!("{old}:refs/heads/old")]), @"");
    // A branch that starts in the middle of the history.
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "middle", &old]);
    world.clone.commit_file("b.txt", "b\n");
    assert_snapshot!(world.push(["middle"]), @"");
    // Nothing new, deletion, and both at once.
    assert_snapshot!(world.push(["middle"]), @"");
    assert_snapshot!(world.push([":old"]), @"");
    assert_snapshot!(world.push([":middle", &format!("{old}:refs/heads/again")]), @"");
    assert_eq!(world.on_server("again"), old);
}

#[test]
fn a_commit_that_no_ref_reached_is_new_though_it_was_stored() {
    let env = TestEnv::new();
    let world = World::new(&env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    let leak = world.clone.commit_file("secret.yaml", plain_secret());
    let _ = world.push(["main:refs/heads/gone"]).success();
    let _ = world.push([":gone"]).success();
    world.server.hook("pre-receive", hook());
    let refused = world.push([&format!("{leak}:refs/heads/back")]);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
}

#[test]
fn a_forced_push_is_judged_by_what_is_new_in_it() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("a.txt", "a\n");
    let _ = world.push(["main"]).success();
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    world.clone.commit_file("b.txt", "b\n");
    assert_snapshot!(world.push(["--force", "main"]), @"");
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(world.push(["--force", "main"]).code(), Some(1));
}

#[test]
fn every_ref_of_a_push_is_judged() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("a.txt", "a\n");
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "other", "HEAD^"]);
    world.clone.commit_file("secret.yaml", plain_secret());
    let refused = world.push(["main", "other:refs/meta/anything"]);
    assert_eq!(lines_with(&refused, "on refs/meta/anything").len(), 1, "{refused}");
    assert_eq!(lines_with(&refused, "[remote rejected]").len(), 2, "{refused}");
}

#[test]
fn a_root_commit_is_judged_whole() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = world.clone.ok(["checkout", "--quiet", "--orphan", "fresh"]);
    world.clone.commit_file("secret.yaml", plain_secret());
    world.clone.commit_file("later.txt", "later\n");
    let refused = world.push(["fresh"]);
    assert_eq!(lines_with(&refused, "git rebase -i --root").len(), 1, "{refused}");
}

#[test]
fn a_shallow_push_is_judged_without_its_parents() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("a.txt", "a\n");
    world.clone.commit_file("b.txt", "b\n");
    let url = format!("file://{}", world.clone.path().display());
    let _ = world.clone.ok(["clone", "--quiet", "--depth", "1", &url, "../shallow"]);
    let shallow = GitRepo::at(&env, "shallow");
    shallow.commit_file("secret.yaml", plain_secret());
    let _ = world.server.ok(["config", "receive.shallowUpdate", "true"]);
    let target = world.server.path().to_str().unwrap();
    let refused = shallow.git(["push", "--quiet", target, "HEAD:refs/heads/shallow"]);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
    let _ = shallow.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    shallow.commit_file("c.txt", "c\n");
    assert_snapshot!(shallow.git(["push", "--quiet", target, "HEAD:refs/heads/shallow"]), @"");
}

#[test]
fn objects_that_nothing_leads_to_are_judged_by_themselves() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("a.txt", "a\n");
    world.clone.write("loose.yaml", named_secret("loose"));
    let loose = world.clone.ok(["hash-object", "-w", "loose.yaml"]);
    // A client of its own making: its pack holds one object more than the push needs.
    let old = world.on_server("main");
    let new = world.clone.ok(["rev-parse", "HEAD"]);
    let script = format!(
        r#"{{ line="{old} {new} refs/heads/main"; printf '%04x%s\0 report-status\n0000' $((${{#line}} + 20)) "$line"
             {{ git rev-list --objects {old}..{new} | cut -d' ' -f1; echo {loose}; }} | git pack-objects --stdout -q
           }} | git receive-pack "{}""#,
        world.server.path().display()
    );
    let answer = env.run(world.clone.command("sh").args(["-c", &script]));
    let text = format!("{}{}", String::from_utf8_lossy(answer.stdout()), answer.stderr());
    assert!(text.contains("which no ref of the push reaches"), "{text}");
    assert!(text.contains("ng refs/heads/main pre-receive hook declined"), "{text}");
    assert_eq!(world.on_server("main"), old);
}

#[test]
fn bases_of_a_thin_pack_are_not_of_the_push() {
    let env = TestEnv::new();
    let world = World::new(&env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    // Long enough that the new version is stored as a difference to the old one.
    let filler = (0..400).map(|line| format!("# line {line} of a long comment\n")).collect::<String>();
    world.clone.commit_file("secret.yaml", format!("{filler}{}", plain_secret()));
    let _ = world.push(["main"]).success();
    world.server.hook("pre-receive", hook());
    let _ = world.server.ok(["config", "receive.unpackLimit", "1"]);
    world.clone.commit_file("secret.yaml", format!("{filler}kind: ConfigMap\n"));
    assert_snapshot!(world.push(["main"]), @"");
}

#[test]
fn the_message_of_a_commit_is_stored_too() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.write("good.txt", "good\n");
    world.clone.commit_all(&format!("It leaked\n\nwhat was in it:\n\n{}\nand more: of: it", plain_secret()));
    world.clone.commit_file("later.txt", "later\n");
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "in its message: 10:13").len(), 1, "{refused}");
    assert_eq!(lines_with(&refused, "git rebase -i").len(), 1, "{refused}");
}

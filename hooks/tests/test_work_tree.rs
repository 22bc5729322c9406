//! A work tree that is changed by us beside its owner: what is the owner's stays.

use kubiya_hook::git::ObjectId;
use kubiya_hook::git::work::WorkTree;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;

fn id(text: &str) -> ObjectId {
    ObjectId::from_hex(text.trim().as_bytes()).unwrap()
}

#[test]
fn what_is_staged_is_in_no_commit_and_stays_staged_on_the_way_forward() {
    let env = TestEnv::new();
    let clone = GitRepo::init(&env, "clone");
    let first = clone.commit_file("a.yaml", "a\n");
    let second = clone.commit_file("b.yaml", "b\n");
    let _ = clone.ok(["reset", "--quiet", "--hard", first.as_str()]);
    clone.write("new.yaml", "new\n");
    let _ = clone.ok(["add", "new.yaml"]);
    clone.write("new.yaml", "newer\n");

    let tree = WorkTree::at(clone.path());
    assert_eq!(tree.committed().unwrap().into_iter().collect::<Vec<_>>(), [std::path::Path::new("a.yaml")]);
    tree.move_to(id(&second)).unwrap();
    assert_eq!(clone.ok(["rev-parse", "HEAD"]), second);
    assert_eq!(clone.ok(["show", ":new.yaml"]), "new");
    assert_eq!(std::fs::read_to_string(clone.path().join("new.yaml")).unwrap(), "newer\n");
    // And back, which only a reset does.
    tree.move_to(id(&first)).unwrap();
    assert_eq!(clone.ok(["rev-parse", "HEAD"]), first);
    assert_eq!(std::fs::read_to_string(clone.path().join("new.yaml")).unwrap(), "newer\n");
}

#[test]
fn a_merge_that_is_not_finished_is_seen() {
    let env = TestEnv::new();
    let clone = GitRepo::init(&env, "clone");
    let _ = clone.commit_file("a.yaml", "a\n");
    let _ = clone.ok(["switch", "--quiet", "--create", "side"]);
    let _ = clone.commit_file("b.yaml", "b\n");
    let _ = clone.ok(["switch", "--quiet", "main"]);
    let tree = WorkTree::at(clone.path());
    assert_eq!(tree.unfinished(), None);
    let _ = clone.ok(["merge", "--quiet", "--no-ff", "--no-commit", "side"]);
    assert_eq!(tree.unfinished(), Some("merge"));
    let _ = clone.ok(["merge", "--abort"]);
    let _ = clone.ok(["cherry-pick", "--no-commit", "side"]);
    assert_eq!(tree.unfinished(), None, "nothing keeps this from being committed");
}

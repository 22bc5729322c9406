//! What merges and links make of files that are harmless by themselves.

use crate::common::{CANARY, World, lines_with};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

const GENERATOR: &str = "secretGenerator:\n- name: db\n  files: [token.txt]\n";

/// Two branches on the server: `names` has a kustomization, and `has` the file that it names.
fn sides(world: &World<'_>) {
    let clone = &world.clone;
    let _ = clone.ok(["checkout", "--quiet", "-b", "names"]);
    clone.commit_file("k/kustomization.yaml", GENERATOR);
    let _ = clone.ok(["checkout", "--quiet", "-b", "has", "main"]);
    clone.commit_file("k/token.txt", CANARY);
    let _ = world.push(["names", "has"]).success();
    let _ = clone.ok(["checkout", "--quiet", "main"]);
}

#[test]
fn a_merge_that_gives_a_kustomization_its_plain_file_is_refused() {
    for order in [["names", "has"], ["has", "names"]] {
        let env = TestEnv::new();
        let world = World::new(&env);
        sides(&world);
        for branch in order {
            let _ = world.clone.ok(["merge", "--quiet", "--no-edit", branch]);
        }
        let refused = world.push(["main"]);
        assert_eq!(lines_with(&refused, "  k/token.txt").len(), 1, "{refused}");
        assert_eq!(lines_with(&refused, "KBY007]").len(), 1, "{refused}");
    }
}

#[test]
fn a_reference_that_a_parent_has_is_not_judged_again() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    sides(&world);
    let _ = clone.ok(["checkout", "--quiet", "-b", "both", "names"]);
    let _ = clone.ok(["merge", "--quiet", "--no-edit", "has"]);
    let _ = world.push(["both"]).success();
    world.server.hook("pre-receive", crate::common::hook());
    let _ = clone.ok(["checkout", "--quiet", "main"]);
    clone.commit_file("more.txt", "more\n");
    let _ = clone.ok(["merge", "--quiet", "--no-edit", "both"]);
    assert_snapshot!(world.push(["main"]), @"");
}

#[test]
fn a_generator_that_names_a_link_is_about_what_the_link_leads_to() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let encrypted = std::fs::read(crate::common::good_corpus().join("secret.sops.yaml")).unwrap();
    clone.write("k/token.enc", encrypted);
    clone.link("k/token.txt", "token.enc");
    clone.commit_file("k/kustomization.yaml", GENERATOR);
    assert_snapshot!(world.push(["main"]), @"");
    std::fs::remove_file(clone.path().join("k/token.txt")).unwrap();
    clone.write("k/plain", CANARY);
    clone.link("k/token.txt", "plain");
    clone.commit_all("to a plain file");
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "  k/plain").len(), 1, "{refused}");
    assert_eq!(lines_with(&refused, "KBY007]").len(), 1, "{refused}");
}

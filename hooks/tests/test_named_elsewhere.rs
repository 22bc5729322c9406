//! Files that a kustomization outside of their folders makes Secrets of, as Flux lets it: pushed before it, behind it and
//! together with it.

use crate::common::{CANARY, World, good_corpus, lines_with};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

const GENERATOR: &str = "secretGenerator:\n- name: db\n  envs: [../secrets/db.txt]\n";
const PATCH: &str = "patches:\n- path: ../../patches/db.json\n  target: {kind: Secret}\n";

fn env_file() -> String {
    format!("LEVEL={CANARY}\n")
}

fn patch_file() -> String {
    format!("[{{\"op\": \"add\", \"path\": \"/data/x\", \"value\": \"{CANARY}\"}}]\n")
}

/// A configuration of a program, which has no name.
const CONFIGURATION: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
                             - providers:\n  - secretbox: {keys: [{name: a, secret: aHVudGVyMg==}]}\n";

/// Patches that say that they are of another kind.
fn other_kind(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: any}}\n{data}\n")
}

/// Kustomization and file of each kind of role, with the code that the file is refused with.
fn cases() -> Vec<[(&'static str, String); 3]> {
    vec![
        [
            ("apps/kustomization.yaml", GENERATOR.to_owned()),
            ("secrets/db.txt", env_file()),
            ("KBY007]", String::new()),
        ],
        [
            ("a/b/Kustomization", PATCH.to_owned()),
            ("patches/db.json", patch_file()),
            ("KBY008]", String::new()),
        ],
        [
            ("apps/kustomization.yaml", GENERATOR.replace("db.txt", "config.yaml")),
            ("secrets/config.yaml", CONFIGURATION.to_owned()),
            ("KBY007]", String::new()),
        ],
        [
            ("a/b/Kustomization", PATCH.replace("db.json", "db.yaml")),
            ("patches/db.yaml", other_kind("stringData: {x: hunter2}")),
            ("KBY008]", String::new()),
        ],
        [
            ("a/b/Kustomization", PATCH.replace("db.json", "db.yaml")),
            ("patches/db.yaml", other_kind("data:\n  # of the database\n  x: aHVudGVyMg==")),
            ("KBY008]", String::new()),
        ],
    ]
}

#[test]
fn a_file_that_comes_before_behind_or_with_the_kustomization_that_names_it_is_refused() {
    for [(kustomization, names), (path, content), (code, _)] in cases() {
        for order in ["before", "behind", "together"] {
            let env = TestEnv::new();
            let world = World::new(&env);
            let clone = &world.clone;
            match order {
                "before" => {
                    clone.commit_file(kustomization, &names);
                    let _ = world.push(["main"]).success();
                    clone.commit_file(path, &content);
                }
                "behind" => {
                    clone.commit_file(path, &content);
                    let _ = world.push(["main"]).success();
                    clone.commit_file(kustomization, &names);
                }
                _ => {
                    clone.write(kustomization, &names);
                    clone.commit_file(path, &content);
                }
            }
            let refused = world.push(["main"]);
            assert_eq!(lines_with(&refused, &format!("  {path}")).len(), 1, "{order}: {refused}");
            assert_eq!(lines_with(&refused, code).len(), 1, "{order}: {refused}");
            assert!(!refused.to_string().contains(CANARY), "{refused}");
        }
    }
}

#[test]
fn a_file_that_a_generator_in_a_file_of_its_own_names_is_refused_when_it_comes_behind() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let generator = "apiVersion: builtin\nkind: SecretGenerator\nmetadata: {name: db}\nenvs: [db.txt]\n";
    clone.write("apps/generator.yaml", generator);
    clone.commit_file("apps/kustomization.yaml", "generators: [generator.yaml]\n");
    let _ = world.push(["main"]).success();
    clone.commit_file("apps/db.txt", env_file());
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "  apps/db.txt").len(), 1, "{refused}");
}

#[test]
fn words_of_encryption_alone_hide_no_file_from_the_kustomization_that_names_it() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    clone.commit_file("apps/kustomization.yaml", GENERATOR);
    let _ = world.push(["main"]).success();
    clone.commit_file("secrets/db.txt", format!("# sops enc ENC[\n{}", env_file()));
    assert_eq!(lines_with(&world.push(["main"]), "  secrets/db.txt").len(), 1);
    // What begins like an object, and is none.
    clone.commit_file("secrets/db.txt", format!("apiVersion: v1\nkind: ConfigMap\n{}", env_file()));
    assert_eq!(lines_with(&world.push(["main"]), "  secrets/db.txt").len(), 1);
}

#[test]
fn a_merge_of_a_kustomization_and_a_file_in_another_folder_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let _ = clone.ok(["checkout", "--quiet", "-b", "names"]);
    clone.commit_file("apps/kustomization.yaml", GENERATOR);
    let _ = clone.ok(["checkout", "--quiet", "-b", "has", "main"]);
    clone.commit_file("secrets/db.txt", env_file());
    let _ = world.push(["names", "has"]).success();
    let _ = clone.ok(["merge", "--quiet", "--no-edit", "names"]);
    assert_eq!(lines_with(&world.push(["has"]), "  secrets/db.txt").len(), 1);
}

#[test]
fn a_commit_of_a_file_that_another_folder_makes_a_secret_of_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    clone.commit_file("apps/kustomization.yaml", GENERATOR);
    clone.hook("pre-commit", crate::common::hook());
    clone.write("secrets/db.txt", env_file());
    let _ = clone.ok(["add", "--all"]);
    let refused = clone.git(["commit", "--quiet", "--message", "plain"]);
    assert!(refused.to_string().contains("KBY007"), "{refused}");
}

#[test]
fn what_is_encrypted_or_only_applied_passes_whoever_names_it() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let sealed = std::fs::read(good_corpus().join("secret.sops.yaml")).unwrap();
    let names = "resources: [../objects/map.yaml]\nsecretGenerator:\n- name: db\n  files: [../secrets/db.yaml]\nconfigMapGenerator:\n- name: settings\n  envs: [../settings/app.env]\n";
    clone.commit_file("apps/kustomization.yaml", names);
    clone.write("secrets/db.yaml", sealed);
    clone.write("settings/app.env", "LEVEL=debug\n");
    clone.commit_file(
        "objects/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n",
    );
    assert_snapshot!(world.push(["main"]), @"");
}

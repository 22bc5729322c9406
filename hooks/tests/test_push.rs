//! What a push of bad files gets to read, and that a good one reads nothing.

use crate::common::{CANARY, World, copy_good_corpus, lines_with, named_secret, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

#[test]
fn a_good_repository_passes_and_nothing_is_said() {
    let env = TestEnv::new();
    let world = World::new(&env);
    copy_good_corpus(&world.clone);
    let tip = world.clone.commit_all("all good files");
    assert_snapshot!(world.push(["main"]), @"");
    assert_eq!(world.on_server("main"), tip);
}

#[test]
fn a_plaintext_secret_is_refused_with_what_to_type() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let before = world.on_server("main");
    world.clone.commit_file("apps/db/secret.yaml", plain_secret());
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: commit dc72367042 on refs/heads/main
    remote:   apps/db/secret.yaml
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:
    remote: hint: Encrypt the file, and if it was ever pushed make a new value:
    remote: hint:   kubectl kubiya encrypt apps/db/secret.yaml
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY001
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
    assert_eq!(world.on_server("main"), before);
}

#[test]
fn every_spelling_of_a_document_counts() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let json = format!(
        r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"j"}},"stringData":{{"a":"{CANARY}"}}}}"#
    );
    world.clone.write("one.json", json);
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {{name: l}}\n  stringData:\n    b: {CANARY}\n"
    );
    world.clone.write("list.yaml", list);
    world.clone.write("second.yaml", format!("kind: ConfigMap\n---\n{}", plain_secret()));
    world.clone.write("no-extension", named_secret("n"));
    world.clone.commit_all("four ways");
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: push refused: 4 findings
    remote:
    remote: commit 119543b00c on refs/heads/main
    remote:   list.yaml
    remote:     8:8 items[0].stringData.b: a value of a Secret is plaintext [KBY001]
    remote:   no-extension
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:   one.json
    remote:     1:78 stringData.a: a value of a Secret is plaintext [KBY001]
    remote:   second.yaml
    remote:     8:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:
    remote: hint: Encrypt the file, and if it was ever pushed make a new value:
    remote: hint:   kubectl kubiya encrypt list.yaml
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY001
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn an_encrypted_file_with_a_value_put_in_by_hand_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    copy_good_corpus(&world.clone);
    world.clone.commit_all("all good files");
    let _ = world.push(["main"]).success();
    let encrypted = std::fs::read_to_string(world.clone.path().join("secret.sops.yaml")).unwrap();
    let value = encrypted.find("password: ").unwrap() + "password: ".len();
    let end = value + encrypted[value..].find('\n').unwrap();
    let edited = format!("{}{CANARY}{}", &encrypted[..value], &encrypted[end..]);
    world.clone.commit_file("secret.sops.yaml", edited);
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1));
    assert_eq!(lines_with(&refused, "KBY").len(), 2, "{refused}");
}

#[test]
fn a_file_that_a_rule_governs_must_be_encrypted() {
    let env = TestEnv::new();
    let world = World::new(&env);
    copy_good_corpus(&world.clone);
    world.clone.write("nested/.sops.yaml", "creation_rules:\n  - path_regex: ^vault/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n");
    world.clone.commit_all("rules");
    let _ = world.push(["main"]).success();
    world.clone.write("nested/vault/token.txt", CANARY);
    world.clone.commit_file("nested/vault/app.yaml", format!("database:\n  password: {CANARY}\n"));
    let head = world.clone.ok(["rev-parse", "--short=10", "HEAD"]);
    // The corpus that was copied decides the name of the commit.
    let shown = world.push(["main"]).to_string().replace(head.trim(), "[COMMIT]");
    assert_snapshot!(shown, @"
    ------- stderr -------
    remote: error: push refused: 2 findings
    remote:
    remote: commit [COMMIT] on refs/heads/main
    remote:   nested/vault/app.yaml
    remote:     2:13 database.password: creation rule 1 of .sops.yaml is for this
    remote:       file, and it is not encrypted [KBY003]
    remote:   nested/vault/token.txt
    remote:     1:1 creation rule 1 of .sops.yaml is for this file, and it is not
    remote:       encrypted [KBY003]
    remote:
    remote: hint: Encrypt it:
    remote: hint:   kubectl kubiya encrypt nested/vault/app.yaml
    remote: hint: If it holds no secret, move it out of the rule's path or give it
    remote: hint: another name.
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY003
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn an_unusable_sops_yaml_is_refused_with_its_reason() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.write("apps/.sops.yaml", "creation_rules: 5\n");
    world.clone.write("apps/README.md", "no rule can be about prose\n");
    world.clone.commit_file("apps/values.yaml", "a: b\n");
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding, 1 file that cannot be judged
    remote:
    remote: commit 88d61cd47f on refs/heads/main
    remote:   apps/.sops.yaml
    remote:     1:17 `creation_rules` must be a list [KBY017]
    remote:
    remote: apps/.sops.yaml:1:17 in commit 88d61cd47f cannot be used:
    remote:   `creation_rules` must be a list
    remote:   so nobody can say whether apps/values.yaml must be encrypted
    remote:
    remote: hint: Mend the line that is named, then look again:
    remote: hint:   kubiya-hook scan apps/.sops.yaml
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY017
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn rules_behind_a_link_are_not_read() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.write("rules.yaml", "creation_rules: []\n");
    world.clone.link(".sops.yaml", "rules.yaml");
    world.clone.commit_file("values.yaml", "a: b\n");
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 file that cannot be judged
    remote:
    remote: .sops.yaml in commit a5a2eb4e8c cannot be used: it is a symbolic link
    remote:   so nobody can say whether values.yaml must be encrypted
    remote:
    remote: hint: what cannot be judged is refused; mend it in the same commit
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn files_that_a_kustomization_names_become_secrets() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.write("app/password.txt", CANARY);
    let first = world.clone.commit_all("harmless by itself");
    let _ = world.push(["main"]).success();
    let kustomization = "secretGenerator:\n- name: db\n  files: [password.txt, ../common/token.txt]\n";
    world.clone.commit_file("app/kustomization.yaml", kustomization);
    // Named by a kustomization that changed.
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: push refused: 1 finding
    remote:
    remote: commit 6fe44b563b on refs/heads/main
    remote:   app/password.txt
    remote:     1:1 a secretGenerator names the file, and it is plaintext [KBY007]
    remote:
    remote: hint: Encrypt the file:
    remote: hint:   kubectl kubiya encrypt app/password.txt
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY007
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
    // Named by a kustomization that did not change.
    let _ = world.clone.ok(["reset", "--hard", "--quiet", &first]);
    let _ = world.clone.ok(["rm", "--quiet", "app/password.txt"]);
    world.clone.commit_file("app/kustomization.yaml", kustomization);
    let _ = world.push(["main"]).success();
    world.clone.commit_file("app/password.txt", CANARY);
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "  app/password.txt").len(), 1, "{refused}");
}

#[test]
fn kustomizations_that_name_each_other_end() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let names =
        |other: &str| format!("secretGenerator:\n- name: a\n  envs: [../{other}/kustomization.yaml]\n");
    world.clone.write("a/kustomization.yaml", names("b"));
    world.clone.write("b/kustomization.yaml", names("a"));
    world.clone.commit_all("circle");
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
}

#[test]
fn a_screen_is_enough() {
    let env = TestEnv::new();
    let world = World::new(&env);
    for number in 0..60 {
        world.clone.write(format!("s/{number:02}.yaml"), named_secret(&format!("n{number}")));
    }
    world.clone.commit_all("many");
    let refused = world.push(["main"]);
    let told = lines_with(&refused, "[KBY001]").len();
    assert!(told > 10, "{refused}");
    assert_eq!(lines_with(&refused, &format!("and {} findings more", 60 - told)).len(), 1, "{refused}");
    assert!(lines_with(&refused, "remote:").len() < 45, "{refused}");

    // And so is it for what cannot be judged.
    world.clone.ok(["checkout", "--quiet", "--orphan", "other"]);
    for number in 0..60 {
        world.clone.write(format!("s{number:02}/.sops.yaml"), "creation_rules: [\n");
        world.clone.write(format!("s{number:02}/a.yaml"), "a: b\n");
    }
    world.clone.commit_all("broken");
    let refused = world.push(["other"]);
    let told = lines_with(&refused, "cannot be used:").len();
    assert!(told > 0, "{refused}");
    assert_eq!(lines_with(&refused, &format!("and {} files more", 60 - told)).len(), 1, "{refused}");
    assert!(lines_with(&refused, "remote:").len() < 45, "{refused}");
}

//! `rotate-key --compromised`: what the old key could read, and the list to tick off.

use crate::repository::Repository;
use crate::rotate_key::{encrypted, run};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

/// What uses the Secrets of the repository, in its namespace and in another one.
fn with_uses(env: &TestEnv) -> Repository<'_> {
    let repository = encrypted(env);
    repository.git.write(
        "apps/web.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      \
         containers:\n      - name: web\n        image: web\n        env:\n        - name: PASSWORD\n          \
         valueFrom: {secretKeyRef: {name: db, key: password}}\n        envFrom:\n        - secretRef: {name: env}\n",
    );
    repository.git.write(
        "apps/kustomization.yaml",
        "resources: [web.yaml, db.yaml]\nsecretGenerator:\n- name: env\n  envs: [../env/web.env]\n",
    );
    repository.git.commit_all("uses");
    repository
}

#[test]
fn what_the_old_key_could_read_is_told_and_written_down() {
    let env = TestEnv::new();
    let repository = with_uses(&env);
    let words =
        ["--store-key", "new.agekey", "--stage", "overlap", "--compromised", "--checklist", "leak.md"];
    assert_snapshot!(run(&repository, &words), @"
    ------- stderr -------
         stored new.agekey ([NEW])
        updated .sops.yaml
        renewed apps/db.yaml (new data key)
        renewed env/web.env (new data key)
        exposed apps/db.yaml Secret db: user, password, ca; used by Deployment web
        exposed env/web.env: PASSWORD; used by Deployment web, kustomization
    warning: what is in Git's history stays readable with the old keys: values that leaked need new ones
    ");
    let list = repository.read("leak.md");
    assert_snapshot!(list.replace(&repository.recipient(), "[RECIPIENT]"), @"
    # Values that [RECIPIENT] could read

    Whoever has the key can read these, in Git's history too, whatever the files are encrypted with now. Change each where
    it comes from, encrypt the new value, and tick it off.

    - [ ] `user` of Secret db in `apps/db.yaml`
    - [ ] `password` of Secret db in `apps/db.yaml`
      - Deployment web in `apps/web.yaml`: `spec.template.spec.containers.env.valueFrom.secretKeyRef`
    - [ ] `ca` of Secret db in `apps/db.yaml`

    - [ ] `PASSWORD` in `env/web.env`
      - kustomization in `apps/kustomization.yaml`: `secretGenerator.envs`
      - Deployment web in `apps/web.yaml`: `spec.template.spec.containers.envFrom.secretRef`
    ");
    let ticked = list.replacen("- [ ]", "- [x]", 1);
    repository.git.write("leak.md", &ticked);
    let words = ["rotate-key", "--no-cluster", "--compromised", "--checklist", "leak.md", "-o", "json"];
    let keys = ["--new-age-key-file", "new.agekey", "--age-key-file", "age.agekey"];
    let output = repository.command(&[&words[..], &keys[..]].concat()).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["exposed"][0]["name"], "db");
    assert_eq!(report["exposed"][0]["keys"][1], "password");
    assert_eq!(report["exposed"][0]["used"][0]["object"], "Deployment web");
    assert_eq!(report["exposed"][1]["path"], "env/web.env");
    assert_eq!(repository.read("leak.md"), ticked, "what is ticked stays ticked");
    let shown = run(&repository, &["--checklist", "leak.md", "--store-key", "another.agekey"]);
    assert!(shown.contains("--compromised"), "{shown}");
}

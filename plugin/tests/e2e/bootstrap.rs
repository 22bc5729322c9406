//! The main job: from an empty hub to a decrypted Secret on the worker, and what a re-run finds.

use crate::world::{World, secret};
use kubiya_policies::sops::age::{Identity, IdentityFile};
use kubiya_testdata::harness::eventually;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// A Kustomization that applies a folder of the repository to the worker.
const TO_WORKER: &str = "\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps-worker01, namespace: flux-system}
spec:
  interval: 10m
  path: ./apps/worker01
  prune: true
  sourceRef: {kind: GitRepository, name: flux-system}
  decryption: {provider: sops, secretRef: {name: sops-age}}
  kubeConfig: {secretRef: {name: worker01-kubeconfig}}
";

#[test]
fn from_an_empty_hub_to_a_decrypted_secret_on_the_worker_and_a_rerun_writes_nothing() {
    let world = World::new();
    world.write_encrypted("repo/apps/worker01/db.yaml", &secret("on-the-worker", "hunter2"), &world.identity);
    world.write_encrypted("repo/clusters/infra/db.yaml", &secret("on-the-hub", "hunter1"), &world.identity);
    world.write("repo/clusters/infra/worker01.yaml", TO_WORKER);
    world.push();
    let worker = ["--worker", "worker01=worker01"];

    let said = world.bootstrap(&worker);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("applied main@sha1:"), "{}", said.stderr);
    // What --wait promised is true at once on the hub.
    assert_eq!(world.hub(&["secret", "on-the-hub"], "{.data.password}"), "aHVudGVyMQ==");
    let there = world.rig.worker("worker01").unwrap();
    eventually("the Secret is on the worker", LONG, || {
        Ok(there.run(["get", "secret", "on-the-worker", "-o", "jsonpath={.data.password}"])?
            == "aHVudGVyMg==")
    })
    .unwrap();
    // Nothing of the key outside of the Secret's data.
    let annotations = world.hub(&["secret", "sops-age", "-n", "flux-system"], "{.metadata.annotations}");
    assert!(!annotations.contains("last-applied"), "{annotations}");

    let before = world.versions();
    let again = world.bootstrap(&[&worker[..], &["-o", "json"]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    let result: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(result["changed"], 0, "{}", again.stdout);
    assert_eq!(before, world.versions());
    for who in ["client", "server"] {
        let dry = world.bootstrap(&[&worker[..], &[&format!("--dry-run={who}")]].concat());
        assert!(dry.code == 0 && dry.stderr.contains("nothing would change"), "{}", dry.stderr);
    }
    there.run(["delete", "secret", "on-the-worker"]).unwrap();
}

#[test]
fn flux_kubiya_is_the_same_and_global_flags_come_first() {
    let world = World::new();
    let said = world.flux_bootstrap(&["--context", "hub"], &["--wait=false"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("next: flux --context hub get kustomizations"), "{}", said.stderr);
    // The real flux CLI is content with what was installed.
    let flux = world.rig.bin("flux");
    eventually("flux check passes", LONG, || {
        Ok(world.command(&flux).args(["--context", "hub", "check"]).output()?.status.success())
    })
    .unwrap();
    let wrong = world.flux_bootstrap(&[], &["--branch", "nowhere"]);
    assert!(wrong.code == 3 && wrong.stderr.contains("has no branch `nowhere`"), "{}", wrong.stderr);
}

#[test]
fn without_manifests_the_flux_cli_on_path_gives_them() {
    let world = World::new();
    // The real CLI; this one was built without the manifest of a controller that the rig cannot run.
    let components = "--components=source-controller,kustomize-controller,helm-controller";
    let shim = format!("#!/bin/sh\nexec {} \"$@\" {components}\n", world.rig.bin("flux").display());
    world.write_program("path/flux", &shim);
    let url = world.url();
    let words = [
        "kubiya",
        "bootstrap",
        "--context",
        "hub",
        "--url",
        &url,
        "--path",
        "clusters/infra",
        "--age-key-file",
        "age.agekey",
        "--allow-loopback",
        "--dry-run=client",
    ];
    let output = world.command(&world.rig.bin("kubectl")).args(words).output().unwrap();
    let said = world.said(output);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("3 Deployment"), "{}", said.stderr);
}

#[test]
fn looking_first_changes_nothing() {
    let world = World::new();
    for flag in ["--dry-run", "--dry-run=server", "--export"] {
        let said = world.bootstrap(&[flag, "--worker", "worker01=worker01"]);
        assert_eq!(said.code, 0, "{flag}: {}", said.stderr);
        assert_eq!(world.versions(), "", "{flag}");
        assert_eq!(world.hub(&["namespace", "flux-system"], "{.metadata.name}"), "", "{flag}");
    }
}

#[test]
fn identities_that_are_there_stay() {
    let world = World::new();
    let first = world.bootstrap(&["--wait=false"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let other = Identity::generate();
    use secrecy::ExposeSecret as _;
    world.write("other.agekey", &format!("{}\n", other.expose_line().expose_secret()));
    let second = world.bootstrap(&["--wait=false", "--age-key-file", "other.agekey"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let entry = world.hub(&["secret", "sops-age", "-n", "flux-system"], "{.data.age\\.agekey}");
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(entry).unwrap();
    assert_eq!(IdentityFile::parse(&bytes).unwrap().identities(), [world.identity.clone(), other]);
}

#[test]
fn controllers_that_were_deleted_come_back_and_drift_is_healed() {
    let world = World::new();
    assert_eq!(world.bootstrap(&[]).code, 0);
    world.rig.hub().run(["-n", "flux-system", "delete", "deployment", "kustomize-controller"]).unwrap();
    let patch = r#"{"spec":{"decryption":null}}"#;
    world
        .rig
        .hub()
        .run(["-n", "flux-system", "patch", "kustomization", "flux-system", "--type=merge", "-p", patch])
        .unwrap();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("created Deployment flux-system/kustomize-controller"), "{}", said.stderr);
    assert!(said.stderr.contains("configured Kustomization flux-system/flux-system"), "{}", said.stderr);
    let name = world
        .hub(&["kustomization", "flux-system", "-n", "flux-system"], "{.spec.decryption.secretRef.name}");
    assert_eq!(name, "sops-age");
}

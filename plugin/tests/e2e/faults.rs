//! What goes wrong on a cluster: said with the cluster's own cause, and healed by the next run.

use crate::world::{World, secret};
use kubiya_policies::sops::age::Identity;
use kubiya_testdata::harness::eventually;
use std::process::Command;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// An object that waits for a definition, which somebody may yet bring.
const UNKNOWN_KIND: &str = "apiVersion: example.com/v1\nkind: Unknown\nmetadata: {name: unknown}\n";

#[test]
fn a_file_for_another_key_is_found_before_anything_is_written_and_the_right_key_heals_it() {
    let world = World::new();
    let other = Identity::generate();
    world.write_encrypted("repo/clusters/infra/db.yaml", &secret("for-another-key", "hunter2"), &other);
    world.push();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    let wanted = "clusters/infra/db.yaml: none of the keys that Flux will have opens this file";
    assert!(said.stderr.contains(wanted), "{}", said.stderr);
    assert!(said.stderr.contains(&format!("it is for {}", other.recipient().unwrap())), "{}", said.stderr);
    assert_eq!(world.versions(), "");
    use secrecy::ExposeSecret as _;
    world.write("right.agekey", &format!("{}\n", other.expose_line().expose_secret()));
    let healed = world.bootstrap(&["--age-key-file", "right.agekey"]);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
}

#[test]
fn a_malformed_identity_on_the_cluster_is_found_before_anything_is_written() {
    let world = World::new();
    world.rig.hub().run(["create", "namespace", "flux-system"]).unwrap();
    let words = [
        "-n",
        "flux-system",
        "create",
        "secret",
        "generic",
        "sops-age",
        "--from-literal=age.agekey=AGE-SECRET-KEY-1BROKEN",
    ];
    world.rig.hub().run(words).unwrap();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(
        said.stderr
            .contains("the Secret flux-system/sops-age on the cluster has a malformed entry `age.agekey`"),
        "{}",
        said.stderr
    );
    assert_eq!(world.hub(&["crd", "gitrepositories.source.toolkit.fluxcd.io"], "{.metadata.name}"), "");
}

#[test]
fn fields_of_another_manager_are_taken_over_only_when_told() {
    let world = World::new();
    world.rig.hub().run(["create", "namespace", "flux-system"]).unwrap();
    // Somebody who keeps the Secret as it is, here with another key.
    use secrecy::ExposeSecret as _;
    world.write("by-hand.agekey", &format!("{}\n", Identity::generate().expose_line().expose_secret()));
    let file = format!("--from-file=age.agekey={}", world.path("by-hand.agekey").display());
    let create = ["-n", "flux-system", "create", "secret", "generic", "sops-age", &file];
    world.rig.hub().run([&create[..], &["--field-manager=operator"]].concat()).unwrap();
    let said = world.bootstrap(&["--wait=false"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    // Nothing was written, not even what could have been.
    assert_eq!(world.hub(&["crd", "gitrepositories.source.toolkit.fluxcd.io"], "{.metadata.name}"), "");
    let wanted = "Secret flux-system/sops-age: others set these fields: data.age.agekey of `operator`";
    assert!(said.stderr.contains(wanted) && said.stderr.contains("--force-conflicts"), "{}", said.stderr);
    let forced = world.bootstrap(&["--wait=false", "--force-conflicts"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
}

#[test]
fn somebody_without_permissions_changes_nothing() {
    let world = World::new();
    let said = world.bootstrap(&["--as", "jane"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("User \"jane\" cannot"), "{}", said.stderr);
    assert_eq!(world.versions(), "");
}

#[test]
fn a_worker_that_does_not_accept_us_is_left_out_or_stops_all_before_anything_is_written() {
    let world = World::new();
    let ca = world
        .rig
        .worker("worker01")
        .unwrap()
        .run(["config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster}"])
        .unwrap();
    let text = format!(
        "{{current-context: w, clusters: [{{name: w, cluster: {ca}}}], users: [{{name: u, user: {{token: CANARY}}}}], \
         contexts: [{{name: w, context: {{cluster: w, user: u}}}}]}}"
    );
    world.write("worker.yaml", &text);
    let worker = ["--worker-kubeconfig", "worker01=worker.yaml"];
    let said = world.bootstrap(&[&worker[..], &["--all-or-nothing"]].concat());
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(
        said.stderr.contains("worker worker01: the API server of `w` does not accept the credentials"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("CANARY"), "{}", said.stderr);
    assert_eq!(world.versions(), "");
    // Unless all or nothing is wanted, it keeps neither the infra cluster nor another worker.
    let said =
        world.bootstrap(&[&worker[..], &["--worker", "worker02=worker02", "--copy-credentials"]].concat());
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert!(said.stderr.contains("left out worker worker01: the API server"), "{}", said.stderr);
    assert!(said.stderr.contains("created Secret flux-system/worker02-kubeconfig"), "{}", said.stderr);
    assert!(said.stderr.contains("applied main@sha1:"), "{}", said.stderr);
    // Also where nothing was to be written elsewhere.
    let again =
        world.bootstrap(&[&worker[..], &["--worker", "worker02=worker02", "--copy-credentials"]].concat());
    assert_eq!(again.code, 5, "{}", again.stderr);
}

#[test]
fn a_deadline_says_what_is_missing_and_a_rerun_goes_on() {
    let world = World::new();
    world.write("repo/clusters/infra/unknown.yaml", UNKNOWN_KIND);
    world.push();
    let said = world.bootstrap(&["--timeout", "10s"]);
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(said.stderr.contains("no matches for kind"), "{}", said.stderr);
    world.write("repo/clusters/infra/unknown.yaml", "");
    world.push();
    let healed = world.bootstrap(&[]);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
}

#[test]
fn what_cannot_succeed_ends_the_wait_and_counts_for_nothing_in_the_next_run() {
    let world = World::new();
    let other = Identity::generate();
    // In a place that only Flux looks at: the preflight does not follow generators.
    world.write(
        "repo/clusters/infra/kustomization.yaml",
        "secretGenerator: [{name: made, namespace: default, envs: [a.env]}]\n",
    );
    world.write("repo/clusters/infra/a.env", "PASSWORD=hunter2\n");
    let recipient = other.recipient().unwrap();
    let words = ["encrypt", "--in-place", "--age", &recipient];
    let sops = world
        .command(&world.rig.bin("sops"))
        .args(words)
        .arg(world.path("repo/clusters/infra/a.env"))
        .output();
    assert!(sops.unwrap().status.success());
    world.push();
    let said = world.bootstrap(&["--timeout", "5m"]);
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert!(said.stderr.contains("error: Kustomization flux-system/flux-system failed"), "{}", said.stderr);
    assert!(said.stderr.contains("BuildFailed: error decrypting sources"), "{}", said.stderr);
    // The same revision, at which Flux has failed already: what it says now is older than the key.
    use secrecy::ExposeSecret as _;
    world.write("right.agekey", &format!("{}\n", other.expose_line().expose_secret()));
    let healed = world.bootstrap(&["--age-key-file", "right.agekey"]);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
    // A folder that only a clone has.
    world.write("repo/clusters/next/first.yaml", "");
    world.git(&["add", "--all"]);
    world.git(&["commit", "--quiet", "-m", "not pushed"]);
    let said =
        world.bootstrap(&["--path", "clusters/next", "--repo", "repo", "--age-key-file", "right.agekey"]);
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert!(said.stderr.contains("kustomization path not found"), "{}", said.stderr);
}

#[test]
fn ctrl_c_says_so_and_a_rerun_goes_on() {
    let world = World::new();
    world.write("repo/clusters/infra/unknown.yaml", UNKNOWN_KIND);
    world.push();
    let child = world.begin_bootstrap(&[]);
    eventually("the sync is there", LONG, || {
        let words = ["get", "kustomization", "flux-system", "-n", "flux-system", "-o", "name"];
        Ok(!world.rig.hub().run(words)?.is_empty())
    })
    .unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let said = world.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 130, "{}", said.stderr);
    assert!(said.stderr.contains("error: interrupted"), "{}", said.stderr);
    world.write("repo/clusters/infra/unknown.yaml", "");
    world.push();
    let healed = world.bootstrap(&[]);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
}

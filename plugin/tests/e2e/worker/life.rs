//! Renewing, listing and removing workers.

use super::{LONG, Workers};
use crate::world::config_map;
use kubiya_testdata::harness::eventually;

#[test]
fn a_renewed_worker_has_a_new_token_and_the_old_one_is_refused() {
    let workers = Workers::new();
    assert_eq!(workers.add(&["worker01", "--duration", "20d"]).code, 0);
    let old = workers.stored("worker01");
    let listed = workers.run(&["list", "--expiring", "30d"]);
    assert!(listed.code == 1 && listed.stdout.contains("worker01"), "{}{}", listed.stdout, listed.stderr);
    let said = workers.run(&["renew", "--all", "--expiring", "30d"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("renewed worker01: until "), "{}", said.stderr);
    // Refused by the time that it is said.
    assert!(!workers.whoami(&old).starts_with("system:serviceaccount"), "{}", workers.whoami(&old));
    assert!(workers.whoami(&workers.stored("worker01")).starts_with("system:serviceaccount:kubiya-"));
    let listed = workers.run(&["list", "--expiring", "30d"]);
    assert_eq!((listed.code, listed.stdout.as_str()), (0, ""), "{}", listed.stderr);
    let again = workers.run(&["renew", "--all", "--expiring", "30d"]);
    assert!(again.code == 0 && again.stderr.contains("nothing to renew"), "{}", again.stderr);
}

#[test]
fn what_cannot_be_renewed_says_why_and_does_not_keep_the_others() {
    let workers = Workers::new();
    assert_eq!(workers.add(&["worker01"]).code, 0);
    assert_eq!(workers.add(&["worker02", "--copy-credentials"]).code, 0);
    let said = workers.run(&["renew", "worker01", "worker02"]);
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert!(said.stderr.contains("renewed worker01"), "{}", said.stderr);
    assert!(said.stderr.contains("the credentials of worker `worker02` were copied"), "{}", said.stderr);
    let said = workers.run(&["renew", "worker03"]);
    assert!(said.code == 2 && said.stderr.contains("(it knows: worker01, worker02)"), "{}", said.stderr);
    // Scoped credentials cannot make their successors; the operator's can.
    assert_eq!(workers.add(&["worker01", "--scope-namespaces", "apps"]).code, 0);
    let said = workers.run(&["renew", "worker01"]);
    assert!(said.code == 3 && said.stderr.contains("they reach some namespaces only"), "{}", said.stderr);
    let said = workers.run(&["renew", "worker01", "--worker-context", "worker02"]);
    assert!(said.code == 2 && said.stderr.contains("is another cluster"), "{}", said.stderr);
    let said = workers.run(&["renew", "worker01", "--worker-context", "worker01"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn the_list_says_what_is_known_and_asks_only_when_told() {
    let workers = Workers::new();
    let said = workers.run(&["list"]);
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (0, "", "no workers\n"));
    assert_eq!(workers.add(&["worker01"]).code, 0);
    assert_eq!(workers.add(&["worker02", "--copy-credentials"]).code, 0);
    let said = workers.run(&["list", "-o", "name"]);
    assert_eq!(said.stdout, "worker/worker01\nworker/worker02\n");
    let said = workers.run(&["list"]);
    assert!(said.stdout.contains("worker01   minted       365d"), "{}", said.stdout);
    assert!(!said.stdout.contains("v1."), "{}", said.stdout);
    let said = workers.run(&["list", "-o", "wide"]);
    assert!(said.stdout.contains("v1.36.3"), "{}", said.stdout);
    let said = workers.run(&["list", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(list["items"][0]["version"], "v1.36.3");
    assert_eq!(list["items"][1]["credential"], "copied");
}

/// A Kustomization that nothing puts back.
fn apply_to_worker(workers: &Workers) {
    let manifest = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {name: apps, namespace: flux-system}\n\
         spec:\n  interval: 10m\n  path: ./apps\n  prune: true\n\
         \u{20} sourceRef: {kind: GitRepository, name: flux-system}\n\
         \u{20} kubeConfig: {secretRef: {name: worker01-kubeconfig}}\n";
    workers.world.rig.hub().apply(manifest).unwrap();
    let there = workers.there("worker01");
    eventually("it is on the worker", LONG, || {
        Ok(!there.run(["get", "configmap", "of-apps", "--ignore-not-found", "-o", "name"])?.is_empty())
    })
    .unwrap();
    eventually("Flux has written down what it delivered", LONG, || {
        let words = ["kustomization", "apps", "-n", "flux-system"];
        Ok(workers.world.hub(&words, "{.status.inventory.entries[*].id}").contains("of-apps"))
    })
    .unwrap();
}

#[test]
fn a_worker_is_removed_with_or_without_what_flux_applied() {
    let workers = Workers::new();
    workers.world.write("repo/apps/map.yaml", &config_map("of-apps"));
    workers.world.push();
    assert_eq!(workers.add(&["worker01"]).code, 0);
    assert_eq!(workers.world.bootstrap(&[]).code, 0);
    let there = workers.there("worker01");
    for (flag, stays) in [("--orphan", true), ("--prune", false)] {
        assert_eq!(workers.add(&["worker01"]).code, 0);
        apply_to_worker(&workers);
        let undecided = workers.run(&["remove", "worker01"]);
        assert!(
            undecided.code == 2 && undecided.stderr.contains("--prune deletes it there"),
            "{}",
            undecided.stderr
        );
        let token = workers.stored("worker01");
        let said = workers.run(&["remove", "worker01", flag]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(!workers.whoami(&token).starts_with("system:serviceaccount"));
        assert_eq!(workers.stored("worker01"), "");
        let found = there.run(["get", "configmap", "of-apps", "--ignore-not-found", "-o", "name"]).unwrap();
        assert_eq!(!found.is_empty(), stays, "{flag}");
        // Nothing of ours is left; the worker itself takes away what belongs to the namespace.
        eventually("the worker is clean", LONG, || {
            let ours = ["-l", "app.kubernetes.io/managed-by=kubectl-kubiya", "-o", "name"];
            Ok(there.run([&["get", "clusterrolebindings,namespaces"], &ours[..]].concat())?.is_empty())
        })
        .unwrap();
    }
    let gone = workers.run(&["remove", "worker01", "--prune"]);
    assert!(gone.code == 2 && gone.stderr.contains("knows no worker `worker01`"), "{}", gone.stderr);
}

#[test]
fn what_comes_from_git_must_go_there_first() {
    let workers = Workers::new();
    workers.world.write("repo/apps/map.yaml", &config_map("of-apps"));
    workers.world.write(
        "repo/clusters/infra/apps.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {name: apps, namespace: flux-system}\n\
         spec:\n  interval: 10m\n  path: ./apps\n  prune: true\n  deletionPolicy: Orphan\n\
         \u{20} sourceRef: {kind: GitRepository, name: flux-system}\n\
         \u{20} kubeConfig: {secretRef: {name: worker01-kubeconfig}}\n",
    );
    workers.world.push();
    assert_eq!(workers.add(&["worker01"]).code, 0);
    assert_eq!(workers.world.bootstrap(&[]).code, 0);
    let said = workers.run(&["remove", "worker01", "--orphan"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr.contains(
            "Kustomization flux-system/apps comes from Git, by Kustomization flux-system/flux-system"
        ),
        "{}",
        said.stderr
    );
    assert!(!workers.stored("worker01").is_empty());
    std::fs::remove_file(workers.world.path("repo/clusters/infra/apps.yaml")).unwrap();
    workers.world.push();
    assert_eq!(workers.world.bootstrap(&[]).code, 0);
    eventually("Flux took it away", LONG, || {
        Ok(workers.world.hub(&["kustomizations", "-n", "flux-system"], "{.items[*].metadata.name}")
            == "flux-system")
    })
    .unwrap();
    let said = workers.run(&["remove", "worker01"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn a_dead_worker_does_not_block_its_removal() {
    let workers = Workers::new();
    assert_eq!(workers.world.bootstrap(&[]).code, 0);
    assert_eq!(workers.add(&["worker01"]).code, 0);
    let manifest = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {name: dead, namespace: flux-system}\n\
         spec:\n  interval: 10m\n  path: ./clusters/infra\n  prune: true\n\
         \u{20} sourceRef: {kind: GitRepository, name: flux-system}\n\
         \u{20} kubeConfig: {secretRef: {name: worker01-kubeconfig}}\n";
    workers.world.rig.hub().apply(manifest).unwrap();
    // The same worker at an address where nobody answers: as one that is gone.
    let dead =
        workers.stored("worker01").replace(&server(&workers.stored("worker01")), "https://127.0.0.1:1");
    let patch = serde_json::json!({"stringData": {"value": dead}}).to_string();
    let hub = workers.world.rig.hub();
    hub.run(["-n", "flux-system", "patch", "secret", "worker01-kubeconfig", "-p", &patch]).unwrap();
    let said = workers.run(&["remove", "worker01", "--prune"]);
    assert!(said.code == 3 && said.stderr.contains("nothing was changed"), "{}", said.stderr);
    assert!(said.stderr.contains("--unreachable"), "{}", said.stderr);
    let said = workers.run(&["remove", "worker01", "--unreachable"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("should the worker come back"), "{}", said.stderr);
    assert_eq!(workers.stored("worker01"), "");
    let left = workers.world.hub(&["kustomizations", "-n", "flux-system"], "{.items[*].metadata.name}");
    assert_eq!(left, "flux-system");
}

/// The address in a kubeconfig.
fn server(kubeconfig: &str) -> String {
    let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: "));
    line.unwrap().to_owned()
}

//! `worker check` on what is broken on purpose, and on what is not.

use super::{LONG, Workers};
use crate::world::{config_map, secret};
use kubiya_policies::sops::age::Identity;
use kubiya_testdata::harness::eventually;
use serde_json::Value;

/// A Kustomization that applies `apps/NAME` to a worker, with more in its spec.
fn kustomization(name: &str, more: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {{name: {name}, namespace: flux-system}}\n\
         spec:\n  interval: 10m\n  path: ./apps/{name}\n  prune: true\n\
         \u{20} sourceRef: {{kind: GitRepository, name: flux-system}}\n{more}"
    )
}

const TO_WORKER: &str = "  kubeConfig: {secretRef: {name: worker01-kubeconfig}}\n";
const DECRYPTED: &str = "  decryption: {provider: sops, secretRef: {name: sops-age}}\n";

impl Workers {
    /// The findings about worker01: state and what each is about.
    fn findings(&self) -> Vec<(String, String)> {
        let said = self.run(&["check", "worker01", "-o", "json"]);
        let result: Value = serde_json::from_str(&said.stdout).unwrap();
        let findings = result["items"][0]["findings"].as_array().unwrap();
        let broken = findings.iter().any(|finding| finding["level"] == "error");
        assert_eq!(said.code, i32::from(broken), "{}", said.stdout);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        findings.iter().map(|finding| (text(&finding["state"]), text(&finding["about"]))).collect()
    }

    /// Waits until a finding is there: Flux takes its time to fail.
    fn until_found(&self, state: &str, about: &str) {
        let wanted = (state.to_owned(), about.to_owned());
        eventually(&format!("{state} is found about {about}"), LONG, || {
            let findings = self.findings();
            Ok(findings.contains(&wanted))
        })
        .unwrap();
    }
}

#[test]
fn what_works_is_ok_and_each_broken_delivery_has_its_name_and_its_fix() {
    let workers = Workers::new();
    let world = &workers.world;
    let other = Identity::generate();
    world.write("repo/apps/good/map.yaml", &config_map("of-good"));
    world.write_encrypted("repo/apps/good/db.yaml", &secret("of-good", "hunter2"), &world.identity);
    world.write_encrypted("repo/apps/worker01-hub/db.yaml", &secret("of-stray", "hunter2"), &world.identity);
    world.write_encrypted("repo/apps/other-key/db.yaml", &secret("of-other", "hunter2"), &other);
    world.write_encrypted("repo/apps/no-decryption/db.yaml", &secret("of-none", "hunter2"), &world.identity);
    world.write("repo/apps/no-namespace/map.yaml", &config_map("of-lost").replace("default", "nowhere"));
    world.push();
    assert_eq!(workers.add(&["worker01"]).code, 0);
    assert_eq!(world.bootstrap(&[]).code, 0);
    let hub = world.rig.hub();
    hub.apply(&kustomization("good", &format!("{TO_WORKER}{DECRYPTED}"))).unwrap();
    eventually("the good one is ready", LONG, || {
        let words = ["kustomization", "good", "-n", "flux-system"];
        Ok(world.hub(&words, "{.status.conditions[?(@.type=='Ready')].status}") == "True")
    })
    .unwrap();
    let said = workers.run(&["check", "--all"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("worker01: ok\n"), "{}", said.stdout);
    assert!(said.stdout.contains("  ready: Kustomization flux-system/good\n"), "{}", said.stdout);

    // The Secret is on the infra cluster only.
    hub.apply(&kustomization("worker01-hub", DECRYPTED)).unwrap();
    workers.until_found("only-on-hub", "Kustomization flux-system/worker01-hub");
    hub.run(["-n", "flux-system", "delete", "kustomization", "worker01-hub"]).unwrap();
    // A patch puts everything elsewhere.
    hub.apply(&kustomization("good", &format!("{TO_WORKER}{DECRYPTED}  targetNamespace: kube-public\n")))
        .unwrap();
    workers.until_found("only-on-hub", "Kustomization flux-system/good");
    hub.apply(&kustomization("good", &format!("{TO_WORKER}{DECRYPTED}"))).unwrap();
    // Flux has not the key; decryption is not on; the namespace is on no cluster but the infra cluster.
    hub.apply(&kustomization("other-key", &format!("{TO_WORKER}{DECRYPTED}"))).unwrap();
    workers.until_found("decryption", "Kustomization flux-system/other-key");
    hub.run(["-n", "flux-system", "delete", "kustomization", "other-key"]).unwrap();
    hub.apply(&kustomization("no-decryption", TO_WORKER)).unwrap();
    workers.until_found("decryption", "Kustomization flux-system/no-decryption");
    hub.run(["-n", "flux-system", "delete", "kustomization", "no-decryption"]).unwrap();
    hub.apply(&kustomization("no-namespace", TO_WORKER)).unwrap();
    workers.until_found("namespace-missing", "Kustomization flux-system/no-namespace");
    hub.run(["-n", "flux-system", "delete", "kustomization", "no-namespace"]).unwrap();

    // Credentials that may not do what the Kustomizations do there are refused, by what these apply.
    let there = workers.there("worker01");
    let token = there.run(["-n", "default", "create", "token", "default"]).unwrap();
    let cluster = there.run(["config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster}"]).unwrap();
    let poor = format!(
        "{{current-context: w, clusters: [{{name: w, cluster: {cluster}}}], users: [{{name: u, user: {{token: {}}}}}], \
         contexts: [{{name: w, context: {{cluster: w, user: u}}}}]}}",
        token.trim()
    );
    world.write("poor.yaml", &poor);
    let said =
        workers.add(&["worker01", "--copy-credentials", "--worker-kubeconfig", "poor.yaml", "--replace"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    for lacking in ["configmaps in namespace default", "secrets in namespace default", "verbs:"] {
        assert!(said.stderr.contains(lacking), "{lacking}\n{}", said.stderr);
    }

    // What was delivered and went.
    eventually("the good one is ready again", LONG, || Ok(workers.findings().is_empty())).unwrap();
    workers.there("worker01").run(["delete", "secret", "of-good"]).unwrap();
    workers.until_found("not-delivered", "Kustomization flux-system/good");
    let said = workers.run(&["check", "worker01"]);
    assert!(said.stdout.contains("it says that it has delivered Secret default/of-good"), "{}", said.stdout);
    workers.there("worker01").run(["delete", "configmap", "of-good"]).unwrap();
}

#[test]
fn credentials_that_are_refused_and_a_worker_that_does_not_answer() {
    let workers = Workers::new();
    assert_eq!(workers.add(&["worker01"]).code, 0);
    let there = workers.there("worker01");
    there.run(["-n", &workers.namespace("worker01"), "delete", "secrets", "--all"]).unwrap();
    workers.until_found("refused", "worker01");
    let said = workers.run(&["check", "worker01"]);
    assert!(said.stdout.contains("fix: kubectl kubiya worker --context hub add worker01"), "{}", said.stdout);
    assert_eq!(workers.add(&["worker01", "--scope-namespaces", "apps", "--duration", "10d"]).code, 0);
    assert_eq!(workers.findings(), [("expiry".to_owned(), "worker01".to_owned())]);
    let said = workers.run(&["check", "nowhere"]);
    assert!(said.code == 2 && said.stderr.contains("knows no worker `nowhere`"), "{}", said.stderr);
}

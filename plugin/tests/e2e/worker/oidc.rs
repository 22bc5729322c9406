//! Workers that trust the infra cluster's issuer, and the tokens that are for one of them only.

use super::{LONG, Workers};
use crate::world::config_map;
use kubiya_testdata::harness::eventually;

pub(super) const NOBODY: &str =
    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: []\n";

impl Workers {
    /// Lets a worker trust what an AuthenticationConfiguration says.
    pub(super) fn trust(&self, worker: &str, configuration: &str) {
        let path = self.there(worker).authentication();
        let staged = path.with_extension("new");
        std::fs::write(&staged, configuration).unwrap();
        std::fs::rename(staged, path).unwrap();
    }

    /// Adds a worker by `--oidc`: told what to trust, it is told that, and comes in.
    fn add_trusting(&self, worker: &str) {
        let printed = self.add(&[worker, "--oidc", "--print", "file"]);
        assert_eq!(printed.code, 0, "{}", printed.stderr);
        self.trust(worker, &printed.stdout);
        eventually("the worker trusts the issuer", LONG, || Ok(self.add(&[worker, "--oidc"]).code == 0))
            .unwrap();
    }

    fn audience(&self, worker: &str) -> String {
        let name = format!("{worker}-kubeconfig");
        self.world.hub(&["configmap", &name, "-n", "flux-system"], "{.data.audiences}")
    }

    fn token(&self, worker: &str) -> String {
        let account = format!("worker-{worker}");
        let audience = format!("--audience={}", self.audience(worker));
        let words = ["-n", "flux-system", "create", "token", &account, &audience];
        self.world.rig.hub().run(words).unwrap().trim().to_owned()
    }

    /// Who a token is at a cluster of the rig, or what is said instead.
    fn with_token(&self, kubeconfig: &std::path::Path, token: &str) -> String {
        let path = kubeconfig.display().to_string();
        let view =
            ["--kubeconfig", &path, "config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster}"];
        let kubectl = self.world.rig.bin("kubectl");
        let cluster = self.world.command(&kubectl).args(view).output().unwrap().stdout;
        let cluster = String::from_utf8(cluster).unwrap();
        self.whoami(&format!(
            "{{current-context: w, clusters: [{{name: w, cluster: {cluster}}}], users: [{{name: u, user: {{token: {token}}}}}], \
             contexts: [{{name: w, context: {{cluster: w, user: u}}}}]}}"
        ))
    }
}

#[test]
fn a_token_for_one_worker_is_refused_by_the_hub_and_by_the_other_worker() {
    let workers = Workers::new();
    let hub = workers.world.rig.hub();
    let said = workers.add(&["worker01", "--oidc"]);
    assert!(
        said.code == 3 && said.stderr.contains("does not accept the infra cluster's tokens"),
        "{}",
        said.stderr
    );
    assert_eq!(workers.audience("worker01"), "");
    for worker in ["worker01", "worker02"] {
        workers.add_trusting(worker);
    }
    assert_ne!(workers.audience("worker01"), workers.audience("worker02"));
    let token = workers.token("worker01");
    let there = workers.with_token(workers.there("worker01").kubeconfig(), &token);
    assert_eq!(there, "infra-cluster-oidc:system:serviceaccount:flux-system:worker-worker01");
    for elsewhere in [hub.kubeconfig(), workers.there("worker02").kubeconfig()] {
        let said = workers.with_token(elsewhere, &token);
        assert!(said.contains("Unauthorized") || said.contains("must be logged in"), "{said}");
    }
    // An audience that another cluster accepts is refused.
    let theirs = workers.audience("worker02");
    let said = workers.add(&["worker01", "--oidc", "--audience", &theirs]);
    assert!(
        said.code == 3 && said.stderr.contains("worker `worker02` accepts the audience"),
        "{}",
        said.stderr
    );
    let issuer = hub.run(["get", "--raw", "/.well-known/openid-configuration"]).unwrap();
    let issuer: serde_json::Value = serde_json::from_str(&issuer).unwrap();
    let said = workers.add(&["worker01", "--oidc", "--audience", issuer["issuer"].as_str().unwrap()]);
    assert!(
        said.code == 3 && said.stderr.contains("the infra cluster itself accepts the audience"),
        "{}",
        said.stderr
    );
    // A re-run writes nothing.
    let again = workers.add(&["worker01", "--oidc", "-o", "json"]);
    let result: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&result["changed"], &result["credential"]), (&0.into(), &"oidc".into()), "{}", again.stdout);
    let listed = workers.run(&["list", "-o", "wide"]);
    assert!(listed.stdout.contains("worker01   oidc         never"), "{}", listed.stdout);
    let renewed = workers.run(&["renew", "worker01"]);
    assert!(renewed.code == 2 && renewed.stderr.contains("has nothing to renew"), "{}", renewed.stderr);

    // The wrong audience, and a subject without its prefix: each has its name and its fix.
    let patch = r#"{"data":{"audiences":"kubernetes"}}"#;
    let patch =
        ["-n", "flux-system", "patch", "configmap", "worker01-kubeconfig", "--type=merge", "-p", patch];
    hub.run(patch).unwrap();
    let said = workers.run(&["check", "worker01", "-o", "json"]);
    assert!(said.code == 1 && said.stdout.contains(r#""state": "audience""#), "{}", said.stdout);
    // What a hand has changed is mended, and said.
    let said = workers.add(&["worker01", "--oidc"]);
    assert!(said.code == 0 && said.stderr.contains("note: ConfigMap"), "{}", said.stderr);
    let there = workers.there("worker01");
    let binding = format!("{}-flux", workers.namespace("worker01"));
    let patch = r#"[{"op":"replace","path":"/subjects/0/name","value":"other:system:serviceaccount:flux-system:worker-worker01"}]"#;
    there.run(["patch", "clusterrolebinding", &binding, "--type=json", "-p", patch]).unwrap();
    eventually("access for another name is found", LONG, || {
        Ok(workers.run(&["check", "worker01", "-o", "json"]).stdout.contains(r#""state": "subject-prefix""#))
    })
    .unwrap();
    let said = workers.add(&["worker01", "--oidc", "--force-conflicts"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said = workers.run(&["check", "worker01"]);
    assert_eq!(said.code, 0, "{}", said.stdout);

    let said = workers.run(&["remove", "worker01"]);
    assert!(
        said.code == 0 && said.stderr.contains("still trusts the infra cluster's issuer"),
        "{}",
        said.stderr
    );
    assert_eq!(workers.audience("worker01"), "");
    for worker in ["worker01", "worker02"] {
        workers.trust(worker, NOBODY);
    }
}

/// As much of a Shoot as is looked at.
const SHOOTS: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shoots.core.gardener.cloud}
spec:
  group: core.gardener.cloud
  scope: Namespaced
  names: {plural: shoots, singular: shoot, kind: Shoot, listKind: ShootList}
  versions:
  - name: v1beta1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[test]
fn a_shoot_is_looked_at_before_it_is_trusted_to_have_heard() {
    let workers = Workers::new();
    let hub = workers.world.rig.hub();
    let garden = workers.world.rig.fresh_namespace().unwrap();
    hub.apply(SHOOTS).unwrap();
    hub.run(["wait", "--for=condition=Established", "crd/shoots.core.gardener.cloud"]).unwrap();
    let oidc = ["worker01", "--oidc", "--gardener-namespace", &garden];
    let add = || workers.add(&[&oidc[..], &["--garden-context", "hub"]].concat());
    let refused = |why: &str, hint: &str| {
        let said = add();
        assert!(
            said.code == 3 && said.stderr.contains(why) && said.stderr.contains(hint),
            "{why}\n{}",
            said.stderr
        );
        assert_eq!(workers.audience("worker01"), "");
    };
    refused("the project has no ConfigMap", "--print gardener");
    let printed = workers.add(&[&oidc[..], &["--print", "gardener"]].concat());
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    // An infra cluster that was built anew has another issuer.
    assert!(printed.stdout.contains("url: https://"), "{}", printed.stdout);
    hub.apply(&printed.stdout.replace("url: https://", "url: https://old.")).unwrap();
    refused("does not say what the worker is to trust", "--print gardener");
    hub.apply(&printed.stdout).unwrap();
    refused("there is no Shoot", "--shoot NAME");
    let shoot = |map: &str| {
        format!(
            "apiVersion: core.gardener.cloud/v1beta1\nkind: Shoot\nmetadata: {{name: worker01, namespace: {garden}}}\n\
             spec: {{kubernetes: {{kubeAPIServer: {{structuredAuthentication: {{configMapName: {map}}}}}}}}}\n"
        )
    };
    hub.apply(&shoot("showroominfra-issuer-configmap")).unwrap();
    refused("the Shoot names `showroominfra-issuer-configmap`", "edit shoot worker01");
    hub.apply(&shoot("worker01-authentication")).unwrap();
    refused("Gardener has not seen the Shoot as it is now", "gardener.cloud/operation=reconcile");
    let reconciled = |at: &str| {
        let generation = workers.world.hub(&["shoot", "worker01", "-n", &garden], "{.metadata.generation}");
        let status = format!(
            r#"{{"status":{{"observedGeneration":{generation},"lastOperation":{{"type":"Reconcile","state":"Succeeded","lastUpdateTime":"{at}"}}}}}}"#
        );
        let patch = [
            "-n",
            &garden,
            "patch",
            "shoot",
            "worker01",
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ];
        hub.run(patch).unwrap();
    };
    reconciled("2020-01-01T00:00:00Z");
    refused("before the ConfigMap was written", "gardener.cloud/operation=reconcile");
    reconciled("2099-01-01T00:00:00Z");
    // Now it is the worker's own word that counts, and it says no.
    let said = add();
    assert!(said.stderr.contains("reconciled Shoot"), "{}", said.stderr);
    assert!(said.code == 3 && said.stderr.contains("still trusts the old one's"), "{}", said.stderr);
    let configuration = workers.add(&["worker01", "--oidc", "--print", "file"]);
    workers.trust("worker01", &configuration.stdout);
    eventually("the worker trusts the issuer", LONG, || Ok(add().code == 0)).unwrap();
    assert_eq!(workers.run(&["remove", "worker01"]).code, 0);
    workers.trust("worker01", NOBODY);
    hub.run(["delete", "crd", "shoots.core.gardener.cloud"]).unwrap();
    hub.run(["delete", "namespace", &garden, "--wait=false"]).unwrap();
}

#[test]
fn flux_applies_to_a_worker_without_a_credential() {
    let workers = Workers::new();
    let hub = workers.world.rig.hub();
    workers.world.write("repo/apps/map.yaml", &config_map("by-trust"));
    workers.world.push();
    assert_eq!(workers.world.bootstrap(&[]).code, 0);
    workers.add_trusting("worker01");
    let said = workers.add(&["worker01", "--oidc"]);
    assert!(said.stderr.contains("ObjectLevelWorkloadIdentity=true"), "{}", said.stderr);
    let gate = r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--feature-gates=ObjectLevelWorkloadIdentity=true"}]"#;
    let patch =
        ["-n", "flux-system", "patch", "deployment", "kustomize-controller", "--type=json", "-p", gate];
    hub.run(patch).unwrap();
    let said = workers.add(&["worker01", "--oidc"]);
    assert!(said.code == 0 && !said.stderr.contains("ObjectLevelWorkloadIdentity"), "{}", said.stderr);
    hub.apply(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {name: trusted, namespace: flux-system}\n\
         spec:\n  interval: 10m\n  retryInterval: 2s\n  path: ./apps\n  prune: true\n\
         \u{20} sourceRef: {kind: GitRepository, name: flux-system}\n\
         \u{20} kubeConfig: {configMapRef: {name: worker01-kubeconfig}}\n",
    )
    .unwrap();
    let there = workers.there("worker01");
    eventually("it is on the worker", LONG, || {
        Ok(!there.run(["get", "configmap", "by-trust", "--ignore-not-found", "-o", "name"])?.is_empty())
    })
    .unwrap();
    let said = workers.run(&["remove", "worker01", "--prune"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(there.run(["get", "configmap", "by-trust", "--ignore-not-found", "-o", "name"]).unwrap(), "");
    workers.trust("worker01", NOBODY);
}

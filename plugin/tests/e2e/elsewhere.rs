//! A cluster beside the hub that holds the key too.

use crate::rotation::{LONG, Rotated};
use kubiya_testdata::harness::{Cluster, eventually};

/// A cluster with the key that is not the hub; all of it goes with the value.
pub(crate) struct Elsewhere {
    cluster: Cluster<'static>,
    namespace: &'static str,
}

impl Elsewhere {
    pub(crate) fn entries(&self) -> Vec<String> {
        let words = ["get", "secret", "sops-age", "-n", self.namespace, "-o", "jsonpath={.data}"];
        let data: serde_json::Value = serde_json::from_str(&self.cluster.run(words).unwrap()).unwrap();
        data.as_object().unwrap().keys().cloned().collect()
    }

    fn clear(&self) {
        let definition = "crd/kustomizations.kustomize.toolkit.fluxcd.io";
        let _ = self.cluster.run(["delete", "--ignore-not-found", definition]);
        let _ = self.cluster.run(["delete", "--ignore-not-found", "namespace", self.namespace]);
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Rotated {
    /// The key of the hub on a worker, whose Kustomizations nothing reconciles.
    pub(crate) fn another_cluster(&self, namespace: &'static str) -> Elsewhere {
        let cluster = self.world.rig.worker("worker01").unwrap();
        let there = Elsewhere { cluster, namespace };
        there.clear();
        let words = ["get", "crd", "kustomizations.kustomize.toolkit.fluxcd.io", "-o", "json"];
        let definition = self.world.rig.hub().run(words).unwrap();
        let mut definition: serde_json::Value = serde_json::from_str(&definition).unwrap();
        definition["metadata"] = serde_json::json!({"name": "kustomizations.kustomize.toolkit.fluxcd.io"});
        definition["status"].take();
        self.world.write("definition.json", &definition.to_string());
        let file = self.world.path("definition.json").display().to_string();
        there.cluster.run(["create", "-f", &file]).unwrap();
        let wait = ["wait", "--for=condition=Established", "crd/kustomizations.kustomize.toolkit.fluxcd.io"];
        there.cluster.run(wait).unwrap();
        there.cluster.run(["create", "namespace", namespace]).unwrap();
        let file = format!("--from-file=age.agekey={}", self.world.path("age.agekey").display());
        there.cluster.run(["-n", namespace, "create", "secret", "generic", "sops-age", &file]).unwrap();
        let apps = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: NAMESPACE}\n\
                    spec: {interval: 10m, prune: true, path: ./apps, sourceRef: {kind: GitRepository, name: apps}, \
                    decryption: {provider: sops, secretRef: {name: sops-age}}}\n";
        self.world.write("apps.yaml", &apps.replace("NAMESPACE", namespace));
        let file = self.world.path("apps.yaml").display().to_string();
        eventually("the kind is served", LONG, || Ok(there.cluster.run(["apply", "-f", &file]).is_ok()))
            .unwrap();
        there
    }
}

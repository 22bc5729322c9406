//! A worker that is a Shoot of Gardener: whether its project has told it what to trust, and whether it has heard.

use super::error::{Stop, WorkerError};
use super::issuer::gardener_map;
use crate::cluster::{ClusterError, Connection};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ObjectMeta};
use kubiya_hook::edge::Kind;
use serde_json::Value;

/// The project of a Shoot, as the operator reaches it.
#[derive(Clone, Debug)]
pub struct Garden {
    /// The way to the garden cluster.
    pub connection: Connection,
    /// Namespace of the project.
    pub namespace: String,
    /// Name of the Shoot.
    pub shoot: String,
}

impl Garden {
    /// Makes sure that the ConfigMap in the project says what the worker is to trust, that the Shoot names it, and
    /// that the Shoot has been reconciled since.
    ///
    /// # Errors
    /// The first of these that is not so, with what to type; and those of the requests.
    pub async fn refuse_unheard(&self, worker: &str, wanted: &Value) -> Result<(), WorkerError> {
        let name = gardener_map(worker);
        let maps: Api<ConfigMap> = Api::namespaced(self.connection.client.clone(), &self.namespace);
        let map = maps.get_opt(&name).await;
        let map =
            map.map_err(|e| ClusterError::of_get(format!("ConfigMap {}/{name}", self.namespace), &e))?;
        let Some(map) = map else {
            return Err(self.unheard(
                worker,
                format!("the project has no ConfigMap {}/{name}", self.namespace),
                None,
            ));
        };
        let says = map.data.as_ref().and_then(|data| data.get("config.yaml"));
        let says: Option<Value> = says.and_then(|text| serde_yaml::from_str(text).ok());
        if says.as_ref() != Some(wanted) {
            let url = |value: &Value| value["jwt"][0]["issuer"]["url"].as_str().unwrap_or("none").to_owned();
            let why = format!(
                "the ConfigMap {}/{name} does not say what the worker is to trust (its issuer is {}, the infra cluster's {})",
                self.namespace,
                says.as_ref().map_or_else(|| "none".to_owned(), url),
                url(wanted)
            );
            return Err(self.unheard(worker, why, None));
        }
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("core.gardener.cloud", "v1beta1", "Shoot"));
        let shoots: Api<DynamicObject> =
            Api::namespaced_with(self.connection.client.clone(), &self.namespace, &kind);
        let shoot = shoots.get_opt(&self.shoot).await;
        let object = format!("Shoot {}/{}", self.namespace, self.shoot);
        let shoot = shoot.map_err(|error| ClusterError::of_get(object.clone(), &error))?;
        let Some(shoot) = shoot else {
            return Err(self.unheard(
                worker,
                format!("there is no {object}"),
                Some("--shoot NAME --gardener-namespace garden-PROJECT"),
            ));
        };
        match judge(&shoot, &name, written(&map.metadata)) {
            Ok(()) => Ok(()),
            Err(Unheard::Unnamed(why)) => {
                let hint = format!("kubectl -n {} edit shoot {}", self.namespace, self.shoot);
                Err(self.unheard(worker, why, Some(&hint)))
            }
            Err(Unheard::NotReconciled(why)) => {
                let hint = format!(
                    "kubectl -n {} annotate shoot {} gardener.cloud/operation=reconcile --overwrite   # then wait until it has succeeded",
                    self.namespace, self.shoot
                );
                Err(self.unheard(worker, why, Some(&hint)))
            }
        }
    }

    fn unheard(&self, worker: &str, why: String, hint: Option<&str>) -> WorkerError {
        let print = format!(
            "kubectl kubiya worker add {worker} --oidc --print gardener --gardener-namespace {} | kubectl apply -f -   # in the garden",
            self.namespace
        );
        WorkerError::Stopped(Box::new(Stop {
            message: format!("worker `{worker}` has not been told to trust the infra cluster"),
            causes: vec![why],
            hints: vec![hint.map_or(print, str::to_owned)],
            kind: Kind::Unverified,
        }))
    }
}

/// Why a Shoot does not know yet.
#[derive(Debug, PartialEq, Eq)]
enum Unheard {
    Unnamed(String),
    NotReconciled(String),
}

/// Whether a Shoot names a ConfigMap and was reconciled after that was written. Gardener looks at the ConfigMap only
/// when it reconciles the Shoot, and counts no generation for it.
fn judge(shoot: &DynamicObject, map: &str, written: Option<Timestamp>) -> Result<(), Unheard> {
    let named =
        shoot.data["spec"]["kubernetes"]["kubeAPIServer"]["structuredAuthentication"]["configMapName"]
            .as_str();
    if named != Some(map) {
        let named = named.map_or("no ConfigMap".to_owned(), |named| format!("`{named}`"));
        return Err(Unheard::Unnamed(format!(
            "the Shoot names {named} in spec.kubernetes.kubeAPIServer.structuredAuthentication.configMapName, not `{map}`"
        )));
    }
    let status = &shoot.data["status"];
    let not = |why: String| Err(Unheard::NotReconciled(why));
    if status["observedGeneration"].as_i64() != shoot.metadata.generation {
        return not("Gardener has not seen the Shoot as it is now".to_owned());
    }
    let last = &status["lastOperation"];
    let text = |key: &str| last[key].as_str().unwrap_or("none");
    if text("state") != "Succeeded" {
        return not(format!(
            "its last operation, {}, is {}: {}",
            text("type"),
            text("state"),
            text("description")
        ));
    }
    let ended: Option<Timestamp> = text("lastUpdateTime").parse().ok();
    if let (Some(ended), Some(written)) = (ended, written)
        && ended >= written
    {
        return Ok(());
    }
    not(format!("it was reconciled last at {}, before the ConfigMap was written", text("lastUpdateTime")))
}

/// When an object was written last.
fn written(metadata: &ObjectMeta) -> Option<Timestamp> {
    let fields = metadata.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref());
    fields.chain(&metadata.creation_timestamp).map(|time| time.0).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::dynamic;
    use serde_json::json;

    fn shoot(map: &str, observed: i64, state: &str, at: &str) -> DynamicObject {
        dynamic(json!({
            "apiVersion": "core.gardener.cloud/v1beta1", "kind": "Shoot",
            "metadata": {"name": "worker01", "namespace": "garden-kms", "generation": 2},
            "spec": {"kubernetes": {"kubeAPIServer": {"structuredAuthentication": {"configMapName": map}}}},
            "status": {"observedGeneration": observed, "lastOperation":
                {"type": "Reconcile", "state": state, "description": "60 %", "lastUpdateTime": at}},
        }))
    }

    #[test]
    fn a_shoot_has_heard_when_it_names_the_map_and_was_reconciled_since() {
        let written: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let judged = |shoot: DynamicObject| judge(&shoot, "w-authentication", Some(written));
        let at = "2026-11-21T12:00:01Z";
        assert_eq!(judged(shoot("w-authentication", 2, "Succeeded", at)), Ok(()));
        assert!(matches!(judged(shoot("other", 2, "Succeeded", at)), Err(Unheard::Unnamed(_))));
        for (observed, state, at, why) in [
            (1, "Succeeded", at, "has not seen"),
            (2, "Processing", at, "Reconcile, is Processing: 60 %"),
            (2, "Succeeded", "2026-11-21T11:59:59Z", "before the ConfigMap was written"),
            (2, "Succeeded", "", "before the ConfigMap was written"),
        ] {
            let Err(Unheard::NotReconciled(said)) = judged(shoot("w-authentication", observed, state, at))
            else {
                panic!("{state} {at}");
            };
            assert!(said.contains(why), "{said}");
        }
    }
}

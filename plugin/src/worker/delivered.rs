//! What Flux applies to a worker: the objects on the infra cluster that name its kubeconfig.

use super::hub::Hub;
use super::names::secret_name;
use super::rights::Right;
use crate::cluster::{ClusterError, Connection, Kinds};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::Value;

/// An object that an applier has delivered, as Flux's inventories name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Namespace; empty for what has none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// API group; empty for the core.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl Item {
    /// Reads `namespace_name_group_kind`. A name may hold `_` written as `__` (cli-utils `object.ObjMetadata`:
    /// names of RBAC objects may have colons, which are written so).
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let (namespace, rest) = id.split_once('_')?;
        let (rest, kind) = rest.rsplit_once('_')?;
        let (name, group) = rest.rsplit_once('_')?;
        let text = str::to_owned;
        Some(Self {
            namespace: text(namespace),
            name: name.replace("__", ":"),
            group: text(group),
            kind: text(kind),
        })
    }

    /// Kind, namespace and name, for messages.
    #[must_use]
    pub fn id(&self) -> String {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{}", self.kind, self.namespace, self.name)
    }
}

/// A Kustomization or HelmRelease of the infra cluster.
#[derive(Clone, Debug)]
pub struct Applier {
    /// The object.
    pub object: DynamicObject,
    /// `Kustomization` or `HelmRelease`.
    pub kind: &'static str,
}

impl Applier {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.object.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Kind, namespace and name, for messages.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace(), self.name())
    }

    /// Its `spec`.
    #[must_use]
    pub fn spec(&self) -> &Value {
        &self.object.data["spec"]
    }

    /// Its `status`.
    #[must_use]
    pub fn status(&self) -> &Value {
        &self.object.data["status"]
    }

    /// Reason and message of the Ready condition, and whether it is true.
    #[must_use]
    pub fn ready(&self) -> (bool, String) {
        let conditions = self.status()["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let Some(ready) = ready else { return (false, "not seen by its controller yet".to_owned()) };
        let text = |key: &str| ready[key].as_str().unwrap_or_default();
        let current = ready["observedGeneration"].as_i64() == self.object.metadata.generation;
        (ready["status"] == "True" && current, format!("{}: {}", text("reason"), text("message").trim()))
    }

    /// Whether it is told to do nothing.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.spec()["suspend"] == true
    }

    /// What it applied last, such as `main@sha1:…`.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.status()["lastAppliedRevision"].as_str()
    }

    /// What it says that it delivered.
    #[must_use]
    pub fn inventory(&self) -> Vec<Item> {
        let entries = self.status()["inventory"]["entries"].as_array();
        entries.into_iter().flatten().filter_map(|entry| Item::parse(entry["id"].as_str()?)).collect()
    }

    /// Whether it goes to a worker: it names the worker's Secret or ConfigMap, in its own namespace.
    #[must_use]
    pub fn goes_to(&self, worker: &str) -> bool {
        let name = secret_name(worker);
        self.ways().any(|way| way == name)
    }

    /// The Secret or ConfigMap by which it goes elsewhere.
    pub(super) fn ways(&self) -> impl Iterator<Item = &str> {
        let named = |reference| self.spec()["kubeConfig"][reference]["name"].as_str();
        ["secretRef", "configMapRef"].into_iter().filter_map(named)
    }
}

const APPLIERS: [(&str, &str, &str); 2] =
    [("kustomize.toolkit.fluxcd.io", "v1", "Kustomization"), ("helm.toolkit.fluxcd.io", "v2", "HelmRelease")];

/// The API of a kind of appliers.
#[must_use]
pub(super) fn resource(kind: &str) -> ApiResource {
    let (group, version, kind) = APPLIERS.into_iter().find(|(_, _, k)| *k == kind).unwrap_or(APPLIERS[0]);
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// All Kustomizations and HelmReleases, in all namespaces or in Flux's where we may not see all. None where
/// Flux is not installed.
///
/// # Errors
/// Those of the requests.
pub async fn appliers(hub: &Connection, namespace: &str) -> Result<Vec<Applier>, ClusterError> {
    let mut found = Vec::new();
    for (_, _, kind) in APPLIERS {
        let resource = resource(kind);
        let all: Api<DynamicObject> = Api::all_with(hub.client.clone(), &resource);
        let listed = match all.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let here: Api<DynamicObject> = Api::namespaced_with(hub.client.clone(), namespace, &resource);
                here.list(&ListParams::default()).await
            }
            other => other,
        };
        match listed {
            Ok(list) => found.extend(list.items.into_iter().map(|object| Applier { object, kind })),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(ClusterError::of_request("list", format!("{kind}s"), &error)),
        }
    }
    found.sort_by_key(Applier::id);
    Ok(found)
}

/// The rights that the Kustomizations of a worker need there: on each kind that their inventories name, in
/// the namespaces where they applied it.
///
/// # Errors
/// Those of the requests.
pub(super) async fn applied_kinds(
    hub: &Hub,
    worker: &Connection,
    name: &str,
) -> Result<Vec<Right>, ClusterError> {
    let appliers = hub.appliers().await?;
    let mut items: Vec<Item> =
        appliers.iter().filter(|applier| applier.goes_to(name)).flat_map(Applier::inventory).collect();
    if items.is_empty() {
        return Ok(Vec::new());
    }
    for item in &mut items {
        item.name.clear();
    }
    items.sort();
    items.dedup();
    let kinds = Kinds::discover(&worker.client).await?;
    let right = |item: &Item| {
        let resource = kinds.resource_named(&item.group, &item.kind)?;
        let namespace = Some(item.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        Some(Right::within(namespace, &item.group, &resource.plural, &["get", "create", "patch", "delete"]))
    };
    Ok(items.iter().filter_map(right).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inventories_as_flux_writes_them() {
        let item = Item::parse("default_db__Secret").unwrap();
        assert_eq!((item.id().as_str(), item.group.as_str()), ("Secret default/db", ""));
        let item = Item::parse("_apps__Namespace").unwrap();
        assert_eq!(item.id(), "Namespace apps");
        let item = Item::parse("_system__x_rbac.authorization.k8s.io_ClusterRole").unwrap();
        assert_eq!((item.name.as_str(), item.group.as_str()), ("system:x", "rbac.authorization.k8s.io"));
        let item = Item::parse("web_app_apps_Deployment").unwrap();
        assert_eq!((item.id().as_str(), item.group.as_str()), ("Deployment web/app", "apps"));
        assert_eq!(Item::parse("nonsense"), None);
    }

    #[test]
    fn who_names_the_secret_of_a_worker_goes_there() {
        let object = |kube_config: Value| Applier {
            object: crate::cluster::dynamic(serde_json::json!({
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                "metadata": {"name": "apps", "namespace": "flux-system", "generation": 2},
                "spec": {"kubeConfig": kube_config},
                "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "R", "message": "m",
                    "observedGeneration": 2}]},
            })),
            kind: "Kustomization",
        };
        let to = object(serde_json::json!({"secretRef": {"name": "w-kubeconfig"}}));
        assert!(to.goes_to("w") && !to.goes_to("v"));
        assert_eq!(to.ready(), (true, "R: m".to_owned()));
        assert!(!object(Value::Null).goes_to("w"));
    }
}

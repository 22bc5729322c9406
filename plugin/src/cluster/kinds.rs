//! Which kinds the server serves, under which resource names.

use super::ClusterError;
use super::error::innermost;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::{Discovery, Scope};
use std::collections::BTreeMap;

/// Kinds of the server, and kinds that definitions we are about to apply will add.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    known: BTreeMap<(String, String, String), (ApiResource, Scope)>,
}

impl Kinds {
    /// Asks the server (two requests; the older way where it cannot answer those).
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn discover(client: &kube::Client) -> Result<Self, ClusterError> {
        let discovery = match Discovery::new(client.clone()).run_aggregated().await {
            Ok(discovery) => discovery,
            Err(_) => Discovery::new(client.clone()).run().await.map_err(|error| ClusterError::Refused {
                verb: "list",
                object: "the kinds that the API server serves".to_owned(),
                reason: innermost(&error),
                code: 0,
            })?,
        };
        let mut kinds = Self::default();
        for group in discovery.groups() {
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    kinds.insert(resource, capabilities.scope);
                }
            }
        }
        Ok(kinds)
    }

    /// The kinds that every API server serves and that access is made of, without asking it.
    #[must_use]
    pub fn of_access() -> Self {
        let rbac = "rbac.authorization.k8s.io";
        let mut kinds = Self::default();
        for (group, kind, scope) in [
            ("", "Namespace", Scope::Cluster),
            ("", "ServiceAccount", Scope::Namespaced),
            ("", "Secret", Scope::Namespaced),
            ("", "ConfigMap", Scope::Namespaced),
            (rbac, "ClusterRole", Scope::Cluster),
            (rbac, "ClusterRoleBinding", Scope::Cluster),
            (rbac, "Role", Scope::Namespaced),
            (rbac, "RoleBinding", Scope::Namespaced),
        ] {
            kinds.insert(ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)), scope);
        }
        kinds
    }

    /// The name under which a kind's objects are asked for (`deployments`), in the version that it is
    /// known in.
    #[must_use]
    pub fn resource_named(&self, group: &str, kind: &str) -> Option<&ApiResource> {
        let found = self.known.iter().find(|((g, _, k), _)| g == group && k == kind);
        found.map(|(_, (resource, _))| resource)
    }

    /// Adds what a CustomResourceDefinition defines, so that its objects can be named before it is served. Objects of
    /// other kinds define nothing.
    pub fn define(&mut self, definition: &DynamicObject) {
        if definition.types.as_ref().is_none_or(|types| types.kind != "CustomResourceDefinition") {
            return;
        }
        let spec = &definition.data["spec"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let scope =
            if spec["scope"].as_str() == Some("Cluster") { Scope::Cluster } else { Scope::Namespaced };
        for version in spec["versions"].as_array().into_iter().flatten() {
            let gvk = GroupVersionKind::gvk(
                &text(&spec["group"]),
                &text(&version["name"]),
                &text(&spec["names"]["kind"]),
            );
            let resource = ApiResource::from_gvk_with_plural(&gvk, &text(&spec["names"]["plural"]));
            self.insert(resource, scope.clone());
        }
    }

    fn insert(&mut self, resource: ApiResource, scope: Scope) {
        let key = (resource.group.clone(), resource.version.clone(), resource.kind.clone());
        self.known.entry(key).or_insert((resource, scope));
    }

    /// The API for an object, in the object's namespace if its kind has namespaces.
    ///
    /// # Errors
    /// A kind that the server does not serve.
    pub fn api(
        &self,
        client: &kube::Client,
        object: &DynamicObject,
    ) -> Result<Api<DynamicObject>, ClusterError> {
        let (resource, scope) = self.find(object)?;
        Ok(match (scope, object.metadata.namespace.as_deref()) {
            (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, resource),
            (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), resource),
            (Scope::Cluster, _) => Api::all_with(client.clone(), resource),
        })
    }
}

impl Kinds {
    /// The resource of an object, and the object's namespace if its kind has namespaces.
    ///
    /// # Errors
    /// A kind that the server does not serve.
    pub fn resource(&self, object: &DynamicObject) -> Result<(&ApiResource, Option<String>), ClusterError> {
        let (resource, scope) = self.find(object)?;
        let namespace = object.metadata.namespace.clone().filter(|_| *scope == Scope::Namespaced);
        Ok((resource, namespace))
    }

    fn find(&self, object: &DynamicObject) -> Result<&(ApiResource, Scope), ClusterError> {
        let types = object.types.clone().unwrap_or_default();
        let gvk = GroupVersionKind::try_from(&types).map_err(|_| unknown(&types))?;
        self.known.get(&(gvk.group, gvk.version, gvk.kind)).ok_or_else(|| unknown(&types))
    }
}

fn unknown(types: &kube::api::TypeMeta) -> ClusterError {
    ClusterError::UnknownKind { kind: types.kind.clone(), api_version: types.api_version.clone() }
}

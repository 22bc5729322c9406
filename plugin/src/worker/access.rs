//! What Flux gets on a worker, as objects, and what it takes to give it, as rights.

use super::names::{ACCOUNT, HUB_LABEL, MANAGED_BY, tenant_namespace};
use super::record::Scope;
use super::rights::Right;
use crate::cluster::{Manifest, dynamic};
use serde_json::{Value, json};

/// What Flux's server-side apply, pruning and health checks use (fluxcd/pkg `ssa`): no `escalate`, `bind` or
/// `impersonate`, so that a scoped worker stays scoped.
const SCOPED_VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];

const RBAC: &str = "rbac.authorization.k8s.io";

/// Who gets access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The tenant's own ServiceAccount on the worker.
    Account,
    /// Users that an issuer vouches for.
    Users(Vec<String>),
}

/// An infra cluster as its workers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// UID of its `kube-system`.
    hub: String,
}

impl Tenant {
    /// By the UID of the infra cluster's `kube-system`.
    #[must_use]
    pub fn new(hub: &str) -> Self {
        Self { hub: hub.to_owned() }
    }

    /// Its namespace on a worker: everything that is revoked is in it, so that one deletion takes all of it.
    #[must_use]
    pub fn namespace(&self) -> String {
        tenant_namespace(&self.hub)
    }

    /// Selects what is this tenant's on a worker.
    #[must_use]
    pub fn selector(&self) -> String {
        format!("{}={},{HUB_LABEL}={}", MANAGED_BY.0, MANAGED_BY.1, self.hub)
    }

    /// Selects what is other tenants' on a worker.
    #[must_use]
    pub fn others(&self) -> String {
        format!("{}={},{HUB_LABEL},{HUB_LABEL}!={}", MANAGED_BY.0, MANAGED_BY.1, self.hub)
    }

    /// Metadata with the labels of this tenant, and no name yet.
    #[must_use]
    pub fn labelled(&self) -> Value {
        json!({"labels": {MANAGED_BY.0: MANAGED_BY.1, HUB_LABEL: self.hub}})
    }

    fn metadata(&self, name: &str, namespace: Option<&str>) -> Value {
        let mut metadata = self.labelled();
        metadata["name"] = name.into();
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        metadata
    }

    /// Name of the bindings and roles.
    #[must_use]
    pub fn binding(&self) -> String {
        format!("{}-{ACCOUNT}", self.namespace())
    }

    /// Everything on the worker but the token: namespace, ServiceAccount, and what it may. In the order in
    /// which they are applied. `namespace_uid` is that of the namespace, once it is there: what is cluster-wide
    /// belongs to it, so that the worker itself takes it away with the namespace.
    #[must_use]
    pub fn objects(&self, scope: &Scope, who: &Who, namespace_uid: Option<&str>) -> Vec<Manifest> {
        let mut objects = vec![json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": self.metadata(&self.namespace(), None),
        })];
        if *who == Who::Account {
            objects.push(json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": self.metadata(ACCOUNT, Some(&self.namespace())),
                "automountServiceAccountToken": false,
            }));
        }
        match scope {
            Scope::Cluster => {
                let mut metadata = self.metadata(&self.binding(), None);
                if let Some(uid) = namespace_uid {
                    let name = self.namespace();
                    metadata["ownerReferences"] =
                        json!([{"apiVersion": "v1", "kind": "Namespace", "name": name, "uid": uid}]);
                }
                objects.push(json!({
                    "apiVersion": format!("{RBAC}/v1"),
                    "kind": "ClusterRoleBinding",
                    "metadata": metadata,
                    "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
                    "subjects": self.subjects(who),
                }));
            }
            Scope::Namespaces(namespaces) => {
                for namespace in namespaces {
                    // Flux may not make it with what it gets here.
                    objects.push(
                        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
                    );
                    objects.push(json!({
                        "apiVersion": format!("{RBAC}/v1"),
                        "kind": "Role",
                        "metadata": self.metadata(&self.binding(), Some(namespace)),
                        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": SCOPED_VERBS}],
                    }));
                    objects.push(json!({
                        "apiVersion": format!("{RBAC}/v1"),
                        "kind": "RoleBinding",
                        "metadata": self.metadata(&self.binding(), Some(namespace)),
                        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": self.binding()},
                        "subjects": self.subjects(who),
                    }));
                }
            }
        }
        objects.into_iter().map(|object| Manifest::new(dynamic(object))).collect()
    }

    fn subjects(&self, who: &Who) -> Value {
        match who {
            Who::Account => {
                json!([{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace()}])
            }
            Who::Users(users) => {
                users.iter().map(|user| json!({"apiGroup": RBAC, "kind": "User", "name": user})).collect()
            }
        }
    }

    /// What whoever gives this access must be allowed to do.
    #[must_use]
    pub fn needed_to_give(&self, scope: &Scope) -> Vec<Right> {
        let own = self.namespace();
        let own = Some(own.as_str());
        let mut rights = vec![
            Right::cluster("", "namespaces", &["get", "create", "patch"]),
            Right::within(own, "", "serviceaccounts", &["get", "create", "patch", "delete"]),
            Right::within(own, "", "serviceaccounts/token", &["create"]),
            Right::within(own, "", "secrets", &["list", "create", "delete"]),
        ];
        match scope {
            Scope::Cluster => {
                rights.push(Right::cluster(
                    RBAC,
                    "clusterrolebindings",
                    &["get", "create", "patch", "delete"],
                ));
                rights.push(Right::cluster(RBAC, "clusterroles", &["bind"]).named("cluster-admin"));
            }
            Scope::Namespaces(namespaces) => {
                for namespace in namespaces {
                    let within = Some(namespace.as_str());
                    let verbs = ["get", "create", "patch", "delete", "escalate", "bind"];
                    rights.push(Right::within(within, RBAC, "roles", &verbs));
                    rights.push(Right::within(within, RBAC, "rolebindings", &verbs[..4]));
                }
            }
        }
        rights
    }

    /// What Flux must be allowed to do with what it got.
    #[must_use]
    pub fn needed_to_use(scope: &Scope) -> Vec<Right> {
        match scope {
            Scope::Cluster => vec![Right::cluster("*", "*", &["*"])],
            Scope::Namespaces(namespaces) => namespaces
                .iter()
                .map(|namespace| Right::within(Some(namespace), "*", "*", &SCOPED_VERBS))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(scope: &Scope) -> String {
        let objects = Tenant::new("1f0c9e2a-77aa").objects(scope, &Who::Account, Some("u-1"));
        objects
            .iter()
            .map(|object| format!("---\n{}", serde_yaml::to_string(&object.shown()).unwrap()))
            .collect()
    }

    #[test]
    fn everywhere_it_is_cluster_admin() {
        insta::assert_snapshot!(shown(&Scope::Cluster));
    }

    #[test]
    fn in_namespaces_it_may_apply_there_and_no_more() {
        insta::assert_snapshot!(shown(&Scope::Namespaces(vec!["apps".to_owned(), "web".to_owned()])));
    }
}

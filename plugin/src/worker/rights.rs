//! Rights on a cluster: asked for one by one, and written as the RBAC that would give them.

use crate::cluster::{ClusterError, Connection};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How many questions are under way at once.
const CONCURRENCY: usize = 8;

/// Something that somebody may be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Verbs, such as `get`; `*` for all.
    pub verbs: Vec<String>,
    /// API group; empty for the core, `*` for all.
    pub group: String,
    /// Resource, with its subresource if there is one: `serviceaccounts/token`; `*` for all.
    pub resource: String,
    /// Namespace; none for the whole cluster.
    pub namespace: Option<String>,
    /// One object; none for all.
    pub name: Option<String>,
}

impl Right {
    /// In the whole cluster.
    #[must_use]
    pub fn cluster(group: &str, resource: &str, verbs: &[&str]) -> Self {
        Self::within(None, group, resource, verbs)
    }

    /// In a namespace.
    #[must_use]
    pub fn within(namespace: Option<&str>, group: &str, resource: &str, verbs: &[&str]) -> Self {
        Self {
            verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: None,
        }
    }

    /// On one object only.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    fn attributes(&self, verb: &str) -> ResourceAttributes {
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (self.resource.as_str(), None),
        };
        ResourceAttributes {
            group: Some(self.group.clone()),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            resource: Some(resource.to_owned()),
            subresource,
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        }
    }

    /// In words: `create serviceaccounts/token in namespace kubiya-1f0c9e2a`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = self.verbs.join(", ");
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let _ = match (self.resource.as_str(), self.group.as_str()) {
            ("*", "*") => write!(text, " everything"),
            _ => write!(text, " {}{group}", self.resource),
        };
        if let Some(name) = &self.name {
            let _ = write!(text, " `{name}`");
        }
        if let Some(namespace) = &self.namespace {
            let _ = write!(text, " in namespace {namespace}");
        }
        text
    }
}

/// Asks the API server which of these rights we do not have; each comes back with the verbs that are missing.
///
/// # Errors
/// Those of the requests.
pub(super) async fn missing(connection: &Connection, rights: &[Right]) -> Result<Vec<Right>, ClusterError> {
    let answers: Vec<Option<Right>> = futures::stream::iter(rights)
        .map(async |right| {
            let mut refused = Vec::new();
            for verb in &right.verbs {
                if !may(connection, right.attributes(verb)).await? {
                    refused.push(verb.clone());
                }
            }
            let right = Right { verbs: refused, ..right.clone() };
            Ok::<_, ClusterError>((!right.verbs.is_empty()).then_some(right))
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn may(connection: &Connection, attributes: ResourceAttributes) -> Result<bool, ClusterError> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let answer =
        api.create(&PostParams::default(), &review).await.map_err(|error| ClusterError::of_review(&error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The RBAC that gives rights to a user, as a YAML stream to apply.
#[must_use]
pub fn as_rbac(rights: &[Right], user: &str, name: &str) -> String {
    let mut namespaces: Vec<Option<&str>> = Vec::new();
    for right in rights {
        if !namespaces.contains(&right.namespace.as_deref()) {
            namespaces.push(right.namespace.as_deref());
        }
    }
    let mut text = String::new();
    for namespace in namespaces {
        let (role, binding) = match namespace {
            None => ("ClusterRole", "ClusterRoleBinding"),
            Some(_) => ("Role", "RoleBinding"),
        };
        let metadata = match namespace {
            None => json!({"name": name}),
            Some(namespace) => json!({"name": name, "namespace": namespace}),
        };
        let rules: Vec<Value> =
            rights.iter().filter(|right| right.namespace.as_deref() == namespace).map(rule).collect();
        let group = "rbac.authorization.k8s.io";
        // A role needs its namespace.
        let place = namespace
            .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        let access = [
            json!({"apiVersion": format!("{group}/v1"), "kind": role, "metadata": metadata, "rules": rules}),
            json!({
                "apiVersion": format!("{group}/v1"),
                "kind": binding,
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": role, "name": name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            }),
        ];
        for object in place.into_iter().chain(access) {
            // A tree of maps with string keys always renders.
            let _ = write!(text, "---\n{}", serde_yaml::to_string(&object).unwrap_or_default());
        }
    }
    text
}

fn rule(right: &Right) -> Value {
    let mut rule = json!({"apiGroups": [right.group], "resources": [right.resource], "verbs": right.verbs});
    if let Some(name) = &right.name {
        rule["resourceNames"] = json!([name]);
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_as_rbac_to_apply() {
        let rights = [
            Right::cluster("rbac.authorization.k8s.io", "clusterroles", &["bind"]).named("cluster-admin"),
            Right::within(Some("kubiya-1f0c9e2a"), "", "serviceaccounts/token", &["create"]),
        ];
        insta::assert_snapshot!(as_rbac(&rights, "jane@example.com", "kubiya-worker-add"));
        let words: Vec<String> = rights.iter().map(Right::words).collect();
        assert_eq!(
            words,
            [
                "bind clusterroles.rbac.authorization.k8s.io `cluster-admin`",
                "create serviceaccounts/token in namespace kubiya-1f0c9e2a"
            ]
        );
        assert_eq!(Right::cluster("*", "*", &["*"]).words(), "* everything");
    }
}

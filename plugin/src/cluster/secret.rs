//! A Secret as it is on the cluster, and changes of it that are made only to the version that was read.

use super::connect::base64;
use super::{ClusterError, Connection, FIELD_MANAGER};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, Patch, PatchParams};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A Secret that was read. Never shows its data.
#[derive(Clone)]
pub struct LiveSecret {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Which version of it this is.
    pub resource_version: String,
    /// Its type.
    pub kind: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether its data can be changed.
    pub immutable: bool,
    /// Its data.
    pub data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

#[cfg(test)]
impl LiveSecret {
    /// One with these entries, as it is read from a cluster.
    pub(crate) fn of_entries(entries: &[(&str, &str)]) -> Self {
        let data =
            entries.iter().map(|(name, text)| ((*name).to_owned(), Zeroizing::new(text.as_bytes().to_vec())));
        Self {
            namespace: "flux-system".to_owned(),
            name: "sops-age".to_owned(),
            uid: String::new(),
            resource_version: "1".to_owned(),
            kind: "Opaque".to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            immutable: false,
            data: data.collect(),
        }
    }
}

impl std::fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveSecret")
            .field("name", &self.id())
            .field("entries", &self.data.keys())
            .finish_non_exhaustive()
    }
}

impl LiveSecret {
    /// The label of the Secrets that bootstrap writes.
    pub const OURS: (&'static str, &'static str) = ("app.kubernetes.io/managed-by", "kubectl-kubiya");

    /// Whether bootstrap wrote it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.labels.get(Self::OURS.0).is_some_and(|value| value == Self::OURS.1)
    }

    /// `Secret namespace/name`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.name)
    }
}

/// What is to be changed in a Secret; `None` takes an entry or an annotation away. All else stays.
#[derive(Clone, Debug, Default)]
pub struct SecretChange {
    /// Entries of its data.
    pub data: BTreeMap<String, Option<SecretString>>,
    /// Annotations.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Labels.
    pub labels: BTreeMap<String, Option<String>>,
}

impl Connection {
    /// Reads a Secret; `None` where there is none.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<LiveSecret>, ClusterError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        match api.get_opt(name).await {
            Ok(found) => Ok(found.map(|secret| live(namespace, name, secret))),
            Err(error) => Err(ClusterError::of_get(format!("Secret {namespace}/{name}"), &error)),
        }
    }

    /// The Secrets of all namespaces that have a label, with namespace and name.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn secrets_labelled(&self, label: &str) -> Result<Vec<LiveSecret>, ClusterError> {
        let api: Api<Secret> = Api::all(self.client.clone());
        let list = api.list(&ListParams::default().labels(label)).await;
        let list = list.map_err(|error| ClusterError::of_request("list", "Secrets".to_owned(), &error))?;
        let named = |secret: Secret| {
            let namespace = secret.metadata.namespace.clone().unwrap_or_default();
            let name = secret.metadata.name.clone().unwrap_or_default();
            live(&namespace, &name, secret)
        };
        Ok(list.items.into_iter().map(named).collect())
    }

    /// Changes a Secret, unless somebody else changed it since it was read (409).
    ///
    /// # Errors
    /// Those of the request.
    pub async fn change_secret(
        &self,
        secret: &LiveSecret,
        change: &SecretChange,
    ) -> Result<LiveSecret, ClusterError> {
        self.before_writing().await?;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &secret.namespace);
        let data = change.data.iter().map(|(name, value)| {
            let value = value.as_ref().map(|value| base64(value.expose_secret().as_bytes()));
            (name.clone(), value.map_or(Value::Null, Value::from))
        });
        let mut body = json!({
            "metadata": {
                "resourceVersion": secret.resource_version,
                "annotations": texts(&change.annotations),
                "labels": texts(&change.labels),
            },
        });
        if !change.data.is_empty() {
            body["data"] = Value::Object(data.collect());
        }
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let changed = api.patch(&secret.name, &params, &Patch::Merge(&body)).await;
        changed
            .map(|changed| live(&secret.namespace, &secret.name, changed))
            .map_err(|error| ClusterError::of_request("change", secret.id(), &error))
    }
}

fn texts(changes: &BTreeMap<String, Option<String>>) -> Map<String, Value> {
    let value = |value: &Option<String>| value.clone().map_or(Value::Null, Value::from);
    changes.iter().map(|(key, text)| (key.clone(), value(text))).collect()
}

fn live(namespace: &str, name: &str, secret: Secret) -> LiveSecret {
    let metadata = secret.metadata;
    let data = secret.data.unwrap_or_default().into_iter();
    LiveSecret {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: metadata.uid.unwrap_or_default(),
        resource_version: metadata.resource_version.unwrap_or_default(),
        kind: secret.type_.unwrap_or_default(),
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
        immutable: secret.immutable.unwrap_or_default(),
        data: data.map(|(key, bytes)| (key, Zeroizing::new(bytes.0))).collect(),
    }
}

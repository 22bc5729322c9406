//! What the infra cluster knows of a worker: the Secret by which Flux reaches it, and what is written on it.

use super::names::{MANAGED_BY, WORKER_LABEL, secret_name};
use crate::cluster::{Manifest, dynamic};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const CREDENTIAL: &str = "kubiya.dev/credential";
const SERVER: &str = "kubiya.dev/server";
const CLUSTER: &str = "kubiya.dev/cluster";
const EXPIRES: &str = "kubiya.dev/expires";
const TOKEN_SECRET: &str = "kubiya.dev/token-secret";
const SCOPE: &str = "kubiya.dev/scope-namespaces";

/// Entry of the Secret that Flux reads where a Kustomization names none.
pub(super) const KUBECONFIG_ENTRY: &str = "value";

/// Where a worker's credentials come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    /// A ServiceAccount of its own on the worker, and a token that can be revoked.
    Minted,
    /// The credentials of a context, as they were.
    Copied,
}

impl CredentialKind {
    /// The word, as it is written and shown.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            CredentialKind::Minted => "minted",
            CredentialKind::Copied => "copied",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [CredentialKind::Minted, CredentialKind::Copied].into_iter().find(|kind| kind.word() == word)
    }
}

/// How far the credentials reach on the worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere: cluster-admin, as Flux has it at home.
    #[default]
    Cluster,
    /// In these namespaces only.
    Namespaces(Vec<String>),
}

/// What is known of a worker without asking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub worker: String,
    /// Where its credentials come from.
    pub kind: CredentialKind,
    /// Address of its API server.
    pub server: String,
    /// UID of its `kube-system`: which cluster it is, whatever its address. Not known where the credentials
    /// may not read that.
    pub cluster: Option<String>,
    /// When the credentials end, if they do.
    pub expires: Option<Timestamp>,
    /// The Secret on the worker to which the token is bound.
    pub token_secret: Option<String>,
    /// How far minted credentials reach.
    pub scope: Scope,
}

/// A Secret on the infra cluster by which Flux reaches a worker.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its namespace.
    pub namespace: String,
    /// What is written on it.
    pub record: Record,
    /// The kubeconfig in it.
    pub kubeconfig: SecretString,
}

impl Record {
    /// The Secret for Flux in a namespace, with a kubeconfig in it. Flux watches it, and nothing prunes it.
    #[must_use]
    pub fn manifest(&self, namespace: &str, kubeconfig: &SecretString) -> Manifest {
        let mut annotations = Map::new();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                annotations.insert(key.to_owned(), value.into());
            }
        };
        put("kustomize.toolkit.fluxcd.io/prune", Some("disabled".to_owned()));
        put(CREDENTIAL, Some(self.kind.word().to_owned()));
        put(SERVER, Some(self.server.clone()));
        put(CLUSTER, self.cluster.clone());
        put(EXPIRES, self.expires.map(|end| end.to_string()));
        put(TOKEN_SECRET, self.token_secret.clone());
        if let Scope::Namespaces(namespaces) = &self.scope {
            put(SCOPE, Some(namespaces.join(",")));
        }
        let object = dynamic(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": secret_name(&self.worker),
                "namespace": namespace,
                "labels": {
                    MANAGED_BY.0: MANAGED_BY.1,
                    WORKER_LABEL: self.worker,
                    "reconcile.fluxcd.io/watch": "Enabled",
                },
                "annotations": annotations,
            },
            "type": "Opaque",
        }));
        Manifest::secret(object, BTreeMap::from([(KUBECONFIG_ENTRY.to_owned(), kubeconfig.clone())]))
    }
}

impl Stored {
    /// Reads a Secret of ours. Nothing for a Secret that is not ours, or is for no worker.
    #[must_use]
    pub fn of(secret: &Secret) -> Option<Self> {
        let labels = secret.metadata.labels.as_ref()?;
        if labels.get(MANAGED_BY.0).map(String::as_str) != Some(MANAGED_BY.1) {
            return None;
        }
        let name = secret.metadata.name.as_deref()?;
        // Secrets of before this label have the name alone.
        let worker = labels.get(WORKER_LABEL).map(String::as_str).or(name.strip_suffix("-kubeconfig"))?;
        let bytes = secret.data.as_ref()?.get(KUBECONFIG_ENTRY)?;
        let written = secret.metadata.annotations.clone().unwrap_or_default();
        let text = |key: &str| written.get(key).cloned();
        let list = |text: &String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let record = Record {
            worker: worker.to_owned(),
            kind: text(CREDENTIAL)
                .and_then(|word| CredentialKind::parse(&word))
                .unwrap_or(CredentialKind::Copied),
            server: text(SERVER).unwrap_or_default(),
            cluster: text(CLUSTER),
            expires: text(EXPIRES).and_then(|time| time.parse().ok()),
            token_secret: text(TOKEN_SECRET),
            scope: text(SCOPE).as_ref().map(list).map_or(Scope::Cluster, Scope::Namespaces),
        };
        Some(Self {
            namespace: secret.metadata.namespace.clone().unwrap_or_default(),
            record,
            kubeconfig: SecretString::from(String::from_utf8_lossy(&bytes.0).into_owned()),
        })
    }
}

/// Whether a Secret that is there may be written over: it is ours.
#[must_use]
pub(super) fn is_ours(labels: Option<&BTreeMap<String, String>>) -> bool {
    labels.and_then(|labels| labels.get(MANAGED_BY.0)).map(String::as_str) == Some(MANAGED_BY.1)
}

/// The record as data, for `-o json`.
#[must_use]
pub fn document(record: &Record) -> Value {
    json!({
        "name": record.worker,
        "credential": record.kind,
        "server": record.server,
        "cluster": record.cluster,
        "expires": record.expires.map(|end| end.to_string()),
        "scopeNamespaces": match &record.scope {
            Scope::Cluster => None,
            Scope::Namespaces(namespaces) => Some(namespaces),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn record() -> Record {
        Record {
            worker: "worker01".to_owned(),
            kind: CredentialKind::Minted,
            server: "https://w".to_owned(),
            cluster: Some("uid".to_owned()),
            expires: Some("2030-01-01T00:00:00Z".parse().unwrap()),
            token_secret: Some("flux-1-x".to_owned()),
            scope: Scope::Namespaces(vec!["a".to_owned(), "b".to_owned()]),
        }
    }

    #[test]
    fn what_is_written_on_the_secret_is_read_again() {
        let manifest = record().manifest("flux-system", &"CANARY".to_owned().into());
        assert!(!format!("{manifest:?}").contains("CANARY"));
        let secret: Secret = serde_json::from_value(manifest.expose()).unwrap();
        let stored = Stored::of(&secret).unwrap();
        assert_eq!((stored.record, stored.namespace.as_str()), (record(), "flux-system"));
        assert_eq!(stored.kubeconfig.expose_secret(), "CANARY");
    }

    #[test]
    fn a_foreign_secret_is_none_and_one_without_a_record_is_a_copy() {
        let mut secret: Secret =
            serde_json::from_value(record().manifest("n", &"CANARY".to_owned().into()).expose()).unwrap();
        secret.metadata.annotations = None;
        secret.metadata.labels.as_mut().unwrap().remove(WORKER_LABEL);
        let stored = Stored::of(&secret).unwrap();
        assert_eq!((stored.record.worker.as_str(), stored.record.kind), ("worker01", CredentialKind::Copied));
        secret.metadata.labels = None;
        assert!(Stored::of(&secret).is_none() && !is_ours(secret.metadata.labels.as_ref()));
    }
}

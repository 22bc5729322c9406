//! What the infra cluster knows of a worker: the Secret by which Flux reaches it, and what is written on it.

use super::names::{MANAGED_BY, WORKER_LABEL, secret_name};
use crate::cluster::{Manifest, dynamic};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ObjectMeta;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const CREDENTIAL: &str = "kubiya.dev/credential";
const SERVER: &str = "kubiya.dev/server";
const CLUSTER: &str = "kubiya.dev/cluster";
/// The annotation with when the credential ends (RFC 3339).
pub(crate) const EXPIRES: &str = "kubiya.dev/expires";
const TOKEN_SECRET: &str = "kubiya.dev/token-secret";
const AUDIENCE: &str = "kubiya.dev/audience";
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
    /// None: the worker trusts the issuer of the infra cluster, which makes tokens for it as they are needed.
    Oidc,
}

impl CredentialKind {
    /// The word, as it is written and shown.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            CredentialKind::Minted => "minted",
            CredentialKind::Copied => "copied",
            CredentialKind::Oidc => "oidc",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [CredentialKind::Minted, CredentialKind::Copied, CredentialKind::Oidc]
            .into_iter()
            .find(|kind| kind.word() == word)
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

impl Scope {
    /// Of names in any order; everywhere where none is named.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        let mut names = names.to_vec();
        names.sort();
        names.dedup();
        if names.is_empty() { Self::Cluster } else { Self::Namespaces(names) }
    }
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
    /// For whom tokens of the infra cluster are made: the worker, and nobody else.
    pub audience: Option<String>,
}

/// What Flux is left with.
#[derive(Clone, Debug)]
pub enum Kept {
    /// A kubeconfig, in a Secret.
    Kubeconfig(SecretString),
    /// An address, in a ConfigMap; tokens are made as they are needed.
    Issued(Issued),
}

/// How Flux reaches a worker without a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Address of the worker's API server.
    pub address: String,
    /// Authority of its certificate, PEM.
    pub authority: Option<String>,
    /// For whom tokens are made; the address where none is named.
    pub audiences: Vec<String>,
    /// The ServiceAccount of the infra cluster that they are for.
    pub account: String,
}

/// A Secret or ConfigMap on the infra cluster by which Flux reaches a worker.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its namespace.
    pub namespace: String,
    /// What is written on it.
    pub record: Record,
    /// What is in it.
    pub kept: Kept,
    /// The Kustomization of the infra cluster that put it there out of Git, if one did.
    pub applied_by: Option<String>,
}

/// The Kustomization that an object says it came by.
fn applied_by(metadata: &ObjectMeta) -> Option<String> {
    let labels = metadata.labels.as_ref()?;
    let label = |key: &str| labels.get(&format!("kustomize.toolkit.fluxcd.io/{key}"));
    Some(format!("{}/{}", label("namespace")?, label("name")?))
}

impl Record {
    /// What Flux is to have in a namespace. Flux watches it, and nothing prunes it.
    #[must_use]
    pub fn manifests(&self, namespace: &str, kept: &Kept) -> Vec<Manifest> {
        match kept {
            Kept::Kubeconfig(kubeconfig) => {
                let mut object = self.object("Secret", namespace);
                object["type"] = "Opaque".into();
                let data = BTreeMap::from([(KUBECONFIG_ENTRY.to_owned(), kubeconfig.clone())]);
                vec![Manifest::secret(dynamic(object), data)]
            }
            Kept::Issued(issued) => {
                let mut object = self.object("ConfigMap", namespace);
                object["data"] = json!({
                    "provider": "generic",
                    "address": issued.address,
                    "audiences": issued.audiences.join("\n"),
                    "serviceAccountName": issued.account,
                });
                if let Some(authority) = &issued.authority {
                    object["data"]["ca.crt"] = authority.clone().into();
                }
                let labels = json!({MANAGED_BY.0: MANAGED_BY.1, WORKER_LABEL: self.worker});
                let account = json!({
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": issued.account, "namespace": namespace, "labels": labels},
                    "automountServiceAccountToken": false,
                });
                vec![Manifest::new(dynamic(account)), Manifest::new(dynamic(object))]
            }
        }
    }

    fn object(&self, kind: &str, namespace: &str) -> Value {
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
        put(AUDIENCE, self.audience.clone());
        if let Scope::Namespaces(namespaces) = &self.scope {
            put(SCOPE, Some(namespaces.join(",")));
        }
        json!({
            "apiVersion": "v1",
            "kind": kind,
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
        })
    }

    /// Reads what is written on an object of ours. Nothing for one that is not ours, or is for no worker.
    fn of(metadata: &ObjectMeta) -> Option<Self> {
        let labels = metadata.labels.as_ref()?;
        if !is_ours(Some(labels)) {
            return None;
        }
        let name = metadata.name.as_deref()?;
        // Secrets of before this label have the name alone.
        let worker = labels.get(WORKER_LABEL).map(String::as_str).or(name.strip_suffix("-kubeconfig"))?;
        let written = metadata.annotations.clone().unwrap_or_default();
        let text = |key: &str| written.get(key).cloned();
        let list = |text: &String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        Some(Self {
            worker: worker.to_owned(),
            kind: text(CREDENTIAL)
                .and_then(|word| CredentialKind::parse(&word))
                .unwrap_or(CredentialKind::Copied),
            server: text(SERVER).unwrap_or_default(),
            cluster: text(CLUSTER),
            expires: text(EXPIRES).and_then(|time| time.parse().ok()),
            token_secret: text(TOKEN_SECRET),
            scope: text(SCOPE).as_ref().map(list).map_or(Scope::Cluster, Scope::Namespaces),
            audience: text(AUDIENCE),
        })
    }
}

impl Stored {
    /// Reads a Secret. Nothing for one that is not ours, or is for no worker.
    #[must_use]
    pub fn of(secret: &Secret) -> Option<Self> {
        let record = Record::of(&secret.metadata)?;
        let bytes = secret.data.as_ref()?.get(KUBECONFIG_ENTRY)?;
        let text = SecretString::from(String::from_utf8_lossy(&bytes.0).into_owned());
        let namespace = secret.metadata.namespace.clone().unwrap_or_default();
        Some(Self {
            namespace,
            record,
            kept: Kept::Kubeconfig(text),
            applied_by: applied_by(&secret.metadata),
        })
    }

    /// Reads a ConfigMap. Nothing for one that is not ours, or is for no worker.
    #[must_use]
    pub fn of_map(map: &ConfigMap) -> Option<Self> {
        let record = Record::of(&map.metadata)?;
        let data = map.data.as_ref()?;
        let lines = |text: &String| text.lines().map(str::to_owned).collect();
        let issued = Issued {
            address: data.get("address")?.clone(),
            authority: data.get("ca.crt").cloned(),
            audiences: data.get("audiences").map(lines).unwrap_or_default(),
            account: data.get("serviceAccountName")?.clone(),
        };
        let namespace = map.metadata.namespace.clone().unwrap_or_default();
        Some(Self { namespace, record, kept: Kept::Issued(issued), applied_by: applied_by(&map.metadata) })
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
        "audience": record.audience,
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

    fn record(kind: CredentialKind) -> Record {
        Record {
            worker: "worker01".to_owned(),
            kind,
            server: "https://w".to_owned(),
            cluster: Some("uid".to_owned()),
            expires: Some("2030-01-01T00:00:00Z".parse().unwrap()),
            token_secret: Some("flux-x".to_owned()),
            scope: Scope::Namespaces(vec!["a".to_owned(), "b".to_owned()]),
            audience: Some("kubiya-worker-uid".to_owned()),
        }
    }

    fn secret() -> Secret {
        let kept = Kept::Kubeconfig("CANARY".to_owned().into());
        let manifests = record(CredentialKind::Minted).manifests("flux-system", &kept);
        assert!(!format!("{manifests:?}").contains("CANARY"));
        serde_json::from_value(manifests[0].expose()).unwrap()
    }

    #[test]
    fn what_is_written_on_the_secret_is_read_again() {
        let stored = Stored::of(&secret()).unwrap();
        assert_eq!(
            (stored.record, stored.namespace.as_str()),
            (record(CredentialKind::Minted), "flux-system")
        );
        assert!(matches!(stored.kept, Kept::Kubeconfig(text) if text.expose_secret() == "CANARY"));
    }

    #[test]
    fn a_worker_without_a_secret_has_a_map_and_an_account() {
        let issued = Issued {
            address: "https://w".to_owned(),
            authority: Some("PEM".to_owned()),
            audiences: vec!["kubiya-worker-uid".to_owned()],
            account: "worker-worker01".to_owned(),
        };
        let manifests = record(CredentialKind::Oidc).manifests("flux-system", &Kept::Issued(issued.clone()));
        let ids: Vec<String> = manifests.iter().map(Manifest::id).collect();
        assert_eq!(
            ids,
            ["ServiceAccount flux-system/worker-worker01", "ConfigMap flux-system/worker01-kubeconfig"]
        );
        let stored = Stored::of_map(&serde_json::from_value(manifests[1].expose()).unwrap()).unwrap();
        assert_eq!(stored.record, record(CredentialKind::Oidc));
        assert!(matches!(stored.kept, Kept::Issued(found) if found == issued));
    }

    #[test]
    fn a_foreign_secret_is_none_and_one_without_a_record_is_a_copy() {
        let mut secret = secret();
        secret.metadata.annotations = None;
        secret.metadata.labels.as_mut().unwrap().remove(WORKER_LABEL);
        let stored = Stored::of(&secret).unwrap();
        assert_eq!((stored.record.worker.as_str(), stored.record.kind), ("worker01", CredentialKind::Copied));
        secret.metadata.labels = None;
        assert!(Stored::of(&secret).is_none() && !is_ours(secret.metadata.labels.as_ref()));
    }
}

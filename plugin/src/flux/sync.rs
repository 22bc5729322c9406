//! The objects that make Flux follow a Git repository, with decryption on from the first moment.

use crate::cluster::dynamic;
use kube::api::DynamicObject;
use serde_json::{Value, json};

/// API versions of the two sync objects, as every Flux from 2.3 on serves them.
pub const SYNC_API_VERSIONS: [(&str, &str); 2] =
    [("source.toolkit.fluxcd.io/v1", "GitRepository"), ("kustomize.toolkit.fluxcd.io/v1", "Kustomization")];

/// What Flux is to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncSpec {
    /// Namespace of Flux; the two objects have its name, as `flux bootstrap` names them.
    pub namespace: String,
    /// Git URL.
    pub url: String,
    /// Branch.
    pub branch: String,
    /// Folder in the repository, such as `clusters/infra`; empty for the root.
    pub path: String,
    /// Name of the Secret with the age identities.
    pub decryption_secret: String,
    /// The whole `spec.decryption`; null where Flux is to decrypt nothing.
    pub decryption: Value,
    /// Name of the Secret with the credentials for Git; `None` where the repository is for everybody.
    pub git_secret: Option<String>,
    /// The ServiceAccount that the Kustomization acts as; `None` for the controller's own rights.
    pub service_account: Option<String>,
    /// Name of the Secret with the proxy by which the repository is reached.
    pub proxy_secret: Option<String>,
    /// `spec.provider`, where the credentials are those of an app.
    pub provider: Option<String>,
    /// Name of the Secret with the keys by which commits must be signed.
    pub verify_secret: Option<String>,
}

/// `spec.decryption` with the keys of a Secret; without one, by what the controller's own account may.
#[must_use]
pub fn decryption(secret: Option<&str>) -> Value {
    match secret {
        Some(name) => json!({"provider": "sops", "secretRef": {"name": name}}),
        None => json!({"provider": "sops"}),
    }
}

/// The GitRepository.
#[must_use]
pub fn git_repository(spec: &SyncSpec) -> DynamicObject {
    let (api_version, kind) = SYNC_API_VERSIONS[0];
    let mut wanted = json!({"interval": "1m0s", "ref": {"branch": spec.branch}, "url": spec.url});
    if let Some(secret) = &spec.git_secret {
        wanted["secretRef"] = json!({"name": secret});
    }
    if let Some(secret) = &spec.proxy_secret {
        wanted["proxySecretRef"] = json!({"name": secret});
    }
    if let Some(provider) = &spec.provider {
        wanted["provider"] = json!(provider);
    }
    if let Some(secret) = &spec.verify_secret {
        wanted["verify"] = json!({"mode": "HEAD", "secretRef": {"name": secret}});
    }
    dynamic(json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": spec.namespace, "namespace": spec.namespace},
        "spec": wanted,
    }))
}

/// The Kustomization: intervals and pruning as `flux bootstrap` sets them, and decryption, which it does not.
#[must_use]
pub fn kustomization(spec: &SyncSpec) -> DynamicObject {
    let (api_version, kind) = SYNC_API_VERSIONS[1];
    let mut wanted = json!({});
    if !spec.decryption.is_null() {
        wanted["decryption"] = spec.decryption.clone();
    }
    wanted["interval"] = json!("10m0s");
    wanted["path"] = json!(format!("./{}", spec.path));
    wanted["prune"] = json!(true);
    wanted["sourceRef"] = json!({"kind": "GitRepository", "name": spec.namespace});
    if let Some(account) = &spec.service_account {
        wanted["serviceAccountName"] = json!(account);
    }
    dynamic(json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": spec.namespace, "namespace": spec.namespace},
        "spec": wanted,
    }))
}

//! What is on the infra cluster already and must not be lost.

use crate::bootstrap::plan::AGE_ENTRY;
use crate::bootstrap::{Inputs, Live};
use crate::cluster::{ClusterError, Connection};
use crate::flux::{git_repository, kustomization};
use crate::rotation::RETIRED_RECIPIENTS;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use secrecy::SecretString;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The data of a Secret.
pub(super) type Data = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Looks at the Secrets and at the sync; also gives the credentials for Git that Flux has, where none were given.
///
/// # Errors
/// Those of the requests.
pub(super) async fn look_at(hub: &Connection, inputs: &Inputs) -> Result<(Live, Option<Data>), ClusterError> {
    let sync = &inputs.sync;
    let (source, applied) = (git_repository(sync), kustomization(sync));
    // Before all else: what is seen after it may be older than what another run writes, and never newer.
    let lease = hub.lease_version().await?;
    let (no_pull_secret, age, source, applied) = futures::join!(
        no_pull_secret(hub, inputs),
        hub.secret(&sync.namespace, &sync.decryption_secret),
        sync_object(hub, &source, "gitrepositories"),
        sync_object(hub, &applied, "kustomizations")
    );
    let no_pull_secret = no_pull_secret?;
    let (mut age, source, applied) = (age?, source?, applied?);
    let entry = age.as_mut().and_then(|secret| secret.data.remove(AGE_ENTRY));
    let retired = age.as_ref().and_then(|secret| secret.annotations.get(RETIRED_RECIPIENTS));
    let retired = retired.map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let age_entry = entry.map(|bytes| SecretString::from(String::from_utf8_lossy(&bytes).into_owned()));
    let git_secret = source.as_ref().and_then(|source| source.data["spec"]["secretRef"]["name"].as_str());
    let git_secret = git_secret.map(str::to_owned);
    let name = sync.git_secret.clone().or_else(|| git_secret.clone());
    let git_data = match name.filter(|_| inputs.git.data.is_empty()) {
        Some(name) => hub.secret(&sync.namespace, &name).await?.map(|secret| secret.data),
        None => None,
    };
    let both = [("GitRepository", &source), ("Kustomization", &applied)];
    let suspended = both.into_iter().filter_map(|(kind, object)| {
        let is_suspended = object.as_ref()?.data["spec"]["suspend"].as_bool() == Some(true);
        is_suspended.then(|| format!("{kind} {0}/{0}", sync.namespace))
    });
    let suspended = suspended.collect();
    let in_repository = applied.as_ref().is_some_and(holds_controllers);
    let live = Live { age_entry, retired, git_secret, suspended, in_repository, no_pull_secret, lease };
    Ok((live, git_data))
}

/// The Secret that images are to be pulled with, where nobody wrote it.
async fn no_pull_secret(hub: &Connection, inputs: &Inputs) -> Result<Option<String>, ClusterError> {
    let install = &inputs.install;
    let Some(name) = install.options.image_pull_secret.as_ref().filter(|_| install.pull_secret.is_none())
    else {
        return Ok(None);
    };
    let namespace = &inputs.sync.namespace;
    Ok(hub.secret(namespace, name).await?.is_none().then(|| format!("{namespace}/{name}")))
}

/// Whether Flux itself is in what a Kustomization has applied.
fn holds_controllers(kustomization: &DynamicObject) -> bool {
    let entries = kustomization.data["status"]["inventory"]["entries"].as_array();
    let ids = entries.into_iter().flatten().filter_map(|entry| entry["id"].as_str());
    ids.into_iter().any(|id| id.ends_with("_kustomize-controller_apps_Deployment"))
}

/// One of the sync's objects as it is; `None` where it, or Flux itself, is not there.
async fn sync_object(
    hub: &Connection,
    wanted: &DynamicObject,
    plural: &str,
) -> Result<Option<DynamicObject>, ClusterError> {
    let Some(Ok(kind)) = wanted.types.as_ref().map(GroupVersionKind::try_from) else { return Ok(None) };
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    let namespace = wanted.metadata.namespace.as_deref().unwrap_or_default();
    let name = wanted.metadata.name.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(hub.client.clone(), namespace, &resource);
    match api.get(name).await {
        Ok(found) => Ok(Some(found)),
        // Also where its kind is not served yet; that 404 comes without a reason.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(ClusterError::of_get(format!("{} {namespace}/{name}", resource.kind), &error)),
    }
}

//! What is on the infra cluster already and must not be lost.

use crate::bootstrap::plan::sync;
use crate::bootstrap::{Inputs, Live, Remembered};
use crate::cluster::{ClusterError, Connection};
use crate::flux::{git_repository, kustomization};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The data of a Secret.
pub(super) type Data = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// What Flux has for Git already, where this run was given nothing in its place.
#[derive(Debug, Default)]
pub(super) struct ForGit {
    pub(super) credentials: Option<Data>,
    pub(super) proxy: Option<Data>,
    pub(super) signers: Option<Data>,
}

/// Looks at the Secrets and at the sync; also gives what Flux has for Git.
///
/// # Errors
/// Those of the requests.
pub(super) async fn look_at(hub: &Connection, inputs: &Inputs) -> Result<(Live, ForGit), ClusterError> {
    let sync = &inputs.sync;
    let (source, applied) = (git_repository(sync), kustomization(sync));
    let namespaces = std::iter::once(&sync.namespace).chain(inputs.decryption.namespaces.keys());
    let secrets = namespaces.map(async |namespace| hub.secret(namespace, &sync.decryption_secret).await);
    // Before all else: what is seen after it may be older than what another run writes, and never newer.
    let lease = hub.lease_version().await?;
    let (no_pull_secret, secrets, source, applied, accounts, deployments) = futures::join!(
        no_pull_secret(hub, inputs),
        futures::future::try_join_all(secrets),
        sync_object(hub, &source, "gitrepositories"),
        sync_object(hub, &applied, "kustomizations"),
        of_flux(hub, &sync.namespace, ApiResource::erase::<ServiceAccount>(&())),
        of_flux(hub, &sync.namespace, ApiResource::erase::<Deployment>(&()))
    );
    let no_pull_secret = no_pull_secret?;
    let (secrets, source, applied) = (secrets?, source?, applied?);
    let remembered: Remembered = accounts?.into_iter().chain(deployments?).collect();
    let age_secrets =
        secrets.into_iter().flatten().map(|secret| (secret.namespace.clone(), secret)).collect();
    let spec = |object: &Option<DynamicObject>| object.as_ref().map(|object| object.data["spec"].clone());
    let both = [("GitRepository", &source), ("Kustomization", &applied)];
    let suspended = both.into_iter().filter_map(|(kind, object)| {
        let is_suspended = object.as_ref()?.data["spec"]["suspend"].as_bool() == Some(true);
        is_suspended.then(|| format!("{kind} {0}/{0}", sync.namespace))
    });
    let suspended = suspended.collect();
    let in_repository = applied.as_ref().is_some_and(holds_controllers);
    let inventory =
        applied.iter().filter(|_| in_repository).flat_map(|sync| of_inventory(sync, &inputs.sync.namespace));
    let gone = inventory.filter(|one| !remembered.contains_key(one)).collect();
    let decryption = spec(&applied).map(|spec| spec["decryption"].clone()).unwrap_or_default();
    let live = Live {
        age_secrets,
        source: spec(&source).unwrap_or_default(),
        decryption,
        suspended,
        in_repository,
        gone,
        remembered,
        no_pull_secret,
        lease,
    };
    let for_git = for_git(hub, inputs, &live).await?;
    Ok((live, for_git))
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

/// The Secrets for Git that stay.
async fn for_git(hub: &Connection, inputs: &Inputs, live: &Live) -> Result<ForGit, ClusterError> {
    let (sync, given) = (sync(inputs, live), &inputs.git);
    let read = async |name: &Option<String>, given: bool| match name.as_ref().filter(|_| !given) {
        Some(name) => Ok(hub.secret(&sync.namespace, name).await?.map(|secret| secret.data)),
        None => Ok::<_, ClusterError>(None),
    };
    let (credentials, proxy, signers) = futures::try_join!(
        read(&sync.git_secret, !given.data.is_empty()),
        read(&sync.proxy_secret, given.proxy.is_some()),
        read(&sync.verify_secret, given.signers.is_some())
    )?;
    Ok(ForGit { credentials, proxy, signers })
}

/// The objects of a kind that Flux's manifests made, by kind and name.
async fn of_flux(
    hub: &Connection,
    namespace: &str,
    resource: ApiResource,
) -> Result<Vec<((String, String), DynamicObject)>, ClusterError> {
    let api: Api<DynamicObject> = Api::namespaced_with(hub.client.clone(), namespace, &resource);
    let params = ListParams::default().labels("app.kubernetes.io/part-of=flux");
    let list = api.list(&params).await;
    let list = list.map_err(|error| {
        ClusterError::of_request("list", format!("{} of {namespace}", resource.plural), &error)
    })?;
    let key =
        |object: &DynamicObject| (resource.kind.clone(), object.metadata.name.clone().unwrap_or_default());
    Ok(list.items.into_iter().map(|object| (key(&object), object)).collect())
}

/// Whether Flux itself is in what a Kustomization has applied.
fn holds_controllers(kustomization: &DynamicObject) -> bool {
    inventory(kustomization).any(|id| id.ends_with("_kustomize-controller_apps_Deployment"))
}

/// Kind and name of the accounts and controllers in a namespace that a Kustomization has applied.
fn of_inventory(kustomization: &DynamicObject, namespace: &str) -> Vec<(String, String)> {
    let parsed =
        inventory(kustomization).filter_map(|id| match id.split('_').collect::<Vec<_>>().as_slice() {
            [place, name, "apps", "Deployment"] if *place == namespace => Some(("Deployment", *name)),
            [place, name, "", "ServiceAccount"] if *place == namespace => Some(("ServiceAccount", *name)),
            _ => None,
        });
    parsed.map(|(kind, name)| (kind.to_owned(), name.to_owned())).collect()
}

/// The entries of an inventory: namespace, name, group and kind, with `_` between them.
fn inventory(kustomization: &DynamicObject) -> impl Iterator<Item = &str> {
    let entries = kustomization.data["status"]["inventory"]["entries"].as_array();
    entries.into_iter().flatten().filter_map(|entry| entry["id"].as_str())
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

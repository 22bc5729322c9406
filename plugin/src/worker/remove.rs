//! A worker goes: what Flux applies there first, then its credentials on both sides.

use super::access::Tenant;
use super::delivered::{Applier, appliers, resource};
use super::error::{Stop, WorkerError};
use super::hub::{Hub, gone};
use super::obtain::forget_namespaces;
use super::own_key::key_secret_name;
use super::record::{CredentialKind, Scope, Stored};
use super::renew::{Renewal, enter, until_refused};
use crate::cluster::{ClusterError, Connection, Deadline, FIELD_MANAGER, RemoteKubeconfig};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kubiya_hook::edge::{Kind, in_shell};
use serde_json::json;
use std::time::Duration;

/// What becomes of what Flux has applied to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is deleted there.
    Prune,
    /// It stays there, and nobody looks after it.
    Orphan,
}

/// How a worker is removed.
#[derive(Clone, Debug)]
pub struct Removal {
    /// What becomes of what was applied; nothing where nobody has said.
    pub fate: Option<Fate>,
    /// The worker is gone or out of reach: do what can be done without it.
    pub unreachable: bool,
    /// The way to the worker.
    pub way: Renewal,
    /// How long Flux may take to prune.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// The Kustomizations and HelmReleases that went.
    pub appliers: Vec<String>,
    /// Whether the worker's own side is cleaned, and its token refused.
    pub revoked: bool,
    /// The Secrets that went.
    pub secrets: Vec<String>,
    /// What stays behind, and should be known.
    pub left: Vec<String>,
}

/// What would have to go, without a change.
///
/// # Errors
/// A worker that nobody knows, and what must be decided or done first.
pub async fn look(hub: &Hub, worker: &str, how: &Removal) -> Result<Vec<Applier>, WorkerError> {
    hub.known(worker)?;
    hub.refuse_from_git(worker, "take the worker's folder out of the repository, wait until Flux has applied that, then run the same command again")?;
    let all = appliers(&hub.connection, &hub.namespace).await?;
    let there: Vec<Applier> = all.iter().filter(|applier| applier.goes_to(worker)).cloned().collect();
    if let Some(stop) = comes_back(&all, &there).or_else(|| undecided(worker, &there, how)) {
        return Err(WorkerError::Stopped(Box::new(stop)));
    }
    Ok(there)
}

/// Those that another Kustomization would put back from Git, without credentials and never to go again.
fn comes_back(all: &[Applier], there: &[Applier]) -> Option<Stop> {
    let label = |applier: &Applier, key: &str| {
        let labels = applier.object.metadata.labels.as_ref()?;
        labels.get(&format!("kustomize.toolkit.fluxcd.io/{key}")).cloned()
    };
    let parent_of = |applier: &Applier| {
        let (name, namespace) = (label(applier, "name")?, label(applier, "namespace")?);
        let parent =
            all.iter().find(|a| a.name() == name && a.namespace() == namespace && !a.is_suspended())?;
        Some(format!("{} comes from Git, by {}", applier.id(), parent.id()))
    };
    let causes: Vec<String> = there.iter().filter_map(parent_of).collect();
    (!causes.is_empty()).then(|| Stop {
        message: "what goes to the worker would come back".to_owned(),
        causes,
        hints: vec![
            "take it out of the repository (with `deletionPolicy: Orphan` before that, if its objects are to stay), \
             wait until Flux has applied that, then run the same command again"
                .to_owned(),
            "or suspend what puts it back: flux suspend kustomization NAME".to_owned(),
        ],
        kind: Kind::Usage,
    })
}

fn undecided(worker: &str, there: &[Applier], how: &Removal) -> Option<Stop> {
    (how.fate.is_none() && !how.unreachable && !there.is_empty()).then(|| Stop {
        message: format!("Flux applies to worker `{worker}`: what is to become of that?"),
        causes: there
            .iter()
            .map(|applier| format!("{} ({} objects)", applier.id(), applier.inventory().len()))
            .collect(),
        hints: vec!["--prune deletes it there; --orphan leaves it there".to_owned()],
        kind: Kind::Usage,
    })
}

/// Removes a worker. What is done already is well, so a re-run goes on.
///
/// # Errors
/// Those of [`look`], of the requests, and a deadline.
pub async fn remove(hub: &Hub, worker: &str, how: &Removal) -> Result<Removed, WorkerError> {
    let there = look(hub, worker, how).await?;
    let stored: Vec<Stored> = hub.known(worker)?.into_iter().cloned().collect();
    let mut removed = Removed::default();
    // Before the first change: without the worker, pruning would hang for ever.
    let door = match stored.first() {
        Some(first) if !how.unreachable => Some(open(hub, first, how).await?),
        _ => None,
    };
    let fate = if how.unreachable { Fate::Orphan } else { how.fate.unwrap_or(Fate::Orphan) };
    hub.connection.before_writing().await?;
    for applier in &there {
        take_away(&hub.connection, applier, fate).await?;
    }
    for applier in &there {
        until_gone(&hub.connection, applier, how).await?;
        removed.appliers.push(applier.id());
    }
    match door {
        Some((connection, remote, first)) => {
            clean_worker(hub, &connection, &remote, &first, how.way.request_timeout).await?;
            removed.revoked = first.record.kind == CredentialKind::Minted;
            removed.left.extend(stays_good(&first));
        }
        None => removed.left.extend(stored.first().map(left_behind)),
    }
    for one in &stored {
        removed.left.extend(own_key(hub, one).await?);
        hub.forget(one).await?;
        removed.secrets.push(format!("{}/{}", one.namespace, super::secret_name(worker)));
    }
    Ok(removed)
}

/// What can be taken back only elsewhere.
fn stays_good(stored: &Stored) -> Option<String> {
    match stored.record.kind {
        CredentialKind::Minted => None,
        CredentialKind::Copied => {
            Some("copied credentials stay good: revoke them where they came from".to_owned())
        }
        CredentialKind::Oidc => Some(format!(
            "the worker still trusts the infra cluster's issuer for the audience {}: take that out of its AuthenticationConfiguration",
            stored.record.audience.as_deref().unwrap_or_default()
        )),
    }
}

/// The worker's own key, which is not thrown away: what is encrypted for it may be all that is left of it.
async fn own_key(hub: &Hub, stored: &Stored) -> Result<Option<String>, WorkerError> {
    let (namespace, name) = (&stored.namespace, key_secret_name(&stored.record.worker));
    let is_there = hub.connection.secret(namespace, &name).await?.is_some();
    Ok(is_there.then(|| {
        format!(
            "the age key of its own stays, for what is encrypted for it: when that is gone, take its rule out of \
             .sops.yaml, and kubectl --context {} -n {namespace} delete secret {name}",
            in_shell(hub.connection.context.as_bytes())
        )
    }))
}

fn left_behind(stored: &Stored) -> String {
    let until = stored.record.expires.map(|end| format!(" until {end}")).unwrap_or_default();
    format!(
        "should the worker come back, Flux's credentials are good there{until}: delete its namespaces `kubiya-…` there"
    )
}

type Door = (Connection, RemoteKubeconfig, Stored);

async fn open(hub: &Hub, first: &Stored, how: &Removal) -> Result<Door, WorkerError> {
    let remote = first.way(hub).await?;
    match enter(hub, first, &remote, &how.way).await {
        Ok(connection) => Ok((connection, remote, first.clone())),
        Err(WorkerError::Cluster(error @ ClusterError::Unreachable { .. })) => {
            Err(WorkerError::Stopped(Box::new(Stop {
                message: error.to_string(),
                causes: vec!["nothing was changed".to_owned()],
                hints: vec!["if the worker is gone for good: --unreachable".to_owned()],
                kind: Kind::Unverified,
            })))
        }
        Err(error) => Err(error),
    }
}

/// Tells an applier what to leave, and takes it away. Its finalizer does the rest.
async fn take_away(hub: &Connection, applier: &Applier, fate: Fate) -> Result<(), ClusterError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(hub.client.clone(), applier.namespace(), &resource(applier.kind));
    let spec = match (applier.kind, fate) {
        // A suspended one would leave everything; helm-controller does so only then.
        ("HelmRelease", Fate::Orphan) => json!({"suspend": true}),
        ("HelmRelease", Fate::Prune) => json!({"suspend": false}),
        (_, Fate::Orphan) => json!({"deletionPolicy": "Orphan"}),
        (_, Fate::Prune) => json!({"deletionPolicy": "Delete", "suspend": false}),
    };
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = api.patch(applier.name(), &params, &Patch::Merge(&json!({"spec": spec}))).await;
    gone(patched, || applier.id())?;
    gone(api.delete(applier.name(), &DeleteParams::default()).await, || applier.id())
}

async fn until_gone(hub: &Connection, applier: &Applier, how: &Removal) -> Result<(), ClusterError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(hub.client.clone(), applier.namespace(), &resource(applier.kind));
    let deadline = Deadline::after(how.timeout);
    loop {
        let cause = match api.get_opt(applier.name()).await {
            Ok(None) => return Ok(()),
            Ok(Some(object)) => Applier { object, kind: applier.kind }.ready().1,
            Err(error) => ClusterError::of_get(applier.id(), &error).to_string(),
        };
        if deadline.has_passed() {
            return Err(ClusterError::TimedOut {
                what: applier.id(),
                wanted: "gone",
                after: deadline.total(),
                causes: vec![cause],
            });
        }
        deadline.pause().await;
    }
}

/// Takes the access away on the worker: everything is in one namespace or belongs to it, so the worker does
/// the rest even when the token with which it was asked is gone.
async fn clean_worker(
    hub: &Hub,
    worker: &Connection,
    remote: &RemoteKubeconfig,
    stored: &Stored,
    request_timeout: Duration,
) -> Result<(), WorkerError> {
    if stored.record.kind == CredentialKind::Copied {
        return Ok(());
    }
    let tenant = Tenant::new(&hub.uid);
    if let Scope::Namespaces(namespaces) = &stored.record.scope {
        forget_namespaces(worker, &tenant, namespaces).await?;
    }
    let api: Api<Namespace> = Api::all(worker.client.clone());
    let name = tenant.namespace();
    gone(api.delete(&name, &DeleteParams::default()).await, || format!("Namespace {name}"))?;
    // A trusted issuer's tokens are let in as long as they live, and may do nothing any more.
    if stored.record.kind == CredentialKind::Oidc {
        return Ok(());
    }
    until_refused(&stored.record.worker, remote, request_timeout).await
}

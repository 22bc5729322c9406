//! Everything outside that must be as expected before the first write: all problems at once.

use super::inputs::no_ssh_key;
use super::plan::AGE_ENTRY;
use super::{Inputs, Live};
use crate::cluster::{ClusterError, Connection};
use crate::flux::git_repository;
use crate::git_access::{Look, LookError, read_back};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kubiya_hook::edge::Failure;
use kubiya_hook::git::remote::BranchTip;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the preflight saw.
#[derive(Debug, Default)]
pub struct Preflight {
    /// The infra cluster, where it answers.
    pub hub: Option<Connection>,
    /// The workers that answer.
    pub workers: Vec<(String, Connection)>,
    /// What is on the infra cluster already.
    pub live: Live,
    /// The way to look at the repository; `None` where this machine cannot.
    pub look: Option<Look>,
    /// The tip of the branch, where it could be seen.
    pub tip: Option<String>,
    /// What does not stop the run.
    pub warnings: Vec<String>,
    /// What does.
    pub problems: Vec<Failure>,
}

/// Asks everybody at once, with exactly the credentials that will be used.
pub async fn preflight(inputs: &Inputs, request_timeout: Duration) -> Preflight {
    let mut found = Preflight::default();
    let workers = inputs.workers.iter().map(async |worker| {
        let proof = worker.remote.prove(request_timeout).await;
        (worker, proof)
    });
    let hub = async {
        let Some(selection) = &inputs.hub else { return Ok(None) };
        let hub = Connection::open(selection, request_timeout).await?;
        let live = look_at(&hub, inputs).await;
        Ok::<_, ClusterError>(Some((hub, live)))
    };
    let given = given_look(inputs);
    let early = async {
        match &given {
            Some(look) => Some(look.tip().await),
            None => None,
        }
    };
    let (hub, workers, early) = futures::join!(hub, futures::future::join_all(workers), early);
    match hub {
        Ok(Some((hub, live))) => {
            match live {
                Ok((live, git_data)) => {
                    found.live = live;
                    found.look = given.or_else(|| later_look(inputs, git_data, &mut found));
                }
                Err(error) => found.problems.push(Failure::from(error)),
            }
            found.hub = Some(hub);
        }
        Ok(None) => {}
        Err(error) => found.problems.push(Failure::from(error)),
    }
    for (worker, proof) in workers {
        match proof {
            Ok(connection) => found.workers.push((worker.name.clone(), connection)),
            Err(error) => {
                found.problems.push(Failure::from(error).at(format!("worker {}", worker.name)));
            }
        }
    }
    let tip = match (early, &found.look) {
        (None, Some(look)) => Some(look.tip().await),
        (early, _) => early,
    };
    if let Some(tip) = tip {
        judge_tip(inputs, tip, &mut found);
    }
    found
}

/// The way to look at the repository with what was given; `None` where the cluster must be asked first.
fn given_look(inputs: &Inputs) -> Option<Look> {
    let sync = &inputs.sync;
    (!inputs.git.data.is_empty()).then(|| Look::given(&sync.url, &sync.branch, inputs.git.access.clone()))
}

/// The way to look with what Flux has already, or as anybody.
fn later_look(
    inputs: &Inputs,
    git_data: Option<BTreeMap<String, Vec<u8>>>,
    found: &mut Preflight,
) -> Option<Look> {
    let sync = &inputs.sync;
    let name = sync.git_secret.as_ref().or(found.live.git_secret.as_ref());
    let Some(name) = name else {
        if sync.url.starts_with("ssh://") {
            found.problems.push(no_ssh_key());
            return None;
        }
        return Some(Look::given(&sync.url, &sync.branch, inputs.git.access.clone()));
    };
    let Some(data) = git_data else {
        let missing =
            format!("the Secret {}/{name} with the credentials for Git is not there", sync.namespace);
        found.problems.push(
            Failure::unverified(missing)
                .hint("let it be written: --password-file, --bearer-token-file, or --private-key-file and --known-hosts-file"),
        );
        return None;
    };
    let look = read_back(&data).map(|found| Look::of_cluster(&sync.url, &sync.branch, found));
    if look.is_none() {
        let why = format!("the key in the Secret {}/{name} is not put into a file here", sync.namespace);
        found.warnings.push(format!("the repository was not looked at: {why}"));
    }
    look
}

fn judge_tip(inputs: &Inputs, tip: Result<BranchTip, LookError>, found: &mut Preflight) {
    let sync = &inputs.sync;
    match tip {
        Ok(BranchTip::Found(oid)) => found.tip = Some(oid),
        Ok(BranchTip::Missing) => found.problems.push(
            Failure::unverified(format!("the repository {} has no branch `{}`", sync.url, sync.branch))
                .hint("push it first, or name another: --branch NAME"),
        ),
        Err(error) if error.is_refusal() => found.problems.push(refused(inputs, &error)),
        // Flux may reach what this machine does not; only the expected revision stays unknown.
        Err(error) => found.warnings.push(format!("cannot look at the repository from here: {error}")),
    }
}

/// The repository does not let Flux in.
fn refused(inputs: &Inputs, error: &LookError) -> Failure {
    let failure = Failure::unverified(format!(
        "the repository {} does not accept what Flux will have to read it",
        inputs.sync.url
    ))
    .because(error);
    if inputs.git.access.ssh.is_some() {
        let public = inputs.git.notes.iter().find(|(word, _)| word.ends_with("key")).map(|(_, text)| text);
        let key = public.cloned().unwrap_or_default();
        return failure.hint(format!("add the deploy key to the repository (reading is enough): {key}"));
    }
    match (&inputs.sync.git_secret, inputs.git.data.is_empty()) {
        (None, true) => failure.hint(
            "for a private repository: --username NAME --password-file FILE, or --bearer-token-file FILE",
        ),
        _ => failure.hint("the user or the token needs the right to read this repository"),
    }
}

/// What is there already that must not be lost, and the credentials for Git that Flux has.
async fn look_at(
    hub: &Connection,
    inputs: &Inputs,
) -> Result<(Live, Option<BTreeMap<String, Vec<u8>>>), ClusterError> {
    let sync = &inputs.sync;
    let (age, repository) =
        futures::join!(secret_data(hub, &sync.namespace, &sync.decryption_secret), named_secret(hub, inputs));
    let (mut age, git_secret) = (age?, repository?);
    let entry = age.as_mut().and_then(|data| data.remove(AGE_ENTRY));
    let age_entry = entry.map(|bytes| SecretString::from(String::from_utf8_lossy(&bytes).into_owned()));
    let name = sync.git_secret.clone().or_else(|| git_secret.clone());
    let git_data = match name.filter(|_| inputs.git.data.is_empty()) {
        Some(name) => secret_data(hub, &sync.namespace, &name).await?,
        None => None,
    };
    Ok((Live { age_entry, git_secret }, git_data))
}

/// The data of a Secret; `None` where there is none.
async fn secret_data(
    hub: &Connection,
    namespace: &str,
    name: &str,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, ClusterError> {
    let api: Api<Secret> = Api::namespaced(hub.client.clone(), namespace);
    let secret = api
        .get_opt(name)
        .await
        .map_err(|error| ClusterError::of_get(format!("Secret {namespace}/{name}"), &error))?;
    let data = secret.map(|secret| secret.data.unwrap_or_default());
    Ok(data.map(|data| data.into_iter().map(|(key, bytes)| (key, bytes.0)).collect()))
}

/// The Secret that the GitRepository names, if there is one and Flux is there at all.
async fn named_secret(hub: &Connection, inputs: &Inputs) -> Result<Option<String>, ClusterError> {
    let wanted = git_repository(&inputs.sync);
    let Some(Ok(kind)) = wanted.types.as_ref().map(GroupVersionKind::try_from) else { return Ok(None) };
    let resource = ApiResource::from_gvk_with_plural(&kind, "gitrepositories");
    let api: Api<DynamicObject> = Api::namespaced_with(hub.client.clone(), &inputs.sync.namespace, &resource);
    match api.get(&inputs.sync.namespace).await {
        Ok(found) => Ok(found.data["spec"]["secretRef"]["name"].as_str().map(str::to_owned)),
        // Also where its kind is not served yet; that 404 comes without a reason.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => {
            Err(ClusterError::of_get(format!("GitRepository {0}/{0}", inputs.sync.namespace), &error))
        }
    }
}

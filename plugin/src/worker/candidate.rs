//! A cluster that is to be a worker: looked at, before anything is written.

use super::access::Tenant;
use super::error::{WorkerError, ended};
use super::hub::{Hub, cluster_uid};
use super::names::is_label;
use super::record::{CredentialKind, Scope};
use crate::cluster::{
    ClusterError, Connection, KubeconfigSource, Kubeconfigs, RemoteKubeconfig, RemoteProblem, Selection,
    remote_kubeconfig,
};
use kube::config::AuthInfo;
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddRequest {
    /// Name of the worker.
    pub name: String,
    /// Where the operator's way to it is.
    pub source: KubeconfigSource,
    /// Its context there; the current one where none is named.
    pub context: Option<String>,
    /// Which credentials Flux is to have.
    pub terms: Terms,
}

/// How workers are taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Which credentials Flux is to have.
    pub credential: CredentialKind,
    /// How far minted ones reach.
    pub scope: Scope,
    /// How long minted ones are to live.
    pub lifetime: Duration,
    /// Make a new token although the one that is stored is good.
    pub new_token: bool,
    /// Accept addresses that only this machine reaches.
    pub allow_loopback: bool,
    /// How a worker that is to trust the infra cluster's issuer does so.
    pub oidc: Option<OidcTerms>,
    /// Namespaces of the infra cluster whose Kustomizations go there; Flux's where none is named.
    pub namespaces: Vec<String>,
    /// Accept another cluster under the name of a worker that is known.
    pub replace: bool,
    /// Write over a Secret that is not ours.
    pub force: bool,
    /// How long a request may take.
    pub request_timeout: Duration,
}

/// How a worker trusts the issuer of the infra cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcTerms {
    /// For whom tokens are made; one that no other cluster has where none is named.
    pub audience: Option<String>,
    /// Accept an audience that another cluster accepts, too.
    pub allow_shared_audience: bool,
    /// Give access to the names without a prefix as well.
    pub fallback_bindings: bool,
}

/// How long a token lives unless another time is asked for. Servers cap it.
pub const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// A cluster that answers and may become a worker.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// The operator's way to it.
    pub connection: Connection,
    /// UID of its `kube-system`, where that may be read.
    pub uid: Option<String>,
    /// The way without the operator's own credentials, or with what Flux keeps of them.
    pub remote: RemoteKubeconfig,
    /// On which terms.
    pub terms: Terms,
}

/// A request that is right as far as that can be told without asking a cluster.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What is asked for.
    pub request: AddRequest,
    /// The operator's way to the cluster.
    pub selection: Selection,
    /// The way without the operator's own credentials, or with what Flux keeps of them.
    pub remote: RemoteKubeconfig,
}

impl Resolved {
    /// Says credentials that have ended before anybody is asked.
    ///
    /// # Errors
    /// They have.
    pub fn refuse_ended(&self) -> Result<(), WorkerError> {
        ended(&self.selection.context, &self.selection.user)
    }
}

/// Checks a request without asking a cluster: the name, the context, and what Flux would keep of it.
///
/// # Errors
/// What is wrong with them.
pub fn resolve(request: &AddRequest, kubeconfigs: &mut Kubeconfigs) -> Result<Resolved, WorkerError> {
    if !is_label(&request.name) {
        return Err(WorkerError::NoLabel(request.name.clone()));
    }
    let selection = kubeconfigs.select(&request.source, request.context.as_deref())?;
    let kept = match request.terms.credential {
        CredentialKind::Copied => selection.clone(),
        // The token comes later; everything else of the entry must be what Flux can use.
        _ => Selection { user: AuthInfo::default(), ..selection.clone() },
    };
    let remote = match remote_kubeconfig(&request.name, &kept, request.terms.allow_loopback) {
        Ok(remote) => remote,
        Err(problems) => {
            let minted = request.terms.credential != CredentialKind::Copied;
            let problems: Vec<RemoteProblem> =
                problems.into_iter().filter(|p| !(minted && *p == RemoteProblem::NoCredentials)).collect();
            if !problems.is_empty() {
                return Err(WorkerError::Unusable { context: selection.context, problems });
            }
            RemoteKubeconfig::without_credentials(&request.name, &kept)
        }
    };
    Ok(Resolved { request: request.clone(), selection, remote })
}

impl Candidate {
    /// Connects as the operator does.
    ///
    /// # Errors
    /// Bad input, an unreachable cluster, credentials that have ended.
    pub async fn open(resolved: &Resolved) -> Result<Self, WorkerError> {
        let Resolved { request, selection, remote } = resolved;
        resolved.refuse_ended()?;
        let connection = Connection::open(selection, request.terms.request_timeout).await?;
        Ok(Self {
            name: request.name.clone(),
            uid: cluster_uid(&connection).await?,
            connection,
            remote: remote.clone(),
            terms: request.terms.clone(),
        })
    }

    /// Makes sure that the cluster may have this name.
    ///
    /// # Errors
    /// The infra cluster itself, a cluster that has another name, a name that is another cluster's.
    pub fn refuse_mistaken(&self, hub: &Hub) -> Result<(), WorkerError> {
        let Some(uid) = &self.uid else { return Ok(()) };
        let context = || self.connection.context.clone();
        if *uid == hub.uid {
            return Err(WorkerError::IsHub { context: context() });
        }
        let known = |stored: &&super::Stored| stored.record.cluster.as_ref() == Some(uid);
        if let Some(other) = hub.stored.iter().filter(known).find(|stored| stored.record.worker != self.name)
        {
            return Err(WorkerError::OtherName { other: other.record.worker.clone() });
        }
        let was = hub.of(&self.name).iter().find_map(|stored| stored.record.cluster.clone());
        if was.is_some_and(|was| was != *uid) && !self.terms.replace {
            return Err(WorkerError::OtherCluster { worker: self.name.clone(), context: context() });
        }
        Ok(())
    }

    /// The infra cluster as this worker knows it.
    #[must_use]
    pub fn tenant(&self, hub: &Hub) -> Tenant {
        Tenant::new(&hub.uid)
    }
}

/// Whether an error says that the credentials are not accepted.
pub(super) fn is_refusal(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Unauthenticated { .. })
}

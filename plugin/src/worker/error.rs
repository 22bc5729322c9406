//! What can go wrong with a worker, and what to type about it.

use super::lifetime;
use super::rights::{Right, as_rbac};
use crate::cluster::{CertificateProblem, ClusterError, RemoteProblem};
use crate::duration;
use jiff::Timestamp;
use kubiya_hook::edge::{Failure, Kind};
use std::time::Duration;

/// An error about a worker. Never holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The infra cluster or the worker did not answer as it should.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The name cannot be part of the names of Kubernetes' objects.
    #[error("`{0}` is not a DNS label (lower-case letters, digits and `-`, at most 63)")]
    NoLabel(String),
    /// Context and infra cluster are one.
    #[error("this is the infra cluster itself: `{context}` and the infra cluster have the same kube-system")]
    IsHub {
        /// The context of the worker.
        context: String,
    },
    /// The cluster has a name already.
    #[error("this cluster is known already, as worker `{other}`")]
    OtherName {
        /// The name that it has.
        other: String,
    },
    /// The name belongs to another cluster.
    #[error("`{context}` is another cluster than the one that worker `{worker}` has been")]
    OtherCluster {
        /// The worker.
        worker: String,
        /// The context.
        context: String,
    },
    /// A Secret of that name is there and is not ours.
    #[error("the Secret {namespace}/{name} is there already, and kubectl-kubiya did not make it")]
    Foreign {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The operator may not give Flux access.
    #[error("{user} may not make credentials for Flux on the worker")]
    MayNotGive {
        /// Who we are there.
        user: String,
        /// What is missing.
        missing: Vec<Right>,
    },
    /// The credentials are good for less than Flux needs.
    #[error("{user} may not do on the worker what Flux needs")]
    MayNotUse {
        /// Who Flux would be there.
        user: String,
        /// What is missing.
        missing: Vec<Right>,
    },
    /// The server caps the lifetime of tokens.
    #[error("the API server grants tokens for {} only, {} were asked for", duration::long(*granted), duration::long(*asked))]
    TooShort {
        /// What was asked for.
        asked: Duration,
        /// What was granted.
        granted: Duration,
    },
    /// The context cannot be given to Flux.
    #[error("the context `{context}` cannot be used by Flux")]
    Unusable {
        /// The context.
        context: String,
        /// Why, all of it.
        problems: Vec<RemoteProblem>,
    },
    /// The credentials have ended.
    #[error("the {what} of `{context}` ended at {end}")]
    Ended {
        /// Token or client certificate.
        what: &'static str,
        /// The context.
        context: String,
        /// When.
        end: Timestamp,
    },
    /// No worker of that name.
    #[error("the infra cluster knows no worker `{name}`{}", listed(.known))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// What was copied can only be copied again.
    #[error("the credentials of worker `{worker}` were copied: what renews them is where they came from")]
    NotMinted {
        /// The worker.
        worker: String,
    },
    /// There is no lasting credential.
    #[error("worker `{worker}` has nothing to renew: tokens for it are made as they are needed")]
    NothingToRenew {
        /// The worker.
        worker: String,
    },
    /// The infra cluster's tokens cannot be trusted by anybody else.
    #[error("the infra cluster has no issuer that others could read: {url}")]
    NoIssuer {
        /// The claim of its tokens.
        url: String,
    },
    /// A token is still accepted after it was revoked.
    #[error("the API server of worker `{worker}` still accepts the old token {} after it was revoked", duration::text(*.after))]
    StillAccepted {
        /// The worker.
        worker: String,
        /// How long was waited.
        after: Duration,
    },
    /// A failure of another room, in its own words.
    #[error("{}", .0.lines().join("; "))]
    Failed(Failure),
    /// Something that nothing is left to do about from here.
    #[error("{0}")]
    Stopped(Box<Stop>),
}

/// A failure with its own words.
#[derive(Debug)]
pub struct Stop {
    /// What failed.
    pub message: String,
    /// Why.
    pub causes: Vec<String>,
    /// What to type.
    pub hints: Vec<String>,
    /// Which kind of failure it is.
    pub kind: Kind,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" (it knows: {})", names.join(", ")) }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        let message = error.to_string();
        match error {
            WorkerError::Cluster(error) => of_cluster(error),
            WorkerError::NoLabel(_) => Failure::usage(message),
            WorkerError::IsHub { .. } => Failure::usage(message)
                .hint("a worker is another cluster: --worker-context NAME; the infra cluster needs no kubeconfig")
                .hint("kubectl config get-contexts"),
            WorkerError::OtherName { other } => Failure::usage(message)
                .because_of("two names for one cluster would apply the same objects twice, and prune each other's")
                .hint(format!("use `{other}`, or take that name away first: kubectl kubiya worker remove {other}")),
            WorkerError::OtherCluster { .. } => Failure::usage(message)
                .because_of("the UIDs of kube-system differ; Flux would apply everything to the new one")
                .hint("if the worker was built anew: --replace"),
            WorkerError::Foreign { namespace, name } => Failure::usage(message)
                .hint(format!("look at it: kubectl -n {namespace} describe secret {name}"))
                .hint("to write over it on purpose: --force-conflicts"),
            WorkerError::MayNotGive { user, missing } => with_rights(Failure::unverified(message), &missing).hint(format!(
                "have an administrator of the worker apply this, then run the same command again:\n{}",
                as_rbac(&missing, &user, "kubiya-worker-add").trim_end()
            )),
            WorkerError::MayNotUse { user, missing } => with_rights(Failure::unverified(message), &missing).hint(format!(
                "have an administrator of the worker apply this, then run the same command again:\n{}",
                as_rbac(&missing, &user, "kubiya-flux").trim_end()
            )),
            WorkerError::TooShort { granted, .. } => Failure::unverified(message)
                .because_of(format!("Flux would be locked out in {}", duration::long(granted)))
                .hint("have no lasting credential at all: --oidc")
                .hint(format!(
                    "where a job renews it in time (kubectl kubiya worker renew), ask for what there is: --duration {}",
                    duration::long(granted)
                )),
            WorkerError::Unusable { context, problems } => {
                let all = problems
                    .iter()
                    .map(|problem| {
                        Failure::usage(problem.to_string()).at(format!("context {context}")).hint(problem.hint())
                    })
                    .collect();
                Failure::all(message, all)
            }
            WorkerError::Ended { .. } => Failure::unverified(message)
                .hint("log in again, as your provider has it, or use another context: --worker-context NAME"),
            WorkerError::Unknown { .. } => Failure::usage(message).hint("kubectl kubiya worker list"),
            WorkerError::NotMinted { worker } => Failure::usage(message)
                .hint(format!("copy them again: kubectl kubiya worker add {worker} --copy-credentials"))
                .hint(format!("or have credentials that can be renewed: kubectl kubiya worker add {worker}")),
            WorkerError::NothingToRenew { .. } => Failure::usage(message),
            WorkerError::NoIssuer { .. } => Failure::unverified(message)
                .hint("start the infra cluster's API server with --service-account-issuer=https://…, or use a token of the worker's own: leave --oidc out"),
            WorkerError::StillAccepted { .. } => Failure::new(Kind::Timeout, message)
                .because_of("API servers remember a token for ten seconds; this one does for longer")
                .hint("look again later: kubectl kubiya worker check NAME"),
            WorkerError::Failed(failure) => failure,
            WorkerError::Stopped(stop) => {
                let failure = Failure::new(stop.kind, message);
                let failure = stop.causes.into_iter().fold(failure, Failure::because_of);
                stop.hints.into_iter().fold(failure, Failure::hint)
            }
        }
    }
}

fn with_rights(failure: Failure, missing: &[Right]) -> Failure {
    missing
        .iter()
        .fold(failure, |failure, right| failure.because_of(format!("not allowed: {}", right.words())))
}

/// Errors of connecting, with what to do about their usual causes.
fn of_cluster(error: ClusterError) -> Failure {
    let message = error.to_string();
    match &error {
        ClusterError::Unreachable { certificate: Some(problem), .. }
            if **problem == CertificateProblem::Authority =>
        {
            Failure::from(error).hint("if its authority was changed, `worker add` then gives Flux the new one")
        }
        ClusterError::Refused { code: 403, .. } => Failure::unverified(message)
            .hint("on the infra cluster this needs: get of Namespace kube-system; get, list, create, patch, delete of Secrets in Flux's namespace"),
        _ => Failure::from(error),
    }
}

/// The error of credentials that have ended, found before the server is asked.
pub(super) fn ended(context: &str, user: &kube::config::AuthInfo) -> Result<(), WorkerError> {
    match lifetime::user_end(user) {
        Some((what, end)) if end <= Timestamp::now() => {
            Err(WorkerError::Ended { what, context: context.to_owned(), end })
        }
        _ => Ok(()),
    }
}

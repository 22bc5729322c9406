//! What can go wrong with a cluster, and what to type about it.

use super::CertificateProblem;
use kube::client::AuthError;
use kubiya_hook::edge::{Failure, Kind};
use std::path::PathBuf;
use std::time::Duration;

/// An error of a cluster or of the way to it. Never holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No kubeconfig file exists.
    #[error("no kubeconfig found")]
    NoKubeconfig {
        /// The files that were looked at.
        looked_at: Vec<PathBuf>,
    },
    /// A kubeconfig file cannot be read or parsed.
    #[error("{}: cannot read the kubeconfig: {reason}", path.display())]
    BrokenKubeconfig {
        /// The file.
        path: PathBuf,
        /// Why, without any of its text.
        reason: String,
    },
    /// No context was named and the kubeconfig has no current one.
    #[error("the kubeconfig has no current context (it has: {})", known.join(", "))]
    NoCurrentContext {
        /// The contexts there are.
        known: Vec<String>,
    },
    /// A context, cluster or user that is not in the kubeconfig.
    #[error("no {what} `{name}` in the kubeconfig (it has: {})", known.join(", "))]
    NoSuchEntry {
        /// `context`, `cluster` or `user`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A flag or a kubeconfig entry from which no connection can be made.
    #[error("cannot use the connection to `{context}`: {reason}")]
    BadConnection {
        /// The context.
        context: String,
        /// Why.
        reason: String,
    },
    /// The API server cannot be reached.
    #[error("cannot reach the API server of `{context}` at {server}: {reason}")]
    Unreachable {
        /// The context.
        context: String,
        /// Its URL.
        server: String,
        /// Why: refused, timed out, certificate.
        reason: String,
        /// What is wrong with its certificate, if that is it.
        certificate: Option<Box<CertificateProblem>>,
        /// kubectl with the flags for this cluster; `None` where kubectl has no context for it.
        kubectl: Option<String>,
    },
    /// The API server does not know us.
    #[error("the API server of `{context}` does not accept the credentials: {reason}")]
    Unauthenticated {
        /// The context.
        context: String,
        /// What the server or the credential plugin said.
        reason: String,
        /// kubectl with the flags for this cluster; `None` where kubectl has no context for it.
        kubectl: Option<String>,
    },
    /// A request was refused or failed.
    #[error("{verb} {object}: {reason}")]
    Refused {
        /// What was asked for.
        verb: &'static str,
        /// Which object.
        object: String,
        /// What the server said.
        reason: String,
        /// HTTP status code, 0 where there is none.
        code: u16,
    },
    /// Somebody else set fields to other values.
    #[error("{object}: others set these fields: {}", fields.join(", "))]
    Conflict {
        /// Which object.
        object: String,
        /// Each field with its owner.
        fields: Vec<String>,
    },
    /// A kind that the server does not serve.
    #[error("the API server serves no {kind} in {api_version}")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Its apiVersion.
        api_version: String,
    },
    /// A wait came to its end.
    #[error("{what} was not {wanted} within {}", crate::duration::text(*after))]
    TimedOut {
        /// The object waited for.
        what: String,
        /// What it should have become.
        wanted: &'static str,
        /// How long was waited.
        after: Duration,
        /// What the cluster itself says: conditions, pod reasons, events.
        causes: Vec<String>,
    },
    /// An object says that it cannot succeed without a change.
    #[error("{what} failed")]
    Failed {
        /// The object.
        what: String,
        /// What the cluster itself says.
        causes: Vec<String>,
    },
}

impl ClusterError {
    /// From an error of the Kubernetes client about one object.
    pub(crate) fn of_request(verb: &'static str, object: String, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                ClusterError::Refused { verb, object, reason: status.message.clone(), code: status.code }
            }
            other => ClusterError::Refused { verb, object, reason: innermost(other), code: 0 },
        }
    }

    /// From an error of asking what we may do.
    pub(crate) fn of_review(error: &kube::Error) -> Self {
        Self::of_request("create", "SelfSubjectAccessReview".to_owned(), error)
    }

    /// From an error of reading one object.
    pub(crate) fn of_get(object: String, error: &kube::Error) -> Self {
        Self::of_request("get", object, error)
    }
}

/// The last source of an error: the Kubernetes client wraps the cause several times in words that say nothing. What a
/// credential plugin printed is no part of it: that may hold a token.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    loop {
        match last.downcast_ref::<AuthError>() {
            Some(AuthError::AuthExecStart(error)) => {
                return format!("its credential plugin cannot be started: {error}");
            }
            Some(AuthError::AuthExecRun { out, .. }) => {
                return format!("its credential plugin failed ({})", out.status);
            }
            Some(AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed) => {
                return "its credential plugin gave no credentials".to_owned();
            }
            _ => {}
        }
        match last.source() {
            Some(source) => last = source,
            None => return last.to_string(),
        }
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match &error {
            ClusterError::NoKubeconfig { looked_at } => {
                let places: Vec<String> = looked_at.iter().map(|p| p.display().to_string()).collect();
                Failure::usage(message)
                    .because_of(format!("looked at: {}", places.join(", ")))
                    .hint("name one: --kubeconfig FILE, or export KUBECONFIG=FILE")
            }
            ClusterError::BrokenKubeconfig { .. } => Failure::usage(message),
            ClusterError::NoCurrentContext { .. } => {
                Failure::usage(message).hint("name one: --context NAME")
            }
            ClusterError::NoSuchEntry { .. } => {
                Failure::usage(message).hint("kubectl config get-contexts")
            }
            ClusterError::BadConnection { .. } => Failure::usage(message),
            ClusterError::Unreachable { certificate: Some(problem), .. } => {
                problem.explain(Failure::unverified(message))
            }
            ClusterError::Unreachable { kubectl, .. } => {
                let failure = Failure::unverified(message);
                let hint = |kubectl: &String| format!("{kubectl} version   # does kubectl reach it?");
                kubectl.iter().map(hint).fold(failure, Failure::hint)
            }
            ClusterError::Unauthenticated { kubectl, .. } => {
                let hints = kubectl.iter().map(|kubectl| format!("{kubectl} auth whoami"));
                hints.fold(Failure::unverified(message), Failure::hint)
            }
            ClusterError::Conflict { .. } => Failure::unverified(message)
                .hint("who owns them will put them back; to take them over on purpose: --force-conflicts"),
            ClusterError::Refused { code: 409, .. } => Failure::unverified(message).hint(
                "another manager set these fields; to take them over on purpose: --force-conflicts",
            ),
            ClusterError::Refused { code: 403, .. } => Failure::unverified(message)
                .hint("bootstrap needs cluster-admin on the infra cluster, as `flux install` does"),
            ClusterError::Refused { .. } | ClusterError::UnknownKind { .. } => Failure::unverified(message),
            ClusterError::TimedOut { causes, .. } => {
                causes.iter().fold(Failure::new(Kind::Timeout, message), |f, cause| f.because_of(cause.clone()))
                    .hint("run the same command again: it goes on where this one stopped; --timeout 10m waits longer")
            }
            ClusterError::Failed { causes, .. } => {
                causes.iter().fold(Failure::unverified(message), |f, cause| f.because_of(cause.clone()))
            }
        }
    }
}

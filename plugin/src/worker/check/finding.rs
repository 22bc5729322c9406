//! What a look at a worker finds, each with its fix.

use serde::Serialize;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something will not work for long, or is not as it looks.
    Warning,
}

/// What is broken, by the name under which programs find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The worker does not answer.
    Unreachable,
    /// The worker does not accept the credentials.
    Refused,
    /// Credentials or authority end soon, or have ended.
    Expiry,
    /// The worker's clock differs from ours.
    Clock,
    /// Credentials lack rights that the worker's Kustomizations need.
    Rights,
    /// What is meant for the worker is on the infra cluster.
    OnlyOnHub,
    /// Flux cannot decrypt.
    Decryption,
    /// A namespace is missing on the worker.
    NamespaceMissing,
    /// Access was given to a name that the worker does not use.
    SubjectPrefix,
    /// A token is for another audience.
    Audience,
    /// A definition is missing on the worker.
    DefinitionMissing,
    /// The kubeconfig that a Kustomization names is not there or is none.
    Kubeconfig,
    /// What Flux says that it delivered is not there.
    NotDelivered,
    /// Something else keeps a Kustomization from being ready.
    NotReady,
    /// A Kustomization is told to do nothing.
    Suspended,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its weight.
    pub level: Level,
    /// What is broken.
    pub state: State,
    /// What it is about: the worker, or an object of the infra cluster.
    pub about: String,
    /// What was seen.
    pub text: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    pub(super) fn error(
        state: State,
        about: impl Into<String>,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Error, state, about: about.into(), text: text.into(), fix: fix.into() }
    }

    pub(super) fn warning(
        state: State,
        about: impl Into<String>,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Warning, ..Self::error(state, about, text, fix) }
    }
}

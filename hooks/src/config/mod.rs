//! What the operator of a server decides: a YAML document `HookConfig`, named by the server's own Git
//! configuration or environment, never by what is pushed.

mod document;
mod load;
mod patterns;
mod reader;
mod schema;

pub use load::{ConfigFailure, FILE_VARIABLE, SETTING, from_file, load};
pub use patterns::Patterns;

use jiff::civil::Date;
use kubiya_policies::finding::{Code, Severity};
use kubiya_policies::rules::Problems;
use schemars::JsonSchema;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The version of the document that this program reads.
pub const API_VERSION: &str = "kubiya.dev/v1alpha1";

/// The kind of the document.
pub const KIND: &str = "HookConfig";

/// What happens to a push with findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Enforcement {
    /// It is refused.
    #[default]
    Refuse,
    /// It passes; the pusher reads what was found.
    Warn,
    /// It passes and nothing is said: findings are in the audit log alone, to try a new version.
    Shadow,
}

/// What happens to a push that changes who may read secrets, or which files hold them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum PolicyChanges {
    /// It passes with a warning, unless no recipient stays.
    #[default]
    Warn,
    /// Only owners may.
    Owners,
    /// Nobody may.
    Refuse,
}

/// How strict a repository is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Profile {
    /// Secrets and private age identities are refused; other credentials where the repository is one for
    /// Flux or SOPS.
    #[default]
    Default,
    /// Secrets only warn, too: fixtures of tests.
    Code,
    /// All is refused.
    Strict,
}

/// The severity that a kind of finding gets; `None` switches it off.
pub type Level = Option<Severity>;

/// Files that are not judged, for a time.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exemption {
    /// Which paths.
    #[schemars(with = "Vec<String>")]
    pub paths: Patterns,
    /// Which findings; none is all.
    #[schemars(with = "Vec<String>", default)]
    pub codes: Vec<Code>,
    /// Which repositories; `None` is all.
    #[schemars(with = "Option<Vec<String>>")]
    pub repositories: Option<Patterns>,
    /// Why.
    pub reason: String,
    /// The last day.
    #[schemars(with = "String")]
    pub expires: Date,
}

/// What only some people may change.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Protected {
    /// Which paths; `None` is all.
    #[schemars(with = "Option<Vec<String>>")]
    pub paths: Option<Patterns>,
    /// Kinds of Kubernetes objects; empty is the whole file.
    #[schemars(default)]
    pub kinds: Vec<String>,
    /// Names of objects; `None` is all.
    #[schemars(with = "Option<Vec<String>>")]
    pub names: Option<Patterns>,
    /// Fields such as `spec.kubeConfig`; empty is the whole object.
    #[schemars(with = "Vec<String>", default)]
    pub fields: Vec<Vec<String>>,
    /// Who may change it.
    pub owners: Vec<String>,
    /// Why it is protected; shown to who is refused.
    pub reason: Option<String>,
}

/// The profile of some repositories.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileRule {
    /// Which repositories.
    #[schemars(with = "Vec<String>")]
    pub repositories: Patterns,
    /// Their profile.
    pub profile: Profile,
}

/// Where findings that were there before are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Baseline {
    /// A file of the server.
    pub file: Option<PathBuf>,
    /// A path in the trusted reference.
    pub trusted: Option<String>,
    /// The key of its hashes; the repository's own where none is named.
    pub key: Option<PathBuf>,
}

/// Where every decision is written to.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub enum Audit {
    /// A file of JSON lines.
    File(PathBuf),
    /// The socket of a syslog daemon.
    Syslog(PathBuf),
}

/// A push option that lets findings pass, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bypass {
    /// The option, as `git push --push-option` gives it.
    pub option: String,
    /// Who may use it.
    pub users: Vec<String>,
}

/// How much a push may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// When judging ends with a refusal.
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
    /// Bytes of a file that are read; a larger one is refused.
    #[schemars(with = "Option<schema::Size>")]
    pub file_size: Option<u64>,
    /// New commits of one push.
    pub new_commits: Option<u64>,
}

/// How the server tells who pushes and to which repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// Variable with the name of the pusher.
    pub pusher: Option<String>,
    /// Variable with the name of the repository; its folder where none is named.
    pub repository: Option<String>,
    /// File of SSH keys whose signature of a commit counts as its author's word (`ssh-keygen(1)`,
    /// ALLOWED SIGNERS).
    pub allowed_signers: Option<PathBuf>,
}

/// The whole document.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(title = "HookConfig", rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Whom a pusher can ask.
    pub contact: Option<String>,
    /// What happens to findings.
    #[schemars(default)]
    pub enforcement: Enforcement,
    /// Who pushes.
    #[schemars(default)]
    pub identity: Identity,
    /// The ref whose rules always count; HEAD where none is named.
    pub trusted_ref: Option<String>,
    /// What happens to changes of rules.
    #[schemars(default)]
    pub policy_changes: PolicyChanges,
    /// Who may change rules.
    #[schemars(default)]
    pub policy_owners: Vec<String>,
    /// What only some may change.
    #[schemars(default)]
    pub protected: Vec<Protected>,
    /// Profiles; the first that fits a repository counts.
    #[schemars(default)]
    pub profiles: Vec<ProfileRule>,
    /// Severities by kind of finding.
    #[schemars(with = "BTreeMap<String, schema::Word>", default)]
    pub severities: BTreeMap<Code, Level>,
    /// What is not judged.
    #[schemars(default)]
    pub exemptions: Vec<Exemption>,
    /// What was there before.
    pub baseline: Option<Baseline>,
    /// How much a push may ask for.
    #[schemars(default)]
    pub limits: Limits,
    /// Where decisions are written to.
    pub audit: Option<Audit>,
    /// A file of counters in the text format of Prometheus.
    pub metrics: Option<PathBuf>,
    /// How to get past findings.
    pub bypass: Option<Bypass>,
}

impl Config {
    /// Reads the document.
    ///
    /// # Errors
    /// Everything that is wrong in it, with line and column: unknown fields and values are no warnings, as a
    /// typo must not switch a protection off.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problems> {
        document::read(bytes)
    }

    /// The JSON schema of the document.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schema::of_document()
    }

    /// The profile of a repository.
    pub fn profile(&self, repository: &str) -> Profile {
        let rule = self.profiles.iter().find(|rule| rule.repositories.matches(repository.as_bytes()));
        rule.map_or(Profile::Default, |rule| rule.profile)
    }
}

#[cfg(test)]
mod tests;

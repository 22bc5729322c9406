//! A worker in the document: where it is, and on which terms it is taken in.

use super::document::duration;
use crate::cluster::KubeconfigSource;
use crate::worker::{CredentialKind, Scope, Terms, is_label};
use kubiya_hook::edge::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// A worker cluster.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkerSection {
    /// Its name.
    pub name: String,
    /// Its context (--worker NAME=CONTEXT).
    #[serde(default)]
    pub context: Option<String>,
    /// Its kubeconfig, where it is not in yours (--worker-kubeconfig NAME=FILE).
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// Which credentials Flux is to have (worker add --copy-credentials, --oidc).
    #[serde(default)]
    pub credential: Option<Credential>,
    /// The namespaces of the worker that Flux is let into; all of it where none is named (--scope-namespaces).
    #[serde(default)]
    pub scope_namespaces: Vec<String>,
    /// Namespaces of the infra cluster whose Kustomizations go there; Flux's where none is named (--secret-namespace).
    #[serde(default)]
    pub secret_namespaces: Vec<String>,
    /// How long a token is to live, such as 90d (--duration).
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    pub duration: Option<Duration>,
    /// Audience of the tokens of a worker with `oidc` (--audience).
    #[serde(default)]
    pub audience: Option<String>,
}

/// Which credentials Flux has for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Credential {
    /// A token of its own, which can be taken back.
    Minted,
    /// The context's own.
    Copied,
    /// None: the worker trusts the issuer of the infra cluster's tokens.
    Oidc,
}

impl WorkerSection {
    /// What the document says of the worker, over what is said of all.
    ///
    /// # Errors
    /// What is no name, and what contradicts itself.
    pub fn terms(&self, all: &Terms) -> Result<Terms, Failure> {
        let bad = |text: String| Err(Failure::usage(text).at(format!("worker {}", self.name)));
        for (field, names) in
            [("scopeNamespaces", &self.scope_namespaces), ("secretNamespaces", &self.secret_namespaces)]
        {
            if let Some(name) = names.iter().find(|name| !is_label(name)) {
                return bad(format!("{field}: `{name}` is no name of a namespace"));
            }
        }
        let mut terms = all.clone();
        terms.credential = match self.credential {
            None => all.credential,
            Some(Credential::Minted) => CredentialKind::Minted,
            Some(Credential::Copied) => CredentialKind::Copied,
            Some(Credential::Oidc) => CredentialKind::Oidc,
        };
        if terms.credential == CredentialKind::Oidc {
            let oidc = terms.oidc.get_or_insert_default();
            oidc.audience = self.audience.clone().or(oidc.audience.take());
        } else if self.audience.is_some() {
            return bad("an audience is for workers with `credential: oidc`".to_owned());
        }
        if terms.credential == CredentialKind::Copied
            && !(self.scope_namespaces.is_empty() && self.duration.is_none())
        {
            return bad("scopeNamespaces and duration are not for copied credentials".to_owned());
        }
        if !self.scope_namespaces.is_empty() {
            terms.scope = Scope::of(&self.scope_namespaces);
        }
        if !self.secret_namespaces.is_empty() {
            terms.namespaces = self.secret_namespaces.clone();
        }
        terms.lifetime = self.duration.unwrap_or(all.lifetime);
        Ok(terms)
    }

    /// Where its kubeconfig is, and its context there.
    ///
    /// # Errors
    /// Neither is said.
    pub fn way(&self, ambient: &KubeconfigSource) -> Result<(KubeconfigSource, Option<String>), Failure> {
        if self.context.is_none() && self.kubeconfig.is_none() {
            return Err(Failure::usage(format!(
                "the worker `{}` has neither context nor kubeconfig",
                self.name
            )));
        }
        let source = self.kubeconfig.clone().map_or_else(|| ambient.clone(), KubeconfigSource::File);
        Ok((source, self.context.clone()))
    }
}

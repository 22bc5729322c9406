//! Credentials into the infra cluster, and the tokens that they replace taken back.

use super::candidate::Candidate;
use super::error::WorkerError;
use super::hub::Hub;
use super::in_git::InGit;
use super::mint;
use super::obtain::Obtained;
use super::record::CredentialKind;
use crate::cluster::{Action, Applied, Mode};

/// Where credentials are stored.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// On the infra cluster, where Flux reads them.
    pub cluster: bool,
    /// In Git, from where Flux puts them on the infra cluster.
    pub git: Option<&'p InGit>,
}

impl Place<'_> {
    /// On the infra cluster alone.
    pub const CLUSTER: Self = Self { cluster: true, git: None };
}

/// What came of taking a worker in.
#[derive(Clone, Debug)]
pub struct Added {
    /// The credentials.
    pub obtained: Obtained,
    /// What happened before to the worker's own key: its Secret, and the rules.
    pub own_key: Vec<Applied>,
    /// What happened on the infra cluster.
    pub stored: Vec<Applied>,
    /// How many earlier tokens were taken back.
    pub revoked: usize,
}

impl Added {
    /// How many objects were written, or would be.
    #[must_use]
    pub fn changed(&self) -> usize {
        let all = self.own_key.iter().chain(&self.obtained.applied).chain(&self.stored);
        all.filter(|one| one.action != Action::Unchanged).count() + self.revoked
    }
}

impl Candidate {
    /// Gets credentials, stores them in the namespaces of the terms and wherever the worker has been stored before,
    /// and takes back what they replace.
    ///
    /// The order makes every interruption harmless: new credentials are proven before they are stored, and old
    /// ones taken back after that. What is left over, the next run finds and takes back.
    ///
    /// # Errors
    /// Those of [`Candidate::obtain`] and of the requests.
    pub async fn add(&self, hub: &Hub, place: Place<'_>, mode: Mode) -> Result<Added, WorkerError> {
        let mut namespaces = self.terms.namespaces.clone();
        if namespaces.is_empty() {
            namespaces.push(hub.namespace.clone());
        }
        namespaces.extend(hub.of(&self.name).iter().map(|stored| stored.namespace.clone()));
        namespaces.sort();
        namespaces.dedup();
        match place.git {
            Some(git) if self.terms.credential != CredentialKind::Oidc => git.refuse_rule(&self.name)?,
            Some(_) => {}
            None => {
                hub.refuse_from_git(&self.name, "--store git, with the repository's work tree as --repo")?;
            }
        }
        if !self.terms.force {
            hub.refuse_foreign(&self.name, &namespaces).await?;
        }
        let obtained = self.obtain(hub, &namespaces, mode).await?;
        let stored = self.store(hub, place, &obtained, &namespaces, mode).await?;
        let revoked =
            if mode == Mode::Write { self.revoke_replaced(hub, place, &obtained, &stored).await? } else { 0 };
        Ok(Added { own_key: Vec::new(), obtained, stored, revoked })
    }

    async fn store(
        &self,
        hub: &Hub,
        place: Place<'_>,
        obtained: &Obtained,
        namespaces: &[String],
        mode: Mode,
    ) -> Result<Vec<Applied>, WorkerError> {
        let Some(kept) = &obtained.kept else {
            return Ok(self.would_be_stored(hub, place, namespaces));
        };
        let manifests: Vec<_> =
            namespaces.iter().flat_map(|namespace| obtained.record.manifests(namespace, kept)).collect();
        // In Git first: what is only on the cluster, Flux would put back to what is in Git.
        let mut stored = Vec::new();
        if let Some(git) = place.git {
            stored.push(git.write(&self.name, &manifests, mode)?);
        }
        if place.cluster {
            let from_git = hub.of(&self.name).iter().any(|one| one.applied_by.is_some());
            stored.extend(hub.apply(&manifests, self.terms.force || from_git, mode).await?);
        }
        Ok(stored)
    }

    /// In a dry run there is no token yet, but there would be a new one.
    fn would_be_stored(&self, hub: &Hub, place: Place<'_>, namespaces: &[String]) -> Vec<Applied> {
        let in_git = place.git.map(|git| {
            let path = git.path(&self.name);
            let action = if path.exists() { Action::Configured } else { Action::Created };
            Applied::new("File", git.in_repository(&path), action)
        });
        let known = hub.of(&self.name);
        let one = |namespace: &String| {
            let there = known.iter().any(|stored| stored.namespace == *namespace);
            let action = if there { Action::Configured } else { Action::Created };
            Applied::new("Secret", format!("{namespace}/{}", super::secret_name(&self.name)), action)
        };
        let on_cluster = namespaces.iter().filter(|_| place.cluster).map(one);
        in_git.into_iter().chain(on_cluster).collect()
    }

    /// Tokens that are stored nowhere any more. Looked for only where something was written: an unchanged
    /// worker costs no further request.
    async fn revoke_replaced(
        &self,
        hub: &Hub,
        place: Place<'_>,
        obtained: &Obtained,
        stored: &[Applied],
    ) -> Result<usize, WorkerError> {
        let known = hub.of(&self.name);
        let wrote = stored.iter().chain(&obtained.applied).any(|one| one.action != Action::Unchanged);
        let had_tokens = known.iter().any(|one| one.record.kind == CredentialKind::Minted);
        let mut keep: Vec<&str> = obtained.record.token_secret.as_deref().into_iter().collect();
        if place.git.is_some() {
            // Until Flux has applied what is in Git, it goes on with what it has.
            let in_use = hub.in_use.iter().filter(|(worker, _)| *worker == self.name);
            keep.extend(in_use.map(|(_, token)| token.as_str()));
            keep.extend(known.iter().filter_map(|one| one.record.token_secret.as_deref()));
        }
        // An unchanged worker costs no further request, unless its tokens wait for Flux.
        if (!wrote && place.git.is_none()) || (keep.is_empty() && !had_tokens) {
            return Ok(0);
        }
        Ok(mint::revoke(&self.connection, &self.tenant(hub), &keep).await?)
    }
}

//! Credentials into the infra cluster, and the tokens that they replace taken back.

use super::candidate::Candidate;
use super::error::WorkerError;
use super::hub::Hub;
use super::mint;
use super::obtain::Obtained;
use super::record::CredentialKind;
use crate::cluster::{Action, Applied, Mode};

/// What came of taking a worker in.
#[derive(Clone, Debug)]
pub struct Added {
    /// The credentials.
    pub obtained: Obtained,
    /// What happened on the infra cluster.
    pub stored: Vec<Applied>,
    /// How many earlier tokens were taken back.
    pub revoked: usize,
}

impl Added {
    /// How many objects were written, or would be.
    #[must_use]
    pub fn changed(&self) -> usize {
        let all = self.obtained.applied.iter().chain(&self.stored);
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
    pub async fn add(&self, hub: &Hub, mode: Mode) -> Result<Added, WorkerError> {
        let mut namespaces = self.terms.namespaces.clone();
        if namespaces.is_empty() {
            namespaces.push(hub.namespace.clone());
        }
        namespaces.extend(hub.of(&self.name).iter().map(|stored| stored.namespace.clone()));
        namespaces.sort();
        namespaces.dedup();
        if !self.terms.force {
            hub.refuse_foreign(&self.name, &namespaces).await?;
        }
        let obtained = self.obtain(hub, &namespaces, mode).await?;
        let stored = self.store(hub, &obtained, &namespaces, mode).await?;
        let revoked =
            if mode == Mode::Write { self.revoke_replaced(hub, &obtained, &stored).await? } else { 0 };
        Ok(Added { obtained, stored, revoked })
    }

    async fn store(
        &self,
        hub: &Hub,
        obtained: &Obtained,
        namespaces: &[String],
        mode: Mode,
    ) -> Result<Vec<Applied>, WorkerError> {
        let Some(kept) = &obtained.kept else {
            return Ok(self.would_be_stored(hub, namespaces));
        };
        let manifests: Vec<_> =
            namespaces.iter().flat_map(|namespace| obtained.record.manifests(namespace, kept)).collect();
        Ok(hub.apply(&manifests, self.terms.force, mode).await?)
    }

    /// In a dry run there is no token yet, but there would be a new one.
    fn would_be_stored(&self, hub: &Hub, namespaces: &[String]) -> Vec<Applied> {
        let known = hub.of(&self.name);
        let one = |namespace: &String| {
            let there = known.iter().any(|stored| stored.namespace == *namespace);
            let action = if there { Action::Configured } else { Action::Created };
            Applied::new("Secret", format!("{namespace}/{}", super::secret_name(&self.name)), action)
        };
        namespaces.iter().map(one).collect()
    }

    /// Tokens that are stored nowhere any more. Looked for only where something was written: an unchanged
    /// worker costs no further request.
    async fn revoke_replaced(
        &self,
        hub: &Hub,
        obtained: &Obtained,
        stored: &[Applied],
    ) -> Result<usize, WorkerError> {
        let wrote = stored.iter().chain(&obtained.applied).any(|one| one.action != Action::Unchanged);
        let had_tokens = hub.of(&self.name).iter().any(|one| one.record.kind == CredentialKind::Minted);
        let keep = obtained.record.token_secret.as_deref();
        if !wrote || (keep.is_none() && !had_tokens) {
            return Ok(0);
        }
        Ok(mint::revoke(&self.connection, &self.tenant(hub), keep).await?)
    }
}

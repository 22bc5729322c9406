//! The infra cluster, and what it knows of its workers.

use super::delivered::{Applier as Goer, appliers};
use super::error::{Stop, WorkerError};
use super::names::{MANAGED_BY, secret_name};
use super::record::{Kept, Stored, is_ours};
use crate::cluster::{Applied, Applier, ClusterError, Connection, Kinds, Manifest, Mode, Selection};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams};
use kubiya_hook::edge::Kind;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The infra cluster with its workers.
#[derive(Clone, Debug)]
pub struct Hub {
    /// The way to it.
    pub connection: Connection,
    /// UID of its `kube-system`.
    pub uid: String,
    /// The entries of the way to it, where they are known.
    pub selection: Option<Selection>,
    /// Namespace of Flux.
    pub namespace: String,
    /// The Secrets of all workers, by name and namespace.
    pub stored: Vec<Stored>,
    /// Tokens, by worker, that Flux may still use until it has applied what is in Git.
    pub(super) in_use: Vec<(String, String)>,
    /// What is asked once in a run, however many workers want to know it.
    pub(super) once: Arc<Once>,
}

/// What is asked once in a run.
#[derive(Debug, Default)]
pub(super) struct Once {
    appliers: OnceCell<Vec<Goer>>,
    pub(super) gate: OnceCell<Option<String>>,
}

/// Which cluster it is, whatever its address: the UID of `kube-system`. Nothing where we may not read that.
///
/// # Errors
/// Those of the request, but for a refusal.
pub async fn cluster_uid(connection: &Connection) -> Result<Option<String>, ClusterError> {
    let api: Api<Namespace> = Api::all(connection.client.clone());
    match api.get_metadata("kube-system").await {
        Ok(namespace) => Ok(namespace.metadata.uid),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(None),
        Err(error) => Err(ClusterError::of_get("Namespace kube-system".to_owned(), &error)),
    }
}

impl Hub {
    /// Reads which cluster it is and which workers it knows: three requests, however many workers there are.
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn read(
        connection: Connection,
        selection: Option<Selection>,
        namespace: &str,
    ) -> Result<Self, ClusterError> {
        let (uid, secrets, maps) = futures::try_join!(
            cluster_uid(&connection),
            ours::<Secret>(&connection, namespace, "Secrets"),
            ours::<ConfigMap>(&connection, namespace, "ConfigMaps"),
        )?;
        let stored = secrets.iter().filter_map(Stored::of).chain(maps.iter().filter_map(Stored::of_map));
        let mut stored: Vec<Stored> = stored.collect();
        stored.sort_by(|a, b| (&a.record.worker, &a.namespace).cmp(&(&b.record.worker, &b.namespace)));
        // By it the workers know their infra cluster.
        let uid = uid.ok_or_else(|| ClusterError::Refused {
            verb: "get",
            object: "Namespace kube-system".to_owned(),
            reason: format!("{} may not read it on the infra cluster", connection.username),
            code: 403,
        })?;
        Ok(Self {
            connection,
            uid,
            selection,
            namespace: namespace.to_owned(),
            stored,
            in_use: Vec::new(),
            once: Arc::default(),
        })
    }

    /// Takes what is in Git for a worker as what is known of it: Flux is about to apply it.
    pub fn learn(&mut self, in_git: Vec<Stored>) {
        for one in in_git {
            let is_same = |there: &&mut Stored| {
                there.record.worker == one.record.worker && there.namespace == one.namespace
            };
            match self.stored.iter_mut().find(is_same) {
                Some(there) => {
                    let token = there.record.token_secret.clone().filter(|_| there.record != one.record);
                    self.in_use.extend(token.map(|token| (one.record.worker.clone(), token)));
                    let applied_by = there.applied_by.take();
                    *there = Stored { applied_by, ..one };
                }
                None => self.stored.push(one),
            }
        }
        self.stored.sort_by(|a, b| (&a.record.worker, &a.namespace).cmp(&(&b.record.worker, &b.namespace)));
    }

    /// Refuses to change by hand what Flux brings out of Git: it would put back what was there.
    ///
    /// # Errors
    /// It comes out of Git.
    pub fn refuse_from_git(&self, worker: &str, hint: &str) -> Result<(), WorkerError> {
        let from_git = self.of(worker).into_iter().find_map(|one| Some((one, one.applied_by.as_ref()?)));
        let Some((one, by)) = from_git else { return Ok(()) };
        Err(WorkerError::Stopped(Box::new(Stop {
            message: format!("what Flux reaches worker `{worker}` by comes from Git"),
            causes: vec![format!("Kustomization {by} puts {}/{} back", one.namespace, secret_name(worker))],
            hints: vec![hint.to_owned()],
            kind: Kind::Usage,
        })))
    }

    /// All Kustomizations and HelmReleases, as they were when they were first wanted.
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn appliers(&self) -> Result<&[Goer], ClusterError> {
        let found = self.once.appliers.get_or_try_init(|| appliers(&self.connection, &self.namespace));
        found.await.map(Vec::as_slice)
    }

    /// The Secrets of one worker.
    #[must_use]
    pub fn of(&self, worker: &str) -> Vec<&Stored> {
        self.stored.iter().filter(|stored| stored.record.worker == worker).collect()
    }

    /// As [`Self::of`], where there must be one.
    ///
    /// # Errors
    /// There is none.
    pub fn known(&self, worker: &str) -> Result<Vec<&Stored>, WorkerError> {
        let found = self.of(worker);
        if found.is_empty() {
            return Err(WorkerError::Unknown { name: worker.to_owned(), known: self.names() });
        }
        Ok(found)
    }

    /// The names of all workers.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.stored.iter().map(|stored| stored.record.worker.clone()).collect();
        names.dedup();
        names
    }

    /// Makes sure that nobody else's Secret stands where a worker's is to be.
    ///
    /// # Errors
    /// One does, or it cannot be seen.
    pub async fn refuse_foreign(&self, worker: &str, namespaces: &[String]) -> Result<(), WorkerError> {
        let name = secret_name(worker);
        let known = self.of(worker);
        for namespace in namespaces.iter().filter(|n| !known.iter().any(|stored| stored.namespace == **n)) {
            let api: Api<Secret> = Api::namespaced(self.connection.client.clone(), namespace);
            let there = api
                .get_metadata_opt(&name)
                .await
                .map_err(|error| ClusterError::of_get(format!("Secret {namespace}/{name}"), &error))?;
            if there.is_some_and(|secret| !is_ours(secret.metadata.labels.as_ref())) {
                return Err(WorkerError::Foreign { namespace: namespace.clone(), name });
            }
        }
        Ok(())
    }

    /// Brings Secrets into the wanted state.
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn apply(
        &self,
        manifests: &[Manifest],
        force: bool,
        mode: Mode,
    ) -> Result<Vec<Applied>, ClusterError> {
        apply(&self.connection, manifests, force, mode).await
    }

    /// Removes a worker's Secret from a namespace; that it is gone already is well.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn forget(&self, stored: &Stored) -> Result<(), ClusterError> {
        let (client, namespace) = (self.connection.client.clone(), &stored.namespace);
        let name = secret_name(&stored.record.worker);
        let delete = DeleteParams::default();
        match &stored.kept {
            Kept::Kubeconfig(_) => {
                let api: Api<Secret> = Api::namespaced(client, namespace);
                gone(api.delete(&name, &delete).await, || format!("Secret {namespace}/{name}"))
            }
            Kept::Issued(issued) => {
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                gone(maps.delete(&name, &delete).await, || format!("ConfigMap {namespace}/{name}"))?;
                let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
                let account = &issued.account;
                gone(accounts.delete(account, &delete).await, || {
                    format!("ServiceAccount {namespace}/{account}")
                })
            }
        }
    }
}

/// Applies objects of access, in order. What is as it should be costs one request.
///
/// # Errors
/// The first error.
pub(super) async fn apply(
    connection: &Connection,
    manifests: &[Manifest],
    force: bool,
    mode: Mode,
) -> Result<Vec<Applied>, ClusterError> {
    let look =
        Applier { connection: connection.clone(), kinds: Kinds::of_access(), force, mode: Mode::Compare };
    let write = Applier { mode, ..look.clone() };
    let mut all = Vec::new();
    for manifest in manifests {
        let found = look.apply(manifest).await?;
        let as_wanted = found.action == crate::cluster::Action::Unchanged || mode == Mode::Compare;
        all.push(if as_wanted { found } else { write.apply(manifest).await? });
    }
    Ok(all)
}

/// The outcome of a deletion: what is gone already is well.
pub(super) fn gone<T>(
    outcome: Result<T, kube::Error>,
    object: impl FnOnce() -> String,
) -> Result<(), ClusterError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(ClusterError::of_request("delete", object(), &error)),
    }
}

/// Our objects in all namespaces, or in Flux's where we may not see all.
async fn ours<K>(connection: &Connection, namespace: &str, what: &str) -> Result<Vec<K>, ClusterError>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let ours = ListParams::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
    let everywhere: Api<K> = Api::all(connection.client.clone());
    let listed = match everywhere.list(&ours).await {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Api::<K>::namespaced(connection.client.clone(), namespace).list(&ours).await
        }
        other => other,
    };
    let listed =
        listed.map_err(|error| ClusterError::of_request("list", format!("{what} in {namespace}"), &error))?;
    Ok(listed.items)
}

//! A cluster whose Flux decrypts with the key: the Secrets that hold it, who reads them, and from where.

use super::entries::{Entries, Held};
use super::intent::ROTATION;
use crate::cluster::{About, ClusterError, Connection, FIELD_MANAGER, LiveSecret, SecretChange};
use crate::failpoint;
use crate::flux::{self, GitSource, Reader, SourceName};
use futures::{StreamExt as _, TryStreamExt as _};
use kubiya_hook::edge::Failure;
use std::collections::{BTreeMap, BTreeSet};

/// How many requests are under way at once.
const CONCURRENCY: usize = 8;
/// How often a change is tried again because somebody else was faster.
const TRIES: usize = 20;

/// The label of every Secret that a rotation has changed.
const WATCHED: &str = "reconcile.fluxcd.io/watch=Enabled";

/// One cluster with Flux.
#[derive(Debug)]
pub struct Site {
    /// The way to it.
    pub connection: Connection,
    /// The namespace of Flux.
    pub namespace: String,
    /// Who decrypts there.
    pub readers: Vec<Reader>,
    /// The GitRepositories that they read.
    pub sources: BTreeMap<SourceName, GitSource>,
    /// The Secrets that they name, as far as they are there.
    pub secrets: Vec<LiveSecret>,
    /// Those that are not.
    pub missing: BTreeSet<(String, String)>,
    /// The Secret that readers without one of their own fall back to.
    global: Option<String>,
}

impl Site {
    /// Looks at a cluster.
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn look(connection: Connection, namespace: &str) -> Result<Self, ClusterError> {
        let readers = flux::readers(&connection).await?;
        let sources = flux::git_sources(&connection, &readers).await?;
        let global = flux::global_secret(&connection, namespace).await?;
        let mut names = readers
            .iter()
            .filter_map(|reader| Some((reader.namespace.clone(), reader.secret.clone()?)))
            .collect::<BTreeSet<_>>();
        names.extend(global.clone().map(|name| (namespace.to_owned(), name)));
        let (mut secrets, mut missing) = (Vec::new(), BTreeSet::new());
        for (namespace, name) in names {
            match connection.secret(&namespace, &name).await? {
                Some(secret) => secrets.push(secret),
                None => {
                    missing.insert((namespace, name));
                }
            }
        }
        // Those that nobody reads any more and that a rotation has begun with. Who may not list them has only the others.
        for secret in connection.secrets_labelled(WATCHED).await.unwrap_or_default() {
            let known = secrets.iter().any(|one| one.id() == secret.id());
            if !known && secret.annotations.contains_key(ROTATION) {
                secrets.push(secret);
            }
        }
        Ok(Self { connection, namespace: namespace.to_owned(), readers, sources, secrets, missing, global })
    }

    /// What the entries of a Secret hold.
    ///
    /// # Errors
    /// An entry that keeps Flux from decrypting anything.
    pub fn entries(&self, secret: &LiveSecret) -> Result<Entries, Failure> {
        Entries::of(secret).map_err(|error| {
            Failure::unverified(error.to_string()).at(self.place(secret)).because(&error.source).hint(
                format!(
                    "kubectl --context {} -n {} edit secret {}",
                    self.connection.context, secret.namespace, secret.name
                ),
            )
        })
    }

    /// The Secret and its cluster, for messages.
    #[must_use]
    pub fn place(&self, secret: &LiveSecret) -> String {
        format!("{} of {}", secret.id(), self.connection.context)
    }

    /// Keeps the Secrets that hold one of two keys, those who read them, and from where.
    ///
    /// # Errors
    /// Secrets that keep Flux from decrypting anything.
    pub fn keep_holders(&mut self, old: &str, new: &str) -> Result<(), Failure> {
        let mut problems = Vec::new();
        let mut holders = Vec::new();
        for secret in &self.secrets {
            match self.entries(secret) {
                Ok(entries) if entries.held(old) != Held::No || entries.held(new) != Held::No => {
                    holders.push(secret.clone());
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(Failure::all(
                format!("{} Secrets keep Flux from decrypting", problems.len()),
                problems,
            ));
        }
        self.secrets = holders;
        let readers = std::mem::take(&mut self.readers);
        self.readers = readers
            .into_iter()
            .filter(|reader| self.secrets.iter().any(|secret| self.reads(reader, secret)))
            .collect();
        // What others decrypt, with keys of their own, is no matter here.
        self.sources.retain(|source, _| self.readers.iter().any(|reader| reader.source == *source));
        Ok(())
    }

    /// The sources that they read, each once.
    #[must_use]
    pub fn source_names(&self) -> BTreeSet<&SourceName> {
        self.readers.iter().map(|reader| &reader.source).collect()
    }

    /// Who decrypts with a Secret.
    pub fn readers_of<'s>(&'s self, secret: &'s LiveSecret) -> impl Iterator<Item = &'s Reader> {
        self.readers.iter().filter(move |reader| self.reads(reader, secret))
    }

    fn reads(&self, reader: &Reader, secret: &LiveSecret) -> bool {
        match &reader.secret {
            Some(name) => (&reader.namespace, name) == (&secret.namespace, &secret.name),
            None => {
                secret.namespace == self.namespace && self.global.as_deref() == Some(secret.name.as_str())
            }
        }
    }

    /// Changes a Secret; where somebody else was faster, what is there now is looked at again. `None` where there
    /// is nothing to change.
    ///
    /// # Errors
    /// Those of the requests and of `make`; the Secret is gone.
    pub async fn change(
        &self,
        secret: &LiveSecret,
        step: &str,
        make: impl Fn(&LiveSecret, &Entries) -> Result<Option<SecretChange>, Failure>,
    ) -> Result<Option<LiveSecret>, Failure> {
        for _ in 0..TRIES {
            let live = self.connection.secret(&secret.namespace, &secret.name).await?;
            let live =
                live.ok_or_else(|| Failure::unverified("the Secret is gone").at(self.place(secret)))?;
            let Some(change) = make(&live, &self.entries(&live)?)? else { return Ok(None) };
            failpoint::at(&format!("before {step}"));
            match self.connection.change_secret(&live, &change).await {
                Ok(changed) => {
                    failpoint::at(&format!("after {step}"));
                    return Ok(Some(changed));
                }
                Err(ClusterError::Refused { code: 409, .. }) => {}
                Err(error) => return Err(Failure::from(error).at(self.connection.context.clone())),
            }
        }
        Err(Failure::unverified(format!("it was changed by somebody else {TRIES} times in a row"))
            .at(self.place(secret)))
    }

    /// Says at a Secret what was done to it. That it cannot be said is no reason to stop.
    pub async fn report(&self, secret: &LiveSecret, reason: &str, message: &str) -> Result<(), ClusterError> {
        let about = About {
            api_version: "v1",
            kind: "Secret",
            namespace: secret.namespace.clone(),
            name: secret.name.clone(),
            uid: secret.uid.clone(),
        };
        self.connection.report(&about, reason, message).await
    }

    /// Asks who reads, and where they read from, to look now.
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn request(
        &self,
        token: &str,
        readers: &[&Reader],
        sources: &[&SourceName],
    ) -> Result<(), ClusterError> {
        futures::stream::iter(sources.iter().filter(|source| source.kind == "GitRepository"))
            .map(|source| {
                flux::request_at(
                    &self.connection,
                    ("source.toolkit.fluxcd.io", "GitRepository"),
                    &source.namespace,
                    &source.name,
                    token,
                )
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect::<Vec<()>>()
            .await?;
        futures::stream::iter(readers)
            .map(|reader| {
                flux::request_at(
                    &self.connection,
                    ("kustomize.toolkit.fluxcd.io", "Kustomization"),
                    &reader.namespace,
                    &reader.name,
                    token,
                )
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    /// Who is connected, for annotations.
    #[must_use]
    pub fn who(&self) -> String {
        format!("{} ({FIELD_MANAGER})", self.connection.username)
    }
}

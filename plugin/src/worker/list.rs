//! All workers at a glance: what is written on their Secrets, what Flux applies to them, and whether they answer.

use super::delivered::{Applier, appliers};
use super::error::WorkerError;
use super::hub::Hub;
use super::record::Record;
use crate::cluster::ClusterError;
use futures::StreamExt as _;
use jiff::Timestamp;
use std::time::Duration;

/// A worker.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is written on its Secret.
    pub record: Record,
    /// The namespaces that have the Secret.
    pub namespaces: Vec<String>,
    /// How many Kustomizations and HelmReleases go there.
    pub total: usize,
    /// How many of them are ready.
    pub ready: usize,
    /// What they applied last: one revision where they agree.
    pub revisions: Vec<String>,
    /// Version of its API server, or why it was not told; nothing where it was not asked.
    pub answer: Option<Result<String, String>>,
}

impl Row {
    /// Whether its credentials end before then.
    #[must_use]
    pub fn ends_before(&self, then: Timestamp) -> bool {
        self.record.expires.is_some_and(|end| end < then)
    }
}

/// All workers by name. Costs three requests to the infra cluster, however many there are.
///
/// # Errors
/// Those of the requests.
pub async fn list(hub: &Hub) -> Result<Vec<Row>, ClusterError> {
    let appliers = appliers(&hub.connection, &hub.namespace).await?;
    Ok(hub.names().iter().filter_map(|name| row(hub, name, &appliers)).collect())
}

fn row(hub: &Hub, name: &str, appliers: &[Applier]) -> Option<Row> {
    let stored = hub.of(name);
    let there: Vec<&Applier> = appliers.iter().filter(|applier| applier.goes_to(name)).collect();
    let mut revisions: Vec<String> =
        there.iter().filter_map(|applier| applier.revision().map(str::to_owned)).collect();
    revisions.sort();
    revisions.dedup();
    Some(Row {
        record: stored.first()?.record.clone(),
        namespaces: stored.iter().map(|one| one.namespace.clone()).collect(),
        total: there.len(),
        ready: there.iter().filter(|applier| applier.ready().0).count(),
        revisions,
        answer: None,
    })
}

/// Asks every worker for its version, with what Flux has: so many at once, each for so long.
pub async fn ask(hub: &Hub, rows: &mut [Row], at_once: usize, patience: Duration) {
    futures::stream::iter(rows)
        .for_each_concurrent(at_once.max(1), async |row| {
            let answer = version(hub, &row.record.worker, patience).await;
            row.answer = Some(answer.map_err(|error| error.to_string()));
        })
        .await;
}

async fn version(hub: &Hub, worker: &str, patience: Duration) -> Result<String, WorkerError> {
    let stored = hub.of(worker);
    let Some(first) = stored.first() else { return Ok(String::new()) };
    Ok(first.way(hub).await?.prove(patience).await?.version)
}

//! All workers at a glance: what is written on their Secrets, what Flux applies to them, and whether they answer.

use super::delivered::Applier;
use super::error::WorkerError;
use super::hub::Hub;
use super::names::secret_name;
use super::record::Record;
use crate::cluster::ClusterError;
use futures::StreamExt as _;
use jiff::Timestamp;
use std::collections::HashMap;
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
    let mut by_way: HashMap<&str, Vec<&Applier>> = HashMap::new();
    for applier in hub.appliers().await? {
        applier.ways().for_each(|way| by_way.entry(way).or_default().push(applier));
    }
    let there = |name: &String| by_way.get(secret_name(name).as_str()).cloned().unwrap_or_default();
    Ok(hub.names().iter().filter_map(|name| row(hub, name, &there(name))).collect())
}

fn row(hub: &Hub, name: &str, there: &[&Applier]) -> Option<Row> {
    let stored = hub.of(name);
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

/// Asks every worker for its version, with what Flux has: so many at once, each for so long. `told` hears whether
/// each has answered.
pub async fn ask(
    hub: &Hub,
    rows: &mut [Row],
    at_once: usize,
    patience: Duration,
    mut told: impl FnMut(bool),
) {
    let mut coming = futures::stream::iter(rows)
        .map(async |row| {
            let answer = version(hub, &row.record.worker, patience).await;
            row.answer.insert(answer.map_err(|error| error.to_string())).is_ok()
        })
        .buffer_unordered(at_once.max(1));
    while let Some(answered) = coming.next().await {
        told(answered);
    }
}

async fn version(hub: &Hub, worker: &str, patience: Duration) -> Result<String, WorkerError> {
    let stored = hub.of(worker);
    let Some(first) = stored.first() else { return Ok(String::new()) };
    Ok(first.way(hub).await?.prove(patience).await?.version)
}

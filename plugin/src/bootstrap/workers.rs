//! The workers of a bootstrap, taken in as `worker add` does it.

use super::{Inputs, Worker};
use crate::cluster::{Applied, Connection, Mode};
use crate::worker::{Added, Candidate, Hub, WorkerError, refuse_twins};
use futures::StreamExt as _;
use kubiya_hook::edge::Failure;
use std::collections::BTreeMap;

/// How many workers are dealt with at once.
pub(super) const CONCURRENCY: usize = 8;

/// Clusters that may become workers, and the infra cluster as they know it.
#[derive(Clone, Debug)]
pub struct Candidates {
    hub: Hub,
    candidates: Vec<Candidate>,
    /// Workers at which nothing is to be done, with their objects: they need not be asked again a moment later.
    settled: BTreeMap<String, Vec<Applied>>,
}

/// Connects to a worker as the operator does.
pub(super) async fn open(worker: &Worker) -> Result<Candidate, Failure> {
    Candidate::open(&worker.request).await.map_err(|error| at(&worker.name, error))
}

fn at(worker: &str, error: WorkerError) -> Failure {
    Failure::from(error).at(format!("worker {worker}"))
}

impl Candidates {
    /// Makes sure that they are other clusters than the infra cluster and each other, and that their credentials
    /// could be made and stored; nothing is. What would happen, and what is in the way.
    pub(super) async fn ask(
        inputs: &Inputs,
        hub: &Connection,
        candidates: Vec<Candidate>,
        mode: Mode,
    ) -> (Option<Self>, Vec<Applied>, Vec<Failure>) {
        let hub = match Hub::read(hub.clone(), &inputs.sync.namespace).await {
            Ok(hub) => Hub { selection: inputs.hub.clone(), ..hub },
            Err(error) => return (None, Vec::new(), vec![error.into()]),
        };
        let (mut problems, mut would) = (Vec::new(), Vec::new());
        problems.extend(refuse_twins(&candidates).err().map(Failure::from));
        let mut all = Self { hub, candidates, settled: BTreeMap::new() };
        let answers: Vec<(&str, Result<Added, Failure>)> = futures::stream::iter(&all.candidates)
            .map(async |candidate| {
                let answer = match candidate.refuse_mistaken(&all.hub) {
                    Ok(()) => all.add(candidate, mode).await,
                    Err(error) => Err(at(&candidate.name, error)),
                };
                (candidate.name.as_str(), answer)
            })
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let mut settled = BTreeMap::new();
        for (name, answer) in answers {
            match answer {
                Ok(added) => {
                    let objects = objects(name, &added);
                    if added.changed() == 0 {
                        settled.insert(name.to_owned(), objects.clone());
                    }
                    would.extend(objects);
                }
                Err(failure) => problems.push(failure),
            }
        }
        all.settled = settled;
        (Some(all), would, problems)
    }

    /// Takes them in, several at once; `say` gets each as it is done. One that fails does not keep the others, and
    /// all that failed come back as one failure beside what was done; the next run goes on with them.
    pub async fn take_in(&self, mut say: impl FnMut(&str, &Added)) -> (Vec<Applied>, Option<Failure>) {
        let mut applied: Vec<Applied> = self.settled.values().flatten().cloned().collect();
        let mut failures = Vec::new();
        let open = self.candidates.iter().filter(|candidate| !self.settled.contains_key(&candidate.name));
        let mut outcomes = futures::stream::iter(open)
            .map(async |candidate| (candidate, self.add(candidate, Mode::Write).await))
            .buffer_unordered(CONCURRENCY);
        while let Some((candidate, outcome)) = outcomes.next().await {
            match outcome {
                Ok(added) => {
                    say(&candidate.name, &added);
                    applied.extend(objects(&candidate.name, &added));
                }
                Err(failure) => failures.push(failure),
            }
        }
        let count = failures.len();
        let failure = (count > 0).then(|| Failure::all(format!("{count} workers failed"), failures));
        (applied, failure)
    }

    async fn add(&self, candidate: &Candidate, mode: Mode) -> Result<Added, Failure> {
        let namespaces = [self.hub.namespace.clone()];
        candidate.add(&self.hub, &namespaces, mode).await.map_err(|error| at(&candidate.name, error))
    }
}

/// What happened on both sides; what is on the worker says so.
fn objects(worker: &str, added: &Added) -> Vec<Applied> {
    let there = added.obtained.applied.iter();
    let there = there.map(|one| Applied { name: format!("{} on {worker}", one.name), ..one.clone() });
    there.chain(added.stored.iter().cloned()).collect()
}

//! The workers of a bootstrap, taken in as `worker add` does it. What is wrong with one of them keeps neither the
//! infra cluster nor another worker.

use super::Inputs;
use crate::cluster::{Applied, Connection, Mode};
use crate::worker::{
    Added, Candidate, Count, Hub, Place, Resolved, Seen, WorkerError, look_at_all, take_in_all,
};
use futures::StreamExt as _;
use kubiya_hook::edge::Failure;

/// The workers as they were found.
#[derive(Debug)]
pub struct Workers {
    hub: Hub,
    looked: Vec<(Resolved, Result<Seen, Failure>)>,
    at_once: usize,
}

/// What came of them: in the order of the document, each with what was done or what went wrong.
#[derive(Debug, Default)]
pub struct TakenIn {
    /// Name and outcome.
    pub outcomes: Vec<(String, Result<Added, Failure>)>,
}

fn at(worker: &str, error: WorkerError) -> Failure {
    Failure::from(error).at(format!("worker {worker}"))
}

/// What is wrong with the workers themselves, where the infra cluster cannot be asked about them.
pub(super) async fn problems_alone(inputs: &Inputs) -> Vec<Failure> {
    let opened = futures::stream::iter(&inputs.workers)
        .map(async |worker| {
            Candidate::open(&worker.resolved).await.map(drop).map_err(|e| at(&worker.name, e))
        })
        .buffered(inputs.options.at_once);
    opened.filter_map(async |outcome| outcome.err()).collect().await
}

impl Workers {
    /// Looks at all of them: whether they answer, are other clusters than the infra cluster and each other, and
    /// what would happen. Nothing is changed.
    ///
    /// # Errors
    /// What the infra cluster knows of its workers cannot be read.
    pub(super) async fn look(
        inputs: &Inputs,
        hub: &Connection,
        mode: Mode,
        told: impl FnMut(Count),
    ) -> Result<Self, Failure> {
        let hub = Hub::read(hub.clone(), inputs.hub.clone(), &inputs.sync.namespace).await?;
        let all: Vec<Resolved> = inputs.workers.iter().map(|worker| worker.resolved.clone()).collect();
        let at_once = inputs.options.at_once;
        let answers = look_at_all(&hub, Place::CLUSTER, &all, mode, at_once, told).await;
        let looked = all.into_iter().zip(answers).map(|(one, answer)| {
            let answer = answer.map_err(|error| at(&one.request.name, error));
            (one, answer)
        });
        Ok(Self { hub, looked: looked.collect(), at_once })
    }

    /// Those that answered: name, address, version and our name there.
    pub fn answered(&self) -> impl Iterator<Item = (&str, &str)> {
        self.looked.iter().filter_map(|(one, answer)| {
            let seen = answer.as_ref().ok()?;
            Some((one.request.name.as_str(), seen.answered.as_str()))
        })
    }

    /// What is wrong with some of them.
    pub fn problems(&self) -> impl Iterator<Item = &Failure> {
        self.looked.iter().filter_map(|(_, answer)| answer.as_ref().err())
    }

    /// What would happen to objects on both sides.
    #[must_use]
    pub fn would(&self) -> Vec<Applied> {
        let each = self.looked.iter().filter_map(|(one, answer)| Some((one, answer.as_ref().ok()?)));
        each.flat_map(|(one, seen)| objects(&one.request.name, &seen.added)).collect()
    }

    /// Takes in those that can be; the next run goes on with the others.
    pub async fn take_in(&self, mut told: impl FnMut(Count)) -> TakenIn {
        let is_open = |answer: &Result<Seen, Failure>| answer.as_ref().is_ok_and(|seen| !seen.is_settled());
        let open: Vec<&Resolved> =
            self.looked.iter().filter(|(_, answer)| is_open(answer)).map(|(one, _)| one).collect();
        let mut came = std::collections::HashMap::new();
        let mut count = Count::of(open.len());
        take_in_all(&self.hub, Place::CLUSTER, &open, self.at_once, |one, outcome| {
            let name = one.request.name.clone();
            told(count.add(outcome.is_ok()));
            let outcome = outcome.map_err(|error| at(&name, error));
            came.insert(name, outcome);
        })
        .await;
        let outcomes = self.looked.iter().map(|(one, answer)| {
            let name = one.request.name.clone();
            let outcome = match (came.remove(&name), answer) {
                (Some(outcome), _) => outcome,
                (None, Ok(seen)) => Ok(seen.added.clone()),
                (None, Err(failure)) => Err(failure.clone()),
            };
            (name, outcome)
        });
        TakenIn { outcomes: outcomes.collect() }
    }
}

impl TakenIn {
    /// What happened on both sides.
    #[must_use]
    pub fn applied(&self) -> Vec<Applied> {
        let well = self.outcomes.iter().filter_map(|(name, outcome)| Some((name, outcome.as_ref().ok()?)));
        well.flat_map(|(name, added)| objects(name, added)).collect()
    }

    /// All that failed as one failure.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let failures: Vec<Failure> =
            self.outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().err().cloned()).collect();
        let count = failures.len();
        (count > 0)
            .then(|| Failure::all(format!("{count} of {} workers failed", self.outcomes.len()), failures))
    }

    /// Those at which something was changed.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &Added)> {
        let well =
            self.outcomes.iter().filter_map(|(name, outcome)| Some((name.as_str(), outcome.as_ref().ok()?)));
        well.filter(|(_, added)| added.changed() > 0)
    }
}

/// What happened on both sides; what is on the worker says so.
fn objects(worker: &str, added: &Added) -> Vec<Applied> {
    let there = added.obtained.applied.iter();
    let there = there.map(|one| Applied { name: format!("{} on {worker}", one.name), ..one.clone() });
    there.chain(added.stored.iter().cloned()).collect()
}

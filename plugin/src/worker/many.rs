//! Many workers: so many at once and no more connections than that, each on its own. One that fails keeps no
//! other from being taken in.

use super::candidate::{Candidate, Resolved};
use super::error::WorkerError;
use super::hub::Hub;
use super::store::{Added, Place};
use crate::cluster::Mode;
use futures::StreamExt as _;
use std::collections::HashMap;

/// How many workers are dealt with at once unless something else is said.
pub const AT_ONCE: usize = 16;

/// What was seen of a cluster that may become a worker.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Address, version and our name there, for people.
    pub answered: String,
    /// UID of its `kube-system`, where that may be read.
    pub uid: Option<String>,
    /// What would happen.
    pub added: Added,
}

impl Seen {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.added.changed() == 0
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many are done.
    pub done: usize,
    /// Of how many.
    pub of: usize,
    /// How many of those that are done failed.
    pub failed: usize,
}

impl Count {
    /// Nothing is done yet.
    #[must_use]
    pub fn of(of: usize) -> Self {
        Self { of, ..Self::default() }
    }

    /// One more is done.
    pub fn add(&mut self, well: bool) -> Self {
        self.done += 1;
        self.failed += usize::from(!well);
        *self
    }
}

/// Looks at all of them without a change: whether they are other clusters than the infra cluster and each other,
/// and what would happen. The answers are in the order of the requests; `told` hears how far it is.
///
/// A worker that is as it should be costs 12 requests at most, on both sides together.
pub async fn look_at_all(
    hub: &Hub,
    place: Place<'_>,
    all: &[Resolved],
    mode: Mode,
    at_once: usize,
    mut told: impl FnMut(Count),
) -> Vec<Result<Seen, WorkerError>> {
    let mut count = Count::of(all.len());
    let mut answers: Vec<Option<Result<Seen, WorkerError>>> = all.iter().map(|_| None).collect();
    let mut coming = futures::stream::iter(all.iter().enumerate())
        .map(async |(index, one)| (index, look_at(hub, place, one, mode).await))
        .buffer_unordered(at_once.max(1));
    while let Some((index, answer)) = coming.next().await {
        told(count.add(answer.is_ok()));
        answers[index] = Some(answer);
    }
    drop(coming);
    refuse_twins(all, answers.into_iter().flatten().collect())
}

/// The connection ends with the look: a thousand of them would be more files than a process may open.
async fn look_at(hub: &Hub, place: Place<'_>, one: &Resolved, mode: Mode) -> Result<Seen, WorkerError> {
    let candidate = Candidate::open(one).await?;
    candidate.refuse_mistaken(hub)?;
    let mut added = candidate.add(hub, place, mode).await?;
    added.obtained.kept = None;
    let there = &candidate.connection;
    let answered = format!("{} ({}) as {}", there.server, there.version, there.username);
    Ok(Seen { answered, uid: candidate.uid, added })
}

/// Two names of one run that are one cluster: the second is refused, whichever answered first.
fn refuse_twins(all: &[Resolved], answers: Vec<Result<Seen, WorkerError>>) -> Vec<Result<Seen, WorkerError>> {
    let mut first: HashMap<String, &str> = HashMap::new();
    let judged = all.iter().zip(answers).map(|(one, answer)| {
        let seen = answer?;
        if let Some(uid) = &seen.uid {
            let name = first.entry(uid.clone()).or_insert(&one.request.name);
            if *name != one.request.name {
                return Err(WorkerError::OtherName { other: (*name).to_owned() });
            }
        }
        Ok(seen)
    });
    judged.collect()
}

/// Takes them in; `done` gets each as it is done. The next run goes on with those that failed.
pub async fn take_in_all(
    hub: &Hub,
    place: Place<'_>,
    those: &[&Resolved],
    at_once: usize,
    mut done: impl FnMut(&Resolved, Result<Added, WorkerError>),
) {
    let mut coming = futures::stream::iter(those)
        .map(async |one| (*one, take_in(hub, place, one).await))
        .buffer_unordered(at_once.max(1));
    while let Some((one, outcome)) = coming.next().await {
        done(one, outcome);
    }
}

async fn take_in(hub: &Hub, place: Place<'_>, one: &Resolved) -> Result<Added, WorkerError> {
    let candidate = Candidate::open(one).await?;
    candidate.refuse_mistaken(hub)?;
    candidate.add(hub, place, Mode::Write).await
}

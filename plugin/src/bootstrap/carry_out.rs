//! Carrying a plan out: thin, because all decisions are in the plan.

use super::plan::NAMESPACE;
use super::preflight::settled;
use super::{Plan, Stage, Wait};
use crate::cluster::{
    Action, Applied, Applier, ClusterError, Deadline, Manifest, Taken, crd_established, established_now,
    kind_served, rolled_out, rolled_out_now,
};
use crate::failpoint;
use futures::StreamExt as _;
use std::collections::BTreeSet;
use std::time::Duration;

/// How many requests are under way at once.
const CONCURRENCY: usize = 8;

/// How to carry a plan out.
#[derive(Clone, Debug)]
pub struct CarryOut {
    /// The infra cluster.
    pub applier: Applier,
    /// How long each wait may take.
    pub timeout: Duration,
    /// Whether to wait for rollouts; definitions are waited for in any case.
    pub wait: bool,
    /// What a dry run found a moment ago.
    pub dry_run: Carried,
    /// The version of the Lease when the cluster was looked at.
    pub lease: Option<String>,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Each object and what happened to it, in the order of the plan.
    pub applied: Vec<Applied>,
}

impl Carried {
    /// How many objects were written.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.applied.iter().filter(|applied| applied.action != Action::Unchanged).count()
    }
}

/// Carries a plan out; `say` gets each stage with what happened in it, and each wait that begins. Gives nothing where
/// somebody else has changed the cluster since it was looked at: it must be looked at once more.
///
/// # Errors
/// The first error, with what had been done until then.
pub async fn carry_out(
    plan: &Plan,
    how: &CarryOut,
    mut say: impl FnMut(Event<'_>),
) -> Result<Option<Carried>, (ClusterError, Carried)> {
    let mut carried = Carried::default();
    let mut is_claimed = how.dry_run.changed() == 0;
    for stage in &plan.stages {
        // The Lease is in that namespace, so only the namespace itself can come before it.
        if !is_claimed && stage.title != NAMESPACE {
            is_claimed = true;
            let before = claim(how, |message| say(Event::Progress { message })).await;
            match before {
                Ok(Taken::Now(before)) if before != how.lease => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err((error, carried)),
            }
        }
        say(Event::Begins { stage });
        let applied = match apply_stage(stage, how).await {
            Ok(applied) => applied,
            Err((error, done)) => {
                carried.applied.extend(done);
                return Err((error, carried));
            }
        };
        say(Event::Applied { stage, applied: &applied });
        carried.applied.extend(applied);
        let waits = stage.waits.iter().filter(|wait| how.wait || !matches!(wait, Wait::RolledOut { .. }));
        let waits: Vec<&Wait> = waits.collect();
        if waits.is_empty() {
            continue;
        }
        say(Event::Waiting { waits: &waits });
        let waited = {
            // Several waits go on at once, and each may have something to say.
            let say = std::cell::RefCell::new(&mut say);
            wait_for(&waits, how, |message| say.borrow_mut()(Event::Progress { message })).await
        };
        if let Err(error) = waited {
            return Err((error, carried));
        }
        say(Event::Waited { waits: &waits });
    }
    Ok(Some(carried))
}

/// Makes this run the only one that changes the cluster.
async fn claim(how: &CarryOut, say: impl FnMut(&str)) -> Result<Taken, ClusterError> {
    how.applier.connection.take_lease(Deadline::after(how.timeout), say).await
}

/// Finds out what the plan would change, without a change; the applier's mode says who is asked. For each object what
/// would happen, or what keeps it from happening.
pub(super) async fn dry_run(plan: &Plan, applier: &Applier) -> Vec<Result<Applied, ClusterError>> {
    let there = applier.read_many(plan.objects()).await;
    futures::stream::iter(plan.objects())
        .map(async |manifest| match there.get(&manifest.id()) {
            Some(live) => applier.apply_to(manifest, Some(live)).await,
            None => applier.apply(manifest).await,
        })
        .buffered(CONCURRENCY)
        .collect()
        .await
}

/// What happens on the way.
#[derive(Debug)]
pub enum Event<'a> {
    /// A stage begins.
    Begins {
        /// The stage.
        stage: &'a Stage,
    },
    /// A stage was applied.
    Applied {
        /// The stage.
        stage: &'a Stage,
        /// What happened to its objects.
        applied: &'a [Applied],
    },
    /// A wait begins.
    Waiting {
        /// For what.
        waits: &'a [&'a Wait],
    },
    /// What is to be seen of a wait that takes longer.
    Progress {
        /// In the cluster's words.
        message: &'a str,
    },
    /// It ended well.
    Waited {
        /// For what.
        waits: &'a [&'a Wait],
    },
}

/// Applies the objects of a stage at once. After an error the others are still let end, so that what
/// was done is known.
async fn apply_stage(stage: &Stage, how: &CarryOut) -> Result<Vec<Applied>, (ClusterError, Vec<Applied>)> {
    let results: Vec<Result<Applied, ClusterError>> = futures::stream::iter(&stage.objects)
        .map(async |manifest| match settled(&how.dry_run).find(|applied| applied.is_of(manifest)) {
            Some(applied) => Ok(applied.clone()),
            None => {
                failpoint::at(&format!("before {}", manifest.id()));
                let applied = apply(manifest, how).await;
                failpoint::at(&format!("after {}", manifest.id()));
                applied
            }
        })
        .buffered(CONCURRENCY)
        .collect()
        .await;
    let mut applied = Vec::new();
    let mut first_error = None;
    for result in results {
        match result {
            Ok(done) => applied.push(done),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        None => Ok(applied),
        Some(error) => Err((error, applied)),
    }
}

/// Applies one object. What was not there a moment ago is not asked for again; if it came meanwhile, the API server says
/// whether that is in the way.
async fn apply(manifest: &Manifest, how: &CarryOut) -> Result<Applied, ClusterError> {
    let seen = how.dry_run.applied.iter().find(|applied| applied.is_of(manifest));
    if seen.is_some_and(|seen| seen.action == Action::Created) {
        match how.applier.apply_to(manifest, None).await {
            Err(ClusterError::Refused { code: 409, .. }) => {}
            applied => return applied,
        }
    }
    how.applier.apply(manifest).await
}

/// Flux's own definitions have this label.
const FLUX: &str = "app.kubernetes.io/part-of=flux";

async fn wait_for(waits: &[&Wait], how: &CarryOut, say: impl Fn(&str)) -> Result<(), ClusterError> {
    let deadline = Deadline::after(how.timeout);
    let connection = &how.applier.connection;
    // What is there already is seen by one request for each kind; the rest is waited for one by one.
    let established = async {
        let wanted = waits.iter().any(|wait| matches!(wait, Wait::Established(_)));
        if wanted { established_now(connection, FLUX).await } else { BTreeSet::new() }
    };
    let place = waits.iter().find_map(|wait| match wait {
        Wait::RolledOut { namespace, .. } => Some(namespace),
        _ => None,
    });
    let rolled = async {
        match place {
            Some(namespace) => rolled_out_now(connection, namespace).await,
            None => BTreeSet::new(),
        }
    };
    let (established, rolled) = futures::join!(established, rolled);
    let open = waits.iter().filter(|wait| match wait {
        Wait::Established(name) => !established.contains(name),
        Wait::RolledOut { namespace, name } => place != Some(namespace) || !rolled.contains(name),
        Wait::Served(_) => true,
    });
    let all = open.map(async |wait| match wait {
        Wait::Established(name) => crd_established(connection, name, deadline).await,
        Wait::Served(gvk) => kind_served(connection, gvk, deadline).await,
        Wait::RolledOut { namespace, name } => rolled_out(connection, namespace, name, deadline, &say).await,
    });
    futures::future::try_join_all(all).await.map(|_| ())
}

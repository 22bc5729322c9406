//! The way of a bootstrap that writes: the plan, the workers, a note of it, and the wait for Flux.

use super::args::BootstrapArgs;
use super::talk::{Talk, objects};
use crate::bootstrap::{self, Carried, CarryOut, Inputs, Plan, Preflight};
use crate::cluster::{Applier, Deadline, let_go};
use crate::flux::{Expected, Sync, git_repository, kustomization, wait_for_sync};
use crate::whereabouts;
use kubiya_hook::edge::{Failure, Kind};
use kubiya_hook::git::remote::BranchTip;

const AGAIN: &str = "run the same command again when this is mended: it goes on where this one stopped";

/// One run.
pub(super) struct Course<'a> {
    pub(super) args: &'a BootstrapArgs,
    pub(super) inputs: &'a Inputs,
}

/// What was done, and by what.
pub(super) struct Done {
    pub(super) carried: Carried,
    /// The workers that could not be taken in; the others are, and the infra cluster is as it should be.
    pub(super) failed: Option<Failure>,
    applier: Applier,
}

impl Course<'_> {
    /// Carries the plan out and takes the workers in. Nothing where another run has changed the cluster meanwhile.
    pub(super) async fn carry_out(
        &self,
        plan: &Plan,
        applier: Applier,
        found: &Preflight,
        talk: &mut Talk<'_>,
    ) -> Result<Option<Done>, Failure> {
        let how = CarryOut {
            applier,
            timeout: self.args.timeout(),
            wait: self.args.wait(),
            dry_run: found.dry_run.clone(),
            lease: found.live.lease.clone(),
        };
        let result = bootstrap::carry_out(plan, &how, |event| talk.event(&event)).await;
        talk.end_progress();
        let Some(mut carried) = result.map_err(|(error, carried)| part_done(error.into(), &carried))? else {
            return Ok(None);
        };
        let mut failed = None;
        if let Some(workers) = &found.workers {
            whereabouts::at("while it let Flux into the workers");
            let taken = workers.take_in(|count| talk.count("taking workers in", count)).await;
            talk.end_progress();
            talk.taken_in(&taken);
            carried.applied.extend(taken.applied());
            failed = taken.failure().map(|failure| without_workers(failure, &carried));
        }
        if let Err(error) = bootstrap::record(&how.applier.connection, self.inputs, &carried).await {
            talk.warning(
                &Failure::unverified("who changed what could not be noted on the cluster").because(&error),
            );
        }
        // Nothing is written from here on: whoever waits for it may go on.
        let_go().await;
        Ok(Some(Done { carried, failed, applier: how.applier }))
    }

    /// Waits until Flux has applied the branch; gives the revision. Nothing where that is not wanted.
    pub(super) async fn wait(
        &self,
        done: &Done,
        found: &Preflight,
        talk: &mut Talk<'_>,
    ) -> Result<Option<String>, Failure> {
        if !self.args.wait() {
            return Ok(None);
        }
        whereabouts::at("while it waited for Flux to apply the branch; all is written");
        let sync = &self.inputs.sync;
        let objects = Sync { source: git_repository(sync), kustomization: kustomization(sync) };
        let expected = Expected { branch: sync.branch.clone(), tip: found.tip.clone() };
        let look_again = async || match found.look.as_ref()?.tip().await {
            Ok(BranchTip::Found(oid)) => Some(oid),
            _ => None,
        };
        let Applier { connection, kinds, .. } = &done.applier;
        let deadline = Deadline::after(self.args.timeout());
        let say = |message: &str| talk.progress(message);
        let waited = wait_for_sync(connection, kinds, &objects, expected, deadline, look_again, say).await;
        talk.end_progress();
        let revision = waited.map_err(|error| part_done(error.into(), &done.carried))?;
        talk.applied(&revision);
        Ok(Some(revision))
    }
}

/// Workers that fail leave the infra cluster and the other workers as they should be: done in part, whatever the cause,
/// and whether or not something was to be written elsewhere.
fn without_workers(failure: Failure, carried: &Carried) -> Failure {
    if carried.changed() > 0 {
        part_done(failure, carried)
    } else {
        failure.of_kind(Kind::Partial).hint(AGAIN)
    }
}

/// A failure after the first write is "done in part", unless it is a deadline.
fn part_done(failure: Failure, carried: &Carried) -> Failure {
    if carried.changed() == 0 || failure.kind() == Kind::Timeout {
        return failure;
    }
    failure
        .of_kind(Kind::Partial)
        .because_of(format!("written before that: {}", objects(carried.changed())))
        .hint(AGAIN)
}

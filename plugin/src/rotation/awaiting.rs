//! Waiting until Flux has read a key, or applied a commit. Polls, and takes errors of single requests for what they
//! are: the API server may be gone for a moment.

use super::Course;
use super::GO_ON;
use super::course::Step;
use super::followed::Followed;
use crate::cluster::Deadline;
use crate::flux::{self, Reader, ReadyState, SourceName, commit_of};
use kubiya_hook::edge::{Failure, Kind};
use kubiya_hook::git::ObjectId;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long is waited for what is going on when a rotation begins.
const SETTLED: Duration = Duration::from_secs(60);

/// Which keys the revision is for that a Kustomization has applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The one that goes.
    Old,
    /// Both.
    Both,
    /// The one that comes.
    New,
    /// It is suspended.
    Suspended,
    /// It does not follow a branch that is rotated.
    Other,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Until<'u> {
    /// A request to reconcile was answered.
    Handled(&'u str),
    /// A revision was applied that has what a step wants.
    Applied(Step),
}

/// Why a wait ended badly.
#[derive(Debug)]
pub(super) struct Unready {
    /// What is told.
    pub(super) failure: Failure,
}

impl Unready {
    /// The failure with the two ways on from it.
    fn with_ways(self) -> Failure {
        self.failure.hint(GO_ON).hint("kubectl kubiya rotate-key --abort      # goes back to the old key")
    }
}

enum Verdict {
    Done,
    Waiting(String),
    Failed(String),
}

impl Course<'_> {
    /// Asks everybody who reads the Secrets to do so now, and waits until they have.
    pub(super) fn reconcile_all(&mut self, why: &str) -> Result<(), Failure> {
        for site in 0..self.sites.len() {
            self.reconcile(site, why).map_err(Unready::with_ways)?;
        }
        Ok(())
    }

    pub(super) fn reconcile(&mut self, site: usize, why: &str) -> Result<(), Unready> {
        let token = token();
        let keys = self.awaited(site);
        self.request(site, &token, &keys, false).map_err(|failure| Unready { failure })?;
        self.wait(site, &keys, Until::Handled(&token), why)?;
        if !keys.is_empty() {
            let text =
                format!("{} of {} {why}", kustomizations(keys.len()), self.sites[site].connection.context);
            self.talk.did("reconciled", &text);
        }
        Ok(())
    }

    /// Waits a while for those whose controller is at work on them, and looks at all of them anew.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let deadline = Deadline::after(self.timeout.min(SETTLED));
        for site in 0..self.sites.len() {
            let known = self.sites[site].readers.iter().map(Reader::key).collect::<BTreeSet<_>>();
            loop {
                let mut found = self.runtime.block_on(flux::readers(&self.sites[site].connection))?;
                found.retain(|reader| known.contains(&reader.key()));
                let busy = found.iter().any(Reader::is_at_work);
                self.sites[site].readers = found;
                if !busy || deadline.has_passed() {
                    break;
                }
                self.talk.progress("waiting for Kustomizations that are just being applied");
                self.runtime.block_on(deadline.pause());
            }
        }
        self.talk.end_progress();
        Ok(())
    }

    /// Waits until everybody who follows our branches has applied what a step wants.
    pub(super) fn applied_everywhere(&mut self, step: Step) -> Result<(), Failure> {
        for site in 0..self.sites.len() {
            let keys = self.following(site);
            if self.has_applied(site, &keys, step)? {
                continue;
            }
            self.request(site, &token(), &BTreeSet::new(), true)?;
            let what = match step {
                Step::Overlap => "apply the commit with both keys",
                Step::OldOut => "apply the commit without the old key",
            };
            self.wait(site, &keys, Until::Applied(step), what).map_err(Unready::with_ways)?;
            let text =
                format!("by {} of {}", kustomizations(keys.len()), self.sites[site].connection.context);
            self.talk.did("applied", &text);
        }
        Ok(())
    }

    /// Whether everybody has applied it already.
    pub(super) fn is_applied(&mut self, step: Step) -> Result<bool, Failure> {
        for site in 0..self.sites.len() {
            let keys = self.following(site);
            if !self.has_applied(site, &keys, step)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn has_applied(&mut self, site: usize, keys: &BTreeSet<String>, step: Step) -> Result<bool, Failure> {
        let found = self.runtime.block_on(flux::readers(&self.sites[site].connection))?;
        for reader in found.iter().filter(|reader| keys.contains(&reader.key())) {
            if !matches!(self.judge(reader, Until::Applied(step))?, Verdict::Done) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How far everybody on a cluster is who follows our branches: which step the revision has that was applied.
    ///
    /// # Errors
    /// The cluster or a commit cannot be looked at.
    pub fn how_far(&mut self, site: usize) -> Result<Vec<(String, Applied)>, Failure> {
        let found = self.runtime.block_on(flux::readers(&self.sites[site].connection))?;
        let known = self.sites[site].readers.iter().map(Reader::key).collect::<BTreeSet<_>>();
        let mut all = Vec::new();
        for reader in found.iter().filter(|reader| known.contains(&reader.key())) {
            let mut far = match self.followed(&self.sites[site], &reader.source) {
                Followed::Ours => Applied::Old,
                _ => Applied::Other,
            };
            for (step, applied) in [(Step::Overlap, Applied::Both), (Step::OldOut, Applied::New)] {
                if far != Applied::Other && matches!(self.judge(reader, Until::Applied(step))?, Verdict::Done)
                {
                    far = applied;
                }
            }
            all.push((reader.key(), if reader.suspended { Applied::Suspended } else { far }));
        }
        Ok(all)
    }

    /// Who reads the Secrets and is waited for.
    fn awaited(&self, site: usize) -> BTreeSet<String> {
        let keys = self.sites[site].readers.iter().map(Reader::key);
        keys.filter(|key| !self.way.skip_wait.contains(key)).collect()
    }

    /// Those of them who follow our branches.
    fn following(&self, site: usize) -> BTreeSet<String> {
        let site_keys = self.awaited(site);
        let ours = self.sites[site]
            .readers
            .iter()
            .filter(|reader| matches!(self.followed(&self.sites[site], &reader.source), Followed::Ours));
        ours.map(Reader::key).filter(|key| site_keys.contains(key)).collect()
    }

    fn request(
        &self,
        site: usize,
        token: &str,
        keys: &BTreeSet<String>,
        sources: bool,
    ) -> Result<(), Failure> {
        let site = &self.sites[site];
        let readers = site.readers.iter().filter(|reader| keys.contains(&reader.key())).collect::<Vec<_>>();
        let ours = site
            .sources
            .keys()
            .filter(|source| sources && matches!(self.followed(site, source), Followed::Ours));
        let ours = ours.collect::<Vec<&SourceName>>();
        self.runtime.block_on(site.request(token, &readers, &ours)).map_err(Failure::from)
    }

    fn wait(
        &mut self,
        site: usize,
        keys: &BTreeSet<String>,
        until: Until<'_>,
        what: &str,
    ) -> Result<(), Unready> {
        let deadline = Deadline::after(self.timeout);
        loop {
            let connection = self.sites[site].connection.clone();
            let mut waiting = Vec::new();
            match self.runtime.block_on(flux::readers(&connection)) {
                Err(error) => waiting.push(error.to_string()),
                Ok(found) => {
                    for reader in found.iter().filter(|reader| keys.contains(&reader.key())) {
                        let verdict = self.judge(reader, until).map_err(|failure| Unready { failure })?;
                        let id = format!("Kustomization {}", reader.key());
                        match verdict {
                            Verdict::Done => {}
                            Verdict::Waiting(message) => waiting.push(format!("{id}: {message}")),
                            Verdict::Failed(message) => {
                                return Err(failed(&id, &connection.context, &message));
                            }
                        }
                    }
                }
            }
            let Some(first) = waiting.first() else {
                self.talk.end_progress();
                return Ok(());
            };
            self.talk.progress(&format!("waiting for {} to {what}: {first}", connection.context));
            if deadline.has_passed() {
                self.talk.end_progress();
                return Err(timed_out(what, &connection.context, waiting, deadline));
            }
            self.runtime.block_on(deadline.pause());
        }
    }

    fn judge(&mut self, reader: &Reader, until: Until<'_>) -> Result<Verdict, Failure> {
        match until {
            Until::Handled(token) => {
                if !reader.has_handled(token) {
                    return Ok(Verdict::Waiting("it has not looked yet".to_owned()));
                }
                if let Some(message) = reader.decryption_failure() {
                    return Ok(Verdict::Failed(message));
                }
                Ok(match reader.state(|_| true) {
                    ReadyState::Ready { .. } => Verdict::Done,
                    ReadyState::Waiting { message } => Verdict::Waiting(message),
                    ReadyState::Failed { message } => Verdict::Failed(message),
                })
            }
            Until::Applied(step) => {
                let mut problem = None;
                let mut met = |revision: &str| match self.has(revision, step) {
                    Ok(has) => has,
                    Err(failure) => {
                        problem = Some(failure);
                        false
                    }
                };
                let verdict = if reader.applied().is_some_and(&mut met) {
                    Verdict::Done
                } else {
                    match reader.state(&mut met) {
                        ReadyState::Ready { revision } => {
                            Verdict::Waiting(format!("it is still at {revision}"))
                        }
                        ReadyState::Waiting { message } => Verdict::Waiting(message),
                        ReadyState::Failed { message } => Verdict::Failed(message),
                    }
                };
                problem.map_or(Ok(verdict), Err)
            }
        }
    }

    /// Whether a revision has what a step wants; it is fetched if it is not here.
    fn has(&mut self, revision: &str, step: Step) -> Result<bool, Failure> {
        let Some(commit) = commit_of(revision).and_then(|commit| ObjectId::from_hex(commit.as_bytes()))
        else {
            return Ok(false);
        };
        if self.tree.resolve(&commit.to_string()).is_none() {
            for checkout in &self.checkouts {
                // What the branch has now is what Flux has, or will have soon.
                let _ = self.tree.fetch(&checkout.branch.remote, Some(&checkout.branch.branch));
            }
        }
        if self.tree.resolve(&commit.to_string()).is_none() {
            return Ok(false);
        }
        Ok(step.met(&self.commits.standing(commit)?))
    }
}

/// That many, in words.
#[must_use]
pub fn kustomizations(count: usize) -> String {
    if count == 1 { "1 Kustomization".to_owned() } else { format!("{count} Kustomizations") }
}

/// Something that was never asked for before.
fn token() -> String {
    format!("{}-{}", jiff::Timestamp::now(), std::process::id())
}

fn failed(id: &str, context: &str, message: &str) -> Unready {
    Unready {
        failure: Failure::new(Kind::Partial, format!("{id} failed"))
            .at(context.to_owned())
            .because_of(message.trim_end().to_owned()),
    }
}

fn timed_out(what: &str, context: &str, waiting: Vec<String>, deadline: Deadline) -> Unready {
    let after = crate::duration::text(deadline.total());
    let failure = Failure::new(
        Kind::Timeout,
        format!("{} did not {what} within {after}", kustomizations(waiting.len())),
    );
    let failure = waiting.into_iter().fold(failure.at(context.to_owned()), Failure::because_of);
    Unready {
        failure: failure
            .hint("--timeout 15m                          # waits longer")
            .hint("--skip-wait NAMESPACE/NAME             # does not wait for one that is broken for another reason"),
    }
}

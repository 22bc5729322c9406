//! The way of a rotation, from the first change to the last. Each step looks first and does what is missing, so a run
//! that was stopped anywhere is gone on with by running it again.

use super::at_commit::{Commits, For, Standing};
use super::checkout::{Checkout, Publish, Published, Wanted};
use super::deed::Deed;
use super::intent::{CHANGED_AT, CHANGED_BY, Intent, RECIPIENTS, ROTATION, short};
use super::renew::{DataKeys, Foreign, Renewal};
use super::{Entries, Exposed, GO_ON, Held, Scope, Site, Way, exposed};
use crate::cluster::{LiveSecret, SecretChange};
use crate::secrets::{Configs, Keys};
use kubiya_hook::edge::{Failure, Kind, in_shell};
use kubiya_hook::git::ObjectId;
use kubiya_hook::git::work::{RemoteBranch, WorkTree};
use kubiya_policies::rules::RecipientChange;
use kubiya_policies::sops::age::{AgeKeys, Identity};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is said on the way.
pub trait Talk {
    /// Something was done.
    fn did(&mut self, word: &str, text: &str);
    /// Something that should be known.
    fn warn(&mut self, text: &str);
    /// What is going on just now.
    fn progress(&mut self, text: &str);
    /// Nothing more of that.
    fn end_progress(&mut self);
}

/// How a run ended that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The old key is gone everywhere.
    Done,
    /// Nothing needs the old key; it stays with Flux for a while.
    Waiting,
    /// Commits are to be pushed by the operator, by these commands.
    Unpushed(Vec<String>),
    /// Branches are to be merged by others.
    Proposed(Vec<String>),
}

/// A step in Git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Both keys read everything.
    Overlap,
    /// The old key reads nothing.
    OldOut,
}

impl Step {
    pub(super) fn met(self, standing: &Standing) -> bool {
        match self {
            Self::Overlap => standing.has_overlap(),
            Self::OldOut => standing.is_done(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::OldOut => "old-out",
        }
    }
}

/// A rotation under way.
pub struct Course<'c> {
    /// Runs what talks to clusters.
    pub runtime: &'c tokio::runtime::Handle,
    /// The clusters, the one of `--context` first.
    pub sites: Vec<Site>,
    /// The operator's work tree.
    pub tree: WorkTree,
    /// The branches, the one of the operator's work tree first.
    pub checkouts: Vec<Checkout>,
    /// The two keys.
    pub intent: Intent,
    /// How.
    pub way: Way,
    /// The client whose key goes: no file of others may be for it.
    pub client: Option<String>,
    /// What becomes of files that are also for other kinds of keys.
    pub foreign: Foreign,
    /// How long each wait may take.
    pub timeout: Duration,
    /// What opens files.
    pub keys: &'c dyn Keys,
    /// The identity that comes.
    pub new: Identity,
    /// What is in commits.
    pub commits: Commits,
    /// How this command is typed for the same cluster.
    pub command: String,
    /// The commits that this run brought to branches.
    pub pushed: Vec<(RemoteBranch, ObjectId)>,
    /// Where it is said what happens.
    pub talk: &'c mut dyn Talk,
}

impl std::fmt::Debug for Course<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Course").field("intent", &self.intent).finish_non_exhaustive()
    }
}

impl Course<'_> {
    /// Goes as far as can be gone now.
    ///
    /// # Errors
    /// What stopped it; all that was done until then stays, and is gone on from.
    pub fn run(&mut self) -> Result<Ended, Failure> {
        self.overlap_on_clusters()?;
        for step in [Step::Overlap, Step::OldOut] {
            if let Some(ended) = self.in_git(step)? {
                return Ok(ended);
            }
            self.applied_everywhere(step)?;
        }
        self.note_old_out()?;
        let unread = self.intent.given_up && !self.intent.keep_new;
        let at_once = self.intent.compromised || unread || self.retire_after() == Duration::ZERO;
        if at_once || self.is_retiring()? {
            return self.retire();
        }
        Ok(Ended::Waiting)
    }

    /// Gives Flux the new identity beside the old one, everywhere, and waits until everybody has read it.
    fn overlap_on_clusters(&mut self) -> Result<(), Failure> {
        let mut changed = false;
        for site in 0..self.sites.len() {
            changed |= self.overlap_on(site)?;
        }
        // Who began before us may have been stopped before everybody had read it.
        if changed || !self.is_applied(Step::Overlap)? {
            self.reconcile_all("with both keys")?;
        }
        Ok(())
    }

    fn overlap_on(&mut self, site: usize) -> Result<bool, Failure> {
        let (intent, new, who) = (self.intent.clone(), self.new.clone(), self.sites[site].who());
        let deed = overlap_deed(&intent);
        self.each_secret(site, &deed, |live, entries, place| {
            refuse_other(live, &intent, place)?;
            let data = entries.with(&new);
            let is_over = entries.held(&intent.old) == Held::No && data.is_empty();
            if is_over && !live.annotations.contains_key(ROTATION) {
                return Ok(None);
            }
            let stands = live.annotations.get(ROTATION).and_then(|text| Intent::of_text(text));
            let is_known =
                stands.is_some_and(|stands| stands.is_same(&intent) && stands.given_up == intent.given_up);
            if data.is_empty() && is_known {
                return Ok(None);
            }
            let after = after_with(entries, &intent.new);
            let mut change = noted(&who, &after);
            change.data = data;
            change.annotations.insert(ROTATION.to_owned(), Some(intent.to_text()));
            change.labels.insert("reconcile.fluxcd.io/watch".to_owned(), Some("Enabled".to_owned()));
            Ok(Some(change))
        })
    }

    /// Makes commits have what a step wants. Tells why it has to stop there, if it has.
    fn in_git(&mut self, step: Step) -> Result<Option<Ended>, Failure> {
        let (mut proposed, mut kept) = (Vec::new(), Vec::new());
        for index in 0..self.checkouts.len() {
            match self.publish(index, step)? {
                Published::There { commit, changed } => {
                    let branch = self.checkouts[index].branch.clone();
                    if changed > 0 {
                        let text =
                            format!("{} of {branch}: {changed} files, {}", commit.short(), self.what(step));
                        self.talk.did("pushed", &text);
                        self.pushed.push((branch, commit));
                    }
                }
                Published::Kept(commit) => {
                    kept.push(push_command(&self.checkouts[index], commit));
                    self.talk.did("committed", &format!("{}: {}", commit.short(), self.what(step)));
                }
                Published::Proposed(branch) => {
                    self.talk.did("proposed", &format!("{branch}: {}", self.what(step)));
                    proposed.push(branch);
                }
            }
        }
        match (proposed.is_empty(), kept.is_empty()) {
            (false, _) => Ok(Some(Ended::Proposed(proposed))),
            (true, false) => Ok(Some(Ended::Unpushed(kept))),
            (true, true) => Ok(None),
        }
    }

    fn publish(&mut self, index: usize, step: Step) -> Result<Published, Failure> {
        self.talk.progress(&format!("{}: {}", self.checkouts[index].branch, self.what(step)));
        let elsewhere = self.way.pull_request || !self.checkouts[index].own;
        let tree = self.tree.clone();
        let published = self.with_wanted(index, step, |checkout, wanted, commits| {
            if elsewhere {
                in_another_tree(&tree, checkout, |inside| inside.publish(wanted, commits))
            } else {
                checkout.publish(wanted, commits)
            }
        });
        self.talk.end_progress();
        published
    }

    /// Whether the operator's work tree can be worked in.
    pub(super) fn look_at_work_tree(&mut self) -> Result<(), Failure> {
        let own = self.checkouts.iter().position(|checkout| checkout.own);
        let Some(index) = own.filter(|_| !self.way.pull_request) else { return Ok(()) };
        self.with_wanted(index, Step::Overlap, |checkout, wanted, _| checkout.look(wanted))
    }

    /// Puts together what a step wants of a branch.
    fn with_wanted<T>(
        &mut self,
        index: usize,
        step: Step,
        go: impl FnOnce(&Checkout, &Wanted<'_>, &mut Commits) -> T,
    ) -> T {
        let intent = &self.intent;
        let change = match step {
            Step::Overlap => RecipientChange::Add(&intent.old, &intent.new),
            Step::OldOut => RecipientChange::Replace(&intent.old, &intent.new),
        };
        let proof = AgeKeys::new(vec![self.new.clone()]);
        let renewal = Renewal {
            change: Some(change),
            data_keys: DataKeys::New,
            foreign: self.foreign,
            keys: self.keys,
            proof: Some(&proof),
        };
        let message = self.way.message.clone().unwrap_or_else(|| match step {
            Step::Overlap => "Let the new age key read all that the old one reads".to_owned(),
            Step::OldOut => "Take the old age key out of rules and files".to_owned(),
        });
        let branch = &self.checkouts[index].branch.branch;
        let publish = match (self.way.pull_request, self.way.no_push) {
            (true, _) => Publish::Propose(format!("{}{}-{branch}", proposed(&intent.new), step.name())),
            (false, true) => Publish::Keep,
            (false, false) => Publish::Push,
        };
        let trailer = format!("{} {} {}", step.name(), intent.old, intent.new);
        let wanted = Wanted {
            renewal,
            old: &intent.old,
            new: &intent.new,
            met: &|standing| step.met(standing),
            message: &message,
            trailer: &trailer,
            publish,
        };
        go(&self.checkouts[index], &wanted, &mut self.commits)
    }

    fn what(&self, step: Step) -> String {
        let (old, new) = (short(&self.intent.old), short(&self.intent.new));
        match step {
            Step::Overlap => format!("{new} beside {old}"),
            Step::OldOut => format!("{old} out"),
        }
    }

    /// Writes down since when nothing needs the old key.
    fn note_old_out(&mut self) -> Result<(), Failure> {
        if self.intent.old_out.is_none() {
            self.intent.old_out = Some(jiff::Timestamp::now().to_string());
        }
        for site in &self.sites {
            for secret in &site.secrets {
                let made = site.change(secret, "that the old key is out is noted", |live, _| {
                    refuse_other(live, &self.intent, &site.place(live))?;
                    let stands = live.annotations.get(ROTATION).and_then(|text| Intent::of_text(text));
                    // A Secret without the annotation is done with.
                    if stands.is_none_or(|stands| stands.old_out.is_some()) {
                        return Ok(None);
                    }
                    let note = (ROTATION.to_owned(), Some(self.intent.to_text()));
                    Ok(Some(SecretChange { annotations: [note].into(), ..SecretChange::default() }))
                });
                self.runtime.block_on(made)?;
            }
        }
        Ok(())
    }

    /// How long the old key is to stay.
    ///
    /// The text was checked when the flags were read; a week where none was given.
    #[must_use]
    pub fn retire_after(&self) -> Duration {
        let given = self.way.retire_after.as_deref().and_then(|text| crate::duration::parse(text).ok());
        given.unwrap_or(super::RETIRE_AFTER)
    }

    /// What some keys read on all branches: first what is in the work tree, then what else is on other branches.
    ///
    /// # Errors
    /// A branch or its files cannot be read.
    pub fn exposed(&self, recipients: &[&str]) -> Result<Vec<Exposed>, Failure> {
        let of = |top: &Path, branch: Option<&str>| {
            let scope = Scope::of(top, &Configs::new(None, Some(top.to_owned())))?;
            Ok(exposed(&scope, recipients, branch))
        };
        let mut all = of(self.tree.top(), None)?;
        for checkout in &self.checkouts {
            // The work tree may be behind its branch.
            if checkout.own && self.tree.resolve("HEAD") == Some(checkout.tip()?) {
                continue;
            }
            let branch = &checkout.branch.branch;
            let there = in_another_tree(&self.tree, checkout, |inside| of(inside.tree.top(), Some(branch)))?;
            let new = there.into_iter().filter(|one| !all.iter().any(|known| known.covers(one)));
            let new = new.collect::<Vec<_>>();
            all.extend(new);
        }
        Ok(all)
    }

    /// Files and rules of the first branch, for a report.
    ///
    /// # Errors
    /// The branch cannot be looked at.
    pub fn standing(&mut self, index: usize) -> Result<Standing, Failure> {
        let tip = self.checkouts[index].tip()?;
        self.commits.standing(tip)
    }
}

/// How the operator pushes a commit that stayed in the clone. One of another branch is on no branch here.
fn push_command(checkout: &Checkout, commit: ObjectId) -> String {
    let RemoteBranch { remote, branch } = &checkout.branch;
    match (checkout.own, checkout.tree.branch()) {
        (true, Some(here)) if here == *branch => "git push".to_owned(),
        (true, _) => format!("git push {remote} HEAD:{}", in_shell(branch.as_bytes())),
        (false, _) => format!("git push {remote} {commit}:{}", in_shell(branch.as_bytes())),
    }
}

/// Does the work in a work tree of its own, which goes afterwards: the operator's stays as it is.
fn in_another_tree<T>(
    tree: &WorkTree,
    checkout: &Checkout,
    work: impl FnOnce(&Checkout) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let tip = checkout.tip()?;
    let failed = |error: &dyn std::error::Error| {
        Failure::unverified("cannot make a work tree for the branch")
            .at(checkout.branch.to_string())
            .because(error)
    };
    let folder = tree.common_folder().map_err(|error| failed(&error))?;
    let at: PathBuf =
        folder.join("kubiya").join(format!("work-{}", checkout.branch.branch.replace('/', "-")));
    // One that a run left that was killed.
    tree.remove(&at);
    let another = tree.another(&at, tip).map_err(|error| failed(&error))?;
    // Without links in it, as paths of files are.
    let top = another.top().canonicalize().map_err(|error| failed(&error))?;
    let inside = Checkout { tree: WorkTree::at(&top), branch: checkout.branch.clone(), own: false };
    let done = work(&inside);
    tree.remove(&at);
    done
}

/// Another rotation of the same Secret must not be crossed.
pub(super) fn refuse_other(live: &LiveSecret, intent: &Intent, place: &str) -> Result<(), Failure> {
    let stands = live.annotations.get(ROTATION).map(|text| Intent::of_text(text));
    match stands {
        None => Ok(()),
        Some(Some(other)) if other.is_same(intent) => Ok(()),
        // Who gives a rotation up crosses it on purpose.
        Some(Some(other)) if intent.given_up && other.reversed().is_same(intent) => Ok(()),
        Some(Some(other)) => Err(Failure::new(
            Kind::Unverified,
            format!("another rotation is under way: {} to {}", short(&other.old), short(&other.new)),
        )
        .at(place.to_owned())
        .because_of(format!("{} began it at {}", other.by, other.started))
        .hint("kubectl kubiya rotate-key --status")
        .hint(GO_ON)),
        Some(None) => Err(Failure::unverified(format!("the annotation {ROTATION} cannot be read"))
            .at(place.to_owned())
            .hint("if no rotation is under way: kubectl annotate it away")),
    }
}

fn overlap_deed(intent: &Intent) -> Deed {
    let name = "the new key is in the Secret";
    let (old, new) = (short(&intent.old), short(&intent.new));
    if intent.given_up {
        let message = format!("{} stays, and {} goes out again", intent.new, intent.old);
        let line = ("given up", format!("{new} stays, and {old} goes out again of"));
        return Deed { name, reason: "KeyRotationGivenUp", message, line };
    }
    let message = format!("{} comes beside {}", intent.new, intent.old);
    Deed { name, reason: "KeyRotationStarted", message, line: ("added", format!("{new} to")) }
}

/// The annotations that say who changed what Flux decrypts with.
pub(crate) fn noted(who: &str, recipients: &[String]) -> SecretChange {
    let mut change = SecretChange::default();
    for (key, value) in [
        (CHANGED_BY, who.to_owned()),
        (CHANGED_AT, jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        (RECIPIENTS, recipients.join(",")),
    ] {
        change.annotations.insert(key.to_owned(), Some(value));
    }
    change
}

fn after_with(entries: &Entries, new: &str) -> Vec<String> {
    let mut recipients = entries.recipients();
    if entries.held(new) != Held::Active {
        recipients.push(new.to_owned());
    }
    recipients
}

/// How the names of branches begin by which a key is proposed.
pub(super) fn proposed(new: &str) -> String {
    format!("kubiya/rotate-{}-", tail(new))
}

/// The last characters of a public key, which tell it from others.
fn tail(recipient: &str) -> &str {
    let start = recipient.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    &recipient[start..]
}

/// Files and rules, counted for people.
#[must_use]
pub fn counted(standing: &Standing) -> String {
    let count = |which| standing.count(which);
    format!(
        "{} for the old key alone, {} for both, {} for the new one",
        count(For::Old),
        count(For::Both),
        count(For::New)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_testdata::env::TestEnv;
    use kubiya_testdata::git::GitRepo;

    #[test]
    fn a_commit_that_stays_in_the_clone_is_pushed_to_the_branch_it_is_for() {
        let env = TestEnv::new();
        let clone = GitRepo::init(&env, "clone");
        let commit = clone.commit_file("a", "a");
        let checkout = |branch: &str, own| Checkout {
            tree: WorkTree::at(clone.path()),
            branch: RemoteBranch { remote: "origin".to_owned(), branch: branch.to_owned() },
            own,
        };
        let commit = ObjectId::from_hex(commit.as_bytes()).unwrap();
        let command = |branch, own| push_command(&checkout(branch, own), commit);
        assert_eq!(command("main", true), "git push");
        assert_eq!(command("production", true), "git push origin HEAD:production");
        assert_eq!(command("staging", false), format!("git push origin {commit}:staging"));
    }
}

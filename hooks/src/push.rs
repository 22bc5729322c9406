//! A push: everything that it brings or makes reachable is judged before a ref moves.

mod elders;
mod lot;
mod reached;
mod seen;
mod terms;
mod weighing;

pub use terms::{PushError, Terms, Trusted};

use crate::edge::Kind as Refusal;
use crate::git::{self, GitError, Kind, ObjectId, RefUpdate, Repository, Tip};
use crate::judge::{Found, Judge, Unverified, Verdict, refusal};
use crate::spread::{Give, spread};
use crate::trust::{KeyIndex, Ruling, is_for_gitops};
use elders::Elders;
use kubiya_policies::finding::Severity;
use lot::{Content, Judging, Lot, Origin};
use seen::Seen;
use std::collections::HashMap;
use weighing::{Brought, Weighing};

/// Through what the content came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A commit.
    Commit {
        /// Its name.
        id: ObjectId,
        /// Whether a ref shall point at it: then amending it is enough, otherwise history must be rewritten.
        is_tip: bool,
        /// Whether it has no parent.
        is_root: bool,
    },
    /// A file or folder that a tag points at, or the tag's own message.
    Tagged(ObjectId),
    /// An object that the push brought and nothing leads to.
    Loose(ObjectId),
}

/// A finding in a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What was found.
    pub found: Found,
    /// The first thing of the push that carries it.
    pub carrier: Carrier,
    /// The number of the ref update that it belongs to; `None` for loose objects.
    pub update: Option<usize>,
    /// How many later commits of the push have it, too.
    pub again: usize,
}

/// What a judge says about a push.
#[derive(Clone, Debug, Default)]
pub struct PushVerdict {
    /// What was found, oldest commit first.
    pub pushed: Vec<Pushed>,
    /// What could not be judged.
    pub unverified: Vec<Unverified>,
    /// How many commits were looked at.
    pub commits: usize,
}

impl PushVerdict {
    /// The same without what brought it.
    pub fn into_verdict(self) -> Verdict {
        let found = self.pushed.into_iter().map(|pushed| pushed.found).collect();
        Verdict { found, unverified: self.unverified, ..Verdict::default() }
    }

    /// How many findings refuse the push.
    pub fn errors(&self) -> usize {
        self.pushed.iter().filter(|pushed| pushed.found.finding.severity == Severity::Error).count()
    }

    /// For what kind of reason the push is refused; `None` where it is not.
    pub fn refusal(&self) -> Option<Refusal> {
        refusal(self.pushed.iter().map(|pushed| &pushed.found), &self.unverified)
    }
}

/// Judges a push before its refs are updated. Reads only; deletions cost nothing.
///
/// # Errors
/// Where the push cannot be looked at as a whole: then nobody can say that it is good.
pub fn judge_push(
    repository: &Repository,
    judge: &Judge,
    updates: &[RefUpdate],
    terms: &Terms,
) -> Result<PushVerdict, PushError> {
    if updates.iter().all(|update| update.new.is_none()) {
        return Ok(PushVerdict::default());
    }
    let mut elders = Elders::of(repository, updates, &terms.trusted(repository, updates)?)?;
    let baseline = terms.baseline(repository, elders.trusted)?;
    let limit = terms.config.limits.new_commits;
    let mut brought = Brought::default();
    let judged = spread(&Judging { judge, elders: &elders }, repository, |give| {
        let seen = Seen::new(repository.brought()?);
        let listing = Listing { repository, give, seen, number: 0 };
        listing.push(updates, terms, &mut brought)
    })?;
    let Brought { tips, commits } = brought;
    if let Some(limit) = limit.filter(|limit| commits.len() as u64 > *limit) {
        return Err(PushError::TooMany { commits: commits.len(), limit });
    }
    elders.add_boundary(repository, &commits)?;
    let gitops = || is_for_gitops(repository, &elders.folders(repository, updates));
    let ruling = Ruling::new(&terms.config, &terms.repository, gitops).with_baseline(baseline);
    let mut weighing = Weighing {
        repository,
        judge,
        ruling: &ruling,
        elders: &elders,
        keys: KeyIndex::new(repository),
        commits: commits.iter().map(|commit| (commit.id, commit)).collect(),
        is_receiver: terms.known == git::Known::Refs,
    };
    let mut summary = Summary::default();
    for parts in judged.chunk_by(|a, b| a.origin.number == b.origin.number) {
        let Some(origin) = parts.first().map(|part| part.origin) else { continue };
        let mut verdict = Verdict::of_parts(parts.iter().map(|part| part.verdict.clone()));
        weighing.weigh(origin, &mut verdict)?;
        summary.add(origin.carrier, origin.update, verdict);
    }
    for tip in tips {
        let verdict = weighing.authority(tip, updates, &commits, terms)?;
        let carrier = Carrier::Commit { id: tip.commit, is_tip: true, is_root: false };
        summary.add(carrier, Some(tip.update), verdict);
    }
    summary.verdict.commits = commits.len();
    Ok(summary.verdict)
}

/// Finds what there is to judge, in the order in which it shall be reported.
struct Listing<'p, 'g> {
    repository: &'p Repository,
    give: &'p mut Give<'g, Judging<'p>>,
    seen: Seen,
    number: usize,
}

impl Listing<'_, '_> {
    fn push(mut self, updates: &[RefUpdate], terms: &Terms, brought: &mut Brought) -> Result<(), GitError> {
        for (number, update) in updates.iter().enumerate() {
            if let Some(new) = update.new.filter(|new| Some(*new) != update.old) {
                brought.tips.extend(self.update(number, new)?);
            }
        }
        brought.commits = git::new_commits(self.repository, &brought.tips, &terms.known)?;
        let limit = terms.config.limits.new_commits;
        if limit.is_some_and(|limit| brought.commits.len() as u64 > limit) {
            return Ok(());
        }
        for commit in &brought.commits {
            let is_tip = brought.tips.iter().any(|tip| tip.commit == commit.id);
            self.seen.mark(commit.id);
            let carrier = Carrier::Commit { id: commit.id, is_tip, is_root: commit.parents.is_empty() };
            self.tree(commit.tree, &commit.parent_trees, carrier, commit.update)?;
            let origin = self.origin(carrier, Some(commit.update));
            (self.give)(Lot { origin, content: Content::Message(commit.id) }, 0)?;
        }
        self.loose()
    }

    /// Follows tags. Gives the commit, if there is one at the end; what else is there is judged.
    fn update(&mut self, number: usize, new: ObjectId) -> Result<Option<Tip>, GitError> {
        let peeled = self.repository.peel(new)?;
        for tag in peeled.tags {
            self.pathless(tag, Carrier::Tagged(tag), Some(number))?;
        }
        let carrier = Carrier::Tagged(peeled.id);
        match peeled.kind {
            Kind::Commit => return Ok(Some(Tip { commit: peeled.id, update: number })),
            Kind::Tree => self.tree(peeled.id, &[], carrier, number)?,
            Kind::Blob | Kind::Tag => self.pathless(peeled.id, carrier, Some(number))?,
        }
        Ok(None)
    }

    fn origin(&mut self, carrier: Carrier, update: Option<usize>) -> Origin {
        self.number += 1;
        Origin { number: self.number, carrier, update }
    }

    fn tree(
        &mut self,
        tree: ObjectId,
        parents: &[ObjectId],
        carrier: Carrier,
        update: usize,
    ) -> Result<(), GitError> {
        let origin = self.origin(carrier, Some(update));
        let brought = git::brought(self.repository, tree, parents, &mut |id| self.seen.mark(id))?;
        let mut files = brought.introduced.into_iter().peekable();
        while files.peek().is_some() {
            let files: Vec<_> = files.by_ref().take(lot::MOST_FILES).collect();
            let weight = files.len();
            (self.give)(Lot { origin, content: Content::Files { tree, files } }, weight)?;
        }
        let mut files = brought.joined.into_iter().peekable();
        while files.peek().is_some() {
            let files: Vec<_> = files.by_ref().take(lot::MOST_FILES).collect();
            let (weight, parents) = (files.len(), parents.to_vec());
            (self.give)(Lot { origin, content: Content::Joined { tree, parents, files } }, weight)?;
        }
        Ok(())
    }

    fn pathless(&mut self, id: ObjectId, carrier: Carrier, update: Option<usize>) -> Result<(), GitError> {
        if !self.seen.first(id) {
            return Ok(());
        }
        let origin = self.origin(carrier, update);
        (self.give)(Lot { origin, content: Content::Pathless(id) }, 1)
    }

    /// The blobs that came along although nothing of the push leads to them, and the messages of such tags and
    /// commits: they are stored, and some servers hand out any object that is asked for by name.
    fn loose(&mut self) -> Result<(), GitError> {
        for id in self.seen.rest() {
            // `index-pack` completes thin packs with objects that were there before.
            let folder = self.repository.kind(id)?.is_none_or(|kind| kind == Kind::Tree);
            if !folder && !self.repository.was_there(id)? {
                self.pathless(id, Carrier::Loose(id), None)?;
            }
        }
        Ok(())
    }
}

/// What makes two findings the same fault, in whatever commits.
///
/// A debt and a new value at the same place are two.
type Fault = (Vec<u8>, u16, Option<u32>, String, Severity);

/// Puts together what was judged apart.
#[derive(Default)]
struct Summary {
    /// Where each fault is in the verdict.
    known: HashMap<Fault, usize>,
    verdict: PushVerdict,
}

impl Summary {
    /// Adds what was found in one commit, or in one other carrier.
    fn add(&mut self, carrier: Carrier, update: Option<usize>, verdict: Verdict) {
        for found in verdict.found {
            let place = &found.finding.place;
            let path = match carrier {
                // Without a path, the object stands for it.
                Carrier::Loose(id) | Carrier::Tagged(id) if place.path.is_empty() => id.as_bytes().to_vec(),
                _ => place.path.clone(),
            };
            let severity = found.finding.severity;
            let fault = (path, found.finding.code.0, place.document, place.key_path.clone(), severity);
            match self.known.get(&fault).and_then(|at| self.verdict.pushed.get_mut(*at)) {
                Some(first) if first.carrier != carrier => first.again += 1,
                _ => {
                    self.known.insert(fault, self.verdict.pushed.len());
                    self.verdict.pushed.push(Pushed { found, carrier, update, again: 0 });
                }
            }
        }
        for mut unverified in verdict.unverified {
            if let Carrier::Commit { id, .. } = carrier {
                unverified.commit = Some(id);
            }
            let same =
                |known: &&mut Unverified| known.path == unverified.path && known.reason == unverified.reason;
            match self.verdict.unverified.iter_mut().find(same) {
                Some(known) => {
                    let new = unverified.files.into_iter().filter(|file| !known.files.contains(file));
                    let new: Vec<_> = new.collect();
                    known.files.extend(new);
                }
                None => self.verdict.unverified.push(unverified),
            }
        }
    }
}

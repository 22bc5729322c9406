//! A push: everything that it brings or makes reachable is judged before a ref moves.

mod lot;
mod seen;

use crate::git::{self, GitError, Kind, ObjectId, RefUpdate, Repository, Tip, introduced};
use crate::judge::{Found, Judge, Unverified, Verdict};
use crate::spread::{Give, spread};
use kubiya_policies::finding::Severity;
use lot::{Content, Judged, Judging, Lot, Origin};
use seen::Seen;
use std::collections::HashMap;

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
}

impl PushVerdict {
    /// How many findings refuse the push.
    pub fn errors(&self) -> usize {
        self.pushed.iter().filter(|pushed| pushed.found.finding.severity == Severity::Error).count()
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
) -> Result<PushVerdict, GitError> {
    if updates.iter().all(|update| update.new.is_none()) {
        return Ok(PushVerdict::default());
    }
    let judged = spread(&Judging { judge }, repository, |give| {
        let seen = Seen::new(repository.brought()?);
        Listing { repository, give, seen, number: 0 }.push(updates)
    })?;
    let mut summary = Summary::default();
    for part in judged.chunk_by(|a, b| a.origin.number == b.origin.number) {
        summary.add(part);
    }
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
    fn push(mut self, updates: &[RefUpdate]) -> Result<(), GitError> {
        let mut tips = Vec::new();
        for (number, update) in updates.iter().enumerate() {
            if let Some(new) = update.new.filter(|new| Some(*new) != update.old) {
                tips.extend(self.update(number, new)?);
            }
        }
        for commit in git::new_commits(self.repository, &tips)? {
            let is_tip = tips.iter().any(|tip| tip.commit == commit.id);
            self.seen.mark(commit.id);
            let carrier = Carrier::Commit { id: commit.id, is_tip, is_root: commit.parents.is_empty() };
            self.tree(commit.tree, &commit.parent_trees, carrier, commit.update)?;
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
        let files = introduced(self.repository, tree, parents, &mut |id| self.seen.mark(id))?;
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            let files: Vec<_> = files.by_ref().take(lot::MOST_FILES).collect();
            let weight = files.len();
            (self.give)(Lot { origin, content: Content::Files { tree, files } }, weight)?;
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

    /// The blobs that came along although nothing of the push leads to them: they are stored, and some servers
    /// hand out any object that is asked for by name.
    fn loose(&mut self) -> Result<(), GitError> {
        for id in self.seen.rest() {
            // `index-pack` completes thin packs with objects that were there before.
            if self.repository.kind(id)? == Some(Kind::Blob) && !(self.repository.was_there(id)?) {
                self.pathless(id, Carrier::Loose(id), None)?;
            }
        }
        Ok(())
    }
}

/// What makes two findings the same fault, in whatever commits.
type Fault = (Vec<u8>, u16, Option<u32>, String);

/// Puts together what was judged apart.
#[derive(Default)]
struct Summary {
    /// Where each fault is in the verdict.
    known: HashMap<Fault, usize>,
    verdict: PushVerdict,
}

impl Summary {
    /// Adds the parts of one commit, or of one other carrier.
    fn add(&mut self, parts: &[Judged]) {
        let Some(Origin { carrier, update, .. }) = parts.first().map(|part| part.origin) else { return };
        let verdict = Verdict::of_parts(parts.iter().map(|part| part.verdict.clone()));
        for found in verdict.found {
            let place = &found.finding.place;
            let path = match carrier {
                // Without a path, the object stands for it.
                Carrier::Loose(id) | Carrier::Tagged(id) if place.path.is_empty() => id.as_bytes().to_vec(),
                _ => place.path.clone(),
            };
            let fault = (path, found.finding.code.0, place.document, place.key_path.clone());
            match self.known.get(&fault).and_then(|at| self.verdict.pushed.get_mut(*at)) {
                Some(first) if first.carrier != carrier => first.again += 1,
                _ => {
                    self.known.insert(fault, self.verdict.pushed.len());
                    self.verdict.pushed.push(Pushed { found, carrier, update, again: 0 });
                }
            }
        }
        for unverified in verdict.unverified {
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

//! A push: everything that it brings or makes reachable is judged before a ref moves.

use crate::git::{
    self, GitError, Kind, Known, NewCommit, ObjectId, RefUpdate, Repository, Tip, TreeSnapshot, introduced,
};
use crate::judge::{Entry, File, Found, Judge, Unverified, Verdict};
use bstr::ByteSlice as _;
use kubiya_policies::finding::Severity;
use std::collections::{HashMap, HashSet};

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
        Verdict { found, unverified: self.unverified }
    }

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
    judge: &mut Judge,
    updates: &[RefUpdate],
) -> Result<PushVerdict, GitError> {
    judge_beyond(repository, judge, updates, &Known::Refs)
}

/// Judges what ref updates bring to somebody who has what is `known`.
///
/// # Errors
/// Where it cannot be looked at as a whole: then nobody can say that it is good.
pub fn judge_beyond(
    repository: &Repository,
    judge: &mut Judge,
    updates: &[RefUpdate],
    known: &Known,
) -> Result<PushVerdict, GitError> {
    if updates.iter().all(|update| update.new.is_none()) {
        return Ok(PushVerdict::default());
    }
    let mut push = Push {
        repository,
        judge,
        seen: HashSet::new(),
        known: HashMap::new(),
        verdict: PushVerdict::default(),
    };
    let mut tips = Vec::new();
    for (number, update) in updates.iter().enumerate() {
        if let Some(new) = update.new.filter(|new| Some(*new) != update.old) {
            tips.extend(push.update(number, new)?);
        }
    }
    for commit in git::new_commits(repository, &tips, known)? {
        let is_tip = tips.iter().any(|tip| tip.commit == commit.id);
        push.commit(&commit, is_tip)?;
        push.verdict.commits += 1;
    }
    push.loose()?;
    Ok(push.verdict)
}

/// The part of a tag that its author wrote: what follows the first blank line.
fn message(tag: &[u8]) -> &[u8] {
    tag.find(b"\n\n").map_or(tag, |at| &tag[at + 2..])
}

/// What makes two findings the same fault, in whatever commits.
type Fault = (Vec<u8>, u16, Option<u32>, String);

struct Push<'p> {
    repository: &'p Repository,
    judge: &'p mut Judge,
    /// The contents that were judged with their paths.
    seen: HashSet<ObjectId>,
    /// Where each fault is in the verdict.
    known: HashMap<Fault, usize>,
    verdict: PushVerdict,
}

impl Push<'_> {
    /// Follows tags. Gives the commit, if there is one at the end; judges what else is there.
    fn update(&mut self, number: usize, new: ObjectId) -> Result<Option<Tip>, GitError> {
        let peeled = self.repository.peel(new)?;
        for tag in peeled.tags {
            self.content(tag, Carrier::Tagged(tag), Some(number))?;
        }
        let carrier = Carrier::Tagged(peeled.id);
        match peeled.kind {
            Kind::Commit => return Ok(Some(Tip { commit: peeled.id, update: number })),
            Kind::Tree => self.tree(peeled.id, &[], carrier, number)?,
            Kind::Blob | Kind::Tag => self.content(peeled.id, carrier, Some(number))?,
        }
        Ok(None)
    }

    fn commit(&mut self, commit: &NewCommit, is_tip: bool) -> Result<(), GitError> {
        let mut parents = Vec::new();
        for parent in &commit.parents {
            parents.extend(self.repository.commit(*parent)?.map(|parent| parent.tree));
        }
        let carrier = Carrier::Commit { id: commit.id, is_tip, is_root: commit.parents.is_empty() };
        self.tree(commit.tree, &parents, carrier, commit.update)
    }

    fn tree(
        &mut self,
        tree: ObjectId,
        parents: &[ObjectId],
        carrier: Carrier,
        update: usize,
    ) -> Result<(), GitError> {
        let files = introduced(self.repository, tree, parents)?;
        self.seen.extend(files.iter().map(|file| file.id));
        let snapshot = TreeSnapshot::new(self.repository, tree);
        let files = files
            .into_iter()
            .map(|file| File { path: file.path, entry: Entry { kind: file.kind, id: Some(file.id) } });
        let verdict = self.judge.judge(&snapshot, files);
        self.add(verdict, carrier, Some(update));
        Ok(())
    }

    /// Judges an object that has no path: a blob, or the message of a tag.
    fn content(&mut self, id: ObjectId, carrier: Carrier, update: Option<usize>) -> Result<(), GitError> {
        if !self.seen.insert(id) {
            return Ok(());
        }
        let (kind, bytes) = self.repository.read(id)?.ok_or(GitError::Missing(id))?;
        let text = if kind == Kind::Tag { message(&bytes) } else { &bytes };
        let report = self.judge.judge_pathless(id, text);
        let found =
            report.findings.iter().map(|finding| Found { finding: finding.clone(), content: Some(id) });
        self.add(Verdict { found: found.collect(), unverified: Vec::new() }, carrier, update);
        Ok(())
    }

    /// Judges the blobs that came along although nothing of the push leads to them: they are stored, and
    /// some servers hand out any object that is asked for by name.
    fn loose(&mut self) -> Result<(), GitError> {
        for id in self.repository.brought()? {
            // `index-pack` completes thin packs with objects that were there before.
            if !self.seen.contains(&id)
                && self.repository.kind(id)? == Some(Kind::Blob)
                && !(self.repository.was_there(id)?)
            {
                self.content(id, Carrier::Loose(id), None)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, verdict: Verdict, carrier: Carrier, update: Option<usize>) {
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

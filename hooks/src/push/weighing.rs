//! What the findings of a push weigh, and what the push does that only some people may do.

use super::elders::{Elders, folder};
use super::lot::Origin;
use super::reached::is_reached;
use super::{Carrier, Terms};
use crate::git::{GitError, NewCommit, ObjectId, RefUpdate, Repository, Tip, TreeSnapshot, introduced};
use crate::judge::{Judge, Verdict};
use crate::trust::{KeyIndex, PolicyWatch, Ruling, judge_protected};
use std::collections::{HashMap, HashSet};

/// What a push brings, as it was listed.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub(super) tips: Vec<Tip>,
    pub(super) commits: Vec<NewCommit>,
}

/// Weighs what was found, commit by commit, in the one thread that puts it together.
pub(super) struct Weighing<'p> {
    pub(super) repository: &'p Repository,
    pub(super) judge: &'p Judge,
    pub(super) ruling: &'p Ruling<'p>,
    pub(super) elders: &'p Elders,
    pub(super) keys: KeyIndex<'p>,
    pub(super) commits: HashMap<ObjectId, &'p NewCommit>,
    /// Whether what the refs of this repository reach has been received already.
    pub(super) is_receiver: bool,
}

impl Weighing<'_> {
    /// Adds what a commit does with data keys, and gives everything its weight.
    pub(super) fn weigh(&mut self, origin: Origin, verdict: &mut Verdict) -> Result<(), GitError> {
        let Carrier::Commit { id, .. } = origin.carrier else {
            self.ruling.weigh(verdict);
            if let Carrier::Tagged(id) = origin.carrier
                && self.is_receiver
                && verdict.refusal().is_some()
                && is_reached(self.repository, id)?
            {
                verdict.call_it_debt();
            }
            return Ok(());
        };
        let Some(commit) = self.commits.get(&id) else { return Ok(()) };
        let (tree, parents) = (commit.tree, commit.parent_trees.as_slice());
        let before = self.elders.contents_trees();
        verdict.found.extend(self.keys.judge(self.judge, tree, parents, before, &verdict.sealed)?);
        verdict.found.extend(self.keys.judge_joined(self.judge, tree, parents, &verdict.joined)?);
        let snapshot = TreeSnapshot::new(self.repository, tree);
        let elders = self.elders.contents(self.repository);
        let changed = || {
            let files = introduced(self.repository, tree, parents, &mut |_| {}).unwrap_or_default();
            files.into_iter().map(|file| file.path).collect()
        };
        self.ruling.apply(self.judge, &snapshot, &elders, changed, verdict);
        Ok(())
    }

    /// Judges what a ref update does that only some people may do: from what the ref was to what it shall be, so
    /// that pushing in pieces changes nothing.
    pub(super) fn authority(
        &self,
        tip: Tip,
        updates: &[RefUpdate],
        commits: &[NewCommit],
        terms: &Terms,
    ) -> Result<Verdict, GitError> {
        let is_new = updates.get(tip.update).is_some_and(|update| update.old.is_none());
        let known = !self.commits.contains_key(&tip.commit);
        let (Some(tree), Some(before)) =
            (folder(self.repository, tip.commit)?, self.elders.before(tip.update))
        else {
            return Ok(Verdict::default());
        };
        // A new name for what was there brings nothing.
        if is_new && known {
            return Ok(Verdict::default());
        }
        let tips = self.repository.ref_tips()?;
        let old = updates.get(tip.update).filter(|update| !terms.is_trusted(self.repository, update));
        let update = PolicyWatch {
            repository: self.repository,
            config: &terms.config,
            pusher: &terms.pusher,
            tip: tree,
            before,
            trusted: self.elders.trusted,
            accepted: &self.elders.accepted(is_new),
            unrelated: is_new && !self.goes_on(tip.commit),
            elsewhere: old.and_then(|update| update.old).map(|old| (old, tips.as_slice())),
            commits,
        };
        let mut found = update.judge(self.judge)?;
        found.extend(judge_protected(&update)?);
        let mut verdict = Verdict { found, ..Verdict::default() };
        self.ruling.weigh(&mut verdict);
        Ok(verdict)
    }

    /// Whether the history of a new commit goes on from what was there.
    fn goes_on(&self, commit: ObjectId) -> bool {
        let (mut open, mut seen) = (vec![commit], HashSet::new());
        while let Some(id) = open.pop() {
            match self.commits.get(&id) {
                Some(commit) if seen.insert(id) => open.extend(&commit.parents),
                Some(_) => {}
                None => return true,
            }
        }
        false
    }
}

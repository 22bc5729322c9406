//! What was there before a push: whose rules count beside those that it brings, and which values are no news.

use crate::git::{GitError, Kind, NewCommit, ObjectId, RefUpdate, Repository, TreeSnapshot};
use std::collections::HashSet;

/// The folders of what was there before. What a push brings by one ref may be what it brings by another, so that
/// the old tips of all its refs count.
#[derive(Debug)]
pub(super) struct Elders {
    /// That of the trusted reference.
    pub(super) trusted: Option<ObjectId>,
    /// For each ref update, that of the ref's old tip.
    old: Vec<Option<ObjectId>>,
    /// Whose rules count.
    rules: Vec<ObjectId>,
    /// Whose values are no news.
    contents: Vec<ObjectId>,
    /// Those of commits that were there and that the push goes on from.
    boundary: Vec<ObjectId>,
}

/// The folder of a commit, or of what a tag of one points at; `None` for what is no commit.
pub(super) fn folder(repository: &Repository, id: ObjectId) -> Result<Option<ObjectId>, GitError> {
    let peeled = repository.peel(id)?;
    match peeled.kind {
        Kind::Commit => Ok(repository.commit(peeled.id)?.map(|commit| commit.tree)),
        _ => Ok(None),
    }
}

impl Elders {
    /// Looks at the commits that are trusted, the first before all, and at the old tips. An old tip that cannot be read, as in a broken
    /// repository, has no word.
    pub(super) fn of(
        repository: &Repository,
        updates: &[RefUpdate],
        trusted: &[ObjectId],
    ) -> Result<Self, GitError> {
        let mut all = Vec::new();
        for commit in trusted {
            all.extend(folder(repository, *commit)?);
        }
        let trusted = all.first().copied();
        let old = |update: &RefUpdate| folder(repository, update.old?).ok().flatten();
        let old: Vec<_> = updates.iter().map(old).collect();
        let mut rules: Vec<_> = all.into_iter().chain(old.iter().copied().flatten()).collect();
        rules.sort_unstable();
        rules.dedup();
        Ok(Self { trusted, old, contents: rules.clone(), rules, boundary: Vec::new() })
    }

    /// Adds the commits that the push goes on from. The values of a new branch's root are no news where a ref
    /// points at it; other commits of the past are past.
    pub(super) fn add_boundary(
        &mut self,
        repository: &Repository,
        commits: &[NewCommit],
    ) -> Result<(), GitError> {
        let new: HashSet<_> = commits.iter().map(|commit| commit.id).collect();
        let mut parents: Vec<_> = commits.iter().flat_map(|commit| &commit.parents).collect();
        parents.retain(|parent| !new.contains(parent));
        parents.sort_unstable();
        parents.dedup();
        if parents.is_empty() {
            return Ok(());
        }
        let tips: HashSet<_> = repository.ref_tips()?.into_iter().collect();
        for parent in parents {
            let Some(tree) = repository.commit(*parent)?.map(|commit| commit.tree) else { continue };
            self.boundary.push(tree);
            if tips.contains(parent) && !self.contents.contains(&tree) {
                self.contents.push(tree);
            }
        }
        Ok(())
    }

    /// Whose rules count.
    pub(super) fn rules<'r>(&self, repository: &'r Repository) -> Vec<TreeSnapshot<'r>> {
        self.rules.iter().map(|tree| TreeSnapshot::new(repository, *tree)).collect()
    }

    /// The folders whose values are no news.
    pub(super) fn contents_trees(&self) -> &[ObjectId] {
        &self.contents
    }

    /// Whose values are no news.
    pub(super) fn contents<'r>(&self, repository: &'r Repository) -> Vec<TreeSnapshot<'r>> {
        self.contents.iter().map(|tree| TreeSnapshot::new(repository, *tree)).collect()
    }

    /// All folders that say what kind of repository it is: the trusted one, and those that the push wants.
    pub(super) fn folders(&self, repository: &Repository, updates: &[RefUpdate]) -> Vec<ObjectId> {
        let new = updates.iter().filter_map(|update| folder(repository, update.new?).ok().flatten());
        self.trusted.into_iter().chain(new).collect()
    }

    /// What a ref had; a new one has what is trusted.
    pub(super) fn before(&self, update: usize) -> Option<ObjectId> {
        self.old.get(update).copied().flatten().or(self.trusted)
    }

    /// Folders in which what is there was accepted: those that a new ref goes on from are among them.
    pub(super) fn accepted(&self, is_new: bool) -> Vec<ObjectId> {
        let boundary = if is_new { self.boundary.as_slice() } else { &[] };
        self.trusted.into_iter().chain(boundary.iter().copied()).collect()
    }
}

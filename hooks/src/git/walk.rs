//! Which commits a push makes reachable that no ref reached before.
//!
//! The question is that of `git rev-list <tips> --not --all`. It is answered here because libgit2's
//! walk ends in an error where a shallow push leaves parents out, and because clocks that go wrong
//! must not make an old commit look new.

use super::object::Commit;
use super::{GitError, Kind, ObjectId, Repository};
use std::collections::{BinaryHeap, HashMap, HashSet, hash_map};

/// A commit that a ref shall point at (tags peeled).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The commit.
    pub commit: ObjectId,
    /// Which of the ref updates it belongs to.
    pub update: usize,
}

/// What the receiver of commits has already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// What the refs of this repository reach: it is the receiver.
    #[default]
    Refs,
    /// What these objects reach. One that is not here tells nothing.
    These(Vec<ObjectId>),
}

/// A commit that no ref reached before the push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommit {
    /// Its name.
    pub id: ObjectId,
    /// Its folder.
    pub tree: ObjectId,
    /// Its parents that are there; a shallow push leaves some out.
    pub parents: Vec<ObjectId>,
    /// Their folders.
    pub parent_trees: Vec<ObjectId>,
    /// The first of the ref updates that reaches it.
    pub update: usize,
}

/// Lists the commits that are not known, parents before children where clocks are right.
///
/// # Errors
/// Where a tip is missing, or a commit cannot be read.
pub fn new_commits(repository: &Repository, tips: &[Tip], known: &Known) -> Result<Vec<NewCommit>, GitError> {
    let known: HashSet<_> = match known {
        Known::Refs => repository.ref_tips()?.into_iter().collect(),
        Known::These(ids) => ids.iter().copied().collect(),
    };
    let mut walk = Walk::new(repository);
    for tip in tips.iter().filter(|tip| !known.contains(&tip.commit)) {
        if !walk.mark(tip.commit, Mark::New(tip.update))? {
            return Err(GitError::Missing(tip.commit));
        }
    }
    if walk.pending_new == 0 {
        return Ok(Vec::new());
    }
    for id in known {
        // A ref may point at a blob or a tree, or be broken: it reaches no commit then.
        if let Ok(peeled) = repository.peel(id)
            && peeled.kind == Kind::Commit
        {
            walk.mark(peeled.id, Mark::Known)?;
        }
    }
    walk.run()
}

#[derive(Clone, Copy)]
enum Mark {
    New(usize),
    Known,
}

struct Seen {
    commit: Commit,
    update: Option<usize>,
    known: bool,
    queued: bool,
    /// New so far, and yet in the repository before the push: it may still turn out to be known.
    doubtful: bool,
}

struct Walk<'r> {
    repository: &'r Repository,
    /// `None`: there is no such object.
    seen: HashMap<ObjectId, Option<Seen>>,
    queue: BinaryHeap<(i64, ObjectId)>,
    found: Vec<ObjectId>,
    pending_new: usize,
    doubts: usize,
}

impl<'r> Walk<'r> {
    fn new(repository: &'r Repository) -> Self {
        Self {
            repository,
            seen: HashMap::new(),
            queue: BinaryHeap::new(),
            found: Vec::new(),
            pending_new: 0,
            doubts: 0,
        }
    }

    /// Marks a commit and puts it into the queue if that is news. Says whether it is there.
    fn mark(&mut self, id: ObjectId, mark: Mark) -> Result<bool, GitError> {
        let slot = match self.seen.entry(id) {
            hash_map::Entry::Occupied(slot) => slot.into_mut(),
            hash_map::Entry::Vacant(slot) => {
                let seen = self.repository.commit(id)?.map(|commit| Seen {
                    commit,
                    update: None,
                    known: false,
                    queued: false,
                    doubtful: false,
                });
                slot.insert(seen)
            }
        };
        let Some(seen) = slot else { return Ok(false) };
        match mark {
            Mark::New(update) if seen.update.is_none() => {
                seen.update = Some(update);
                if !seen.known {
                    seen.queued = true;
                    self.pending_new += 1;
                    self.queue.push((seen.commit.time, id));
                }
            }
            Mark::Known if !seen.known => {
                seen.known = true;
                if std::mem::take(&mut seen.doubtful) {
                    self.doubts -= 1;
                }
                if seen.queued {
                    self.pending_new -= usize::from(seen.update.is_some());
                } else {
                    seen.queued = true;
                    self.queue.push((seen.commit.time, id));
                }
            }
            Mark::New(_) | Mark::Known => {}
        }
        Ok(true)
    }

    fn run(mut self) -> Result<Vec<NewCommit>, GitError> {
        // Without doubts, only what is new has to be followed to its end.
        while self.pending_new > 0 || self.doubts > 0 {
            let Some((_, id)) = self.queue.pop() else { break };
            let Some(Some(seen)) = self.seen.get_mut(&id) else { continue };
            seen.queued = false;
            let parents = seen.commit.parents.clone();
            let mark = match seen.update {
                Some(update) if !seen.known => {
                    self.pending_new -= 1;
                    seen.doubtful = self.repository.was_there(id)?;
                    self.doubts += usize::from(seen.doubtful);
                    self.found.push(id);
                    Mark::New(update)
                }
                _ => Mark::Known,
            };
            for parent in parents {
                self.mark(parent, mark)?;
            }
        }
        Ok(self.finish())
    }

    fn finish(self) -> Vec<NewCommit> {
        let new = |id: &ObjectId| {
            let seen = self.seen.get(id)?.as_ref().filter(|seen| !seen.known)?;
            let there = |parent: &ObjectId| Some((*parent, self.seen.get(parent)?.as_ref()?.commit.tree));
            let (parents, parent_trees) = seen.commit.parents.iter().filter_map(there).unzip();
            Some(NewCommit { id: *id, tree: seen.commit.tree, parents, parent_trees, update: seen.update? })
        };
        self.found.iter().rev().filter_map(new).collect()
    }
}

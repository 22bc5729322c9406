//! A commit's folder and the index, as the judge looks at them.

use super::introduced::find;
use super::object::{EntryKind, TreeEntry};
use super::{GitError, IndexEntry, ObjectId, Repository};
use crate::judge::{Entry, Snapshot, Unreadable};
use std::rc::Rc;

/// The files of a commit.
#[derive(Clone, Copy, Debug)]
pub struct TreeSnapshot<'r> {
    repository: &'r Repository,
    root: ObjectId,
}

impl<'r> TreeSnapshot<'r> {
    /// The files under a tree object.
    pub fn new(repository: &'r Repository, root: ObjectId) -> Self {
        Self { repository, root }
    }

    /// The tree object.
    pub fn root(&self) -> ObjectId {
        self.root
    }

    fn find(&self, path: &[u8]) -> Result<Option<(EntryKind, ObjectId)>, GitError> {
        let mut at = (EntryKind::Tree, self.root);
        for name in path.split(|byte| *byte == b'/') {
            let (EntryKind::Tree, folder) = at else { return Ok(None) };
            let entries: Rc<[TreeEntry]> = self.repository.tree(folder)?;
            let Some(entry) = find(&entries, name) else { return Ok(None) };
            at = (entry.kind, entry.id);
        }
        Ok(Some(at))
    }
}

impl Snapshot for TreeSnapshot<'_> {
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        let found = self.find(path).map_err(|error| Unreadable::new(path, &error))?;
        Ok(found.map(|(kind, id)| Entry { kind, id: Some(id) }))
    }

    fn read(&self, path: &[u8], entry: Entry) -> Result<impl std::ops::Deref<Target = [u8]>, Unreadable> {
        read(self.repository, path, entry)
    }
}

/// The files of the index.
#[derive(Debug)]
pub struct IndexSnapshot<'r> {
    repository: &'r Repository,
    entries: &'r [IndexEntry],
}

impl<'r> IndexSnapshot<'r> {
    /// The entries, sorted by path.
    pub fn new(repository: &'r Repository, entries: &'r [IndexEntry]) -> Self {
        Self { repository, entries }
    }
}

impl Snapshot for IndexSnapshot<'_> {
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        let start = self.entries.partition_point(|entry| entry.path.as_slice() < path);
        let same = self.entries[start..].iter().take_while(|entry| entry.path == path);
        let found = same.into_iter().find(|entry| entry.staged);
        Ok(found.map(|entry| Entry { kind: entry.kind, id: Some(entry.id) }))
    }

    fn read(&self, path: &[u8], entry: Entry) -> Result<impl std::ops::Deref<Target = [u8]>, Unreadable> {
        read(self.repository, path, entry)
    }
}

fn read<'r>(repository: &'r Repository, path: &[u8], entry: Entry) -> Result<super::Content<'r>, Unreadable> {
    let id = entry.id.ok_or_else(|| Unreadable::in_words(path, "it is no object"))?;
    repository.blob(id).map_err(|error| Unreadable::new(path, &error))
}

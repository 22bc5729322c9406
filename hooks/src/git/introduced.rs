//! What a commit brings that none of its parents had.

use super::object::EntryKind;
use super::{GitError, ObjectId, Repository};

/// An entry that differs from the one at the same path in every parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduced {
    /// Path from the root of the tree.
    pub path: Vec<u8>,
    /// A file or a link; folders are gone through, and submodules hold nothing here.
    pub kind: EntryKind,
    /// What it holds.
    pub id: ObjectId,
}

/// No path that a file system takes is nested deeper (`PATH_MAX` is 4096).
const DEEPEST: usize = 2048;

/// Compares a folder with those of all parents; without parents, everything is introduced. A change of
/// the executable bit alone is none. Renames are not looked for: rules depend on the path. `seen` is told the names of
/// all folders and files that were come across on the way and that no parent has.
///
/// # Errors
/// Where a folder is missing or cannot be read.
pub fn introduced(
    repository: &Repository,
    tree: ObjectId,
    parents: &[ObjectId],
    seen: &mut dyn FnMut(ObjectId),
) -> Result<Vec<Introduced>, GitError> {
    let mut comparison = Comparison { repository, path: Vec::new(), depth: 0, introduced: Vec::new(), seen };
    if !parents.contains(&tree) {
        comparison.folder(tree, parents)?;
    }
    Ok(comparison.introduced)
}

struct Comparison<'r, 's> {
    repository: &'r Repository,
    path: Vec<u8>,
    depth: usize,
    introduced: Vec<Introduced>,
    seen: &'s mut dyn FnMut(ObjectId),
}

impl Comparison<'_, '_> {
    fn folder(&mut self, tree: ObjectId, parents: &[ObjectId]) -> Result<(), GitError> {
        if self.depth >= DEEPEST {
            return Err(GitError::TooDeep(tree));
        }
        (self.seen)(tree);
        let entries = self.repository.tree(tree)?;
        let parents = parents.iter().map(|id| self.repository.tree(*id)).collect::<Result<Vec<_>, _>>()?;
        // All are in the same order, so one pass through each is enough. Where one is not, more is introduced.
        let mut parents: Vec<_> = parents.iter().map(|parent| parent.raw()).collect();
        let mut before = Vec::new();
        for entry in entries.raw() {
            // Most entries are as they were, and end here.
            if parents.iter_mut().any(|parent| parent.next_is(entry)) {
                continue;
            }
            before.clear();
            before.extend(parents.iter_mut().filter_map(|parent| parent.find_from_here(entry)));
            let Some(entry) = entry.read() else { continue };
            if before.iter().any(|old| old.id == entry.id && old.kind == entry.kind) {
                continue;
            }
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(entry.name);
            match entry.kind {
                EntryKind::Tree => {
                    let folders = before.iter().filter(|old| old.kind == EntryKind::Tree);
                    let folders: Vec<_> = folders.map(|old| old.id).collect();
                    self.depth += 1;
                    self.folder(entry.id, &folders)?;
                    self.depth -= 1;
                }
                EntryKind::File | EntryKind::Symlink => {
                    (self.seen)(entry.id);
                    let path = self.path.clone();
                    self.introduced.push(Introduced { path, kind: entry.kind, id: entry.id });
                }
                EntryKind::Gitlink => {}
            }
            self.path.truncate(length);
        }
        Ok(())
    }
}

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
    Ok(compare(repository, tree, parents, false, seen)?.introduced)
}

/// What a commit brings, and what it brings together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// As [`introduced`] has it.
    pub introduced: Vec<Introduced>,
    /// What one parent of a merge had, and another had not: each by itself is as it was, and together they may
    /// mean something new.
    pub joined: Vec<Introduced>,
}

/// Compares as [`introduced`] does what nobody has accepted yet: of two entries of one name, Git shows one and we
/// might judge the other, so that no such folder may come in.
///
/// # Errors
/// Where a folder is missing, cannot be read or is not well-formed.
pub fn brought(
    repository: &Repository,
    tree: ObjectId,
    parents: &[ObjectId],
    seen: &mut dyn FnMut(ObjectId),
) -> Result<Brought, GitError> {
    compare(repository, tree, parents, true, seen)
}

fn compare(
    repository: &Repository,
    tree: ObjectId,
    parents: &[ObjectId],
    strict: bool,
    seen: &mut dyn FnMut(ObjectId),
) -> Result<Brought, GitError> {
    let (path, brought) = (Vec::new(), Brought::default());
    let joins = (strict && parents.len() > 1).then_some(parents.len());
    let mut comparison = Comparison { repository, strict, joins, path, depth: 0, brought, seen };
    if !parents.contains(&tree) {
        comparison.folder(tree, parents)?;
    }
    Ok(comparison.brought)
}

struct Comparison<'r, 's> {
    repository: &'r Repository,
    /// Whether folders that are not well-formed are errors.
    strict: bool,
    /// The number of parents, where it matters whether all of them have something.
    joins: Option<usize>,
    path: Vec<u8>,
    depth: usize,
    brought: Brought,
    seen: &'s mut dyn FnMut(ObjectId),
}

impl Comparison<'_, '_> {
    fn folder(&mut self, tree: ObjectId, parents: &[ObjectId]) -> Result<(), GitError> {
        if self.depth >= DEEPEST {
            return Err(GitError::TooDeep(tree));
        }
        (self.seen)(tree);
        let entries = self.repository.tree(tree)?;
        if self.strict && !parents.contains(&tree) && !entries.is_well_formed() {
            let what = "folder: entries of one name, out of order, or with names that no file can have";
            return Err(GitError::Malformed { id: tree, what });
        }
        let parents = parents.iter().map(|id| self.repository.tree(*id)).collect::<Result<Vec<_>, _>>()?;
        // All are in the same order, so one pass through each is enough. Where one is not, more is introduced.
        let mut parents: Vec<_> = parents.iter().map(|parent| parent.raw()).collect();
        let mut before = Vec::new();
        for entry in entries.raw() {
            // Most entries are as they were, and end here.
            if self.joins.is_none() && parents.iter_mut().any(|parent| parent.next_is(entry)) {
                continue;
            }
            before.clear();
            before.extend(parents.iter_mut().filter_map(|parent| match self.joins {
                Some(_) if parent.next_is(entry) => entry.read(),
                _ => parent.find_from_here(entry),
            }));
            let Some(entry) = entry.read() else { continue };
            let same = before.iter().filter(|old| old.id == entry.id && old.kind == entry.kind).count();
            if same > 0 && self.joins.is_none_or(|parents| parents == same) {
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
                    let file = Introduced { path, kind: entry.kind, id: entry.id };
                    let Brought { introduced, joined } = &mut self.brought;
                    if same > 0 { joined.push(file) } else { introduced.push(file) }
                }
                EntryKind::Gitlink => {}
            }
            self.path.truncate(length);
        }
        Ok(())
    }
}

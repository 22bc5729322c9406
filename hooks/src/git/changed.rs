//! Which paths differ between two folders, and which there are.

use super::introduced::introduced;
use super::object::EntryKind;
use super::{GitError, ObjectId, Repository};
use std::collections::BTreeSet;

/// The paths of files that came, went or changed.
///
/// # Errors
/// Where a folder is missing or cannot be read.
pub fn changed_paths(
    repository: &Repository,
    before: ObjectId,
    now: ObjectId,
) -> Result<BTreeSet<Vec<u8>>, GitError> {
    let mut paths = BTreeSet::new();
    for (from, to) in [(before, now), (now, before)] {
        paths.extend(introduced(repository, to, &[from])?.into_iter().map(|file| file.path));
    }
    Ok(paths)
}

/// The file at a path of a tree; `None` for anything else.
///
/// # Errors
/// Where a folder is missing or cannot be read.
pub fn file_in(repository: &Repository, tree: ObjectId, path: &[u8]) -> Result<Option<ObjectId>, GitError> {
    let mut at = (EntryKind::Tree, tree);
    for name in path.split(|byte| *byte == b'/') {
        let (EntryKind::Tree, folder) = at else { return Ok(None) };
        let folder = repository.tree(folder)?;
        let Some(entry) = folder.find(name) else { return Ok(None) };
        at = (entry.kind, entry.id);
    }
    Ok((at.0 == EntryKind::File).then_some(at.1))
}

/// The files at and below a folder of a tree; `folder` ends in a slash unless it is the root.
///
/// # Errors
/// Where a folder is missing or cannot be read.
pub fn files_below(repository: &Repository, tree: ObjectId, folder: &[u8]) -> Result<Vec<Vec<u8>>, GitError> {
    let mut at = tree;
    for name in folder.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let below = repository.tree(at)?;
        match below.find(name).filter(|entry| entry.kind == EntryKind::Tree) {
            Some(entry) => at = entry.id,
            None => return Ok(Vec::new()),
        }
    }
    let files = introduced(repository, at, &[])?;
    Ok(files.into_iter().map(|file| [folder, &file.path].concat()).collect())
}

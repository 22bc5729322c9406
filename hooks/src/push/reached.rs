//! Whether refs reach an object that is no commit: a new name for it brings nothing.

use crate::git::{EntryKind, GitError, Kind, ObjectId, Repository};
use std::collections::HashSet;

/// Looks for a blob, a folder or a tag in all that the refs reach. This goes through the whole history, and is for
/// the rare case that depends on it.
pub(super) fn is_reached(repository: &Repository, wanted: ObjectId) -> Result<bool, GitError> {
    if !repository.was_there(wanted)? {
        return Ok(false);
    }
    let mut seen = HashSet::new();
    let mut open = Vec::new();
    for tip in repository.ref_tips()? {
        // A broken ref reaches nothing.
        let Ok(peeled) = repository.peel(tip) else { continue };
        if peeled.id == wanted || peeled.tags.contains(&wanted) {
            return Ok(true);
        }
        open.push((peeled.id, peeled.kind));
    }
    while let Some((id, kind)) = open.pop() {
        if id == wanted {
            return Ok(true);
        }
        if !seen.insert(id) {
            continue;
        }
        match kind {
            Kind::Commit => {
                let Some(commit) = repository.commit(id)? else { continue };
                open.push((commit.tree, Kind::Tree));
                open.extend(commit.parents.into_iter().map(|parent| (parent, Kind::Commit)));
            }
            Kind::Tree => {
                for entry in repository.tree(id)?.iter() {
                    match entry.kind {
                        EntryKind::Tree => open.push((entry.id, Kind::Tree)),
                        EntryKind::File | EntryKind::Symlink if entry.id == wanted => return Ok(true),
                        _ => {}
                    }
                }
            }
            Kind::Blob | Kind::Tag => {}
        }
    }
    Ok(false)
}

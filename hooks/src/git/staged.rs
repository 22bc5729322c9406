//! What the index brings that no commit before it had.

use super::object::EntryKind;
use super::{GitError, Index, IndexEntry, ObjectId, Repository, Tree};
use std::sync::Arc;

/// The entries that a commit would take and that differ from the one at the same path in every parent: HEAD, what
/// is being merged into it, and what `merged` names beside. Without parents, all. Folders that Git knows to be as in a parent are not looked
/// into.
///
/// # Errors
/// Where HEAD or a commit that is being merged is missing.
pub fn staged(
    repository: &Repository,
    index: &Index,
    merged: &[ObjectId],
) -> Result<Vec<IndexEntry>, GitError> {
    let mut trees = Vec::new();
    for id in repository.head()?.into_iter().chain(repository.merge_heads()).chain(merged.iter().copied()) {
        trees.push(repository.commit(id)?.ok_or(GitError::Missing(id))?.tree);
    }
    let mut comparison = Comparison { repository, index, staged: Vec::new() };
    comparison.folder(&index.entries, &[], &trees);
    Ok(comparison.staged)
}

struct Comparison<'r> {
    repository: &'r Repository,
    index: &'r Index,
    staged: Vec<IndexEntry>,
}

impl Comparison<'_> {
    /// Compares the entries of a folder, whose path is empty or ends with a slash, with that folder in the parents.
    fn folder(&mut self, entries: &[IndexEntry], path: &[u8], parents: &[ObjectId]) {
        let known = self.index.folders.get(path);
        if known.is_some_and(|(tree, count)| *count == entries.len() && parents.contains(tree)) {
            return;
        }
        // A parent that cannot be read exempts nothing.
        let trees = parents.iter().filter_map(|id| self.repository.tree(*id).ok());
        let trees: Vec<Arc<Tree>> = trees.collect();
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let name = &first.path[path.len()..];
            let Some(slash) = name.iter().position(|byte| *byte == b'/') else {
                let was = |tree: &Arc<Tree>| {
                    tree.find(name).is_some_and(|was| was.id == first.id && was.kind == first.kind)
                };
                if first.staged && first.kind != EntryKind::Gitlink && !trees.iter().any(was) {
                    self.staged.push(first.clone());
                }
                rest = &rest[1..];
                continue;
            };
            let folder = &first.path[..path.len() + slash + 1];
            let below = trees.iter().filter_map(|tree| tree.find(&name[..slash]));
            let below: Vec<_> =
                below.filter(|entry| entry.kind == EntryKind::Tree).map(|entry| entry.id).collect();
            let length = rest.partition_point(|entry| entry.path.starts_with(folder));
            let (inside, after) = rest.split_at(length);
            self.folder(inside, folder, &below);
            rest = after;
        }
    }
}

//! Whether a repository is one for Flux or SOPS: then a private key in it is no fixture of a test.

use crate::git::{EntryKind, GitError, ObjectId, Repository};
use bstr::ByteSlice as _;
use kubiya_policies::rules::FILE_NAME;
use std::collections::HashSet;

/// The end of every API group of Flux.
const FLUX: &str = "toolkit.fluxcd.io/";

/// Whether a manifest speaks of an object of Flux.
pub fn speaks_of_flux(bytes: &[u8]) -> bool {
    bytes.contains_str("apiVersion") && bytes.contains_str(FLUX)
}

/// Whether one of the folders holds a `.sops.yaml` or an object of Flux. What cannot be read says nothing.
pub fn is_for_gitops(repository: &Repository, trees: &[ObjectId]) -> bool {
    let mut search = Search { repository, seen: HashSet::new(), manifests: Vec::new() };
    // Names are quick; contents come after all names.
    if trees.iter().any(|tree| search.names(*tree, 0).unwrap_or(false)) {
        return true;
    }
    let manifests = std::mem::take(&mut search.manifests);
    manifests.into_iter().any(|id| repository.blob(id).is_ok_and(|bytes| speaks_of_flux(&bytes)))
}

struct Search<'r> {
    repository: &'r Repository,
    seen: HashSet<ObjectId>,
    manifests: Vec<ObjectId>,
}

/// Deeper than any path a file system takes.
const DEEPEST: usize = 2048;

impl Search<'_> {
    /// Whether there is a `.sops.yaml`; notes what may be a manifest.
    fn names(&mut self, tree: ObjectId, depth: usize) -> Result<bool, GitError> {
        if depth > DEEPEST || !self.seen.insert(tree) {
            return Ok(false);
        }
        for entry in self.repository.tree(tree)?.iter() {
            match entry.kind {
                EntryKind::Tree if self.names(entry.id, depth + 1)? => return Ok(true),
                EntryKind::File if entry.name == FILE_NAME.as_bytes() => return Ok(true),
                EntryKind::File if is_manifest(entry.name) && self.seen.insert(entry.id) => {
                    self.manifests.push(entry.id);
                }
                _ => {}
            }
        }
        Ok(false)
    }
}

fn is_manifest(name: &[u8]) -> bool {
    name.ends_with(b".yaml") || name.ends_with(b".yml")
}

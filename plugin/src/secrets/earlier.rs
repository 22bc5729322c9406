//! The encrypted versions of files that Git remembers, so that a change of one value changes one value.

use super::{Candidate, shown};
use bstr::ByteSlice as _;
use kubiya_hook::git::{ObjectId, Repository, TreeSnapshot};
use kubiya_hook::judge::Snapshot as _;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where an earlier version was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// In the index.
    Index,
    /// In the last commit.
    Head,
}

/// An encrypted earlier version of a file.
#[derive(Debug)]
pub struct Earlier {
    /// Where it was found.
    pub whence: Whence,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Earlier {
    /// What to call it in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.whence {
            Whence::Index => "the version in the index",
            Whence::Head => "the version in the last commit",
        }
    }

    /// The encrypted version in the index, else in the last commit, of each plain file. Files that Git does
    /// not know, and a repository that cannot be read, have none: the file then gets a new data key.
    #[must_use]
    pub fn of(top: Option<&Path>, candidates: &[Candidate]) -> HashMap<PathBuf, Self> {
        let plain = candidates.iter().filter(|candidate| !candidate.encrypted).collect::<Vec<_>>();
        let Some(top) = top.filter(|_| !plain.is_empty()) else { return HashMap::new() };
        let Ok(repository) = Repository::open_at(top) else { return HashMap::new() };
        let index = repository.index().unwrap_or_default();
        let index = index
            .entries
            .into_iter()
            .map(|entry| (entry.path, entry.id))
            .collect::<HashMap<Vec<u8>, ObjectId>>();
        let head = repository.head().ok().flatten().and_then(|id| repository.commit(id).ok().flatten());
        let mut found = HashMap::new();
        for candidate in plain {
            let Ok(relative) = candidate.path.strip_prefix(top) else { continue };
            let relative = relative.as_os_str().as_bytes();
            let in_index =
                || encrypted(&repository, *index.get(relative)?).map(|bytes| (Whence::Index, bytes));
            let in_head = || {
                let snapshot = TreeSnapshot::new(&repository, head.as_ref()?.tree);
                let entry = snapshot.entry(relative).ok().flatten()?;
                encrypted(&repository, entry.id?).map(|bytes| (Whence::Head, bytes))
            };
            if let Some((whence, bytes)) = in_index().or_else(in_head) {
                found.insert(candidate.path.clone(), Self { whence, bytes });
            }
        }
        found
    }
}

/// The content, if it may be an encrypted file.
fn encrypted(repository: &Repository, id: ObjectId) -> Option<Vec<u8>> {
    let content = repository.blob(id).ok()?;
    let marked = content.contains_str("ENC[AES");
    marked.then(|| content.to_vec())
}

/// A line that says that a file got a new data key although there was an encrypted version.
#[must_use]
pub(super) fn new_key_note(path: &Path, earlier: &Earlier, why: &str) -> String {
    format!("{}: a new data key, every value is encrypted anew: {} {why}", shown(path), earlier.name())
}

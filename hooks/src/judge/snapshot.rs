//! The state of a repository that files are judged in.

use super::File;
use crate::git::{EntryKind, ObjectId};
use kubiya_policies::rules::FILE_NAME;
use std::error::Error;
use std::ops::Deref;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// The name of its content; `None` in a work tree.
    pub id: Option<ObjectId>,
}

/// Why something could not be read. Its text holds no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// Which file.
    pub path: Vec<u8>,
    /// Why.
    pub reason: String,
}

impl Unreadable {
    /// Because of an error.
    pub fn new(path: &[u8], error: &dyn Error) -> Self {
        Self::in_words(path, error.to_string())
    }

    /// Because of what is said.
    pub fn in_words(path: &[u8], reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

/// The files of a commit, of the index, or of a work tree. Paths are `/`-separated bytes from its root.
pub trait Snapshot {
    /// What is at a path; `None` for nothing. Links are not followed.
    ///
    /// # Errors
    /// Where that cannot be told.
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable>;

    /// The content of a file, or the target of a link.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn read(&self, path: &[u8], entry: Entry) -> Result<impl Deref<Target = [u8]>, Unreadable>;

    /// The files below a folder, which ends with a slash unless it is the root; none where it is not there.
    ///
    /// # Errors
    /// Where a folder cannot be read.
    fn below(&self, folder: &[u8]) -> Result<Vec<File>, Unreadable>;

    /// The kustomizations anywhere that may reach out of their folders, where that can be told without looking into every
    /// folder of a disk.
    ///
    /// # Errors
    /// Where a folder or a kustomization cannot be read.
    fn reaching_kustomizations(&self) -> Result<Vec<File>, Unreadable> {
        Ok(Vec::new())
    }
}

/// The files of an elder snapshot under the rules of a younger one: what would have been said then, had these
/// rules been there.
#[derive(Debug)]
pub struct Overlay<'s, R, F> {
    /// Whose `.sops.yaml` count.
    pub rules: &'s R,
    /// Whose files these are.
    pub files: &'s F,
}

fn is_rules(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next() == Some(FILE_NAME.as_bytes())
}

impl<R: Snapshot, F: Snapshot> Snapshot for Overlay<'_, R, F> {
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        if is_rules(path) { self.rules.entry(path) } else { self.files.entry(path) }
    }

    fn read(&self, path: &[u8], entry: Entry) -> Result<impl Deref<Target = [u8]>, Unreadable> {
        Ok(if is_rules(path) {
            Either::Rules(self.rules.read(path, entry)?)
        } else {
            Either::Files(self.files.read(path, entry)?)
        })
    }

    fn below(&self, folder: &[u8]) -> Result<Vec<File>, Unreadable> {
        self.files.below(folder)
    }

    fn reaching_kustomizations(&self) -> Result<Vec<File>, Unreadable> {
        self.files.reaching_kustomizations()
    }
}

/// The bytes of one of two snapshots.
enum Either<A, B> {
    Rules(A),
    Files(B),
}

impl<A: Deref<Target = [u8]>, B: Deref<Target = [u8]>> Deref for Either<A, B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Rules(bytes) => bytes,
            Self::Files(bytes) => bytes,
        }
    }
}

/// How many links in a row are followed.
const MOST_LINKS: usize = 16;

/// The file that a path leads to, through links to files of the same snapshot.
pub(super) fn follow<S: Snapshot>(snapshot: &S, path: &[u8]) -> Result<Option<File>, Unreadable> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Some(entry) = snapshot.entry(&path)? else { return Ok(None) };
        match entry.kind {
            EntryKind::File => return Ok(Some(File { path, entry })),
            EntryKind::Tree | EntryKind::Gitlink => return Ok(None),
            EntryKind::Symlink => {
                let target = snapshot.read(&path, entry)?;
                let Some(next) = resolve(&path, &target) else { return Ok(None) };
                drop(target);
                path = next;
            }
        }
    }
    Err(Unreadable::in_words(&path, "too many symbolic links in a row"))
}

/// Where a link leads; `None` out of the snapshot.
fn resolve(link: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    if target.starts_with(b"/") {
        return None;
    }
    let mut parts: Vec<&[u8]> = link.split(|byte| *byte == b'/').collect();
    parts.pop();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        assert_eq!(resolve(b"a/b", b"c").unwrap(), b"a/c");
        assert_eq!(resolve(b"a/b", b"../c/./d").unwrap(), b"c/d");
        assert_eq!(resolve(b"a/b", b"../../c"), None);
        assert_eq!(resolve(b"a", b"/etc/passwd"), None);
    }
}

//! Objects as Git stores them, and what we read of them (gitformat: `git help cat-file`, `git help fast-import`).

use super::{GitError, ObjectId};
use std::ops::Deref;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A folder.
    Tree,
    /// A file's content.
    Blob,
    /// An annotated tag.
    Tag,
}

/// The bytes of an object, in whose memory they are.
pub enum Content<'a> {
    /// Held by libgit2.
    Library(git2::OdbObject<'a>),
    /// Read from the `git` command.
    Command(Vec<u8>),
}

impl Deref for Content<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Content::Library(object) => object.data(),
            Content::Command(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Content<'_> {
    /// The length alone: content may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes)", self.len())
    }
}

/// What we need of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its folder.
    pub tree: ObjectId,
    /// What it follows.
    pub parents: Vec<ObjectId>,
    /// Seconds since 1970 as its committer's clock had it; 0 where it cannot be read.
    pub time: i64,
}

impl Commit {
    pub(crate) fn parse(id: ObjectId, bytes: &[u8]) -> Result<Self, GitError> {
        let malformed = || GitError::Malformed { id, what: "commit" };
        let mut commit = Self { tree: id, parents: Vec::new(), time: 0 };
        let mut tree = None;
        for line in bytes.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty()) {
            if let Some(hex) = line.strip_prefix(b"tree ") {
                tree = tree.or(Some(ObjectId::from_hex(hex).ok_or_else(malformed)?));
            } else if let Some(hex) = line.strip_prefix(b"parent ") {
                commit.parents.push(ObjectId::from_hex(hex).ok_or_else(malformed)?);
            } else if let Some(rest) = line.strip_prefix(b"committer ") {
                commit.time = time(rest).unwrap_or(0);
            }
        }
        commit.tree = tree.ok_or_else(malformed)?;
        Ok(commit)
    }
}

/// The seconds of `Name <mail> 1700000000 +0100`.
fn time(committer: &[u8]) -> Option<i64> {
    let after_mail = &committer[committer.iter().rposition(|byte| *byte == b'>')? + 1..];
    let seconds = after_mail.split(|byte| *byte == b' ').find(|word| !word.is_empty())?;
    std::str::from_utf8(seconds).ok()?.parse().ok()
}

/// What a tag object points at.
pub(crate) fn tag_target(id: ObjectId, bytes: &[u8]) -> Result<ObjectId, GitError> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let target = line.strip_prefix(b"object ").and_then(ObjectId::from_hex);
    target.ok_or(GitError::Malformed { id, what: "tag" })
}

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A folder.
    Tree,
    /// A regular file, executable or not.
    File,
    /// A symbolic link; its blob is the target.
    Symlink,
    /// A commit of another repository (submodule).
    Gitlink,
}

impl EntryKind {
    /// By the file type bits of the mode. What Git does not know counts as a file, so that it is read.
    pub(crate) fn of_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o040_000 => EntryKind::Tree,
            0o120_000 => EntryKind::Symlink,
            0o160_000 => EntryKind::Gitlink,
            _ => EntryKind::File,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: u8) -> ObjectId {
        ObjectId::from_hex(&[digit; 40]).unwrap()
    }

    #[test]
    fn a_commit_with_two_parents() {
        let text = format!(
            "tree {}\nparent {}\nparent {}\nauthor A <a@b> 1 +0000\ncommitter C > <c@d> 1700000000 -0100\n\ntree x\n",
            id(b'1'),
            id(b'2'),
            id(b'3')
        );
        let commit = Commit::parse(id(b'9'), text.as_bytes()).unwrap();
        assert_eq!(commit, Commit { tree: id(b'1'), parents: vec![id(b'2'), id(b'3')], time: 1_700_000_000 });
        assert!(Commit::parse(id(b'9'), b"parent x\n").is_err());
    }

    #[test]
    fn content_shows_no_bytes() {
        assert_eq!(format!("{:?}", Content::Command(b"secret".to_vec())), "Content(6 bytes)");
    }
}

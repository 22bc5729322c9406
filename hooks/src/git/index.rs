//! The index: what the next commit will hold.

use super::ObjectId;
use super::object::EntryKind;

/// One entry of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Path from the top of the work tree.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// What it holds.
    pub id: ObjectId,
    /// Whether a commit takes it: not where a merge left it undecided, nor where it is only intended
    /// to be added.
    pub staged: bool,
}

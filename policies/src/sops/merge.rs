//! Merging two versions of a file with what both came from: value by value, on plain files in memory.
//!
//! [`values`] decides by the tree what the merged values are and where the versions contradict each other.
//! [`lines`] merges the texts, so that layout and comments of both sides stay; what it makes is taken only
//! where it holds the values that the trees give. [`recipe`] merges who can open the file, and what in it is
//! encrypted.

pub mod lines;
pub mod recipe;
pub mod values;

use zeroize::Zeroizing;

pub use values::Node;

/// Two versions that contradict each other at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Keys from the root, as a person would write them; empty for the file as a whole.
    pub key_path: String,
    /// How.
    pub kind: ConflictKind,
}

/// How two versions contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConflictKind {
    /// Both changed a value, each to another one.
    #[error("changed on both sides")]
    Changed,
    /// Both added a key, with other values.
    #[error("added on both sides")]
    Added,
    /// Changed by us, taken away by them.
    #[error("changed here, removed there")]
    RemovedThere,
    /// Taken away by us, changed by them.
    #[error("removed here, changed there")]
    RemovedHere,
    /// Both changed the same list.
    #[error("a list that changed on both sides")]
    List,
    /// Documents of a stream came or went, and others changed.
    #[error("documents were added or removed on one side, and the other changed some")]
    Documents,
    /// The values can be merged, comments or layout cannot.
    #[error("no value is in conflict, but comments, order or layout of the same lines changed on both sides")]
    Layout,
    /// A key is there twice.
    #[error("a key is there twice, so it cannot be told which value counts")]
    Twice,
    /// What one side has encrypted would stand plain in the merged file.
    #[error("encrypted on one side, and merged it would stand plain")]
    Released,
    /// Nobody would be left who can open the file.
    #[error("each side removed recipients, and none would be left")]
    NoRecipients,
}

/// `key: what`.
impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.key_path.is_empty() {
            write!(f, "{}: ", self.key_path)?;
        }
        self.kind.fmt(f)
    }
}

impl Conflict {
    /// Of the file as a whole.
    pub fn of_file(kind: ConflictKind) -> Self {
        Self { key_path: String::new(), kind }
    }
}

/// Plain bytes that were merged.
pub type Merged = Result<Zeroizing<Vec<u8>>, Vec<Conflict>>;

/// Merges one thing that cannot be taken apart: what one side alone changed is taken. `None` where both
/// changed it, each in another way.
pub fn merged<T: PartialEq>(base: Option<&T>, ours: T, theirs: T) -> Option<T> {
    if ours == theirs || base == Some(&theirs) {
        Some(ours)
    } else if base == Some(&ours) {
        Some(theirs)
    } else {
        None
    }
}

//! Reading and replacing files so that nothing is lost: a new version is written beside the old one, made
//! durable, and put in its place in one step.

mod batch;
mod version;

pub use batch::{Batch, Staged};
pub use version::Version;

use std::io;

/// The largest file that is read: a Secret holds 1 MiB, Flux decrypts 5.
pub const MAX_BYTES: u64 = 16 << 20;

/// How the names begin of new versions that are written beside files.
pub(crate) const STAGED: &str = ".kubiya-staged-";

/// Why a file cannot be read or replaced.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// It cannot be written.
    #[error("cannot write it")]
    Write(#[source] io::Error),
    /// A folder, a pipe or a device.
    #[error("it is not a file")]
    NotAFile,
    /// Larger than anything that is encrypted here.
    #[error("it is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// Nobody may write to it.
    #[error("it is read-only")]
    ReadOnly,
    /// A link out of the repository.
    #[error("it is a symbolic link that leads out of the repository")]
    LeadsOutside,
    /// Replacing it would change its owner.
    #[error("it belongs to another user, which replacing it would change")]
    OtherOwner,
    /// Somebody else wrote to it.
    #[error("it changed on the disk in the meantime; nothing was written over it")]
    Changed,
    /// It is there already.
    #[error("it is there already")]
    Exists,
}

//! The only place that knows Git. libgit2 reads; the `git` command talks to remotes, and reads where
//! libgit2 cannot open the repository.

mod changed;
pub mod clone;
mod command_line;
pub mod configuration;
mod environment;
mod id;
mod index;
mod introduced;
mod library;
mod object;
mod process;
pub mod remote;
mod repository;
mod settings;
mod signature;
mod signed;
mod snapshot;
mod staged;
mod tree;
mod update;
mod walk;
pub mod work;

pub use changed::{changed_paths, file_in, files_below};
pub use id::ObjectId;
pub use index::{Index, IndexEntry};
pub use introduced::{Brought, Introduced, brought, introduced};
pub use object::{Commit, Content, EntryKind, Kind};
pub use process::ProcessError;
pub(crate) use process::{output, output_within};
pub use repository::{Peeled, Repository};
pub use signature::verified_signer;
pub use signed::{SignerKeys, Unsigned, bare_key, signer};
pub use snapshot::{IndexSnapshot, TreeSnapshot};
pub use staged::staged;
pub use tree::{Tree, TreeEntry};
pub use update::{MalformedUpdate, RefUpdate};
pub use walk::{Known, NewCommit, Tip, new_commits};

/// Why something of a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Neither way of reading can open the repository.
    #[error("cannot open the repository: libgit2: {library}; {command}")]
    Open {
        /// What libgit2 says.
        library: git2::Error,
        /// What the `git` command says.
        command: ProcessError,
    },
    /// libgit2 cannot open the repository for another thread.
    #[error("cannot open the repository again: {0}")]
    Again(#[source] git2::Error),
    /// An object that should be there is not.
    #[error("object {0} is missing")]
    Missing(ObjectId),
    /// An object is not what it should be.
    #[error("object {id} is no well-formed {what}")]
    Malformed {
        /// Which.
        id: ObjectId,
        /// What it should be.
        what: &'static str,
    },
    /// libgit2 cannot read an object.
    #[error("cannot read object {id}: {source}")]
    Library {
        /// Which.
        id: ObjectId,
        /// Why.
        source: git2::Error,
    },
    /// Refs cannot be read.
    #[error("cannot read the refs: {0}")]
    Refs(#[source] git2::Error),
    /// The objects of a push cannot be listed.
    #[error("cannot list the objects of the push: {0}")]
    List(#[source] git2::Error),
    /// The `git` command printed what we do not understand.
    #[error("cannot understand what git lists")]
    Listing,
    /// The `git` command failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Folders are nested deeper than any path can be.
    #[error("tree {0} is nested too deep")]
    TooDeep(ObjectId),
}

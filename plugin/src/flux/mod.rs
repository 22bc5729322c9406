//! Flux's objects as we build and read them.

mod entries;
mod install;
mod manifests;
mod readers;
mod ready;
mod served;
mod sync;

pub use entries::EntryKind;
pub use install::InstallOptions;
pub use manifests::{InstallManifests, ManifestError, ManifestSource};
pub use readers::{
    GitSource, Reader, SourceName, commit_of, git_sources, global_secret, readers, request_at,
};
pub use ready::{Expected, ReadyState, Sync, request_reconcile, wait_for_sync};
pub use served::Served;
pub use sync::{SYNC_API_VERSIONS, SyncSpec, decryption, git_repository, kustomization};

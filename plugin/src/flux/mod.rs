//! Flux's objects as we build and read them.

mod manifests;
mod ready;
mod sync;

pub use manifests::{InstallManifests, ManifestError, ManifestSource};
pub use ready::{Expected, ReadyState, Sync, request_reconcile, wait_for_sync};
pub use sync::{SYNC_API_VERSIONS, SyncSpec, git_repository, kustomization};

//! What kustomizations that did not change say about a file that did.

use super::policy::folders;
use super::{File, Sitting, Snapshot};
use crate::git::EntryKind;
use kubiya_policies::check::{Reference, Role};
use kubiya_policies::detect::kustomize::is_kustomization_name;
use std::collections::HashMap;
use std::sync::Arc;

const NAMES: [&[u8]; 3] = [b"kustomization.yaml", b"kustomization.yml", b"Kustomization"];

/// The files that the kustomizations of each folder name, read once in a sitting.
#[derive(Default)]
pub(super) struct Roles {
    named: HashMap<Vec<u8>, Arc<[Reference]>>,
}

impl Roles {
    /// The roles that a kustomization in the file's folder, or above it, gives the file. Kustomize takes
    /// files from other places only where it is told to.
    pub(super) fn of<S: Snapshot, E: Snapshot>(
        &mut self,
        sitting: &mut Sitting<'_, '_, S, E>,
        path: &[u8],
    ) -> Vec<Role> {
        debug_assert!(NAMES.iter().all(|name| is_kustomization_name(name)), "kept in step");
        let mut roles = Vec::new();
        for folder in folders(path) {
            let named = match self.named.get(folder) {
                Some(named) => Arc::clone(named),
                None => {
                    let named: Arc<[Reference]> = references(sitting, folder).into();
                    self.named.insert(folder.to_owned(), Arc::clone(&named));
                    named
                }
            };
            let here = named.iter().filter(|reference| reference.path == path);
            roles.extend(here.map(|reference| reference.role));
        }
        roles
    }
}

/// What the kustomizations of one folder name. A kustomization that cannot be read names nothing here: it
/// did not change, or it is reported itself.
fn references<S: Snapshot, E: Snapshot>(
    sitting: &mut Sitting<'_, '_, S, E>,
    folder: &[u8],
) -> Vec<Reference> {
    let mut all = Vec::new();
    for name in NAMES {
        let path = [folder, name].concat();
        let Ok(Some(entry)) = sitting.snapshot.entry(&path) else { continue };
        if entry.kind == EntryKind::File {
            let file = File { path, entry };
            let unverified = sitting.verdict.unverified.len();
            let seen = sitting.look(&file, Role::File);
            sitting.verdict.unverified.truncate(unverified);
            all.extend(seen.map(|seen| seen.report.references.clone()).unwrap_or_default());
        }
    }
    all
}

//! What kustomizations that did not change say about a file that did.

use super::policy::folders;
use super::{File, Seen, Sitting, Snapshot};
use crate::git::EntryKind;
use kubiya_policies::check::{Reference, Role};
use kubiya_policies::detect::kustomize::is_kustomization_name;
use std::collections::HashMap;
use std::sync::Arc;

const NAMES: [&[u8]; 3] = [b"kustomization.yaml", b"kustomization.yml", b"Kustomization"];

/// A kustomization, and what it names.
type Naming = (File, Vec<Reference>);

/// The files that the kustomizations of each folder name, read once in a sitting.
#[derive(Default)]
pub(super) struct Roles {
    named: HashMap<Vec<u8>, Arc<[Naming]>>,
}

impl Roles {
    /// The roles that a kustomization in the file's folder, or above it, gives the file, each with the kustomization.
    /// Kustomize takes files from other places only where it is told to.
    pub(super) fn of<S: Snapshot, E: Snapshot>(
        &mut self,
        sitting: &mut Sitting<'_, '_, S, E>,
        path: &[u8],
    ) -> Vec<(File, Role)> {
        debug_assert!(NAMES.iter().all(|name| is_kustomization_name(name)), "kept in step");
        let mut roles = Vec::new();
        for folder in folders(path) {
            let named = match self.named.get(folder) {
                Some(named) => Arc::clone(named),
                None => {
                    let named: Arc<[Naming]> = kustomizations(sitting, folder).into();
                    self.named.insert(folder.to_owned(), Arc::clone(&named));
                    named
                }
            };
            for (file, references) in named.iter() {
                let here = references.iter().filter(|reference| reference.path == path);
                roles.extend(here.map(|reference| (file.clone(), reference.role)));
            }
        }
        roles
    }
}

/// The kustomizations of one folder.
fn kustomizations<S: Snapshot, E: Snapshot>(
    sitting: &mut Sitting<'_, '_, S, E>,
    folder: &[u8],
) -> Vec<Naming> {
    let mut all = Vec::new();
    for name in NAMES {
        let path = [folder, name].concat();
        let Ok(Some(entry)) = sitting.snapshot.entry(&path) else { continue };
        let file = File { path, entry };
        let seen = sitting.look_again(&file);
        let references = seen.map(|seen| seen.report.references.clone()).unwrap_or_default();
        all.push((file, references));
    }
    all
}

impl<S: Snapshot, E: Snapshot> Sitting<'_, '_, S, E> {
    /// What a file shows that is not judged now. One that cannot be read shows nothing here: it did not change,
    /// or it is reported itself.
    pub(super) fn look_again(&mut self, file: &File) -> Option<Arc<Seen>> {
        if file.entry.kind != EntryKind::File {
            return None;
        }
        let unverified = self.verdict.unverified.clone();
        let seen = self.look(file, Role::File);
        self.verdict.unverified = unverified;
        seen.ok()
    }
}

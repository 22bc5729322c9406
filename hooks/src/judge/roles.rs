//! What kustomizations that did not change say about a file that did.

use super::policy::folders;
use super::snapshot;
use super::{File, Seen, Sitting, Snapshot};
use crate::git::{EntryKind, ObjectId};
use bstr::ByteSlice as _;
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
    /// What others name outside of their folders; asked for when it is needed.
    outward: Option<Vec<(File, Reference)>>,
}

impl Roles {
    /// The roles that kustomizations give the file, each with the kustomization. Those of its own folder and above are
    /// always asked. Flux lets others take files from outside of their folders, too; they are asked where the file
    /// `may_be_source`.
    pub(super) fn of<S: Snapshot, E: Snapshot>(
        &mut self,
        sitting: &mut Sitting<'_, '_, S, E>,
        path: &[u8],
        may_be_source: bool,
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
        if may_be_source {
            let outward = self.outward.get_or_insert_with(|| outward(sitting));
            for (file, reference) in outward.iter().filter(|(_, reference)| reference.path == path) {
                roles.push((file.clone(), reference.role));
            }
        }
        roles
    }
}

/// What kustomizations name outside of their folders, by content and path.
pub(super) type Outward = HashMap<(ObjectId, Vec<u8>), Arc<[Reference]>>;

/// Kustomizations of which that is remembered.
const MOST_REMEMBERED: usize = 20_000;

/// What kustomizations anywhere in the snapshot name outside of their own folders and give another role than that of a
/// file.
fn outward<S: Snapshot, E: Snapshot>(sitting: &mut Sitting<'_, '_, S, E>) -> Vec<(File, Reference)> {
    let files = match sitting.snapshot.reaching_kustomizations() {
        Ok(files) => files,
        Err(unreadable) => {
            sitting.verdict.unverified.push(unreadable.into());
            return Vec::new();
        }
    };
    let mut all = Vec::new();
    for file in files {
        let references = sitting.named_outside(&file);
        all.extend(references.iter().map(|reference| (file.clone(), reference.clone())));
    }
    all
}

/// Whether a content may become part of a Secret by what a kustomization elsewhere says of it. Objects with names are
/// not: they are applied as what they are, and Secrets are judged without being named. Without a name an object is a
/// configuration that some program reads, and one with data of a Secret may be a patch. A file is one of objects where
/// nothing stands at the beginning of a line but keys, with those of an object among them.
pub(super) fn may_be_source(bytes: &[u8]) -> bool {
    let count = |start: &str| bytes.lines().filter(|line| line.starts_with(start.as_bytes())).count();
    let is_key = |line: &[u8]| {
        let rest = line.trim_start_with(|c| c.is_ascii_alphanumeric());
        rest.len() < line.len() && rest.starts_with(b":")
    };
    let of_object = |line: &[u8]| {
        line.is_empty()
            || b" #\r".contains(&line[0])
            || line.starts_with(b"---")
            || line.starts_with(b"- ")
            || is_key(line)
    };
    let kinds = count("kind:");
    let is_object = count("apiVersion:") > 0 && kinds > 0 && bytes.lines().all(of_object);
    let is_named =
        count("metadata:") >= kinds && (bytes.contains_str("name:") || bytes.contains_str("Name:"));
    !is_object || !is_named || may_patch_a_secret(bytes)
}

/// Whether an object of another kind has what a Secret could have: `stringData`, or `data` with something in base64.
fn may_patch_a_secret(bytes: &[u8]) -> bool {
    let is_other = |line: &[u8]| line.strip_prefix(b"kind:").is_some_and(|kind| kind.trim() != b"Secret");
    if !bytes.lines().any(is_other) {
        return false;
    }
    let begins = |line: &[u8], key: &str| {
        line.get(..key.len()).is_some_and(|start| start.eq_ignore_ascii_case(key.as_bytes()))
    };
    let in_base64 = |line: &[u8]| {
        let value = line.rsplit_str(": ").next().unwrap_or_default();
        let value = value.trim_with(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '-' | '{' | '}' | ','));
        let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        value.len() >= 4 && value.len() % 4 == 0 && value.iter().all(of_base64)
    };
    let mut in_data = false;
    bytes.lines().any(|line| {
        if !line.is_empty() && !b" -#\r".contains(&line[0]) {
            in_data = begins(line, "data:");
        }
        begins(line, "stringData:") || begins(line, "binaryData:") || (in_data && in_base64(line))
    })
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
        let mut references = seen.map(|seen| seen.report.references.clone()).unwrap_or_default();
        references.extend(sitting.named_by_plugins(&references));
        all.push((file, references));
    }
    all
}

impl<S: Snapshot, E: Snapshot> Sitting<'_, '_, S, E> {
    /// What the generators and transformers name that a kustomization has in files of their own.
    fn named_by_plugins(&mut self, references: &[Reference]) -> Vec<Reference> {
        let mut named = Vec::new();
        for reference in references.iter().filter(|reference| reference.role == Role::File) {
            let Ok(Some(file)) = snapshot::follow(self.snapshot, &reference.path) else { continue };
            let seen = self.look_again(&file);
            named.extend(seen.iter().flat_map(|seen| &seen.report.references).cloned());
        }
        named
    }

    fn named_outside(&mut self, file: &File) -> Arc<[Reference]> {
        let key = file.entry.id.map(|id| (id, file.path.clone()));
        let remembered = || super::locked(&self.judge.outward);
        if let Some(known) = key.as_ref().and_then(|key| remembered().get(key).cloned()) {
            return known;
        }
        let folder = folders(&file.path).next().unwrap_or_default().to_owned();
        let seen = self.look_again(file);
        let mut references: Vec<_> = seen.iter().flat_map(|seen| &seen.report.references).cloned().collect();
        references.extend(self.named_by_plugins(&references));
        let outside =
            |reference: &Reference| reference.role != Role::File && !reference.path.starts_with(&folder);
        references.retain(outside);
        let references: Arc<[Reference]> = references.into();
        if let Some(key) = key {
            let mut remembered = super::locked(&self.judge.outward);
            if remembered.len() > MOST_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(key, Arc::clone(&references));
        }
        references
    }

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

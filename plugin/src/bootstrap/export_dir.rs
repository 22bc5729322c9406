//! The manifests as files of a folder, in the layout of `flux bootstrap`; Secrets encrypted by the rules of the
//! repository that the folder is in. Nothing that is there is overwritten unless that was said.

use super::Plan;
use crate::cluster::Manifest;
use crate::files::{Batch, FileError, Staged, Version};
use crate::keys::{KeyRing, Terminal};
use crate::secrets::{Candidate, Configs, Done, Options, encrypt, file_failure, repository_top};
use kubiya_hook::edge::Failure;
use kubiya_policies::check::Role;
use kubiya_policies::sops::age::{AgeKeys, Identity};
use kubiya_policies::sops::file::{File, MacCheck};
use kubiya_policies::sops::keys::unlock;
use kubiya_policies::sops::store::{Format, StoreSettings};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a file is called that holds objects which are not of the sync.
const COMPONENTS: &str = "gotk-components.yaml";
/// The sync.
const SYNC: &str = "gotk-sync.yaml";
/// What kustomize reads.
const KUSTOMIZATION: &str = "kustomization.yaml";

/// A file that is to be.
struct Wanted {
    path: PathBuf,
    text: Zeroizing<String>,
    is_secret: bool,
}

/// Writes the manifests of a plan; `identities` open what an earlier run encrypted, to see whether it is the same. Gives the files that were written, not those that were as wanted already.
///
/// Secrets stand beside the kustomization and are not in it: what decrypts a repository cannot come out of it.
///
/// # Errors
/// A file that is there with another content, a Secret for which there is no rule, a folder that cannot be written.
/// Then nothing was written.
pub fn export_dir(
    plan: &Plan,
    folder: &Path,
    overwrite: bool,
    identities: &[Identity],
) -> Result<Vec<PathBuf>, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::usage("cannot make the folder").at(folder.display().to_string()).because(&error)
    })?;
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let configs = Configs::new(None, repository_top(&folder));
    let keys = AgeKeys::new(identities.to_vec());
    let (mut batch, mut written, mut problems) = (Batch::default(), Vec::new(), Vec::new());
    for wanted in files(plan, &folder) {
        match staged(&wanted, &configs, overwrite, &keys) {
            Ok(Some(staged)) => {
                batch.add(staged);
                written.push(wanted.path);
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        let count = problems.len();
        return Err(Failure::all(format!("{count} files cannot be written; nothing was"), problems));
    }
    let failed = batch.put_in_place().into_iter().map(|(path, error)| file_failure(&path, &error));
    let failed: Vec<Failure> = failed.collect();
    if failed.is_empty() { Ok(written) } else { Err(Failure::all("not all files were written", failed)) }
}

/// The files and what is to be in them.
fn files(plan: &Plan, folder: &Path) -> Vec<Wanted> {
    let (mut components, mut sync) = (String::new(), String::new());
    let mut files = Vec::new();
    for manifest in plan.objects() {
        match manifest.kind() {
            "Secret" => files.push(Wanted {
                path: folder.join(format!("secret-{}.yaml", manifest.name().replace('/', "-"))),
                text: Zeroizing::new(document(&manifest.expose())),
                is_secret: true,
            }),
            "GitRepository" | "Kustomization" => sync += &shown(manifest),
            _ => components += &shown(manifest),
        }
    }
    let resources = [(COMPONENTS, components), (SYNC, sync)];
    let named: Vec<&str> =
        resources.iter().filter(|(_, text)| !text.is_empty()).map(|(name, _)| *name).collect();
    let kustomization = serde_json::json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": named,
    });
    let all = resources.into_iter().chain([(KUSTOMIZATION, document(&kustomization))]);
    let plain = all.filter(|(_, text)| !text.is_empty()).map(|(name, text)| Wanted {
        path: folder.join(name),
        text: Zeroizing::new(text),
        is_secret: false,
    });
    files.extend(plain);
    files
}

fn shown(manifest: &Manifest) -> String {
    format!("---\n{}", document(&manifest.shown()))
}

fn document(value: &serde_json::Value) -> String {
    // A tree of maps with string keys always renders.
    serde_yaml::to_string(value).unwrap_or_default()
}

/// The file as it is to be put in place; `None` where it is as wanted.
fn staged(
    wanted: &Wanted,
    configs: &Configs,
    overwrite: bool,
    keys: &AgeKeys,
) -> Result<Option<Staged>, Failure> {
    let path = &wanted.path;
    let failed = |error: &FileError| file_failure(path, error);
    let there = match path.symlink_metadata() {
        Ok(_) => Some(Version::read(path, None).map_err(|error| failed(&error))?),
        Err(_) => None,
    };
    if there.as_ref().is_some_and(|version| is_same(wanted, version.bytes(), keys)) {
        return Ok(None);
    }
    let bytes =
        if wanted.is_secret { encrypted(wanted, configs)? } else { wanted.text.as_bytes().to_owned() };
    match there {
        None => Staged::new_file(path, &bytes).map(Some).map_err(|error| failed(&error)),
        Some(_) if !overwrite => Err(Failure::usage("it is there, with another content")
            .at(path.display().to_string())
            .hint("--overwrite, or another folder")),
        Some(version) => Staged::replacing(&version, &bytes).map(Some).map_err(|error| failed(&error)),
    }
}

/// Whether a file holds what is wanted: encrypted anew, the same Secret would have other bytes.
fn is_same(wanted: &Wanted, bytes: &[u8], keys: &AgeKeys) -> bool {
    if !wanted.is_secret {
        return bytes == wanted.text.as_bytes();
    }
    let Ok(file) = File::read(bytes, Format::Yaml, StoreSettings::default()) else { return false };
    let key = file.metadata().and_then(|metadata| unlock(metadata, keys).ok());
    let plain = key.and_then(|key| file.decrypt(&key, MacCheck::Required).ok());
    let value = |text: &[u8]| serde_yaml::from_slice::<serde_json::Value>(text).ok();
    plain.is_some_and(|plain| value(&plain.bytes) == value(wanted.text.as_bytes()))
}

/// A Secret by the rule that is for its file.
fn encrypted(wanted: &Wanted, configs: &Configs) -> Result<Vec<u8>, Failure> {
    let path = wanted.path.clone();
    let candidate = Candidate { path, named: true, encrypted: false, plain: Some(true), role: Role::File };
    // Sealing something new needs no key but public ones.
    let keys = KeyRing::explicit(Arc::new(Terminal));
    let done = encrypt(&candidate, wanted.text.as_bytes(), None, configs, &keys, Options::default());
    match done.map_err(|failure| {
        failure.hint("a rule for it in .sops.yaml; private keys are written in no other way")
    })? {
        Done::Sealed { bytes, .. } => Ok(bytes),
        Done::Unchanged | Done::Nothing | Done::NoRule => {
            Err(Failure::unverified("no rule of .sops.yaml encrypts this Secret, so it was not written")
                .at(wanted.path.display().to_string()))
        }
    }
}

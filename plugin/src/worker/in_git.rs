//! Credentials in Git: encrypted by a rule that is not the one of application secrets, and nowhere in clear.

use super::error::{Stop, WorkerError};
use super::hub::Hub;
use super::names::is_label;
use super::record::Stored;
use crate::cluster::{Action, Applied, Manifest, Mode};
use crate::files::{Batch, FileError, Staged, Version};
use crate::secrets::{
    Candidate, Configs, Done, Keys, Options, encrypt, failure_of, file_failure, files_below,
    may_be_encrypted, read, shown, unlocked,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kubiya_hook::edge::{Failure, Kind};
use kubiya_policies::check::Role;
use kubiya_policies::rules::{NewRule, Rule};
use kubiya_policies::sops::age::{AgeKeys, IdentityFile};
use kubiya_policies::sops::file::MacCheck;
use kubiya_policies::sops::keys::{KeyBytes, KeyError, KeyService, Locked, WrappedKey};
use kubiya_policies::sops::recipient::Recipient;
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The file of a worker that holds what Flux reaches it by.
pub(super) const FILE: &str = "kubeconfig.yaml";

/// The repository in which credentials are kept.
pub struct InGit {
    /// Its work tree.
    top: PathBuf,
    /// Where the workers' folders are in it.
    folder: PathBuf,
    configs: Configs,
    /// What Flux opens files with.
    keys: FluxKeys,
    /// The rule of application secrets will do.
    force: bool,
}

impl std::fmt::Debug for InGit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InGit").field("top", &self.top).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The identities that Flux has on the infra cluster.
struct FluxKeys(AgeKeys);

impl KeyService for FluxKeys {
    fn wrap(&self, secret: &KeyBytes, recipient: &Recipient) -> Result<WrappedKey, KeyError> {
        self.0.wrap(secret, recipient)
    }

    fn unwrap(&self, wrapped: &WrappedKey) -> Result<KeyBytes, KeyError> {
        self.0.unwrap(wrapped)
    }
}

impl Keys for FluxKeys {
    fn explain(&self, locked: &Locked) -> Failure {
        Failure::unverified("none of Flux's keys opens this file").because(locked)
    }
}

impl FluxKeys {
    fn recipients(&self) -> Vec<String> {
        self.0.identities().iter().filter_map(kubiya_policies::sops::age::Identity::recipient).collect()
    }
}

impl InGit {
    /// Opens the work tree; what Flux decrypts with comes from its Secret on the infra cluster.
    ///
    /// # Errors
    /// No such Secret, or none that Flux could use.
    pub async fn open(hub: &Hub, top: PathBuf, folder: PathBuf, force: bool) -> Result<Self, Failure> {
        let name = "sops-age";
        let place = format!("Secret {}/{name}", hub.namespace);
        let secret = hub.connection.secret(&hub.namespace, name).await?;
        let mut identities = Vec::new();
        for (entry, bytes) in
            secret.iter().flat_map(|secret| &secret.data).filter(|(e, _)| e.ends_with(".agekey"))
        {
            let file = IdentityFile::parse(bytes).map_err(|error| {
                Failure::unverified(format!("{entry} is malformed")).at(&place).because(&error)
            })?;
            identities.extend(file.into_identities());
        }
        if identities.is_empty() {
            return Err(Failure::unverified(
                "Flux has no age key, so it could not decrypt credentials in Git",
            )
            .at(place)
            .hint("kubectl kubiya bootstrap writes it"));
        }
        let configs = Configs::new(None, Some(top.clone()));
        Ok(Self { top, folder, configs, keys: FluxKeys(AgeKeys::new(identities)), force })
    }

    /// Where a worker's file is.
    #[must_use]
    pub fn path(&self, worker: &str) -> PathBuf {
        self.top.join(&self.folder).join(worker).join(FILE)
    }

    pub(super) fn in_repository(&self, path: &Path) -> String {
        path.strip_prefix(&self.top).unwrap_or(path).display().to_string()
    }

    /// What is in Git for a worker; nothing where there is no file.
    ///
    /// # Errors
    /// A file that Flux could not open, or that holds something else.
    pub fn known(&self, worker: &str) -> Result<Vec<Stored>, Failure> {
        let path = self.path(worker);
        let Some(clear) = self.clear(&path)? else { return Ok(Vec::new()) };
        let mut stored = Vec::new();
        for document in documents(&clear).ok_or_else(|| foreign(&path))? {
            let one = match document["kind"].as_str() {
                Some("Secret") => {
                    serde_json::from_value::<Secret>(document).ok().and_then(|secret| Stored::of(&secret))
                }
                Some("ConfigMap") => {
                    serde_json::from_value::<ConfigMap>(document).ok().and_then(|map| Stored::of_map(&map))
                }
                Some("ServiceAccount") => continue,
                _ => None,
            };
            stored.push(one.filter(|one| one.record.worker == worker).ok_or_else(|| foreign(&path))?);
        }
        Ok(stored)
    }

    /// The clear text of a file, in memory.
    fn clear(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let Some(version) = found(path)? else { return Ok(None) };
        if !may_be_encrypted(version.bytes()) {
            return Ok(Some(Zeroizing::new(version.bytes().to_vec())));
        }
        let governed = self.configs.governing(path).ok().flatten();
        let secret = read(path, version.bytes(), None, governed.as_deref())?;
        let key = unlocked(path, &secret, &self.keys)?;
        let decrypted =
            secret.decrypt(&key, MacCheck::Required).map_err(|problems| failure_of(path, &problems))?;
        Ok(Some(decrypted.bytes))
    }

    /// Makes sure that a worker's credentials may be in Git: there is a rule for them that application secrets are not
    /// under, and Flux can open what it encrypts.
    ///
    /// # Errors
    /// With the rule that is to be added.
    pub fn refuse_rule(&self, worker: &str) -> Result<(), WorkerError> {
        let path = self.path(worker);
        let governed = self.configs.governing(&path).map_err(failed)?;
        let rules = governed.as_ref().map(|governed| &governed.rules);
        let config =
            governed.as_ref().map_or(self.top.join(".sops.yaml"), |governed| governed.config.clone());
        let found = rules.and_then(|rules| rules.for_path(path.as_os_str().as_bytes()));
        let Some((number, rule)) = found else {
            return Err(self.refused(
                &config,
                format!("no creation rule is for {}", self.in_repository(&path)),
                None,
            ));
        };
        let flux = self.keys.recipients();
        if !names(rule).iter().any(|recipient| flux.contains(recipient)) {
            let why = format!("Flux could not open it: creation rule {} names none of its keys", number + 1);
            return Err(self.refused(&config, why, None));
        }
        if self.force {
            return Ok(());
        }
        if let Some(other) = self.application_secret(worker, number, rules) {
            let why = format!("creation rule {} is for application secrets, too: {other}", number + 1);
            return Err(self.refused(&config, why, Some("--force")));
        }
        Ok(())
    }

    /// A file of applications that a rule is for: one that is there, or where one would be.
    fn application_secret(
        &self,
        worker: &str,
        number: usize,
        rules: Option<&kubiya_policies::rules::Rules>,
    ) -> Option<String> {
        let rules = rules?;
        let folder = self.top.join(&self.folder);
        let would_be = ["secrets", "applications"].map(|part| folder.join(worker).join(part).join("db.yaml"));
        let there = files_below(std::slice::from_ref(&self.top)).into_iter().filter(|path| {
            let is_ours = path.starts_with(&folder) && path.file_name().is_some_and(|name| name == FILE);
            !is_ours && std::fs::read(path).is_ok_and(|bytes| may_be_encrypted(&bytes))
        });
        let same = |path: &PathBuf| {
            rules.for_path(path.as_os_str().as_bytes()).is_some_and(|(other, _)| other == number)
        };
        let named = would_be.into_iter().chain(there).find(same);
        let named = named.map(|path| self.in_repository(&path));
        // Another rule for the same people is no other rule.
        named.or_else(|| {
            let own: BTreeSet<String> = names(&rules.rules()[number]).into_iter().collect();
            let twin = rules.rules().iter().enumerate().find(|(other, rule)| {
                *other != number && own.len() > 1 && names(rule).into_iter().collect::<BTreeSet<_>>() == own
            });
            twin.map(|(other, _)| format!("rule {} has the same recipients", other + 1))
        })
    }

    fn refused(&self, config: &Path, why: String, flag: Option<&str>) -> WorkerError {
        let mut causes = vec![why];
        let mut hints = vec![format!(
            "in {}, before the other rules:\n{}",
            shown(config),
            self.rule(config).item("  ").trim_end()
        )];
        if let Some(flag) = flag {
            causes.push("who opens those opens every worker".to_owned());
            hints.push(format!("to have it so on purpose: {flag}"));
        }
        WorkerError::Stopped(Box::new(Stop {
            message: "credentials go into Git only under a creation rule of their own".to_owned(),
            causes,
            hints,
            kind: Kind::Usage,
        }))
    }

    /// The rule that is wanted for all workers' credentials.
    fn rule(&self, config: &Path) -> NewRule {
        let base = config.parent().unwrap_or(Path::new("/"));
        let folder = self.top.join(&self.folder);
        let folder = folder.strip_prefix(base).unwrap_or(&self.folder).display().to_string();
        NewRule {
            comment:
                "what Flux reaches the workers by: for Flux, and for who may do everything on all of them"
                    .to_owned(),
            path_regex: format!("^{}/[^/]+/{}$", escaped(&folder), escaped(FILE)),
            encrypted_regex: "^(data|stringData)$".to_owned(),
            recipients: self.keys.recipients(),
        }
    }

    /// Brings a worker's file into the wanted state; what is there as wanted is not written.
    ///
    /// # Errors
    /// What [`Self::refuse_rule`] refuses, a file that is something else, and those of writing.
    pub(super) fn write(
        &self,
        worker: &str,
        manifests: &[Manifest],
        mode: Mode,
    ) -> Result<Applied, WorkerError> {
        debug_assert!(is_label(worker));
        let path = self.path(worker);
        let applied = |action| Applied::new("File", self.in_repository(&path), action);
        let wanted: Vec<Value> = manifests.iter().map(Manifest::expose).collect();
        let before = found(&path).map_err(failed)?;
        let clear = self.clear(&path).map_err(failed)?;
        let same = clear.as_ref().and_then(|clear| documents(clear)).is_some_and(|there| there == wanted);
        let holds_secret = manifests.iter().any(Manifest::holds_secret);
        let text = match (&before, same) {
            // As it is, unless its rule says something else by now.
            (Some(before), true) => Zeroizing::new(before.bytes().to_vec()),
            _ => rendered(&wanted),
        };
        let bytes = if holds_secret { self.sealed(&path, &text).map_err(failed)? } else { text.to_vec() };
        if before.as_ref().is_some_and(|before| before.bytes() == bytes.as_slice()) {
            return Ok(applied(Action::Unchanged));
        }
        if mode == Mode::Write {
            put(&path, before.as_ref(), &bytes).map_err(failed)?;
        }
        Ok(applied(if before.is_some() { Action::Configured } else { Action::Created }))
    }

    fn sealed(&self, path: &Path, text: &[u8]) -> Result<Vec<u8>, Failure> {
        let encrypted = may_be_encrypted(text);
        let candidate =
            Candidate { path: path.to_owned(), named: true, encrypted, plain: Some(true), role: Role::File };
        match encrypt(&candidate, text, None, &self.configs, &self.keys, Options::default())? {
            Done::Sealed { bytes, .. } => Ok(bytes),
            Done::Unchanged => Ok(text.to_vec()),
            // What is not encrypted must not be written.
            Done::Nothing | Done::NoRule => {
                Err(Failure::unverified("the rule encrypts nothing of it").at(shown(path)))
            }
        }
    }
}

/// Writes a file, and the folder that it is to be in.
pub(super) fn put(path: &Path, before: Option<&Version>, bytes: &[u8]) -> Result<(), Failure> {
    let at = |error: &FileError| file_failure(path, error);
    let staged = match before {
        Some(before) => Staged::replacing(before, bytes),
        None => {
            let folder = path.parent().unwrap_or(path);
            std::fs::create_dir_all(folder).map_err(|error| at(&FileError::Write(error)))?;
            Staged::new_file(path, bytes)
        }
    };
    let mut batch = Batch::default();
    batch.add(staged.map_err(|error| at(&error))?);
    match batch.put_in_place().into_iter().next() {
        None => Ok(()),
        Some((path, error)) => Err(file_failure(&path, &error)),
    }
}

/// A file as it is; nothing where there is none.
pub(super) fn found(path: &Path) -> Result<Option<Version>, Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    Version::found(path.to_owned()).map(Some).map_err(|error| file_failure(path, &error))
}

fn failed(failure: Failure) -> WorkerError {
    WorkerError::Failed(failure)
}

fn foreign(path: &Path) -> Failure {
    Failure::usage("it is there already, and kubectl-kubiya did not make it").at(shown(path))
}

fn names(rule: &Rule) -> Vec<String> {
    rule.recipients().map(Recipient::nameable).collect()
}

/// A text as a part of a regular expression of Go.
pub(super) fn escaped(text: &str) -> String {
    let mut made = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            made.push('\\');
        }
        made.push(c);
    }
    made
}

/// The documents of a YAML stream; nothing where it is none.
fn documents(text: &[u8]) -> Option<Vec<Value>> {
    let all = serde_yaml::Deserializer::from_slice(text).map(Value::deserialize);
    let all: Result<Vec<Value>, _> = all.collect();
    Some(all.ok()?.into_iter().filter(|document| !document.is_null()).collect())
}

fn rendered(documents: &[Value]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(String::new());
    for (index, document) in documents.iter().enumerate() {
        // A tree of maps with string keys always renders.
        let one = Zeroizing::new(serde_yaml::to_string(document).unwrap_or_default());
        let _ = write!(text, "{}{}", if index > 0 { "---\n" } else { "" }, *one);
    }
    Zeroizing::new(text.as_bytes().to_vec())
}

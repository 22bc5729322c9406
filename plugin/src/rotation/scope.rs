//! Which files a change of recipients is about.

use crate::files::{Staged, Version};
use crate::secrets::{self, Configs, Secret, Sought, choose, file_failure, shown};
use bstr::ByteSlice as _;
use kubiya_hook::edge::Failure;
use kubiya_policies::rules::{FILE_NAME, RecipientChange, change_recipients};
use kubiya_policies::sops::recipient::Recipient;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The encrypted files of a repository, found and not read yet, and its rules.
#[derive(Debug)]
pub struct Listing {
    /// Encrypted files, sorted by path.
    pub files: Vec<PathBuf>,
    /// Files that could not be looked at.
    pub failures: Vec<Failure>,
    /// Every `.sops.yaml`, sorted by path.
    pub configs: Vec<PathBuf>,
    /// The top of the repository.
    pub top: PathBuf,
}

impl Listing {
    /// Looks through paths; without any, through the repository.
    ///
    /// # Errors
    /// A path that is not there.
    pub fn of(paths: &[PathBuf], top: &Path, configs: &Configs) -> Result<Self, Failure> {
        let chosen = choose(paths, Sought::Encrypted, Some(top), configs)?;
        let encrypted = chosen.candidates.into_iter().filter(|candidate| candidate.encrypted);
        Ok(Self {
            files: encrypted.map(|candidate| candidate.path).collect(),
            failures: chosen.failures,
            configs: configs_below(top),
            top: top.to_owned(),
        })
    }

    /// Reads for whom the files are.
    ///
    /// # Errors
    /// All files that cannot be read.
    pub fn read(&self) -> Result<Scope, Failure> {
        let read = self.files.par_iter().map(|path| Ok((path.clone(), recipients(path)?)));
        let mut problems = self.failures.clone();
        let mut files = Vec::new();
        for file in read.collect::<Vec<Result<_, Failure>>>() {
            match file {
                Ok(file) => files.push(file),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            let what = format!("{} files cannot be read, so nothing was changed", problems.len());
            return Err(Failure::all(what, problems));
        }
        Ok(Scope { files, top: self.top.clone() })
    }
}

/// The encrypted files of a repository, and for whom they are.
#[derive(Debug)]
pub struct Scope {
    /// Encrypted files with their age recipients, sorted by path.
    pub files: Vec<(PathBuf, BTreeSet<String>)>,
    /// The top of the repository.
    pub top: PathBuf,
}

impl Scope {
    /// Looks through a repository.
    ///
    /// # Errors
    /// All files that cannot be read.
    pub fn of(top: &Path, configs: &Configs) -> Result<Self, Failure> {
        Listing::of(&[], top, configs)?.read()
    }

    /// The files that an age recipient can read.
    pub fn readable_by<'s>(&'s self, recipient: &'s str) -> impl Iterator<Item = &'s Path> {
        let readable = move |(path, of): &'s (PathBuf, BTreeSet<String>)| {
            of.contains(recipient).then_some(path.as_path())
        };
        self.files.iter().filter_map(readable)
    }
}

/// The age recipients of an encrypted file.
fn recipients(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let version = Version::found(path.to_owned()).map_err(|error| file_failure(path, &error))?;
    let secret = secrets::read(path, version.bytes(), None, None)?;
    Ok(age_recipients(&secret).map(str::to_owned).collect())
}

/// The age recipients that a file names.
pub(super) fn age_recipients<'s>(secret: &'s Secret<'_>) -> impl Iterator<Item = &'s str> {
    let keys = secret.metadata().into_iter().flat_map(|metadata| metadata.wrapped.iter().flatten());
    keys.filter_map(|key| match &key.recipient {
        Recipient::Age(recipient) => Some(recipient.trim()),
        _ => None,
    })
}

/// Every `.sops.yaml` of the repository, other repositories in it left out.
pub(super) fn configs_below(top: &Path) -> Vec<PathBuf> {
    let mut configs = secrets::files_of(&[top.to_owned()], Some(top));
    configs.retain(|path| path.file_name().is_some_and(|name| name.as_bytes() == FILE_NAME.as_bytes()));
    configs
}

/// A file of rules with what a change makes of it; `None` where nothing is to be changed.
///
/// # Errors
/// It cannot be read or changed.
pub(super) fn rule_change(
    path: &Path,
    change: RecipientChange<'_>,
) -> Result<Option<(Version, Vec<u8>)>, Failure> {
    let version = Version::read(path, None).map_err(|error| file_failure(path, &error))?;
    // Rules of others, which may be wrong in whatever way, are no matter here.
    if !version.bytes().contains_str(change.known()) {
        return Ok(None);
    }
    let after = change_recipients(version.bytes(), change).map_err(|error| {
        Failure::usage("the recipients of the rules cannot be changed").at(shown(path)).because(&error)
    })?;
    Ok(after.map(|bytes| (version, bytes)))
}

/// The new versions of the rules that name the recipient, with the paths.
///
/// # Errors
/// All rules that cannot be changed.
pub fn rule_changes(
    configs: &[PathBuf],
    change: RecipientChange<'_>,
) -> Result<Vec<(PathBuf, Staged)>, Failure> {
    let mut problems = Vec::new();
    let mut staged = Vec::new();
    for path in configs {
        let changed = rule_change(path, change).and_then(|changed| {
            let stage = |(version, bytes): (Version, Vec<u8>)| Staged::replacing(&version, &bytes);
            changed.map(stage).transpose().map_err(|error| file_failure(path, &error))
        });
        match changed {
            Ok(Some(version)) => staged.push((path.clone(), version)),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(staged)
    } else {
        Err(Failure::all("rules cannot be changed, so nothing was changed", problems))
    }
}

//! Files for other recipients, and with new data keys.

use super::scope::age_recipients;
use crate::files::{FileError, Staged, Version};
use crate::secrets::{
    Change, Configs, Keys, Sealed, Secret, failure_of, file_failure, open, read, seal, shown,
};
use kubiya_hook::edge::{Failure, in_shell};
use kubiya_policies::rules::RecipientChange;
use kubiya_policies::sops::age::AgeKeys;
use kubiya_policies::sops::file::{Opened, Recipe};
use kubiya_policies::sops::keys::{KeyBytes, KeyError, KeyService, WrappedKey, unlock};
use kubiya_policies::sops::problem::{Problem, ProblemKind};
use kubiya_policies::sops::recipient::Recipient;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Which data keys the files get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKeys {
    /// New ones: who had the old ones reads nothing of what is written from now on.
    New,
    /// Those they have, wrapped for who comes.
    Kept,
}

/// What becomes of files that are also for keys which data keys cannot be wrapped for here (KMS, PGP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreign {
    /// Nothing is changed at all
    Stop,
    /// They keep their data key: only who is a recipient changes
    KeepDataKey,
    /// They are left as they are
    Skip,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Renewal<'r> {
    /// Who comes and goes; `None` for the same recipients.
    pub change: Option<RecipientChange<'r>>,
    /// Which data keys.
    pub data_keys: DataKeys,
    /// What becomes of files for other kinds of keys.
    pub foreign: Foreign,
    /// The keys that open the files as they are.
    pub keys: &'r dyn Keys,
    /// The keys that must open them afterwards; `None` where that need not be another one.
    pub proof: Option<&'r AgeKeys>,
}

impl std::fmt::Debug for Renewal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("change", &self.change).finish_non_exhaustive()
    }
}

/// What becomes of an encrypted file.
#[derive(Debug)]
pub enum Renewed {
    /// A new version, proven; staged, unless nothing is to be written.
    Anew {
        /// The new version.
        staged: Option<Staged>,
        /// Whether it has a new data key.
        new_data_key: bool,
    },
    /// It is left as it is because of its other keys.
    Foreign,
    /// It is not for whom the change is about.
    NotTheirs,
}

/// Makes the new version of every file, whose paths have no links, and stages it if it is to be written. `failures`
/// are those of files that could not be looked at. With each path, what becomes of it.
///
/// # Errors
/// All files that do not open, whose message authentication code does not fit, or that cannot be sealed as asked.
/// Nothing stays staged then.
pub fn renew(
    files: &[PathBuf],
    failures: &[Failure],
    renewal: &Renewal<'_>,
    configs: &Configs,
    write: bool,
) -> Result<Vec<(PathBuf, Renewed)>, Failure> {
    let mut problems = failures.to_vec();
    let mut all = Vec::with_capacity(files.len());
    let results = files.par_iter().map(|path| renewed(path, renewal, configs, write));
    for (path, result) in files.iter().zip(results.collect::<Vec<_>>()) {
        match result {
            Ok(renewed) => all.push((path.clone(), renewed)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Ok(all);
    }
    let what = format!("{} files cannot be renewed, so nothing was changed", problems.len());
    Err(Failure::all(what, problems))
}

fn renewed(path: &Path, renewal: &Renewal<'_>, configs: &Configs, write: bool) -> Result<Renewed, Failure> {
    let failed = |error: FileError| file_failure(path, &error);
    let version = Version::found(path.to_owned()).map_err(failed)?;
    let governed = configs.governing(path)?;
    let secret = read(path, version.bytes(), None, governed.as_deref())?;
    let known = renewal.change.as_ref().map(RecipientChange::known);
    if known.is_some_and(|known| !age_recipients(&secret).any(|recipient| recipient == known)) {
        return Ok(Renewed::NotTheirs);
    }
    let Some((bytes, new_data_key)) = made(path, &secret, renewal)? else { return Ok(Renewed::Foreign) };
    let staged = write.then(|| Staged::replacing(&version, &bytes).map_err(failed)).transpose()?;
    Ok(Renewed::Anew { staged, new_data_key })
}

/// Makes sure that a file could be made anew: it opens, it is sound, and a new data key could be wrapped.
///
/// # Errors
/// What is in the way.
pub fn check(path: &Path, renewal: &Renewal<'_>, configs: &Configs) -> Result<(), Failure> {
    let version = Version::read(path, None).map_err(|error| file_failure(path, &error))?;
    if version.is_read_only() {
        return Err(file_failure(path, &FileError::ReadOnly));
    }
    let governed = configs.governing(path)?;
    let secret = read(path, version.bytes(), None, governed.as_deref())?;
    let opened = open(path, &secret, renewal.keys)?;
    sound(path, &opened)?;
    data_key_change(path, &recipe(&opened, renewal), renewal).map(|_| ())
}

/// Who is to read it.
fn recipe(opened: &Opened, renewal: &Renewal<'_>) -> Recipe {
    let mut recipe = Recipe::of(&opened.metadata);
    for group in &mut recipe.groups {
        if let Some(change) = renewal.change {
            change.apply_to(&mut group.recipients);
        }
    }
    recipe
}

/// The new bytes, and whether they have a new data key.
type Made = (Vec<u8>, bool);

fn made(path: &Path, secret: &Secret<'_>, renewal: &Renewal<'_>) -> Result<Option<Made>, Failure> {
    let opened = open(path, secret, renewal.keys)?;
    sound(path, &opened)?;
    let recipe = recipe(&opened, renewal);
    let Some(change) = data_key_change(path, &recipe, renewal)? else { return Ok(None) };
    let sealed = seal(path, secret, &recipe, Some(&opened), &change, renewal.keys)?;
    drop(opened);
    if let Some(proof) = renewal.proof {
        prove(path, &sealed, proof, renewal.keys)?;
    }
    Ok(Some((sealed.bytes, change == Change::New)))
}

/// What is wrong with the file is not to be sealed as if it were right.
fn sound(path: &Path, opened: &Opened) -> Result<(), Failure> {
    if let Some(key) = opened.plain_parts.first() {
        return Err(Failure::usage(format!("`{key}` is to be encrypted and is plain"))
            .at(shown(path))
            .hint(format!("kubectl kubiya encrypt {}", in_shell(shown(path).as_bytes()))));
    }
    match opened.mac {
        Ok(()) => Ok(()),
        Err(mismatch) => Err(failure_of(path, &[Problem::of_file(ProblemKind::Mac(mismatch))])),
    }
}

/// What is done with the data key; `None` where the file is left as it is.
fn data_key_change(path: &Path, recipe: &Recipe, renewal: &Renewal<'_>) -> Result<Option<Change>, Failure> {
    if recipe.groups.iter().any(|group| group.recipients.is_empty()) {
        return Err(Failure::usage("nobody would be left who can read it").at(shown(path)));
    }
    let mut recipients = recipe.groups.iter().flat_map(|group| &group.recipients);
    let foreign = recipients.find(|recipient| !matches!(recipient, Recipient::Age(_)));
    match (renewal.data_keys, foreign, renewal.foreign) {
        (DataKeys::New, None, _) => Ok(Some(Change::New)),
        (DataKeys::New, Some(recipient), Foreign::Stop) => Err(foreign_failure(path, recipient)),
        (DataKeys::New, Some(_), Foreign::Skip) => Ok(None),
        // The shares of a data key that is split are wrapped together only: whoever comes gets a new one.
        (_, None, _) if recipe.groups.len() > 1 => Ok(Some(Change::New)),
        _ if recipe.groups.len() > 1 => Err(shares(path)),
        _ => Ok(Some(Change::Added(Vec::new()))),
    }
}

/// The new key must open the new version by itself; where more than one group is needed, with the others' help.
/// That the data key opens it to the same values was proven when it was sealed.
fn prove(path: &Path, sealed: &Sealed, proof: &AgeKeys, keys: &dyn Keys) -> Result<(), Failure> {
    let opened = if sealed.metadata.wrapped.len() > 1 {
        unlock(&sealed.metadata, &Both(proof, keys))
    } else {
        unlock(&sealed.metadata, proof)
    };
    let unproven = || {
        Failure::unverified("the new key does not open the new version, so nothing was written")
            .at(shown(path))
    };
    match opened {
        Ok(key) if key == sealed.key => Ok(()),
        Ok(_) => Err(unproven()),
        Err(locked) => Err(unproven().because(&locked)),
    }
}

/// One key service, and another one where it has nothing.
struct Both<'k>(&'k AgeKeys, &'k dyn Keys);

impl KeyService for Both<'_> {
    fn wrap(&self, secret: &KeyBytes, recipient: &Recipient) -> Result<WrappedKey, KeyError> {
        self.0.wrap(secret, recipient)
    }

    fn unwrap(&self, wrapped: &WrappedKey) -> Result<KeyBytes, KeyError> {
        self.0.unwrap(wrapped).or_else(|_| self.1.unwrap(wrapped))
    }
}

fn foreign_failure(path: &Path, recipient: &Recipient) -> Failure {
    let what = format!("a new data key cannot be wrapped for {recipient}, which can read it too");
    Failure::usage(what)
        .at(shown(path))
        .hint("--foreign keep-data-key   # who leaves keeps the data key of these files")
        .hint("--foreign skip            # these files stay as they are; renew them with sops")
}

fn shares(path: &Path) -> Failure {
    Failure::usage("its data key is split over several groups, which are wrapped anew together only")
        .at(shown(path))
        .hint(format!(
            "sops updatekeys {}   # with the keys of all groups at hand",
            in_shell(shown(path).as_bytes())
        ))
}

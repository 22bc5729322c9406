//! One file for other recipients, and with a new data key.

use crate::files::{FileError, Version};
use crate::secrets::{
    Change, Configs, Governed, Keys, Sealed, failure_of, file_failure, open, read, seal, shown,
};
use kubiya_hook::edge::{Failure, in_shell};
use kubiya_policies::rules::RecipientChange;
use kubiya_policies::sops::age::AgeKeys;
use kubiya_policies::sops::file::{Opened, Recipe};
use kubiya_policies::sops::keys::{KeyBytes, KeyError, KeyService, WrappedKey, unlock};
use kubiya_policies::sops::problem::{Problem, ProblemKind};
use kubiya_policies::sops::recipient::Recipient;
use std::path::Path;

/// Which data keys the files get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKeys {
    /// New ones: who had the old ones reads nothing of what is written from now on.
    New,
    /// Those they have, wrapped for who comes.
    Kept,
}

/// What becomes of files that are also for keys which data keys cannot be wrapped for here (KMS, PGP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
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

/// A file, made anew and proven.
#[derive(Debug)]
pub struct Renewed {
    /// What it was made from.
    pub version: Version,
    /// The new bytes.
    pub bytes: Vec<u8>,
    /// Whether it has a new data key.
    pub new_data_key: bool,
}

/// Makes the new version of a file, whose path has no links. `None` where it is left as it is because of its other keys.
///
/// # Errors
/// It does not open, its message authentication code does not fit, or it cannot be sealed as asked.
pub fn renew(path: &Path, renewal: &Renewal<'_>, configs: &Configs) -> Result<Option<Renewed>, Failure> {
    let version = Version::found(path.to_owned()).map_err(|error| file_failure(path, &error))?;
    let governed = configs.governing(path)?;
    let made = made(path, version.bytes(), renewal, governed.as_deref())?;
    Ok(made.map(|(bytes, new_data_key)| Renewed { version, bytes, new_data_key }))
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

fn made(
    path: &Path,
    bytes: &[u8],
    renewal: &Renewal<'_>,
    governed: Option<&Governed>,
) -> Result<Option<Made>, Failure> {
    let secret = read(path, bytes, None, governed)?;
    let opened = open(path, &secret, renewal.keys)?;
    sound(path, &opened)?;
    let recipe = recipe(&opened, renewal);
    let Some(change) = data_key_change(path, &recipe, renewal)? else { return Ok(None) };
    let sealed = seal(path, &secret, &recipe, Some(&opened), &change, renewal.keys)?;
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
}

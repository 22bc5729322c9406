//! Sealing a file by its rule: which data key, and which recipients it is wrapped for.

use super::problems::failure_of;
use super::random::{data_key, random};
use super::{Keys, Secret};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::file::{Deviation, Lock, Opened, Recipe, Sealing};
use kubiya_policies::sops::keys::{KeyBytes, KeyError, WrappedKey, lock};
use kubiya_policies::sops::metadata::Metadata;
use kubiya_policies::sops::recipient::Recipient;
use std::path::Path;

pub use kubiya_policies::sops::file::Sealed;

/// What is to be done with the data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The one of before, for the same recipients.
    Kept,
    /// The one of before, for more recipients.
    Added(Vec<Recipient>),
    /// A new one: there was none, or somebody is not to read what is written from now on.
    New,
}

impl Change {
    /// What a version before needs to be as the recipe says.
    #[must_use]
    pub fn from(deviations: &[Deviation]) -> Self {
        let mut added = Vec::new();
        for deviation in deviations {
            match deviation {
                Deviation::Extra(_)
                | Deviation::Groups
                | Deviation::Threshold { .. }
                | Deviation::NotEncrypted => {
                    return Self::New;
                }
                Deviation::Missing(recipient) => added.push(recipient.clone()),
                _ => {}
            }
        }
        if added.is_empty() { Self::Kept } else { Self::Added(added) }
    }
}

/// Seals a file as the recipe says. `before` is the version to go on with.
///
/// # Errors
/// Recipients that cannot be wrapped for, and what cannot be encrypted, with its place.
pub fn seal(
    path: &Path,
    secret: &Secret<'_>,
    recipe: &Recipe,
    before: Option<&Opened>,
    change: &Change,
    keys: &dyn Keys,
) -> Result<Sealed, Failure> {
    let mut random = random()?;
    let lock = match (change, before) {
        (Change::Kept, Some(_)) => Lock::Kept,
        (Change::Added(_), Some(before)) if before.metadata.groups.len() == 1 && recipe.groups.len() == 1 => {
            Lock::Wrapped(vec![added(path, before, recipe, keys)?])
        }
        _ => {
            let key = data_key(&mut random);
            let groups = lock(&key, &recipe.groups, recipe.shamir_threshold, keys, &mut random)
                .map_err(|errors| wrapping(path, &errors))?;
            Lock::New(key, groups)
        }
    };
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let sealing = Sealing { recipe, lock, before, now: &now };
    secret.seal(&sealing, &mut random).map_err(|problems| failure_of(path, &problems))
}

/// The wrapped keys of the one group in the order of the recipe: those that are there as they are.
fn added(path: &Path, before: &Opened, recipe: &Recipe, keys: &dyn Keys) -> Result<Vec<WrappedKey>, Failure> {
    let secret = KeyBytes::from(before.key.clone());
    let mut wrapped = Vec::new();
    let mut errors = Vec::new();
    for recipient in recipe.groups.iter().flat_map(|group| &group.recipients) {
        match known(&before.metadata, recipient) {
            Some(key) => wrapped.push(key.clone()),
            None => match keys.wrap(&secret, recipient) {
                Ok(key) => wrapped.push(key),
                Err(error) => errors.push(error),
            },
        }
    }
    if errors.is_empty() { Ok(wrapped) } else { Err(wrapping(path, &errors)) }
}

fn known<'m>(metadata: &'m Metadata, recipient: &Recipient) -> Option<&'m WrappedKey> {
    let identity = recipient.identity();
    metadata.wrapped.iter().flatten().find(|key| key.recipient.identity() == identity)
}

fn wrapping(path: &Path, errors: &[KeyError]) -> Failure {
    let problems = errors.iter().map(|error| {
        let failure = Failure::usage(error.to_string());
        match error {
            KeyError::NotServed(kind) => failure.hint(format!(
                "sops wraps data keys for {kind}; here they are for age, and files for {kind} stay as they are"
            )),
            _ => failure,
        }
    });
    let failure =
        Failure::all("the data key cannot be wrapped for all recipients of the rule", problems.collect());
    failure.at(super::shown(path))
}

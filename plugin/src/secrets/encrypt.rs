//! Encrypting one file by its rule: what is encrypted and conforms stays as it is.

use super::change::{Change, seal};
use super::config::{Configs, Governed};
use super::earlier::{Earlier, new_key_note};
use super::open::{Secret, open, read};
use super::problems::{failure_of, shown};
use super::{Candidate, Keys};
use kubiya_hook::edge::{self, Failure};
use kubiya_policies::sops::file::{Deviation, Opened, Recipe};
use kubiya_policies::sops::problem::{Problem, ProblemKind};
use kubiya_policies::sops::store::{Format, expand_aliases};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How to encrypt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The store, where it is not that of the name.
    pub format: Option<Format>,
    /// Aliases become copies of what they stand for.
    pub expand_aliases: bool,
    /// Values that are encrypted may become plain, where the selector no longer covers them.
    pub allow_plain: bool,
    /// A file whose message authentication code does not fit is taken as it is.
    pub ignore_mac: bool,
}

/// What came of a file.
#[derive(Debug)]
pub enum Done {
    /// It is as its rule says.
    Unchanged,
    /// There is nothing in it that the rule encrypts.
    Nothing,
    /// No rule is for it, and it was not named.
    NoRule,
    /// New bytes.
    Sealed {
        /// The bytes.
        bytes: Vec<u8>,
        /// Keys of values that were plain.
        newly: Vec<String>,
        /// Keys of values that the rule leaves plain.
        released: Vec<String>,
        /// How many encrypted values stayed as they were.
        kept: usize,
        /// What else is to be said.
        notes: Vec<String>,
    },
}

/// Encrypts a file. `bytes` are what is there now, `earlier` the encrypted version that Git remembers.
///
/// # Errors
/// No rule, one that cannot be used, no key where one is needed, and what cannot be encrypted.
pub fn encrypt(
    candidate: &Candidate,
    bytes: &[u8],
    earlier: Option<&Earlier>,
    configs: &Configs,
    keys: &dyn Keys,
    options: Options,
) -> Result<Done, Failure> {
    let path = &candidate.path;
    let governed = configs.governing(path)?;
    let rule = governed.as_ref().and_then(|governed| {
        let (number, rule) = governed.rules.for_path(path.as_os_str().as_bytes())?;
        Some((number, rule.recipe()))
    });
    let (Some(governed), Some((number, recipe))) = (governed, rule) else {
        let plain = candidate.is_plain(bytes, configs);
        return if plain { Err(no_rule(path)) } else { Ok(Done::NoRule) };
    };
    if recipe.groups.iter().all(|group| group.recipients.is_empty()) {
        return Err(no_recipients(path, &governed, number));
    }
    let format = options.format.unwrap_or_else(|| Format::of_path(path.as_os_str().as_bytes()));
    let expanded =
        (options.expand_aliases && format == Format::Yaml).then(|| expand_aliases(bytes)).transpose();
    let expanded = expanded.map_err(|problems| failure_of(path, &problems))?;
    let bytes = expanded.as_ref().map_or(bytes, |bytes| bytes.as_slice());
    let secret = read(path, bytes, options.format, Some(&governed))?;
    if let Some(problem) = secret.hidden_header(&recipe) {
        return Err(failure_of(path, &[problem]));
    }
    if secret.metadata().is_some() {
        return again(path, &secret, &recipe, keys, options);
    }
    if !secret.covers_any(&recipe) {
        return if candidate.is_plain(bytes, configs) {
            Err(covers_nothing(path, &governed, number))
        } else {
            Ok(Done::Nothing)
        };
    }
    let mut notes = Vec::new();
    let before =
        earlier.and_then(|earlier| match reopened(path, earlier, &recipe, options, &governed, keys) {
            Ok(before) => Some(before),
            Err(why) => {
                notes.push(new_key_note(path, earlier, &why));
                None
            }
        });
    let change = if before.is_some() { Change::Kept } else { Change::New };
    let sealed = seal(path, &secret, &recipe, before.as_ref(), &change, keys)?;
    Ok(done(sealed, notes))
}

fn done(sealed: super::Sealed, notes: Vec<String>) -> Done {
    let super::Sealed { bytes, newly, released, kept, .. } = sealed;
    Done::Sealed { bytes, newly, released, kept, notes }
}

/// An encrypted file: healed where it is not as its rule says.
fn again(
    path: &Path,
    secret: &Secret<'_>,
    recipe: &Recipe,
    keys: &dyn Keys,
    options: Options,
) -> Result<Done, Failure> {
    let deviations = secret.deviations(recipe);
    if deviations.is_empty() && !options.ignore_mac {
        return Ok(Done::Unchanged);
    }
    let opened = open(path, secret, keys)?;
    if opened.plain_parts.is_empty()
        && !options.ignore_mac
        && let Err(mismatch) = opened.mac
    {
        return Err(failure_of(path, &[Problem::of_file(ProblemKind::Mac(mismatch))]));
    }
    let change = Change::from(&deviations);
    let mut notes = Vec::new();
    let gone = deviations.iter().filter_map(|deviation| match deviation {
        Deviation::Extra(recipient) => Some(recipient.to_string()),
        _ => None,
    });
    let gone = gone.collect::<Vec<_>>();
    if !gone.is_empty() {
        let gone = gone.join(", ");
        notes.push(format!("{}: a new data key: {gone} could read it and may no longer", shown(path)));
    }
    if !opened.plain_parts.is_empty() && opened.mac.is_err() && !options.ignore_mac {
        let file = shown(path);
        notes.push(format!(
            "{file}: plain values were put in by hand, so nothing proves what else was changed"
        ));
    }
    let sealed = seal(path, secret, recipe, Some(&opened), &change, keys)?;
    if !sealed.released.is_empty() && !options.allow_plain {
        return Err(would_be_plain(path, &sealed.released));
    }
    Ok(done(sealed, notes))
}

/// Encrypted values that the rule's selector does not cover: never made plain without being asked.
fn would_be_plain(path: &Path, keys: &[String]) -> Failure {
    let file = shown(path);
    let keys = edge::shown(keys.join(", ").as_bytes());
    Failure::usage(format!(
        "encrypted values would become plain, because the rule no longer covers them: {keys}"
    ))
    .at(file.clone())
    .hint("in .sops.yaml, make the rule's selector cover them again")
    .hint(format!(
        "kubectl kubiya encrypt --allow-plain {}   # if they are no secrets",
        edge::in_shell(file.as_bytes())
    ))
}

/// Plaintext that must be encrypted, under a rule that encrypts none of it.
fn covers_nothing(path: &Path, governed: &Governed, number: usize) -> Failure {
    let file = shown(path);
    let what = format!("it holds plaintext secrets, and creation rule {} encrypts nothing of it", number + 1);
    let config = shown(&governed.config);
    Failure::usage(what).at(file).hint(format!(
        "in {config}, before that rule: one for this path without a selector, or with one that covers its keys"
    ))
}

/// The earlier version, opened, if its recipients are those of the rule; else why not.
fn reopened(
    path: &Path,
    earlier: &Earlier,
    recipe: &Recipe,
    options: Options,
    governed: &Governed,
    keys: &dyn Keys,
) -> Result<Opened, String> {
    let unreadable = |_| "cannot be read".to_owned();
    let secret = read(path, &earlier.bytes, options.format, Some(governed)).map_err(unreadable)?;
    if Change::from(&secret.deviations(recipe)) != Change::Kept {
        return Err("is for other recipients".to_owned());
    }
    open(path, &secret, keys).map_err(|_| "does not open with the keys at hand".to_owned())
}

pub(crate) fn no_rule(path: &Path) -> Failure {
    let file = shown(path);
    Failure::usage("no creation rule is for this file")
        .at(file.clone())
        .hint(format!("kubectl kubiya explain {}", edge::in_shell(file.as_bytes())))
}

pub(super) fn no_recipients(path: &Path, governed: &Governed, number: usize) -> Failure {
    let rule = governed.rules.rules().get(number);
    let place = rule.map_or_else(
        || shown(&governed.config),
        |rule| format!("{}:{}:{}", shown(&governed.config), rule.span.line, rule.span.column),
    );
    Failure::usage(format!("creation rule {} has no recipient, and {} needs one", number + 1, shown(path)))
        .at(place)
        .hint("add to the rule: age: age1…   # the public key that age-keygen shows")
}

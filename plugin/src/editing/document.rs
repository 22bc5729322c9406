//! An encrypted file, opened to be changed.

use crate::files::{Batch, FileError, Staged, Version};
use crate::secrets::{
    Change, Configs, Governed, Keys, failure_of, file_failure, read, recipe_for, seal, shown, unlocked,
};
use kubiya_hook::edge::{self, Failure, Kind};
use kubiya_policies::sops::file::{Deviation, MacCheck, Opened, Recipe};
use kubiya_policies::sops::plain::Plain;
use kubiya_policies::sops::problem::{Problem, ProblemKind};
use kubiya_policies::sops::store::{Format, StoreSettings};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A file and its plain text.
pub(crate) struct Document {
    path: PathBuf,
    format: Option<Format>,
    governed: Option<Arc<Governed>>,
    recipe: Option<Recipe>,
    before: Option<Before>,
}

struct Before {
    version: Version,
    opened: Opened,
    clear: Zeroizing<Vec<u8>>,
}

/// A new version of the file.
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    /// Keys of the values that were encrypted anew.
    pub(crate) newly: Vec<String>,
    /// What else is to be said.
    pub(crate) notes: Vec<String>,
}

/// What is done about values that would stand plain in the file and did not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewPlain {
    /// They are refused.
    Refused,
    /// Those are refused that were encrypted elsewhere in the file.
    UnlessSecret,
    /// They are taken.
    Allowed,
}

/// Keys of values that would stand plain and must not.
fn bared(uncovered: &[(String, Plain)], before: &Opened, new_plain: NewPlain) -> Vec<String> {
    if new_plain == NewPlain::Allowed {
        return Vec::new();
    }
    let values = || before.values.iter().filter(|value| !value.is_comment);
    let was_plain = |key: &str, plain: &Plain| {
        values().any(|value| value.sealed.is_none() && value.key_path == *key && value.plain.same(plain))
    };
    let was_secret = |plain: &Plain| values().any(|value| value.sealed.is_some() && value.plain.same(plain));
    uncovered
        .iter()
        .filter(|(key, plain)| {
            (new_plain == NewPlain::Refused || was_secret(plain)) && !was_plain(key, plain)
        })
        .map(|(key, _)| key.clone())
        .collect()
}

fn would_be_plain(path: &Path, keys: &[String]) -> Failure {
    let keys = edge::shown(keys.join(", ").as_bytes());
    Failure::usage(format!(
        "the file's selector does not cover it, so the value would stand there in plain: {keys}"
    ))
    .at(shown(path))
    .hint(
        "a Secret's values belong below `stringData` or `data`; or let the rule in .sops.yaml cover the key",
    )
    .hint("--allow-plain   # if it is no secret")
}

impl Document {
    /// Opens an encrypted file.
    ///
    /// # Errors
    /// Not readable, not encrypted, not to be opened; a message authentication code that does not fit, where
    /// it is asked for.
    pub(crate) fn open(
        path: &Path,
        format: Option<Format>,
        configs: &Configs,
        keys: &dyn Keys,
        check: MacCheck,
    ) -> Result<Self, Failure> {
        let version = Version::read(path, None).map_err(|error| file_failure(path, &error))?;
        let path = version.path().to_owned();
        let (governed, recipe) = recipe_for(&path, configs)?.unzip();
        let (opened, clear) = {
            let secret = read(&path, version.bytes(), format, governed.as_deref())?;
            let key = unlocked(&path, &secret, keys)?;
            let opened = secret.open(&key).map_err(|problems| failure_of(&path, &problems))?;
            if check == MacCheck::Required {
                if !opened.plain_parts.is_empty() {
                    return Err(failure_of(&path, &opened.plain_parts));
                }
                if let Err(mismatch) = opened.mac {
                    return Err(failure_of(&path, &[Problem::of_file(ProblemKind::Mac(mismatch))]));
                }
            }
            let clear = secret.clear(&opened).map_err(|problems| failure_of(&path, &problems))?;
            (opened, clear)
        };
        let before = Some(Before { version, opened, clear });
        Ok(Self { path, format, governed, recipe, before })
    }

    /// A file that is not there yet, and that a rule is for.
    ///
    /// # Errors
    /// No folder for it, no rule, or one without recipients.
    pub(crate) fn new(path: &Path, format: Option<Format>, configs: &Configs) -> Result<Self, Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.canonicalize().map_err(|error| file_failure(folder, &FileError::Read(error)))?;
        let name = path.file_name().ok_or_else(|| file_failure(path, &FileError::NotAFile))?;
        let path = folder.join(name);
        let found = recipe_for(&path, configs)?;
        let (governed, recipe) = found.ok_or_else(|| crate::secrets::no_rule(&path))?;
        Ok(Self { path, format, governed: Some(governed), recipe: Some(recipe), before: None })
    }

    /// Where it is, links resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How it is stored.
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or_else(|| Format::of_path(self.path.as_os_str().as_bytes()))
    }

    /// How new parts are laid out.
    pub(crate) fn settings(&self) -> StoreSettings {
        self.governed.as_ref().map(|governed| governed.rules.stores()).unwrap_or_default()
    }

    /// The plain text; empty where there is no file yet.
    pub(crate) fn clear(&self) -> &[u8] {
        self.before.as_ref().map_or(&[], |before| before.clear.as_slice())
    }

    /// Whether the file is there.
    pub(crate) fn is_there(&self) -> bool {
        self.before.is_some()
    }

    /// Encrypted comments that open nowhere, and stay as they are.
    pub(crate) fn closed_comments(&self) -> usize {
        self.before.as_ref().map_or(0, |before| before.opened.closed_comments)
    }

    /// Encrypts an edited text. Places in failures are those of the text.
    ///
    /// # Errors
    /// What cannot be read or encrypted.
    pub(crate) fn sealed(
        &self,
        edited: &[u8],
        keys: &dyn Keys,
        new_plain: NewPlain,
    ) -> Result<Sealed, Failure> {
        let governed = self.governed.as_deref();
        let text = read(&self.path, edited, self.format, governed)?;
        if let Some(problem) = text.own_metadata() {
            return Err(failure_of(&self.path, &[problem]));
        }
        let Some(before) = &self.before else {
            let recipe = self.recipe.clone().unwrap_or_default();
            self.fits(&text, &recipe)?;
            if text.covered(&recipe).is_empty() {
                return Err(Failure::usage(
                    "nothing in it is encrypted by its creation rule; it was not written",
                )
                .at(shown(&self.path)));
            }
            let sealed = seal(&self.path, &text, &recipe, None, &Change::New, keys)?;
            return Ok(Sealed { bytes: sealed.bytes, newly: sealed.newly, notes: vec![] });
        };
        let recipe = self.recipe.clone().unwrap_or_else(|| Recipe::of(&before.opened.metadata));
        self.fits(&text, &recipe)?;
        let bared = bared(&text.uncovered(&recipe), &before.opened, new_plain);
        if !bared.is_empty() {
            return Err(would_be_plain(&self.path, &bared));
        }
        let secret = read(&self.path, before.version.bytes(), self.format, governed)?;
        let deviations = secret.deviations(&recipe);
        let change = Change::from(&deviations);
        let with_places = secret.amended(&before.opened, edited).and_then(|amended| {
            let mixed = read(&self.path, &amended.bytes, self.format, governed).ok()?;
            seal(&self.path, &mixed, &recipe, Some(&amended.before), &change, keys).ok()
        });
        let sealed = match with_places {
            Some(sealed) => sealed,
            None => seal(&self.path, &text, &recipe, Some(&before.opened), &change, keys)?,
        };
        Ok(Sealed { bytes: sealed.bytes, newly: sealed.newly, notes: self.notes(&deviations) })
    }

    fn fits(&self, text: &crate::secrets::Secret<'_>, recipe: &Recipe) -> Result<(), Failure> {
        text.hidden_header(recipe).map_or(Ok(()), |problem| Err(failure_of(&self.path, &[problem])))
    }

    fn notes(&self, deviations: &[Deviation]) -> Vec<String> {
        let named = |pick: fn(&Deviation) -> Option<String>| {
            deviations.iter().filter_map(pick).collect::<Vec<_>>().join(", ")
        };
        let file = shown(&self.path);
        let mut notes = Vec::new();
        let added = named(|deviation| match deviation {
            Deviation::Missing(recipient) => Some(recipient.to_string()),
            _ => None,
        });
        if !added.is_empty() {
            notes.push(format!("{file}: by its creation rule {added} can read it now"));
        }
        let gone = named(|deviation| match deviation {
            Deviation::Extra(recipient) => Some(recipient.to_string()),
            _ => None,
        });
        if !gone.is_empty() {
            notes.push(format!("{file}: a new data key: {gone} could read it and may no longer"));
        }
        notes
    }

    /// Puts a new version in the place of the one that was opened. Where that is no longer there, nothing is
    /// written over.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path;
        put(&path, self.before.map(|before| before.version), bytes)
            .map_err(|error| file_failure(&path, &error))
    }

    /// As [`Document::write`]; where another version is in the place, the new one is written beside it, so
    /// that no work is lost.
    ///
    /// # Errors
    /// It cannot be written, or is beside the file.
    pub(crate) fn write_or_keep(self, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path;
        match put(&path, self.before.map(|before| before.version), bytes) {
            Ok(()) => Ok(()),
            Err(FileError::Changed | FileError::Exists) => Err(beside(&path, bytes)?),
            Err(error) => Err(file_failure(&path, &error)),
        }
    }
}

fn put(path: &Path, before: Option<Version>, bytes: &[u8]) -> Result<(), FileError> {
    let mut batch = Batch::default();
    batch.add(match before {
        Some(before) => Staged::replacing(&before, bytes)?,
        None => Staged::new_file(path, bytes)?,
    });
    batch.put_in_place().into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

/// Names that are tried for a version beside the file.
const MOST_BESIDE: usize = 100;

fn beside(path: &Path, bytes: &[u8]) -> Result<Failure, Failure> {
    for number in 1..=MOST_BESIDE {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 1 { ".edited".to_owned() } else { format!(".edited.{number}") });
        let beside = PathBuf::from(name);
        match put(&beside, None, bytes) {
            Err(FileError::Exists) => {}
            Err(error) => return Err(file_failure(&beside, &error)),
            Ok(()) => {
                let name = |path: &Path| edge::in_shell(shown(path).as_bytes());
                let message =
                    "it changed on the disk in the meantime; what you wrote is beside it, encrypted";
                return Ok(Failure::new(Kind::Partial, message)
                    .at(shown(path))
                    .because_of(format!("it is in {}", shown(&beside)))
                    .hint(format!("git diff --no-index {} {}", name(path), name(&beside)))
                    .hint(format!("mv {} {}   # if yours is the right one", name(&beside), name(path))));
            }
        }
    }
    Err(file_failure(path, &FileError::Changed))
}

//! Merging encrypted files: opened in memory, merged by their values, sealed again with our data key, or with
//! theirs where they alone made a new one.

use crate::secrets::{Change, Governed, Keys, Secret, failure_of, may_be_encrypted, open, read, seal, shown};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::file::{File, MacCheck, Opened, Recipe, Value};
use kubiya_policies::sops::merge::{Conflict, ConflictKind, recipe};
use kubiya_policies::sops::store::{Format, StoreSettings};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Three versions of a file.
#[derive(Clone, Copy, Debug)]
pub struct Versions<'v> {
    /// What both came from; empty where there was nothing.
    pub base: &'v [u8],
    /// Ours.
    pub ours: &'v [u8],
    /// Theirs.
    pub theirs: &'v [u8],
}

/// What came of a merge.
#[derive(Debug)]
pub enum Merged {
    /// Ours says it all.
    Ours,
    /// New bytes, encrypted.
    Sealed(Vec<u8>),
}

/// Why files are not merged.
#[derive(Debug)]
pub enum NotMerged {
    /// They contradict each other.
    Conflicts(Vec<Conflict>),
    /// They cannot be opened or sealed.
    Failure(Box<Failure>),
}

impl From<Failure> for NotMerged {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

impl From<Vec<Conflict>> for NotMerged {
    fn from(conflicts: Vec<Conflict>) -> Self {
        Self::Conflicts(conflicts)
    }
}

impl Versions<'_> {
    /// Whether one of them is an encrypted file: the others are Git's to merge.
    #[must_use]
    pub fn any_encrypted(&self, path: &Path) -> bool {
        [self.base, self.ours, self.theirs].iter().any(|bytes| is_encrypted(path, bytes))
    }
}

fn is_encrypted(path: &Path, bytes: &[u8]) -> bool {
    let format = Format::of_path(path.as_os_str().as_bytes());
    may_be_encrypted(bytes)
        && File::read(bytes, format, StoreSettings::default()).is_ok_and(|file| file.metadata().is_some())
}

/// A version, opened.
struct Version<'v> {
    secret: Secret<'v>,
    opened: Opened,
    recipe: Recipe,
    plain: Zeroizing<Vec<u8>>,
}

/// Merges three versions of a file, of which one at least is encrypted. The path tells how they are stored.
///
/// # Errors
/// All contradictions; else what keeps the files from being opened or sealed. A version whose message
/// authentication code does not fit is not merged, the base aside: nothing of it is in the result that is not
/// in one of the others.
pub fn merge(
    path: &Path,
    versions: Versions<'_>,
    governed: Option<&Governed>,
    keys: &dyn Keys,
) -> Result<Merged, NotMerged> {
    let ours = version(path, versions.ours, "ours", MacCheck::Required, governed, keys)?;
    let theirs = version(path, versions.theirs, "theirs", MacCheck::Required, governed, keys)?;
    let base = match versions.base {
        base if is_encrypted(path, base) => {
            Some(version(path, base, "the common ancestor", MacCheck::Ignored, governed, keys)?)
        }
        _ => None,
    };
    let base_plain = base.as_ref().map_or(versions.base, |base| &base.plain);
    let base_recipe = base.as_ref().map(|base| &base.recipe);
    let recipe = recipe::merge(base_recipe, &ours.recipe, &theirs.recipe);
    let plain = merged_plain(path, base_plain, &ours.plain, &theirs.plain, governed)?;
    let (recipe, plain) = match (recipe, plain) {
        (Ok(recipe), Ok(plain)) => (recipe, plain),
        (recipe, plain) => {
            let conflicts = recipe.err().into_iter().chain(plain.err()).flatten();
            return Err(conflicts.collect::<Vec<_>>().into());
        }
    };
    // A data key that they replaced, and we did not, was replaced for a reason.
    let replaced = base.as_ref().is_some_and(|base| base.opened.key == ours.opened.key)
        && theirs.opened.key != ours.opened.key;
    let before = if replaced { &theirs } else { &ours };
    let change = Change::from(&before.secret.deviations(&recipe));
    if !replaced && change == Change::Kept && recipe == ours.recipe && plain == ours.plain {
        return Ok(Merged::Ours);
    }
    let secret = read(path, &plain, None, governed)?;
    let sealed = seal(path, &secret, &recipe, Some(&before.opened), &change, keys)?;
    still_encrypted(path, &sealed.bytes, &ours.opened, &theirs.opened, keys)?;
    Ok(Merged::Sealed(sealed.bytes))
}

fn version<'v>(
    path: &Path,
    bytes: &'v [u8],
    name: &str,
    check: MacCheck,
    governed: Option<&Governed>,
    keys: &dyn Keys,
) -> Result<Version<'v>, Failure> {
    let secret = read(path, bytes, None, governed).map_err(|failure| of_version(failure, name))?;
    if secret.metadata().is_none() {
        return Err(Failure::usage(format!("it is encrypted, but not in the version of {name}"))
            .at(shown(path))
            .hint("kubectl kubiya encrypt PATH   # on the branch where it is plain; then merge again"));
    }
    let opened = open(path, &secret, keys).map_err(|failure| of_version(failure, name))?;
    let decrypted = secret
        .decrypt(&opened.key, check)
        .map_err(|problems| of_version(failure_of(path, &problems), name))?;
    let recipe = Recipe::of(&opened.metadata);
    Ok(Version { secret, opened, recipe, plain: decrypted.bytes })
}

fn of_version(failure: Failure, name: &str) -> Failure {
    failure.because_of(format!("this is the version of {name}"))
}

type Plain = Result<Zeroizing<Vec<u8>>, Vec<Conflict>>;

fn merged_plain(
    path: &Path,
    base: &[u8],
    ours: &[u8],
    theirs: &[u8],
    governed: Option<&Governed>,
) -> Result<Plain, Failure> {
    let ours = read(path, ours, None, governed)?;
    let theirs = read(path, theirs, None, governed)?;
    let base = match base {
        [] => None,
        // What was no such file before is no help.
        base => read(path, base, None, governed).ok(),
    };
    Ok(File::merge(base.as_ref(), &ours, &theirs))
}

/// Refuses a result in which something stands plain that was encrypted: one side may have changed what is
/// encrypted, or a comment may have come to stand elsewhere.
fn still_encrypted(
    path: &Path,
    sealed: &[u8],
    ours: &Opened,
    theirs: &Opened,
    keys: &dyn Keys,
) -> Result<(), NotMerged> {
    let secret = read(path, sealed, None, None)?;
    let merged = open(path, &secret, keys)?;
    let names = |sealed: bool| {
        let values = ours.values.iter().chain(&theirs.values);
        values.filter(move |value| value.sealed.is_some() == sealed).map(name).collect::<HashSet<_>>()
    };
    let (secrets, public) = (names(true), names(false));
    let released = merged.values.iter().filter(|value| value.sealed.is_none()).filter(|value| {
        let name = name(value);
        secrets.contains(&name) && !public.contains(&name)
    });
    let conflicts = released
        .map(|value| Conflict { key_path: value.key_path.clone(), kind: ConflictKind::Released })
        .collect::<Vec<_>>();
    if conflicts.is_empty() { Ok(()) } else { Err(conflicts.into()) }
}

/// A hash of a value with its keys; of a comment with its text alone.
fn name(value: &Value) -> [u8; 32] {
    let keys = if value.is_comment { "" } else { value.key_path.as_str() };
    let hash = Sha256::new().chain_update(keys.len().to_be_bytes()).chain_update(keys);
    hash.chain_update([u8::from(value.is_comment)]).chain_update(value.plain.canonical()).finalize().into()
}

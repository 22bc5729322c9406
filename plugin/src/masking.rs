//! Encrypted files as `git diff` shows them: never a value, and equal names for equal values.
//!
//! The name of a value is a keyed hash, so that nobody can find a short value by trying. The key is made once
//! in a clone and stays in its Git folder.

use crate::keys::{Ask, KeyRing, Surroundings};
use crate::secrets::may_be_encrypted;
use hmac::{Hmac, Mac as _};
use kubiya_policies::sops::file::{File, Masked};
use kubiya_policies::sops::keys::unlock;
use kubiya_policies::sops::store::{Format, StoreSettings};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where the key is in the Git folder.
const KEY_FILE: &str = "kubiya/textconv.key";

/// Bytes of a hash that are shown: names of different values are equal once in 10¹².
const SHOWN: usize = 5;

/// The key by which values get their names.
pub struct MaskingKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for MaskingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskingKey(…)")
    }
}

impl MaskingKey {
    /// Where the key of a clone is. `git_folder` is the one that all its work trees share.
    #[must_use]
    pub fn path(git_folder: &Path) -> PathBuf {
        git_folder.join(KEY_FILE)
    }

    /// The key of a clone; made where there is none.
    ///
    /// # Errors
    /// It cannot be read or made, or the file is none.
    pub fn of(git_folder: &Path) -> io::Result<Self> {
        let path = Self::path(git_folder);
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(&path)?;
                read(&path)
            }
            result => result,
        }
    }

    fn name(&self, masked: Masked<'_>) -> String {
        let Masked::Opened { place, kind, plain } = masked else { return closed(masked) };
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.0) else { return closed(masked) };
        mac.update(&(place.len() as u64).to_be_bytes());
        mac.update(place.as_bytes());
        mac.update(kind.name().as_bytes());
        mac.update(&[0]);
        mac.update(&plain.canonical());
        format!("«{} {}»", kind.name(), hex(&mac.finalize().into_bytes()))
    }
}

/// The name of a value that was not opened: by its ciphertext, which changes with every encryption.
fn closed(masked: Masked<'_>) -> String {
    match masked {
        Masked::Closed(sealed) => format!("«encrypted {}»", hex(&Sha256::digest(sealed.to_string()))),
        Masked::Opened { kind, .. } => format!("«{}»", kind.name()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(SHOWN).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read(path: &Path) -> io::Result<MaskingKey> {
    let bytes = Zeroizing::new(std::fs::read(path)?);
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(MaskingKey(Zeroizing::new(key)))
}

/// Makes a key in one step: of several commands at once, one makes it.
fn make(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *key).map_err(io::Error::other)?;
    let mut builder = tempfile::Builder::new();
    let mut file = builder.permissions(std::fs::Permissions::from_mode(0o600)).tempfile_in(folder)?;
    file.write_all(&*key)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

/// Nobody to ask, and nobody who listens.
struct Nobody;

impl Ask for Nobody {
    fn secret(&self, _question: &str) -> Option<SecretString> {
        None
    }

    fn line(&self, _question: &str) -> Option<String> {
        None
    }

    fn say(&self, _message: &str) {}

    fn warn(&self, _message: &str, _hint: &str) {}
}

/// An encrypted file with a name for each value; its path tells how it is stored. `None` for all other files:
/// those are shown as they are, broken ones too.
///
/// Only keys that open by themselves are used. Without one, and without a key for names, values are named by
/// their ciphertexts.
#[must_use]
pub fn masked(path: &Path, bytes: &[u8], key: Option<&MaskingKey>) -> Option<Vec<u8>> {
    if !may_be_encrypted(bytes) {
        return None;
    }
    let format = Format::of_path(path.as_os_str().as_bytes());
    let file = File::read(bytes, format, StoreSettings::default()).ok()?;
    let metadata = file.usable_metadata().ok()?;
    let opened = key.and_then(|_| {
        let keys = KeyRing::ambient(&Surroundings::of_process(), Arc::new(Nobody)).undisturbed();
        file.open(&unlock(metadata, &*keys).ok()?).ok()
    });
    let name = |masked: Masked<'_>| key.map_or_else(|| closed(masked), |key| key.name(masked));
    file.masked(opened.as_ref(), &name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_policies::sops::plain::Plain;
    use kubiya_policies::sops::value::ValueType;

    #[test]
    fn the_key_of_a_clone_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let first = MaskingKey::of(folder.path()).unwrap();
        assert_eq!(*first.0, *MaskingKey::of(folder.path()).unwrap().0);
        let path = MaskingKey::path(folder.path());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert!(MaskingKey::of(folder.path()).is_err());
        assert_eq!(format!("{first:?}"), "MaskingKey(…)");
    }

    #[test]
    fn names_tell_values_places_types_and_clones_apart() {
        let name = |key: u8, place, plain: &Plain| {
            let masked = Masked::Opened { place, kind: plain.kind(), plain };
            MaskingKey(Zeroizing::new([key; 32])).name(masked)
        };
        let one = name(1, "a:", &Plain::text("1"));
        assert_eq!(one, name(1, "a:", &Plain::text("1")));
        let others = [
            name(2, "a:", &Plain::text("1")),
            name(1, "b:", &Plain::text("1")),
            name(1, "a:", &Plain::text("2")),
            name(1, "a:", &Plain::Int(1)),
        ];
        assert!(others.iter().all(|other| *other != one), "{one} {others:?}");
        assert!(one.starts_with("«str ") && one.chars().count() == 16, "{one}");
        assert!(others[3].starts_with(&format!("«{} ", ValueType::Int.name())));
    }
}

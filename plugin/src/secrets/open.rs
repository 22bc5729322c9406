//! Reading a file as a secret, and opening it with the keys at hand.

use super::problems::failure_of;
use super::{Governed, Keys};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::file::{File, Opened};
use kubiya_policies::sops::keys::{DataKey, unlock};
use kubiya_policies::sops::store::{Format, StoreSettings};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A file that was read as its store does.
pub type Secret<'b> = File<'b>;

/// Reads the bytes of a file; `format` is that of its name where none is given.
///
/// # Errors
/// All that keeps it from being read, with its place.
pub fn read<'b>(
    path: &Path,
    bytes: &'b [u8],
    format: Option<Format>,
    governed: Option<&Governed>,
) -> Result<Secret<'b>, Failure> {
    let format = format.unwrap_or_else(|| Format::of_path(path.as_os_str().as_bytes()));
    let settings = governed.map_or_else(StoreSettings::default, |governed| governed.rules.stores());
    File::read(bytes, format, settings).map_err(|problems| failure_of(path, &problems))
}

/// The data key of an encrypted file.
///
/// # Errors
/// No key opens it: which were tried, and for whom it is.
pub fn unlocked(path: &Path, secret: &Secret<'_>, keys: &dyn Keys) -> Result<DataKey, Failure> {
    let metadata = secret.usable_metadata().map_err(|problem| failure_of(path, &[problem]))?;
    unlock(metadata, keys).map_err(|locked| keys.explain(&locked).at(super::shown(path)))
}

/// Opens an encrypted file with the keys at hand.
///
/// # Errors
/// No key opens it, or what in it does not open.
pub fn open(path: &Path, secret: &Secret<'_>, keys: &dyn Keys) -> Result<Opened, Failure> {
    let key = unlocked(path, secret, keys)?;
    secret.open(&key).map_err(|problems| failure_of(path, &problems))
}

//! The new identity: made or given, stored where the operator says, and read back from there.

use crate::files::{Batch, Staged};
use crate::keys::KeySource;
use crate::secrets::file_failure;
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::age::{AgeKeys, Identity, IdentityFile};
use secrecy::ExposeSecret as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where a new identity is stored before anything depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file that must not be there yet; for the owner alone.
    File(PathBuf),
}

/// The identity that comes.
pub struct NewIdentity {
    file: IdentityFile,
    recipient: String,
    /// Not stored yet.
    store: Option<Store>,
}

/// Shows the public key.
impl std::fmt::Debug for NewIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewIdentity").field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

impl NewIdentity {
    /// One that is there already, in a file or on standard input.
    ///
    /// # Errors
    /// It cannot be read, is one of a plugin, or there is more than one.
    pub fn given(source: &KeySource) -> Result<Self, Failure> {
        let file = source.read().map_err(|error| source.failure(&error))?;
        let [identity] = file.identities() else {
            let count = file.identities().len();
            return Err(
                Failure::usage(format!("there are {count} identities, and one is to come")).at(source.name())
            );
        };
        let recipient = identity.recipient().unwrap_or_default();
        Ok(Self { recipient, file, store: None })
    }

    /// A new one, made from the system's randomness.
    ///
    /// # Errors
    /// There is something where it is to be stored.
    pub fn generated(store: Store) -> Result<Self, Failure> {
        let Store::File(path) = &store;
        if path.symlink_metadata().is_ok() {
            let hint = "--new-age-key-file FILE   # if this is the new key already";
            return Err(file_failure(path, &crate::files::FileError::Exists).hint(hint));
        }
        let identity = Identity::generate();
        let recipient = identity.recipient().unwrap_or_default();
        let file = IdentityFile::parse(identity.expose_line().expose_secret().as_bytes())
            .map_err(|error| Failure::unverified("no identity could be made").because(&error))?;
        Ok(Self { file, recipient, store: Some(store) })
    }

    /// Its public key.
    #[must_use]
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// A key service with it alone.
    #[must_use]
    pub fn keys(&self) -> AgeKeys {
        AgeKeys::new(self.file.identities().to_vec())
    }

    /// Stores it, if it is not yet, and reads it back: nothing may depend on a key that is only here.
    ///
    /// # Errors
    /// It cannot be written, or another one is read back.
    pub fn store(&self) -> Result<(), Failure> {
        let Some(Store::File(path)) = &self.store else { return Ok(()) };
        let text = crate::keys::merged(None, &self.file);
        let mut batch = Batch::default();
        batch.add(Staged::new_file(path, text.as_bytes()).map_err(|error| file_failure(path, &error))?);
        if let Some((path, error)) = batch.put_in_place().into_iter().next() {
            return Err(file_failure(&path, &error));
        }
        let back = read_back(path)?;
        if back == self.file { Ok(()) } else { Err(other(path)) }
    }
}

fn read_back(path: &Path) -> Result<IdentityFile, Failure> {
    let bytes = std::fs::read(path).map(Zeroizing::new).map_err(|_| other(path))?;
    IdentityFile::parse(&bytes).map_err(|_| other(path))
}

fn other(path: &Path) -> Failure {
    Failure::unverified("the new key is not read back as it was stored, so nothing else was changed")
        .at(path.display().to_string())
}

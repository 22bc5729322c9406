//! The new identity: made or given, stored where the operator says, and read back from there.

use crate::files::{Batch, FileError, Staged};
use crate::keys::{CommandError, KeySource, key_given_to, key_printed_by, key_read_back_by, merged, proven};
use crate::secrets::file_failure;
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::age::{AgeKeys, Identity, IdentityFile};
use secrecy::ExposeSecret as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The flags of a store's commands, as places in messages.
const PUT: &str = "--store-command";
const GET: &str = "--read-back-command";

/// Where a new identity is stored before anything depends on it.
#[derive(Clone, PartialEq, Eq)]
pub enum Store {
    /// A file that must not be there yet; for the owner alone.
    File(PathBuf),
    /// Programs of a password manager or a vault.
    Command {
        /// Takes it on its standard input.
        put: String,
        /// Prints it.
        get: String,
    },
}

/// Shows no command: it may hold a password.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl Store {
    /// What to call it in messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Store::File(path) => path.display().to_string(),
            Store::Command { .. } => format!("the store of {PUT}"),
        }
    }

    /// Whatever is there already could be the only copy of a key.
    fn must_be_empty(&self) -> Result<(), Failure> {
        match self {
            Store::File(path) if path.symlink_metadata().is_ok() => {
                let hint = "--new-age-key-file FILE   # if this is the new key already";
                Err(file_failure(path, &FileError::Exists).hint(hint))
            }
            Store::Command { get, .. } => match key_read_back_by(get) {
                // A store that has nothing under a name says so with its exit code.
                Ok(there) if !there.trim_ascii().is_empty() => {
                    Err(Failure::usage("something is stored there already, which the new key would replace")
                        .at(GET)
                        .hint("--new-age-key-command COMMAND   # if this is the new key already")
                        .hint("store the new key under another name: the old one may be needed again"))
                }
                Err(error @ (CommandError::Words | CommandError::Start(_))) => {
                    Err(command_failure(GET, &error))
                }
                _ => Ok(()),
            },
            Store::File(_) => Ok(()),
        }
    }

    fn put(&self, text: &Zeroizing<String>) -> Result<(), Failure> {
        match self {
            Store::File(path) => {
                let staged = Staged::new_file(path, text.as_bytes());
                let mut batch = Batch::default();
                batch.add(staged.map_err(|error| file_failure(path, &error))?);
                match batch.put_in_place().into_iter().next() {
                    Some((path, error)) => Err(file_failure(&path, &error)),
                    None => Ok(()),
                }
            }
            Store::Command { put, .. } => {
                key_given_to(put, text.as_bytes()).map_err(|error| command_failure(PUT, &error))
            }
        }
    }

    /// What is there now; `None` where that cannot be read.
    fn get(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Store::File(path) => std::fs::read(path).map(Zeroizing::new).ok(),
            Store::Command { get, .. } => key_read_back_by(get).ok(),
        }
    }
}

/// The identity that comes.
pub struct NewIdentity {
    identity: Identity,
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
        Self::only(file, &source.name())
    }

    /// One that is there already, and that a command prints.
    ///
    /// # Errors
    /// The command fails, prints no identity or one of a plugin, or more than one.
    pub fn printed_by(command: &str) -> Result<Self, Failure> {
        let flag = "--new-age-key-command";
        let bytes = key_printed_by(command).map_err(|error| command_failure(flag, &error))?;
        let file = proven(&bytes);
        let file = file.map_err(|error| command_failure(flag, &CommandError::Output(error)))?;
        Self::only(file, flag)
    }

    fn only(file: IdentityFile, place: &str) -> Result<Self, Failure> {
        let [identity] = file.identities() else {
            let count = file.identities().len();
            return Err(Failure::usage(format!("there are {count} identities, and one is to come")).at(place));
        };
        let recipient = identity.recipient().unwrap_or_default();
        Ok(Self { identity: identity.clone(), recipient, file, store: None })
    }

    /// A new one, made from the system's randomness.
    ///
    /// # Errors
    /// There is something where it is to be stored.
    pub fn generated(store: Store) -> Result<Self, Failure> {
        store.must_be_empty()?;
        let identity = Identity::generate();
        let recipient = identity.recipient().unwrap_or_default();
        let file = IdentityFile::parse(identity.expose_line().expose_secret().as_bytes())
            .map_err(|error| Failure::unverified("no identity could be made").because(&error))?;
        Ok(Self { identity, file, recipient, store: Some(store) })
    }

    /// Its public key.
    #[must_use]
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// The identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
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
        let Some(store) = &self.store else { return Ok(()) };
        store.put(&merged(None, &self.file))?;
        let back = store.get().and_then(|bytes| IdentityFile::parse(&bytes).ok());
        if back.as_ref() == Some(&self.file) {
            return Ok(());
        }
        Err(Failure::unverified("the new key is not read back as it was stored, so nothing else was changed")
            .at(store.name())
            .hint("look at what is stored there; then run it again with another name, or with the command mended"))
    }
}

fn command_failure(flag: &str, error: &CommandError) -> Failure {
    let what = if flag == PUT { "the command did not take the new key" } else { "the command gave no key" };
    let failure = Failure::usage(what).at(flag).because(error);
    match error {
        CommandError::Start(_) | CommandError::Words => failure
            .hint("it is a program with its arguments, run without a shell: sh -c '…' where one is needed"),
        _ if flag == PUT => failure.hint(
            "what it says is not shown, because it was given the key: try it by hand with another text",
        ),
        _ => failure,
    }
}

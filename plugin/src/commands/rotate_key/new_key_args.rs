//! The flags that say where the new identity comes from, or goes.

use crate::keys::KeySource;
use crate::rotation::{NewIdentity, Store};
use clap::Args;
use kubiya_hook::edge::{Failure, in_shell};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Where the new key is, or where a new one is to be stored.
#[derive(Args)]
#[group(skip)]
#[command(next_help_heading = "New key")]
pub(crate) struct NewKeyArgs {
    /// The new key, if there is one already: a file, or `-` for standard input
    #[arg(long, value_name = "FILE", group = "new-key")]
    new_age_key_file: Option<String>,
    /// A command that prints the new key, if there is one already
    #[arg(long, value_name = "COMMAND", group = "new-key")]
    new_age_key_command: Option<String>,
    /// Make a new key and store it in this file, which must not be there yet
    #[arg(long, value_name = "FILE", group = "new-key")]
    store_key: Option<PathBuf>,
    /// Make a new key and give it to this command on its standard input, such as 'gopass insert -m infra/age'
    #[arg(long, value_name = "COMMAND", group = "new-key", requires = "read_back_command")]
    store_command: Option<String>,
    /// The command that prints what --store-command stored, such as 'gopass show infra/age': before anything
    /// depends on the new key, it must come back
    #[arg(long, value_name = "COMMAND", requires = "store_command")]
    read_back_command: Option<String>,
}

/// Shows no command: it may hold a password.
impl std::fmt::Debug for NewKeyArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKeyArgs").field("store", &self.store()).finish_non_exhaustive()
    }
}

impl NewKeyArgs {
    /// The identity that comes, made where it is to be stored; `None` where nothing of the kind was asked for.
    ///
    /// # Errors
    /// It cannot be read, or there is something where it is to be stored.
    pub(crate) fn identity(&self) -> Result<Option<NewIdentity>, Failure> {
        if let Some(file) = &self.new_age_key_file {
            return NewIdentity::given(&KeySource::from_flag(file)).map(Some);
        }
        if let Some(command) = &self.new_age_key_command {
            return NewIdentity::printed_by(command).map(Some);
        }
        self.store().map(NewIdentity::generated).transpose()
    }

    /// The flag for the next run, in which the key that this one stored is there already.
    pub(super) fn once_stored(&self) -> Option<String> {
        self.store().map(|store| match store {
            Store::File(path) => {
                format!("--new-age-key-file {}", in_shell(path.as_os_str().as_bytes()))
            }
            Store::Command { .. } => "--new-age-key-command, as it is in --read-back-command".to_owned(),
        })
    }

    /// Where a new key is to be stored, if one is to be made.
    pub(super) fn store(&self) -> Option<Store> {
        match (&self.store_key, &self.store_command, &self.read_back_command) {
            (Some(file), _, _) => Some(Store::File(file.clone())),
            (None, Some(put), Some(get)) => Some(Store::Command { put: put.clone(), get: get.clone() }),
            _ => None,
        }
    }
}

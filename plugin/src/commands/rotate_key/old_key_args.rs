//! The flags that name the key that goes.

use crate::rotation::{Clients, Scope};
use crate::secrets::Configs;
use clap::Args;
use kubiya_hook::edge::Failure;

/// Which key goes.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct OldKeyArgs {
    /// The public key that goes, or beside which another one comes; that of the key at hand, if it is clear
    #[arg(long, value_name = "RECIPIENT")]
    pub(super) old_recipient: Option<String>,
    /// The client whose key goes, in a repository with a key per client: the one key that reads the files in folders
    /// of this name, such as clients/NAME, and no others
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["old_recipient", "paths", "only_data_keys", "remove_recipient", "action"]
    )]
    pub(super) client: Option<String>,
}

impl OldKeyArgs {
    /// The recipient that the flags name, if they do. `new` is the one that comes.
    ///
    /// # Errors
    /// The client has no key of its own, or several; rules that cannot be used.
    pub(super) fn named(
        &self,
        scope: &Scope,
        configs: &Configs,
        new: &str,
    ) -> Result<Option<String>, Failure> {
        match &self.client {
            Some(client) => Clients::of(scope, configs)?.recipient(client, Some(new)).map(Some),
            None => Ok(self.old_recipient.clone()),
        }
    }

    /// A new key for a client must not be that of others.
    ///
    /// # Errors
    /// It is; rules that cannot be used.
    pub(super) fn must_fit(&self, scope: &Scope, configs: &Configs, new: &str) -> Result<(), Failure> {
        match &self.client {
            Some(client) => Clients::of(scope, configs)?.must_be_unused_elsewhere(client, new),
            None => Ok(()),
        }
    }
}

//! One change of all Secrets of a cluster, written down at each of them and told.

use super::{Course, Entries};
use crate::cluster::{LiveSecret, SecretChange};
use kubiya_hook::edge::Failure;

/// What is done to each Secret, in the words of those who read of it.
pub(super) struct Deed {
    /// What it is called while it is done.
    pub(super) name: &'static str,
    /// The reason of the event that is left at the Secret.
    pub(super) reason: &'static str,
    /// The message of that event.
    pub(super) message: String,
    /// The word of the line that is said, and its text up to the name of the Secret.
    pub(super) line: (&'static str, String),
}

impl Course<'_> {
    /// Changes each Secret of a cluster that `make` has a change for, and tells of it. `make` gets the Secret as it
    /// is now, its entries, and its place for messages. Whether anything was changed.
    ///
    /// # Errors
    /// Those of the requests and of `make`.
    pub(super) fn each_secret(
        &mut self,
        site: usize,
        deed: &Deed,
        make: impl Fn(&LiveSecret, &Entries, &str) -> Result<Option<SecretChange>, Failure>,
    ) -> Result<bool, Failure> {
        let mut changed = false;
        for secret in 0..self.sites[site].secrets.len() {
            let here = &self.sites[site];
            let made = here.change(&here.secrets[secret], deed.name, |live, entries| {
                make(live, entries, &here.place(live))
            });
            let Some(live) = self.runtime.block_on(made)? else { continue };
            changed = true;
            let message = format!("{}, by {}", deed.message, here.who());
            let reported = self.runtime.block_on(here.report(&live, deed.reason, &message));
            if let Err(error) = reported {
                self.talk.warn(&format!("no event could be left at {}: {error}", live.id()));
            }
            self.talk.did(deed.line.0, &format!("{} {}", deed.line.1, here.place(&live)));
        }
        Ok(changed)
    }
}

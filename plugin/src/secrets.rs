//! Secrets in files: which rule is for a file, and encrypting, opening and judging it by that rule.
//!
//! The format is `kubiya_policies::sops`; here it meets the disk, Git and the keys at hand.

mod change;
mod config;
mod earlier;
mod encrypt;
mod open;
mod problems;
mod random;
mod recipe;
mod select;

pub use change::{Change, Sealed, seal};
pub use config::{Configs, Governed};
pub use earlier::{Earlier, Whence};
pub(crate) use encrypt::no_rule;
pub use encrypt::{Done, Options, encrypt};
pub use open::{Secret, open, read, unlocked};
pub use problems::{failure_of, file_failure, shown};
pub use random::random;
pub use recipe::recipe_for;
pub use select::{
    Candidate, Chosen, Sought, choose, files_below, files_of, may_be_encrypted, repository_top, top_around,
};

use crate::keys::KeyRing;
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::keys::{KeyService, Locked};

/// The keys at hand, and what to say where they do not open a file.
pub trait Keys: KeyService + Sync {
    /// Which keys were tried, from where, and for whom the file is.
    fn explain(&self, locked: &Locked) -> Failure;
}

impl Keys for KeyRing {
    fn explain(&self, locked: &Locked) -> Failure {
        KeyRing::explain(self, locked)
    }
}

//! A new age key for a repository: who is to read from now on, in the rules and in the files, with new data keys.
//!
//! Everything is made and proven first; then the new identity is stored, and the files are put in place together.

mod at_commit;
mod awaiting;
mod checkout;
mod client;
mod course;
mod deed;
mod elsewhere;
mod entries;
mod exposed;
mod followed;
mod identity;
mod intent;
mod journal;
mod keeping;
mod leftover;
mod owners;
mod preflight;
mod renew;
mod retire;
mod scope;
mod site;

pub use at_commit::{Commits, For, Standing};
pub use awaiting::{Applied, kustomizations};
pub(crate) use checkout::put_in_place;
pub use checkout::{Checkout, Publish, Published, Wanted};
pub use client::Clients;
pub(crate) use course::noted;
pub use course::{Course, Ended, Talk, counted};
pub use elsewhere::Elsewhere;
pub use entries::{Entries, EntryChange, Held, MalformedEntry};
pub use exposed::{Exposed, Origin, Use, checklist, exposed, with_ticks};
pub use followed::{Followed, is_same_repository};
pub use identity::{NewIdentity, Store};
pub use intent::{CHANGED_AT, CHANGED_BY, Intent, RECIPIENTS, RETIRED_RECIPIENTS, ROTATION, short};
pub use journal::{Journal, Way};
pub use preflight::Found;
pub use renew::{DataKeys, Foreign, Renewal, Renewed, check, renew};
pub use scope::{Listing, Scope, rule_changes};
pub use site::Site;

use std::time::Duration;

/// How long the old key stays with Flux after nothing needs it, unless something else is said.
pub const RETIRE_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// What to type where a rotation stopped.
pub const GO_ON: &str = "kubectl kubiya rotate-key --continue   # when this is mended: goes on from here";

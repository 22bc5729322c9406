//! A new age key for a repository: who is to read from now on, in the rules and in the files, with new data keys.
//!
//! Everything is made and proven first; then the new identity is stored, and the files are put in place together.

mod at_commit;
mod entries;
mod identity;
mod intent;
mod renew;
mod scope;
mod site;

pub use at_commit::{Commits, For, Standing};
pub use entries::{Entries, EntryChange, Held, MalformedEntry};
pub use identity::{NewIdentity, Store};
pub use intent::{CHANGED_AT, CHANGED_BY, Intent, RECIPIENTS, RETIRED_RECIPIENTS, ROTATION, short};
pub use renew::{DataKeys, Foreign, Renewal, Renewed, renew};
pub use scope::{Scope, rule_changes};
pub use site::Site;

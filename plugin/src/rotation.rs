//! A new age key for a repository: who is to read from now on, in the rules and in the files, with new data keys.
//!
//! Everything is made and proven first; then the new identity is stored, and the files are put in place together.

mod exposed;
mod identity;
mod renew;
mod scope;

pub use exposed::{Exposed, Origin, Use, checklist, exposed, with_ticks};
pub use identity::{NewIdentity, Store};
pub use renew::{DataKeys, Foreign, Renewal, Renewed, renew};
pub use scope::{Scope, rule_changes};

//! Whose word counts: what was trusted before a push, who pushes, and what the operator decided.

mod baseline;
mod gitops;
pub mod key_index;
mod policy_changes;
mod protected;
mod pusher;
mod ruling;
mod signature;

pub use baseline::{Baseline, BaselineError, KeyFileError, key_of, key_or_new};
pub use gitops::{is_for_gitops, speaks_of_flux};
pub use key_index::KeyIndex;
pub use policy_changes::PolicyWatch;
pub use protected::judge_protected;
pub use pusher::{Pusher, repository_name};
pub use ruling::Ruling;

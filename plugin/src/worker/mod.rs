//! Worker clusters: which there are, how Flux gets into them, and whether it does.
//!
//! What Flux has on a worker is made there by the operator's own connection, used once; what it needs to
//! reach it is one Secret on the infra cluster, on which everything is written that must be known without
//! asking the worker.

mod access;
mod candidate;
mod check;
mod delivered;
mod error;
mod garden;
mod hub;
mod in_git;
mod issuer;
mod layout;
mod lifetime;
mod list;
mod many;
mod mint;
mod names;
mod obtain;
mod oidc;
mod own_key;
mod record;
mod remove;
mod renew;
mod rights;
mod store;
mod way;

pub use access::{Tenant, Who};
pub use candidate::{AddRequest, Candidate, LIFETIME, OidcTerms, Resolved, Terms, resolve};
pub use check::{Finding, Level, Report, State, check};
pub use delivered::{Applier, Item, appliers};
pub use error::{Stop, WorkerError};
pub use garden::Garden;
pub use hub::{Hub, cluster_uid};
pub use in_git::InGit;
pub use issuer::{Issuer, for_gardener};
pub use layout::Layout;
pub use lifetime::{Granted, LIVABLE, left};
pub use list::{Row, ask, list};
pub use many::{AT_ONCE, Count, Seen, look_at_all, take_in_all};
pub(crate) use names::WORKER_LABEL;
pub use names::{is_label, secret_name};
pub use obtain::Obtained;
pub use own_key::{RuleChange, key_secret_name, key_secrets, own_recipient};
pub(crate) use record::EXPIRES;
pub use record::{CredentialKind, Issued, Kept, Record, Scope, Stored, document};
pub use remove::{Fate, Removal, Removed, look, remove};
pub use renew::{Renewal, Renewed, renew};
pub use rights::{Right, as_rbac};
pub use store::{Added, Place};

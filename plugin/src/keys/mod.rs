//! Where age identities come from, and the service that opens files with them.
//!
//! [`KeyArgs`] are the flags that all commands share which decrypt; they gather a [`KeyRing`]. It reads the
//! places that sops reads, and those of ours, when the first key is asked for. [`KeySource`] is the one key
//! file that bootstrap gives to Flux.

mod args;
mod ask;
mod command;
mod explain;
mod from_cluster;
mod places;
mod plugins;
mod ring;
mod source;
#[cfg(test)]
mod tests;

pub use args::KeyArgs;
pub(crate) use ask::while_asking;
pub use ask::{Ask, Terminal};
pub use command::{CommandError, key_given_to, key_printed_by, key_read_back_by};
pub use from_cluster::keys_of_context;
pub use places::Surroundings;
pub use ring::KeyRing;
pub(crate) use source::with_identities;
pub use source::{CommandLine, HeldKey, KeyError, KeySource, merged, proven};

//! May this content be in Git?
//!
//! Pure: bytes and rules go in, findings come out. No Git, no cluster, no terminal, no file system.
//! [`check::check`] is the one entrance that the hook and the plugin use.

pub mod check;
pub mod finding;
pub mod rules;

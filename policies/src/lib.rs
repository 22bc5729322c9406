//! May this content be in Git?
//!
//! Pure: bytes and rules go in, findings come out. No Git, no cluster, no terminal, no file system.
//! [`check::check`] is the one entrance that the hook and the plugin use.
//!
//! Inside, the arrows go one way: [`yaml`] reads bytes with their positions, [`sops`] and [`rules`]
//! say what a file claims and what was asked of it, [`detect`] says what it means, and [`check`]
//! puts the three together.

mod archive;
pub mod builtin;
pub mod check;
pub mod contract;
pub mod detect;
pub mod finding;
pub mod objects;
pub mod rules;
pub mod sops;
mod template;
pub mod values;
mod words;
pub mod yaml;

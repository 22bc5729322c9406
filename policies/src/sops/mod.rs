//! The SOPS file format, and the keys that open it.
//!
//! What can be told without a key: [`value`] is one `ENC[…]`; [`block`] the metadata as data and [`metadata`]
//! what it means; [`selector`] which leaves are encrypted; [`recipient`] who can open, and [`wrapped`] what for;
//! [`state`] whether a document is encrypted as SOPS would write it; [`portable`] what of a file can be carried
//! elsewhere.
//!
//! With a key: [`keys`], [`age`] and [`shamir`] wrap and unwrap data keys; [`store`] reads a file into a
//! [`tree`] of [`plain`] values and changes it by its bytes; [`cipher`] and [`mac`] are the cryptography;
//! [`mod@file`] puts them together, and [`merge`] two versions of one. [`edit`] changes one place of a plain
//! document.

pub mod age;
pub mod block;
pub mod cipher;
pub mod edit;
pub mod file;
pub mod keys;
pub mod mac;
pub mod merge;
pub mod metadata;
mod parallel;
pub mod plain;
pub mod portable;
pub mod problem;
#[cfg(test)]
mod published;
pub mod recipient;
pub mod sealed;
pub mod selector;
pub mod shamir;
pub mod state;
pub mod store;
pub mod tree;
pub mod value;
pub mod wrapped;

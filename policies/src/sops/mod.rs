//! The SOPS file format, as far as it can be judged without a key, and the keys that open it.
//!
//! [`value`] is one `ENC[…]`; [`metadata`] the `sops` block; [`selector`] which leaves are encrypted;
//! [`recipient`] who can open; [`store`] which kind of file; [`state`] whether a document is encrypted
//! as SOPS would write it. [`keys`] and [`age`] wrap and unwrap data keys.

pub mod age;
pub mod keys;
pub mod metadata;
pub mod recipient;
pub mod selector;
pub mod state;
pub mod store;
pub mod value;

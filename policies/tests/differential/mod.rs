//! The engine for SOPS files against the real sops: random documents, encrypted by one and decrypted by the
//! other.
//!
//! Every document depends on the seed and its number alone, so a failure is repeated by both.

mod random;
mod yaml;

pub use random::Random;

/// A value that every document may have once, and what it is changed to.
const PLACEHOLDER: &str = "changeme";
const CHANGED: &str = "something else";

/// A plain document.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether decrypting what was encrypted gives exactly these bytes back.
    pub exact: bool,
    /// The same with one value changed.
    pub changed: Option<Vec<u8>>,
}

/// The YAML document of this number.
pub fn yaml(seed: u64, number: u64) -> Document {
    yaml::document(&mut Random::of(seed, number))
}

//! Reading YAML and JSON with the position of everything kept.
//!
//! [`Source`] turns bytes (with a byte order mark, UTF-16, broken UTF-8) into text and knows the
//! way back to the original bytes. [`Stream`] is the tree: documents, mappings in order with their
//! duplicate keys, scalars with style, tag and position, comments. [`readings`] gives one tree for
//! each way in which readers in the field understand the same bytes. [`resolve`] says what a plain
//! scalar means to Go programs. [`tolerant`] reads what is no YAML at all, such as a Helm template.

mod build;
mod error;
mod key_path;
mod node;
mod parse_path;
mod readings;
pub mod resolve;
mod source;
mod stretch;
mod templated;
pub mod tolerant;

pub use error::{Error, ErrorKind};
pub use key_path::{KeyPath, Step};
pub(crate) use key_path::{leaves, shown_keys};
pub(crate) use node::decode_base64;
pub use node::{Comment, Document, Entry, NodeRef, Scalar, Sort, Stream, Style, Tag};
pub use parse_path::PathError;
pub use readings::{Reading, readings};
pub use source::Source;
pub(crate) use templated::FILLING;

/// What reading may cost. Beyond it, reading ends with a typed error instead of going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the original file.
    pub bytes: usize,
    /// Levels of nesting, with aliases followed.
    pub depth: u32,
    /// Nodes of one document, with aliases followed: what a visit of the whole tree can cost.
    pub expanded_nodes: u64,
}

impl Limits {
    /// What the checks use: far above what people write, low enough for a hook with a deadline.
    pub const DEFAULT: Self = Self { bytes: 16 << 20, depth: 128, expanded_nodes: 1_000_000 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests;

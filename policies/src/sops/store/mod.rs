//! Stores: how sops lays a tree out as a file, and how we change such a file by its bytes.
//!
//! A store reads a file into [`Branch`]es whose leaves and comments carry a [`Site`], and turns
//! changes into [`Edit`]s. Nothing is ever written out anew: what no edit names stays byte for byte.

pub mod binary;
pub mod dotenv;
mod flat;
pub mod ini;
pub mod json;
mod located_json;
#[cfg(test)]
mod tests;
mod text;
mod yaml;

use std::ops::Range;

pub use flat::{Flat, FlatEntry, Format, dotenv, ini};
pub use yaml::expand_aliases;
pub(crate) use yaml::inline as yaml_inline;
use zeroize::{Zeroize as _, Zeroizing};

use super::block::Block;
use super::plain::Plain;
use super::problem::Problem;
use super::tree::{Branch, Site};
use crate::finding::Span;

/// One change: these bytes of the file become that text.
pub struct Edit {
    /// Range in the file's bytes; empty for an insertion.
    pub range: Range<usize>,
    /// What stands there afterwards.
    pub text: Vec<u8>,
    /// Whether the text may be a secret: it is wiped then.
    secret: bool,
}

impl Edit {
    /// A change of bytes. The text may be a secret.
    pub fn new(range: Range<usize>, text: impl Into<Vec<u8>>) -> Self {
        Self { range, text: text.into(), secret: true }
    }

    /// A change to what everybody may read, such as an encrypted value.
    pub fn public(range: Range<usize>, text: impl Into<Vec<u8>>) -> Self {
        Self { range, text: text.into(), secret: false }
    }
}

impl Drop for Edit {
    fn drop(&mut self) {
        if self.secret {
            self.text.zeroize();
        }
    }
}

/// Shows the place only.
impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Edit({:?}, {} bytes)", self.range, self.text.len())
    }
}

/// A file as its store reads it.
pub struct Parsed<'b> {
    /// One branch a document; without the metadata. Formats without documents have one.
    pub documents: Vec<Branch>,
    /// The metadata that counts: that of the first document. `None` where the file is not encrypted.
    pub block: Option<Block>,
    /// Keys that are there twice in one map, where the format lets them: to be refused where a file is
    /// encrypted, and to be put up with where it is decrypted. Empty for formats without such a thing.
    pub duplicate_keys: Vec<Problem>,
    /// How to change the file.
    pub layout: Box<dyn Layout + 'b>,
}

/// Shows sizes only.
impl std::fmt::Debug for Parsed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parsed")
            .field("documents", &self.documents.len())
            .field("block", &self.block.is_some())
            .finish_non_exhaustive()
    }
}

/// How a store changes one file. The edits of all calls together must not overlap.
pub trait Layout: Sync {
    /// The position of a leaf or comment, for messages.
    fn span(&self, site: Site) -> Span;

    /// Where a leaf or comment begins in the file's bytes.
    fn offset(&self, site: Site) -> usize {
        self.span(site).bytes.start
    }

    /// Whether sops reads what stands there, where it stays plain.
    ///
    /// # Errors
    ///
    /// What sops does not read.
    fn keep(&self, _site: Site) -> Result<(), Problem> {
        Ok(())
    }

    /// Puts an encrypted value (`ENC[…]`) in the place of a leaf's value.
    ///
    /// # Errors
    ///
    /// What sops could not read back at this place.
    fn seal(&self, site: Site, sealed: &str) -> Result<Vec<Edit>, Problem>;

    /// Puts a plain value in the place of a leaf's value.
    ///
    /// # Errors
    ///
    /// What the format cannot hold.
    fn open(&self, site: Site, plain: &Plain) -> Result<Vec<Edit>, Problem>;

    /// Puts a text (what follows the comment sign) in the place of a comment's.
    ///
    /// # Errors
    ///
    /// What the format cannot hold.
    fn comment(&self, site: Site, text: &str) -> Result<Vec<Edit>, Problem>;

    /// Puts the metadata into every document: where there is some, in its place; else as sops would.
    ///
    /// # Errors
    ///
    /// Where there is no place for it.
    fn stamp(&self, block: &Block) -> Result<Vec<Edit>, Problem>;

    /// Takes the metadata out of every document.
    fn strip(&self) -> Vec<Edit>;
}

/// Reads a file as its store does.
///
/// # Errors
///
/// Everything that keeps it from being read, with its place.
pub fn read(format: Format, bytes: &[u8], settings: StoreSettings) -> Result<Parsed<'_>, Vec<Problem>> {
    match format {
        Format::Yaml => yaml::read(bytes, settings),
        Format::Json => json::read(bytes, settings),
        Format::Dotenv => dotenv::read(bytes, settings),
        Format::Ini => ini::read(bytes, settings),
        Format::Binary => binary::read(bytes, settings),
    }
}

/// Settings of the `stores` section of a `.sops.yaml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreSettings {
    /// `stores.yaml.indent`: spaces for a level of the metadata; `None` for the file's own.
    pub yaml_indent: Option<u8>,
    /// `stores.json.indent`: spaces for a level, or tabs where it is negative or not given.
    pub json_indent: Option<i8>,
    /// `stores.json_binary.indent`: the same for the envelope of binary files.
    pub json_binary_indent: Option<i8>,
}

/// Applies edits to a file's bytes. What comes of it may hold secrets.
///
/// # Errors
///
/// A fault of ours: edits that overlap or reach beyond the file.
pub fn apply(bytes: &[u8], edits: Vec<Edit>) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut out = Zeroizing::new(Vec::new());
    splice(bytes, edits, &mut out)?;
    Ok(out)
}

/// The same where what comes of it holds no secret: an encrypted file.
///
/// # Errors
///
/// As [`apply`].
pub fn apply_public(bytes: &[u8], edits: Vec<Edit>) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::new();
    splice(bytes, edits, &mut out)?;
    Ok(out)
}

fn splice(bytes: &[u8], mut edits: Vec<Edit>, out: &mut Vec<u8>) -> Result<(), Problem> {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let grown = edits.iter().map(|edit| edit.text.len()).sum::<usize>();
    // Growing later would leave copies behind.
    out.reserve_exact(bytes.len() + grown);
    let mut at = 0;
    for edit in &edits {
        let between = bytes.get(at..edit.range.start).ok_or_else(Problem::overlap)?;
        out.extend_from_slice(between);
        out.extend_from_slice(&edit.text);
        at = edit.range.end;
    }
    out.extend_from_slice(bytes.get(at..).ok_or_else(Problem::overlap)?);
    Ok(())
}

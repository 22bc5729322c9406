//! An encrypted or plain file: reading, opening, sealing.
//!
//! A change is never written out anew: values, comments and metadata become edits of the file's bytes, and
//! what was made is read again, opened and compared before it is given back.

mod amend;
mod conform;
mod kubernetes;
mod masked;
mod merged;
mod open;
mod seal;
mod stamp;

pub use amend::Amended;
pub use conform::{Covered, Deviation, of_metadata};
pub use masked::Masked;
pub use open::{Decrypted, MacCheck, Opened, Value};
pub use seal::{Lock, Sealed, Sealing};

use super::metadata::Metadata;
use super::problem::{Problem, ProblemKind};
use super::recipient::KeyGroup;
use super::selector::Selector;
use super::store::{self, Format, Parsed, StoreSettings};
use super::tree::{Stop, walk};
use super::value;

/// The version of sops whose format new metadata names.
pub const VERSION: &str = "3.13.3";

/// A file as its store reads it.
#[derive(Debug)]
pub struct File<'b> {
    bytes: &'b [u8],
    format: Format,
    settings: StoreSettings,
    parsed: Parsed<'b>,
    metadata: Option<Metadata>,
}

/// How a file is to be encrypted: what a creation rule says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// Who can open it.
    pub groups: Vec<KeyGroup>,
    /// How many groups are needed; `None` is all of them.
    pub shamir_threshold: Option<u32>,
    /// What is encrypted; `None` is sops's default.
    pub selector: Option<Selector>,
    /// Whether only encrypted values are authenticated.
    pub mac_only_encrypted: bool,
}

impl Recipe {
    /// What an encrypted file says of itself.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            groups: metadata.groups.clone(),
            shamir_threshold: metadata.shamir_threshold,
            selector: metadata.selector.clone(),
            mac_only_encrypted: metadata.mac_only_encrypted,
        }
    }

    /// The selector in force for a format: a binary file is one value, whatever the rule selects (sops 3.11).
    fn selector_for(&self, format: Format) -> Selector {
        let selector = self.selector.clone().filter(|_| format != Format::Binary);
        selector.unwrap_or_default()
    }
}

impl<'b> File<'b> {
    /// Reads a file, encrypted or not.
    ///
    /// # Errors
    ///
    /// Everything that keeps it from being read, with its place.
    pub fn read(bytes: &'b [u8], format: Format, settings: StoreSettings) -> Result<Self, Vec<Problem>> {
        let parsed = store::read(format, bytes, settings)?;
        let metadata = parsed.block.as_ref().map(Metadata::of);
        Ok(Self { bytes, format, settings, parsed, metadata })
    }

    /// Its metadata; `None` where it is not encrypted.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// How it is stored.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Keys that are there twice, which sops refuses in the first document.
    pub fn duplicate_keys(&self) -> &[Problem] {
        &self.parsed.duplicate_keys
    }

    /// The metadata, as usable as opening needs it.
    ///
    /// # Errors
    ///
    /// None, or not whole.
    pub fn usable_metadata(&self) -> Result<&Metadata, Problem> {
        let metadata = self.metadata().ok_or_else(|| self.orphan())?;
        if metadata.selector_problem {
            return Err(Problem::of_file(ProblemKind::Metadata(
                "its selector is not one that sops accepts".to_owned(),
            )));
        }
        Ok(metadata)
    }
}

impl File<'_> {
    /// How often a walk of all documents stops at most.
    fn stops(&self) -> usize {
        self.parsed.documents.iter().map(|document| document.count().stops()).sum()
    }

    /// Why a file without metadata cannot be opened: it is plain, or its metadata is lost.
    fn orphan(&self) -> Problem {
        let mut orphan = None;
        for document in &self.parsed.documents {
            walk(document, &Selector::default(), &mut |visit| {
                let Stop::Leaf(plain, site) = visit.stop else { return };
                if orphan.is_none() && plain.as_text().is_some_and(|text| value::parse(text).is_ok()) {
                    let key_path = visit.key_path();
                    let span = self.parsed.layout.span(site);
                    orphan = Some(Problem::at(ProblemKind::Orphan, span).key(key_path));
                }
            });
        }
        orphan.unwrap_or_else(|| Problem::of_file(ProblemKind::NotEncrypted))
    }
}

#[cfg(test)]
mod tests;

//! Why a file cannot be encrypted, decrypted or changed. No part of a value is ever in it.

use super::value::Malformed;
use crate::finding::Span;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub kind: ProblemKind,
    /// Where in the file, where it could be told.
    pub span: Option<Span>,
    /// Which key, such as `data.password`; empty for the file as a whole.
    pub key_path: String,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The text is not what its name says; what the reader stumbled over.
    #[error("not valid {format}: {what}")]
    Syntax {
        /// `YAML`, `JSON`, `dotenv` or `INI`.
        format: &'static str,
        /// In words of a fixed list.
        what: String,
    },
    /// Not text in UTF-8.
    #[error("not text in UTF-8")]
    NotUtf8,
    /// UTF-16 or UTF-32.
    #[error("UTF-16 text: sops and Flux read UTF-8 only")]
    Utf16,
    /// A NUL in the text.
    #[error("a NUL character, which no reader of this format takes")]
    Nul,
    /// A limit on size, depth or aliases.
    #[error("{0}")]
    Limit(String),
    /// The root is a list or a scalar.
    #[error("the document is {0}; sops encrypts maps only")]
    RootNotAMap(&'static str),
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// A key that is no text.
    #[error("a key that is {0}; sops takes text as keys only")]
    KeyNotText(&'static str),
    /// A key twice in one map.
    #[error("the key is there twice: readers differ in which one they take")]
    DuplicateKey,
    /// A key that metadata is kept under.
    #[error("the key is reserved for the metadata of sops")]
    ReservedKey,
    /// An alias where it cannot stay one.
    #[error("an alias (`*…`) {0}; sops cannot read encrypted aliases")]
    Alias(&'static str),
    /// A value that sops cannot read back.
    #[error("{0}, which sops cannot read back")]
    Unreadable(&'static str),
    /// A value that reads differently in different readers.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// A value that the format cannot hold.
    #[error("the value cannot be written in this format: {0}")]
    Unwritable(&'static str),
    /// A selector that hides what an API server reads.
    #[error("would be encrypted too, and Flux could not apply the object")]
    HiddenHeader,
    /// No metadata.
    #[error("the file is not encrypted: it has no `sops` metadata")]
    NotEncrypted,
    /// An encrypted value in a file without metadata.
    #[error("an encrypted value in a file without `sops` metadata: what opens it is lost")]
    Orphan,
    /// Metadata that cannot be used.
    #[error("the `sops` metadata cannot be used: {0}")]
    Metadata(String),
    /// A plain value where the selector wants an encrypted one.
    #[error("a plain value where the file's selector wants an encrypted one")]
    Plain,
    /// A plain comment where the selector wants an encrypted one.
    #[error("a plain comment where the file's selector wants an encrypted one")]
    PlainComment,
    /// Looks encrypted and is not.
    #[error("only looks encrypted: {0}")]
    Malformed(Malformed),
    /// Does not open.
    #[error("it does not open with the file's data key at this place: it was moved, renamed or damaged")]
    DoesNotOpen,
    /// Opens, and is not of its type.
    #[error("it opens, but it is not of the type it names")]
    WrongType,
    /// The code does not fit.
    #[error("the message authentication code does not fit: {0}")]
    Mac(MacMismatch),
    /// What was written does not read back as what it was made of. A fault of ours, and nothing is written.
    #[error("a check of what would be written failed ({0})")]
    Unproven(&'static str),
}

/// How the message authentication code fails, and the likely cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacMismatch {
    /// There is none.
    #[error("there is none")]
    Missing,
    /// It is no encrypted value.
    #[error("`mac` is not an encrypted value")]
    Malformed,
    /// It does not open: `lastmodified` or `mac` was changed, as a merge does.
    #[error(
        "it does not open; `lastmodified` or `mac` was changed by itself, as a merge of two versions does"
    )]
    DoesNotOpen,
    /// All encrypted values open, so something plain was changed.
    #[error(
        "every encrypted value is whole, so a plain part was changed, or values were moved, added or taken away \
         since the file was encrypted"
    )]
    Values,
}

impl Problem {
    /// A problem of the file as a whole.
    pub fn of_file(kind: ProblemKind) -> Self {
        Self { kind, span: None, key_path: String::new() }
    }

    /// A problem at a place.
    pub fn at(kind: ProblemKind, span: Span) -> Self {
        Self { kind, span: Some(span), key_path: String::new() }
    }

    /// Names the key.
    #[must_use]
    pub fn key(mut self, key_path: impl Into<String>) -> Self {
        self.key_path = key_path.into();
        self
    }

    pub(super) fn overlap() -> Self {
        Self::of_file(ProblemKind::Unproven("changes overlap"))
    }
}

/// `line:column: key: what`.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(span) = &self.span {
            write!(f, "{}:{}: ", span.line, span.column)?;
        }
        if !self.key_path.is_empty() {
            write!(f, "{}: ", self.key_path)?;
        }
        self.kind.fmt(f)
    }
}

impl std::error::Error for Problem {}

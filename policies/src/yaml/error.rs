//! Why a text could not be read as YAML.

use std::ops::Range;

use crate::finding::Span;

/// What went wrong. The words come from a fixed list: no part of the text is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not YAML; what the parser stumbled over.
    Syntax(String),
    /// More bytes than the limit.
    TooLarge,
    /// Nested deeper than the limit.
    TooDeep,
    /// Aliases that expand beyond the limit.
    TooManyAliases,
    /// An alias inside of what it stands for.
    AliasLoop,
}

impl ErrorKind {
    /// Whether a limit was hit, as opposed to a text that is simply not YAML.
    pub fn is_limit(&self) -> bool {
        !matches!(self, Self::Syntax(_))
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax(what) => write!(f, "not valid YAML: {what}"),
            Self::TooLarge => f.write_str("larger than what is read"),
            Self::TooDeep => f.write_str("nested deeper than what is read"),
            Self::TooManyAliases => f.write_str("aliases expand to more than what is read"),
            Self::AliasLoop => f.write_str("an alias is part of what it stands for"),
        }
    }
}

/// A document that could not be read, and where reading stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Where: the position in the original bytes.
    pub span: Span,
    /// The stretch of decoded text that was given up: from the start of the document to the next one.
    pub region: Range<usize>,
    /// The number of the document in the stream, from 0.
    pub document: u32,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.span.line, self.span.column, self.kind)
    }
}

impl std::error::Error for Error {}

/// The words for a parser error. The name of the variant only: messages of the parser may quote the text.
pub(super) fn words(kind: &granit_parser::ErrorKind) -> String {
    let name = format!("{kind:?}");
    let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

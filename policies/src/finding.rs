//! What a check reports: a code, where, and never a value.

use std::ops::Range;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; never stops anything.
    Note,
    /// Shown, does not stop a commit or a push.
    Warning,
    /// Stops a commit or a push.
    Error,
}

/// The stable name of a kind of finding, `KBYnnn`. What it means is data: `policies/builtin/KBYnnn.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KBY{:03}", self.0)
    }
}

/// A stretch of the original bytes, with the position a person would name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Byte range in the file as it is stored (BOM and UTF-16 included).
    pub bytes: Range<usize>,
    /// Line of the first byte, from 1.
    pub line: u32,
    /// Column of the first byte in characters, from 1.
    pub column: u32,
}

/// Where a finding is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Path in the repository, `/`-separated, as Git stores it (bytes, not always UTF-8).
    pub path: Vec<u8>,
    /// Document of a YAML stream, from 0; `None` where the format has no documents.
    pub document: Option<u32>,
    /// Keys from the root, such as `stringData.password` or `items[2].data.token`; empty for the whole document.
    pub key_path: String,
    /// Position, where it could be told.
    pub span: Option<Span>,
}

/// One thing found. It has no field that could hold a value of the file: keys and kinds only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// What kind of finding.
    pub code: Code,
    /// How much it weighs here.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What exactly, in half a sentence, made of fixed text and names (kind, key, rule), never of values.
    pub message: String,
}

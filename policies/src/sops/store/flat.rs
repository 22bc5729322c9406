//! Stores without a tree: dotenv and INI files, with their flattened metadata.

use std::ops::Range;

use crate::sops::metadata::Metadata;
use crate::sops::selector::{Coverage, Selector};

/// How sops stores a file, told by its name as sops does (`formats.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `.yaml`, `.yml`.
    Yaml,
    /// `.json`.
    Json,
    /// `.env`.
    Dotenv,
    /// `.ini`.
    Ini,
    /// Anything else: one value in a JSON envelope.
    Binary,
}

impl Format {
    /// The format for a path; upper and lower case are not told apart, which sops does.
    pub fn of_path(path: &[u8]) -> Self {
        let lower = path.to_ascii_lowercase();
        let ends = |suffix: &str| lower.ends_with(suffix.as_bytes());
        if ends(".yaml") || ends(".yml") {
            Self::Yaml
        } else if ends(".json") {
            Self::Json
        } else if ends(".env") {
            Self::Dotenv
        } else if ends(".ini") {
            Self::Ini
        } else {
            Self::Binary
        }
    }
}

/// A value of a dotenv or INI file.
#[derive(Clone, PartialEq, Eq)]
pub struct FlatEntry {
    /// Section, for INI.
    pub section: Option<String>,
    /// Key; empty for a line that is no `key=value`.
    pub key: String,
    /// Value as written.
    pub value: String,
    /// Range of the value in the text.
    pub range: Range<usize>,
}

/// Shows the names only.
impl std::fmt::Debug for FlatEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}.{:?}", self.section, self.key)
    }
}

impl FlatEntry {
    /// Section and key, as SOPS's selectors look at them.
    pub fn path(&self) -> Vec<&str> {
        self.section.iter().map(String::as_str).chain([self.key.as_str()]).collect()
    }

    /// What a selector says of it.
    pub fn coverage(&self, selector: &Selector) -> Coverage {
        selector.covers(&self.path())
    }
}

/// A dotenv or INI file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat {
    /// The values, without the metadata.
    pub entries: Vec<FlatEntry>,
    /// The metadata, if there is any.
    pub metadata: Option<Metadata>,
}

/// Reads a dotenv file: `KEY=value`, `#` comments; quotes are part of the value to sops.
pub fn dotenv(text: &str) -> Flat {
    let mut flat = Flat::default();
    let mut metadata = Vec::new();
    for (at, line) in lines(text) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = entry(None, at, line);
        match entry.key.strip_prefix("sops_") {
            Some(name) => metadata.push((name.to_owned(), entry.value)),
            None => flat.entries.push(entry),
        }
    }
    flat.metadata = Metadata::of_flat(&unescaped(metadata));
    flat
}

/// Reads an INI file: `[section]`, `key = value`, `;` and `#` comments; the metadata is the section `sops`.
pub fn ini(text: &str) -> Flat {
    let mut flat = Flat::default();
    let mut metadata = Vec::new();
    let mut section = String::from("DEFAULT");
    for (at, line) in lines(text) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
            continue;
        }
        let entry = entry(Some(section.clone()), at, line);
        if section == "sops" {
            metadata.push((entry.key, entry.value));
        } else {
            flat.entries.push(entry);
        }
    }
    flat.metadata = Metadata::of_flat(&unescaped(metadata));
    flat
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    })
}

fn entry(section: Option<String>, at: usize, line: &str) -> FlatEntry {
    let (key, value) = line.split_once('=').unwrap_or(("", line));
    let start = at + line.len() - value.trim_start().len();
    let value = value.trim();
    FlatEntry {
        section,
        key: key.trim().to_owned(),
        value: value.to_owned(),
        range: start..start + value.len(),
    }
}

/// Metadata values with what the stores escape undone.
fn unescaped(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    let plain = |value: String| value.trim_matches('"').replace("\\n", "\n");
    pairs.into_iter().map(|(key, value)| (key, plain(value))).collect()
}

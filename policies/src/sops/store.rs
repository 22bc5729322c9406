//! Stores without a tree: dotenv and INI files, with their flattened metadata.

use std::ops::Range;

use super::metadata::Metadata;
use super::recipient::{KeyGroup, Recipient};
use super::selector::{Coverage, Selector};

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
    flat.metadata = from_flat(&metadata);
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
    flat.metadata = from_flat(&metadata);
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

/// Metadata from flattened keys such as `age__list_0__map_recipient`. `None` where fewer than two of sops's
/// own fields are there.
fn from_flat(pairs: &[(String, String)]) -> Option<Metadata> {
    let get = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.trim_matches('"').to_owned())
            .filter(|v| !v.is_empty())
    };
    let mut metadata = Metadata {
        mac: get("mac"),
        last_modified: get("lastmodified"),
        version: get("version"),
        shamir_threshold: get("shamir_threshold").and_then(|text| text.parse().ok()),
        mac_only_encrypted: get("mac_only_encrypted").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        ..Metadata::default()
    };
    for name in Selector::NAMES {
        if let Some(pattern) = get(name) {
            metadata.add_selector(name, &pattern);
        }
    }
    let mut group = KeyGroup::default();
    for (key, value) in pairs {
        if key.ends_with("__map_enc") {
            metadata.wrapped.push(value.replace("\\n", "\n"));
        }
        group.recipients.extend(flat_recipient(key, value));
    }
    let told = [&metadata.mac, &metadata.last_modified, &metadata.version].into_iter().flatten().count()
        + usize::from(!metadata.wrapped.is_empty());
    metadata.groups.push(group);
    (told >= 2).then_some(metadata)
}

fn flat_recipient(key: &str, value: &str) -> Option<Recipient> {
    let (kind, field) = key.split_once("__list_")?;
    // Within key groups, the kind stands after `key_groups__list_N__map_`.
    let kind = kind.rsplit("__map_").next()?;
    let (kind, field) = match kind {
        "key_groups" => field.split_once("__map_")?.1.split_once("__list_")?,
        _ => (kind, field),
    };
    let value = value.to_owned();
    match (kind, field.split_once("__map_")?.1) {
        ("age", "recipient") => Some(Recipient::Age(value)),
        ("pgp", "fp") => Some(Recipient::Pgp(value)),
        ("gcp_kms", "resource_id") => Some(Recipient::GcpKms(value)),
        ("hckms", "key_id") => Some(Recipient::HuaweiKms(value)),
        ("kms", "arn") => Some(Recipient::from_kms_arn(&value, None)),
        // The parts of these stand on lines of their own; the first names the place.
        ("azure_kv", "vault_url") => {
            Some(Recipient::AzureKeyVault { vault: value, name: String::new(), version: String::new() })
        }
        ("hc_vault", "vault_address") => {
            Some(Recipient::VaultTransit { address: value, engine: String::new(), key: String::new() })
        }
        _ => None,
    }
}

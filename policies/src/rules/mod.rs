//! The creation rules of a `.sops.yaml`, as sops reads them (`config/config.go`).

mod account;
pub mod change;
pub mod goregex;
mod insert;
mod problem;
mod recipients;
mod schema;

use std::sync::Arc;

pub use account::{Account, Considered};
pub use insert::{InsertError, NewRule};
pub use problem::{Problem, Problems, Weight};
pub use recipients::{RecipientChange, RecipientChangeError, add_recipient, change_recipients};

use crate::finding::Span;
use crate::sops::file::Recipe;
use crate::sops::recipient::{KeyGroup, Recipient};
use crate::sops::selector::Selector;
use crate::sops::store::StoreSettings;
use goregex::GoRegex;
use sha2::{Digest as _, Sha256};

/// The name sops looks for.
pub const FILE_NAME: &str = ".sops.yaml";

/// One creation rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which paths it is for; `None` is all of them.
    pub path_regex: Option<GoRegex>,
    /// Which leaves are encrypted; `None` is sops's default (see [`Selector::default`]).
    pub selector: Option<Selector>,
    /// Who can open the files.
    pub groups: Vec<KeyGroup>,
    /// How many groups are needed to open a file.
    pub shamir_threshold: Option<u32>,
    /// Whether only encrypted values are authenticated.
    pub mac_only_encrypted: bool,
    /// Where it is written.
    pub span: Span,
}

impl Rule {
    /// Whether the rule is for everything: without `path_regex`, or with one that matches any YAML file
    /// at the root and below. Such a rule says how to encrypt, not what must be.
    pub fn is_catch_all(&self) -> bool {
        self.path_regex.as_ref().is_none_or(|regex| regex.is_match(b"a.yaml") && regex.is_match(b"a/b.yaml"))
    }

    /// The selector in force.
    pub fn effective_selector(&self) -> Selector {
        self.selector.clone().unwrap_or_default()
    }

    /// How the rule wants files encrypted.
    pub fn recipe(&self) -> Recipe {
        Recipe {
            groups: self.groups.clone(),
            shamir_threshold: self.shamir_threshold,
            selector: self.selector.clone(),
            mac_only_encrypted: self.mac_only_encrypted,
        }
    }

    /// All recipients of all groups.
    pub fn recipients(&self) -> impl Iterator<Item = &Recipient> {
        self.groups.iter().flat_map(|group| &group.recipients)
    }

    fn matches(&self, relative: &[u8]) -> bool {
        self.path_regex.as_ref().is_none_or(|regex| regex.is_match(relative))
    }
}

/// The rules of one `.sops.yaml`.
#[derive(Clone, Debug)]
pub struct Rules {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Folder of the file, with a trailing slash unless it is the root.
    base: Vec<u8>,
    /// `None` where `creation_rules` is missing or null: sops then acts as if there were no file.
    rules: Option<Vec<Rule>>,
    stores: StoreSettings,
    destinations: usize,
    problems: Vec<Problem>,
    fingerprint: [u8; 32],
}

impl Rules {
    /// Reads a `.sops.yaml`. `config_path` is its path in the repository; its folder is what
    /// `path_regex` is relative to.
    ///
    /// # Errors
    ///
    /// What sops would refuse, with line and column, as soon as the rule is used: not YAML, wrong types,
    /// duplicate keys, two selectors in a rule, patterns that do not compile. What sops ignores, such as
    /// unknown keys, is in [`Rules::problems`].
    pub fn parse(config_path: &[u8], bytes: &[u8]) -> Result<Self, Problems> {
        let read = schema::read(bytes);
        if read.problems.iter().any(|problem| problem.weight == Weight::Error) {
            return Err(Problems(read.problems.into_iter().filter(|p| p.weight == Weight::Error).collect()));
        }
        let base =
            config_path.iter().rposition(|b| *b == b'/').map_or(&b""[..], |slash| &config_path[..=slash]);
        // The length keeps `a` + `bc` apart from `ab` + `c`.
        let hash =
            Sha256::new().chain_update(base.len().to_be_bytes()).chain_update(base).chain_update(bytes);
        let fingerprint = hash.finalize().into();
        let inner = Inner {
            base: base.to_owned(),
            rules: read.rules,
            stores: read.stores,
            destinations: read.destinations,
            problems: read.problems,
            fingerprint,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Rules that are made for one path and want all of it encrypted: what passes under them passes under any.
    /// `None` for a path that is no text, which no pattern can be made for.
    pub fn strictest(path: &[u8]) -> Option<Self> {
        let (folder, name) =
            path.split_at(path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1));
        let name = std::str::from_utf8(name).ok()?;
        let pattern: String = name.chars().map(|c| format!("\\x{{{:x}}}", u32::from(c))).collect();
        let text = format!("creation_rules: [{{path_regex: '^{pattern}$'}}]");
        Self::parse(&[folder, FILE_NAME.as_bytes()].concat(), text.as_bytes()).ok()
    }

    /// The rules, in their order; none where the file has no `creation_rules`.
    pub fn rules(&self) -> &[Rule] {
        self.inner.rules.as_deref().unwrap_or_default()
    }

    /// Whether the file has `creation_rules` at all. Without, sops acts as if there were no file; with an
    /// empty list, it refuses to encrypt.
    pub fn has_creation_rules(&self) -> bool {
        self.inner.rules.is_some()
    }

    /// What is odd in the file and does not stop sops: unknown keys, recipients that look wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.inner.problems
    }

    /// The same for the same bytes at the same place, and for nothing else: part of a cache's key.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.inner.fingerprint
    }

    /// How new files are to be laid out: the section `stores`.
    pub fn stores(&self) -> StoreSettings {
        self.inner.stores
    }

    /// How many `destination_rules` there are: `sops publish` uses them, and nothing here does.
    pub fn destination_rules(&self) -> usize {
        self.inner.destinations
    }

    /// The path as `path_regex` sees it: relative to the folder of the `.sops.yaml`; a path outside of
    /// that folder as it is.
    pub fn relative<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        path.strip_prefix(self.inner.base.as_slice()).unwrap_or(path)
    }

    /// The first rule that matches the path (relative to the repository), and its number from 0.
    pub fn for_path(&self, path: &[u8]) -> Option<(usize, &Rule)> {
        let relative = self.relative(path);
        self.rules().iter().enumerate().find(|(_, rule)| rule.matches(relative))
    }
}

#[cfg(test)]
mod tests;

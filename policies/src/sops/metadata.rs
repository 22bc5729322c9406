//! The `sops` block of a file.

use super::block::{Block, Meta};
use super::keys::WrappedKey;
use super::recipient::{KeyGroup, Recipient};
use super::selector::Selector;
use super::value::{self, ValueType};
use super::wrapped::{self, Unwrappable};
use crate::yaml::{NodeRef, Sort};

/// The metadata of an encrypted file, from any store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Key groups: one, or several of which `shamir_threshold` are needed.
    pub groups: Vec<KeyGroup>,
    /// The wrapped data keys (with more than one group: shares of it) of each group.
    pub wrapped: Vec<Vec<WrappedKey>>,
    /// How many groups are needed; `None` where it is not written.
    pub shamir_threshold: Option<u32>,
    /// The selector; `None` where none is written (see [`Selector::default`]).
    pub selector: Option<Selector>,
    /// Whether only encrypted values are authenticated.
    pub mac_only_encrypted: bool,
    /// When it was last encrypted, as written.
    pub last_modified: Option<String>,
    /// The message authentication code, as written.
    pub mac: Option<String>,
    /// The version of sops that wrote it.
    pub version: Option<String>,
    /// Names of selectors beyond the first one, or with a pattern that sops does not accept.
    pub selector_problem: bool,
    /// A field with something in it that no version of sops writes.
    pub unknown_field: bool,
}

/// What keeps metadata from being whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// No or an empty `mac`.
    #[error("`mac` is missing")]
    MacMissing,
    /// The `mac` is no encrypted digest.
    #[error("`mac` is not an encrypted digest")]
    MacMalformed,
    /// No `lastmodified`, or not a time.
    #[error("`lastmodified` is missing or not a time")]
    LastModified,
    /// No data key for anyone.
    #[error("no recipient can open it")]
    NoRecipients,
    /// A recipient without a wrapped data key.
    #[error("a recipient has no `enc`")]
    NoWrappedKey,
    /// A wrapped data key that its recipient could not open.
    #[error(transparent)]
    Wrapped(#[from] Unwrappable),
    /// More than one selector, or one that is no regular expression.
    #[error("its selector is not one that sops accepts")]
    Selector,
    /// Something is in it that sops does not write there, and would not encrypt.
    #[error("it has a field that sops does not write")]
    UnknownField,
}

/// The length of the digest: SHA-512 in hexadecimal (`sops.go`, `Encrypt`).
const MAC_BYTES: usize = 128;

/// sops's own fields: see [`tells`].
const TELLING: [&str; 12] = [
    "mac",
    "lastmodified",
    "version",
    "age",
    "pgp",
    "kms",
    "gcp_kms",
    "azure_kv",
    "hc_vault",
    "key_groups",
    "shamir_threshold",
    "hckms",
];

/// Fields of the block beside [`TELLING`], [`Selector::NAMES`]: the last one is of the first sops, in Python.
const OTHERS: [&str; 2] = ["mac_only_encrypted", "attention"];

/// Fields of a recipient, of any kind (`stores.go`; the second names of Azure's are those of its key groups).
const OF_RECIPIENTS: [&str; 18] = [
    "recipient",
    "enc",
    "created_at",
    "fp",
    "arn",
    "role",
    "context",
    "aws_profile",
    "resource_id",
    "key_id",
    "vault_url",
    "vaultUrl",
    "name",
    "key",
    "version",
    "vault_address",
    "engine_path",
    "key_name",
];

impl Metadata {
    /// Reads the block from the root of a YAML or JSON document. `None` where there is no `sops` key, or
    /// what is under it has fewer than two of sops's own fields.
    pub fn of_document(root: NodeRef<'_>) -> Option<Self> {
        root.values("sops")
            .filter(|block| block.sort() == Sort::Mapping)
            .map(Block::of_node)
            .find(tells)
            .map(|block| Self::of(&block))
    }

    /// Reads the block of a dotenv or INI file: flattened pairs, without their prefix. `None` where fewer
    /// than two of sops's own fields are there.
    pub fn of_flat(pairs: &[(String, String)]) -> Option<Self> {
        Some(Block::of_flat(pairs)).filter(tells).map(|block| Self::of(&block))
    }

    /// Reads the block itself.
    pub fn of(block: &Block) -> Self {
        let text = |name: &str| block.text(name);
        let mut metadata = Self {
            shamir_threshold: text("shamir_threshold").and_then(|text| text.parse().ok()),
            mac_only_encrypted: text("mac_only_encrypted")
                .is_some_and(|text| text.eq_ignore_ascii_case("true")),
            last_modified: text("lastmodified"),
            mac: text("mac"),
            version: text("version"),
            unknown_field: has_unknown_field(block),
            ..Self::default()
        };
        for name in Selector::NAMES {
            if let Some(pattern) = text(name) {
                metadata.add_selector(name, &pattern);
            }
        }
        metadata.read_groups(block);
        metadata
    }

    /// Takes a selector by name; a second one, or one that does not compile, is noted as a problem.
    fn add_selector(&mut self, name: &str, pattern: &str) {
        match Selector::parse(name, pattern) {
            Some(Ok(selector)) if self.selector.is_none() => self.selector = Some(selector),
            None => {}
            Some(_) => self.selector_problem = true,
        }
    }

    /// The flat form wins where both are there (`stores.go`, `internalKeygroups`).
    fn read_groups(&mut self, block: &Block) {
        self.read_group(block);
        if self.groups.iter().all(|group| group.recipients.is_empty()) {
            self.groups.clear();
            self.wrapped.clear();
            for group in block.maps("key_groups") {
                self.read_group(group);
            }
        }
    }

    fn read_group(&mut self, block: &Block) {
        let mut group = KeyGroup::default();
        let mut wrapped = Vec::new();
        for kind in Recipient::KINDS {
            for key in block.maps(kind) {
                let Some(recipient) = recipient(kind, key) else { continue };
                if let Some(enc) = key.text("enc") {
                    wrapped.push(WrappedKey { recipient: recipient.clone(), enc });
                }
                group.recipients.push(recipient);
            }
        }
        self.groups.push(group);
        self.wrapped.push(wrapped);
    }

    /// All recipients of all groups.
    pub fn recipients(&self) -> impl Iterator<Item = &Recipient> {
        self.groups.iter().flat_map(|group| &group.recipients)
    }

    /// The selector in force.
    pub fn effective_selector(&self) -> Selector {
        self.selector.clone().unwrap_or_default()
    }

    /// Whether everything is there that opening and checking the file needs.
    ///
    /// The `version` is not asked for: Flux opens files without it.
    ///
    /// # Errors
    ///
    /// The first thing that is missing.
    pub fn whole(&self) -> Result<(), Incomplete> {
        let mac = self.mac.as_deref().ok_or(Incomplete::MacMissing)?;
        let mac = value::parse(mac).map_err(|_| Incomplete::MacMalformed)?;
        if mac.kind != ValueType::Str || mac.data.len() != MAC_BYTES {
            return Err(Incomplete::MacMalformed);
        }
        if !self.last_modified.as_deref().is_some_and(looks_like_a_time) {
            return Err(Incomplete::LastModified);
        }
        if self.wrapped.iter().all(Vec::is_empty) {
            return Err(Incomplete::NoRecipients);
        }
        if self.groups.iter().zip(&self.wrapped).any(|(group, keys)| group.recipients.len() != keys.len()) {
            return Err(Incomplete::NoWrappedKey);
        }
        for key in self.wrapped.iter().flatten() {
            wrapped::check(key, self.groups.len() > 1)?;
        }
        match (self.selector_problem, self.unknown_field) {
            (true, _) => Err(Incomplete::Selector),
            (_, true) => Err(Incomplete::UnknownField),
            _ => Ok(()),
        }
    }
}

/// Whether a block has two of sops's own fields or more: what tells it from a key that happens to be `sops`.
pub(crate) fn tells(block: &Block) -> bool {
    TELLING.iter().filter(|name| block.get(name).is_some()).count() >= 2
}

/// Whether the block, a group or a recipient in it has a field that sops does not write, and not an empty one.
fn has_unknown_field(block: &Block) -> bool {
    let known =
        |name: &str| TELLING.contains(&name) || Selector::NAMES.contains(&name) || OTHERS.contains(&name);
    let groups = block.maps("key_groups");
    let keys = groups
        .chain([block])
        .flat_map(|group| Recipient::KINDS.into_iter().flat_map(|kind| group.maps(kind)));
    let of_group = |group: &Block| has_other(group, |name| Recipient::KINDS.contains(&name));
    has_other(block, known)
        || block.maps("key_groups").any(of_group)
        || keys.into_iter().any(|key| has_other(key, |name| OF_RECIPIENTS.contains(&name)))
}

fn has_other(block: &Block, known: impl Fn(&str) -> bool) -> bool {
    let empty = |value: &Meta| match value {
        Meta::Null => true,
        Meta::Text(text) => text.is_empty(),
        Meta::List(items) => items.is_empty(),
        Meta::Map(map) => map.fields.is_empty(),
        Meta::Int(_) | Meta::Bool(_) => false,
    };
    block.fields.iter().any(|(name, value)| !known(name) && !empty(value))
}

fn recipient(kind: &str, key: &Block) -> Option<Recipient> {
    let field = |name: &str| key.text(name);
    Some(match kind {
        "age" => Recipient::Age(field("recipient")?),
        "pgp" => Recipient::Pgp(field("fp")?),
        "gcp_kms" => Recipient::GcpKms(field("resource_id")?),
        "hckms" => Recipient::HuaweiKms(field("key_id")?),
        "kms" => {
            let mut context = match key.get("context") {
                Some(Meta::Map(context)) => context
                    .fields
                    .iter()
                    .map(|(name, value)| (name.clone(), value.text().unwrap_or_default()))
                    .collect(),
                _ => Vec::new(),
            };
            context.sort();
            Recipient::Kms { arn: field("arn")?, role: field("role"), context, profile: field("aws_profile") }
        }
        "azure_kv" => Recipient::AzureKeyVault {
            vault: field("vault_url").or_else(|| field("vaultUrl"))?,
            name: field("name").or_else(|| field("key"))?,
            version: field("version").unwrap_or_default(),
        },
        "hc_vault" => Recipient::VaultTransit {
            address: field("vault_address")?,
            engine: field("engine_path")?,
            key: field("key_name")?,
        },
        _ => return None,
    })
}

/// RFC 3339 with a year in which sops may have written it: nothing here knows what time it is.
fn looks_like_a_time(text: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<u32>().ok()
    };
    let marks = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    let within =
        |range, from: u32, to: u32| digits(range).is_some_and(|number| (from..=to).contains(&number));
    let zone = text.get(19..).map(|rest| rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()));
    let has_zone = zone.is_some_and(|zone| matches!(zone, "Z" | "z") || zone.trim().starts_with(['+', '-']));
    has_zone
        && marks.iter().all(|(at, mark)| text.get(*at..at + 1) == Some(mark))
        && matches!(text.get(10..11), Some("T" | "t" | " "))
        && within(0..4, 2015, 2199)
        && within(5..7, 1, 12)
        && within(8..10, 1, 31)
        && within(11..13, 0, 23)
        && within(14..16, 0, 59)
        && within(17..19, 0, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_placeholders() {
        for text in ["2026-11-21T06:00:00Z", "2019-08-31T12:59:59.123Z", "2026-01-01 00:00:00 +0000 UTC"] {
            assert!(looks_like_a_time(text), "{text}");
        }
        for text in [
            "",
            "now",
            "2026-11-21",
            "9999-12-31T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21T06:00:00",
        ] {
            assert!(!looks_like_a_time(text), "{text}");
        }
    }
}

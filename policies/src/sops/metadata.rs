//! The `sops` block of a file.

use super::recipient::{KeyGroup, Recipient};
use super::selector::Selector;
use super::value;
use crate::yaml::{NodeRef, Sort};

/// The metadata of an encrypted file, from any store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Key groups: one, or several of which `shamir_threshold` are needed.
    pub groups: Vec<KeyGroup>,
    /// Every wrapped data key, in the order of the file.
    pub wrapped: Vec<String>,
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
}

/// What keeps metadata from being whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// No or an empty `mac`.
    #[error("`mac` is missing")]
    MacMissing,
    /// The `mac` is no encrypted text.
    #[error("`mac` is not an encrypted value")]
    MacMalformed,
    /// No `lastmodified`, or not a time.
    #[error("`lastmodified` is missing or not a time")]
    LastModified,
    /// No data key for anyone.
    #[error("no recipient can open it")]
    NoRecipients,
    /// More than one selector, or one that is no regular expression.
    #[error("its selector is not one that sops accepts")]
    Selector,
}

/// The fields that tell a metadata block from a key that happens to be named `sops`.
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

impl Metadata {
    /// Reads the block from the root of a YAML or JSON document. `None` where there is no `sops` key, or
    /// what is under it has fewer than two of sops's own fields.
    pub fn of_document(root: NodeRef<'_>) -> Option<Self> {
        root.values("sops")
            .filter(|block| block.sort() == Sort::Mapping)
            .find(|block| TELLING.iter().filter(|name| block.has(name)).count() >= 2)
            .map(Self::of_block)
    }

    /// Reads the block itself.
    pub fn of_block(block: NodeRef<'_>) -> Self {
        let text = |name: &str| {
            block
                .get(name)
                .filter(|node| !node.is_empty_scalar())
                .and_then(NodeRef::text)
                .map(std::borrow::Cow::into_owned)
        };
        let mut metadata = Self {
            shamir_threshold: text("shamir_threshold").and_then(|text| text.parse().ok()),
            mac_only_encrypted: text("mac_only_encrypted")
                .is_some_and(|text| text.eq_ignore_ascii_case("true")),
            last_modified: text("lastmodified"),
            mac: text("mac"),
            version: text("version"),
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
    pub(super) fn add_selector(&mut self, name: &str, pattern: &str) {
        match Selector::parse(name, pattern) {
            Some(Ok(selector)) if self.selector.is_none() => self.selector = Some(selector),
            None => {}
            Some(_) => self.selector_problem = true,
        }
    }

    /// The flat form wins where both are there (`stores.go`, `internalKeygroups`).
    fn read_groups(&mut self, block: NodeRef<'_>) {
        let flat = self.read_group(block);
        if !flat.recipients.is_empty() {
            self.groups.push(flat);
            return;
        }
        if let Some(groups) = block.get("key_groups") {
            for group in groups.items() {
                let group = self.read_group(group);
                self.groups.push(group);
            }
        }
    }

    fn read_group(&mut self, node: NodeRef<'_>) -> KeyGroup {
        let mut group = KeyGroup::default();
        for kind in ["age", "pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms"] {
            let Some(keys) = node.get(kind) else { continue };
            for key in keys.items() {
                let field = |name: &str| {
                    key.get(name)
                        .and_then(NodeRef::text)
                        .map(std::borrow::Cow::into_owned)
                        .filter(|text| !text.is_empty())
                };
                if let Some(enc) = field("enc") {
                    self.wrapped.push(enc);
                }
                group.recipients.extend(recipient(kind, key, &field));
            }
        }
        group
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
        value::parse(mac).map_err(|_| Incomplete::MacMalformed)?;
        if !self.last_modified.as_deref().is_some_and(looks_like_a_time) {
            return Err(Incomplete::LastModified);
        }
        if self.wrapped.is_empty() || self.recipients().next().is_none() {
            return Err(Incomplete::NoRecipients);
        }
        if self.selector_problem { Err(Incomplete::Selector) } else { Ok(()) }
    }
}

fn recipient(kind: &str, key: NodeRef<'_>, field: &dyn Fn(&str) -> Option<String>) -> Option<Recipient> {
    Some(match kind {
        "age" => Recipient::Age(field("recipient")?),
        "pgp" => Recipient::Pgp(field("fp")?),
        "gcp_kms" => Recipient::GcpKms(field("resource_id")?),
        "hckms" => Recipient::HuaweiKms(field("key_id")?),
        "kms" => {
            let context = key.get("context").map(NodeRef::entries).unwrap_or_default();
            let pair = |text: Option<std::borrow::Cow<'_, str>>| text.unwrap_or_default().into_owned();
            let mut context =
                context.into_iter().map(|e| (pair(e.key.text()), pair(e.value.text()))).collect::<Vec<_>>();
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

/// RFC 3339, loosely: sops parses it strictly; here it only has to be no placeholder.
fn looks_like_a_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes.get(4) == Some(&b'-') && matches!(bytes.get(10), Some(b'T' | b't' | b' '))
}

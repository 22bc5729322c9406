//! Who can open a file.

/// One recipient, as a creation rule or a file names it. What identifies it, nothing that opens it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Recipient {
    /// An age recipient: `age1…`, a plugin's or an ssh public key.
    Age(String),
    /// An OpenPGP fingerprint.
    Pgp(String),
    /// AWS KMS.
    Kms {
        /// ARN of the key.
        arn: String,
        /// Role to assume.
        role: Option<String>,
        /// Encryption context, sorted.
        context: Vec<(String, String)>,
        /// Profile of the AWS configuration.
        profile: Option<String>,
    },
    /// Google Cloud KMS: the resource name.
    GcpKms(String),
    /// Azure Key Vault.
    AzureKeyVault {
        /// URL of the vault.
        vault: String,
        /// Name of the key.
        name: String,
        /// Version of the key.
        version: String,
    },
    /// HashiCorp Vault's transit engine.
    VaultTransit {
        /// Address of the server.
        address: String,
        /// Path of the engine.
        engine: String,
        /// Name of the key.
        key: String,
    },
    /// Huawei Cloud KMS: the key's id.
    HuaweiKms(String),
}

impl Recipient {
    /// The names of the kinds, in the order in which sops reads them (`stores.go`, `internalGroupFrom`).
    pub const KINDS: [&'static str; 7] = ["kms", "gcp_kms", "hckms", "azure_kv", "hc_vault", "pgp", "age"];

    /// The field's name of this kind in a `.sops.yaml` and in a file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Age(_) => "age",
            Self::Pgp(_) => "pgp",
            Self::Kms { .. } => "kms",
            Self::GcpKms(_) => "gcp_kms",
            Self::AzureKeyVault { .. } => "azure_kv",
            Self::VaultTransit { .. } => "hc_vault",
            Self::HuaweiKms(_) => "hckms",
        }
    }

    /// What tells it from others, without what may be spelled in several ways: the comment of an ssh key,
    /// blanks and letter case of a fingerprint, the profile that a KMS key is reached by.
    #[must_use]
    pub fn identity(&self) -> Self {
        match self {
            Self::Age(text) => {
                let words = text.split_whitespace().take(if text.trim().starts_with("ssh-") { 2 } else { 1 });
                Self::Age(words.collect::<Vec<_>>().join(" "))
            }
            Self::Pgp(fingerprint) => Self::Pgp(fingerprint.replace(' ', "").to_ascii_uppercase()),
            Self::Kms { arn, role, context, .. } => {
                Self::Kms { arn: arn.clone(), role: role.clone(), context: context.clone(), profile: None }
            }
            other => other.clone(),
        }
    }

    /// Whether both name the same key: a rule may name it by less than the file does, which has the version of an
    /// Azure key, or the whole fingerprint of an OpenPGP key.
    pub fn is(&self, other: &Self) -> bool {
        match (self.identity(), other.identity()) {
            (
                Self::AzureKeyVault { vault, name, version },
                Self::AzureKeyVault { vault: other_vault, name: other_name, version: other_version },
            ) => {
                let versions = version == other_version || version.is_empty() || other_version.is_empty();
                vault == other_vault && name == other_name && versions
            }
            (Self::Pgp(one), Self::Pgp(other)) => {
                let long = one.len() >= 16 && other.len() >= 16;
                one == other || (long && (one.ends_with(&other) || other.ends_with(&one)))
            }
            (one, other) => one == other,
        }
    }

    /// The recipient as it may be shown: what only stands in the place of a public key is no part of a message.
    #[must_use]
    pub fn nameable(&self) -> String {
        let well_formed = match self {
            Self::Age(age) => age.starts_with("age1") && age_recipient_problem(age).is_none(),
            Self::Pgp(fingerprint) => fingerprint.chars().all(|c| c.is_ascii_hexdigit()),
            _ => true,
        };
        match self {
            _ if well_formed => self.to_string(),
            Self::Age(age) if age.starts_with("ssh-") => "an ssh key".to_owned(),
            other => format!("a recipient ({})", other.kind()),
        }
    }

    /// Reads `arn` or `arn+role`, as sops accepts it in lists of KMS keys.
    pub fn from_kms_arn(text: &str, profile: Option<&str>) -> Self {
        let text = text.trim();
        let (arn, role) = match text.find("+arn:aws") {
            Some(at) => (&text[..at], Some(text[at + 1..].to_owned())),
            None => (text, None),
        };
        Self::Kms { arn: arn.to_owned(), role, context: Vec::new(), profile: profile.map(str::to_owned) }
    }

    /// Reads `https://VAULT/keys/NAME/VERSION`.
    pub fn from_azure_url(url: &str) -> Option<Self> {
        let (vault, key) = url.trim().split_once("/keys/")?;
        let (name, version) = key.split_once('/').unwrap_or((key, ""));
        let owned = str::to_owned;
        Some(Self::AzureKeyVault {
            vault: owned(vault),
            name: owned(name),
            version: owned(version.trim_end_matches('/')),
        })
    }

    /// Reads `https://HOST/v1/ENGINE/keys/NAME`.
    pub fn from_vault_uri(uri: &str) -> Option<Self> {
        let (address, path) = uri.trim().split_once("/v1/")?;
        let (engine, key) = path.rsplit_once("/keys/")?;
        let owned = str::to_owned;
        Some(Self::VaultTransit {
            address: owned(address),
            engine: owned(engine),
            key: owned(key.trim_end_matches('/')),
        })
    }
}

/// Shows the part that identifies the recipient.
impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Age(id) | Self::Pgp(id) | Self::GcpKms(id) | Self::HuaweiKms(id) => f.write_str(id),
            Self::Kms { arn, role, .. } => {
                f.write_str(arn)?;
                role.as_ref().map_or(Ok(()), |role| write!(f, "+{role}"))
            }
            Self::AzureKeyVault { vault, name, version } => write!(f, "{vault}/keys/{name}/{version}"),
            Self::VaultTransit { address, engine, key } => write!(f, "{address}/v1/{engine}/keys/{key}"),
        }
    }
}

/// Recipients any of whom can open their group's share of the data key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyGroup {
    /// The recipients, in the order of the file.
    pub recipients: Vec<Recipient>,
}

impl KeyGroup {
    /// The age recipients.
    pub fn age(&self) -> impl Iterator<Item = &str> {
        self.recipients.iter().filter_map(|recipient| match recipient {
            Recipient::Age(age) => Some(age.as_str()),
            _ => None,
        })
    }
}

/// What is wrong with an age recipient by its form; `None` for ssh keys and what looks right.
///
/// X25519 and plugin recipients are Bech32; the post-quantum kind is longer than Bech32's own limit,
/// so only its characters are looked at.
pub fn age_recipient_problem(recipient: &str) -> Option<&'static str> {
    let recipient = recipient.trim();
    if recipient.starts_with("ssh-ed25519 ") || recipient.starts_with("ssh-rsa ") {
        return None;
    }
    if !recipient.starts_with("age1") {
        return Some("is neither an age nor an ssh public key");
    }
    match bech32::primitives::decode::CheckedHrpstring::new::<Long>(recipient) {
        Ok(_) => None,
        Err(_) => Some("is not a well-formed age public key (its check sum does not fit)"),
    }
}

/// Bech32's check sum without its limit of 90 characters: age's keys are longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Long {}

impl bech32::Checksum for Long {
    type MidstateRepr = u32;
    const CODE_LENGTH: usize = 1 << 14;
    const CHECKSUM_LENGTH: usize = bech32::Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = bech32::Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = bech32::Bech32::TARGET_RESIDUE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_names_are_taken_apart() {
        let azure = Recipient::from_azure_url("https://v.vault.azure.net/keys/k/123").unwrap();
        assert_eq!(azure.to_string(), "https://v.vault.azure.net/keys/k/123");
        let vault = Recipient::from_vault_uri("https://v:8200/v1/sops/keys/one").unwrap();
        assert_eq!(vault.to_string(), "https://v:8200/v1/sops/keys/one");
        let kms = Recipient::from_kms_arn("arn:aws:kms:x:1:key/2+arn:aws:iam::1:role/r", None);
        assert!(matches!(&kms, Recipient::Kms { role: Some(role), .. } if role == "arn:aws:iam::1:role/r"));
        assert_eq!(Recipient::from_azure_url("https://v"), None);
    }

    #[test]
    fn age_recipients_are_checked_by_form() {
        let good = ::age::x25519::Identity::generate().to_public().to_string();
        assert_eq!(age_recipient_problem(&good), None);
        assert_eq!(age_recipient_problem("ssh-ed25519 AAAA me"), None);
        assert!(age_recipient_problem(&good.replace(&good[10..12], "zz")).is_some());
        assert!(age_recipient_problem("AGE").is_some());
    }
}

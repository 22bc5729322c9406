//! Which entries of a Secret Flux decrypts with (kustomize-controller `internal/decryptor`): age and PGP keys by the
//! ends of their names, credentials of key services by their whole names. All others it passes over without a word.

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Age identities: `*.agekey`.
    Age,
    /// A private key of OpenPGP: `*.asc`.
    Pgp,
    /// A token for HashiCorp Vault: `sops.vault-token`.
    VaultToken,
    /// An access key for AWS KMS: `sops.aws-kms`.
    AwsKms,
    /// Credentials for Azure Key Vault: `sops.azure-kv`.
    AzureKeyVault,
    /// Credentials for Google Cloud KMS: `sops.gcp-kms`.
    GcpKms,
}

impl EntryKind {
    /// What Flux takes an entry for by its name; `None` where it ignores it.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "sops.vault-token" => Some(Self::VaultToken),
            "sops.aws-kms" => Some(Self::AwsKms),
            "sops.azure-kv" => Some(Self::AzureKeyVault),
            "sops.gcp-kms" => Some(Self::GcpKms),
            _ if name.ends_with(".agekey") => Some(Self::Age),
            _ if name.ends_with(".asc") => Some(Self::Pgp),
            _ => None,
        }
    }

    /// What is wrong with the content of an entry of this kind: Flux would refuse the Secret, or find nothing in it.
    /// Never quotes the content. Age identities are read elsewhere.
    #[must_use]
    pub fn problem(self, content: &[u8]) -> Option<&'static str> {
        let Ok(text) = std::str::from_utf8(content) else { return Some("it is not text in UTF-8") };
        let document = || serde_yaml::from_str::<serde_json::Value>(text).unwrap_or_default();
        let has = |keys: &[&str]| {
            let document = document();
            keys.iter().all(|key| document[key].as_str().is_some_and(|value| !value.is_empty()))
        };
        match self {
            Self::Age => None,
            Self::Pgp if text.contains("-----BEGIN PGP PRIVATE KEY BLOCK-----") => None,
            Self::Pgp => Some("it is no private key of OpenPGP in armor (gpg --export-secret-keys --armor)"),
            Self::VaultToken if text.trim().is_empty() || text.trim().contains(char::is_whitespace) => {
                Some("a token is one word")
            }
            Self::VaultToken => None,
            Self::AwsKms if has(&["aws_access_key_id", "aws_secret_access_key"]) => None,
            Self::AwsKms => Some("it is no YAML with aws_access_key_id and aws_secret_access_key"),
            // Besides the tenant, one of several ways to be somebody there.
            Self::AzureKeyVault if has(&["clientId"]) || has(&["appId"]) => None,
            Self::AzureKeyVault => Some("it is no YAML or JSON with the clientId (or appId) of Azure"),
            Self::GcpKms if has(&["type"]) && text.trim_start().starts_with('{') => None,
            Self::GcpKms => Some("it is no JSON of Google's credentials, which have a `type`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flux_knows_entries_by_their_names_alone() {
        for (name, kind) in [
            ("age.agekey", Some(EntryKind::Age)),
            (".agekey", Some(EntryKind::Age)),
            ("identity.asc", Some(EntryKind::Pgp)),
            ("sops.vault-token", Some(EntryKind::VaultToken)),
            ("other.vault-token", None),
            ("sops.aws-kms", Some(EntryKind::AwsKms)),
            ("sops.azure-kv", Some(EntryKind::AzureKeyVault)),
            ("sops.gcp-kms", Some(EntryKind::GcpKms)),
            ("age.key", None),
            ("keys.txt", None),
            ("age.agekey.bak", None),
        ] {
            assert_eq!(EntryKind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn what_flux_would_refuse_is_seen_before() {
        let good = [
            (EntryKind::Pgp, "-----BEGIN PGP PRIVATE KEY BLOCK-----\n"),
            (EntryKind::VaultToken, "hvs.word\n"),
            (EntryKind::AwsKms, "aws_access_key_id: a\naws_secret_access_key: b\n"),
            (EntryKind::AzureKeyVault, "tenantId: t\nclientId: c\nclientSecret: s\n"),
            (EntryKind::GcpKms, r#"{"type": "service_account", "project_id": "p"}"#),
        ];
        for (kind, text) in good {
            assert_eq!(kind.problem(text.as_bytes()), None, "{kind:?}");
            for other in ["", "two words", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "a: [", "\u{0}\u{1}"] {
                let is_word = kind == EntryKind::VaultToken && (other == "\u{0}\u{1}");
                assert!(is_word || kind.problem(other.as_bytes()).is_some(), "{kind:?} {other:?}");
            }
            assert!(kind.problem(b"\xff").is_some());
        }
    }
}

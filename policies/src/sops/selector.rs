//! Which leaves of a file are encrypted.

use crate::rules::goregex::GoRegex;

/// The suffix that sops assumes where no selector is given (`stores.go`).
pub const DEFAULT_UNENCRYPTED_SUFFIX: &str = "_unencrypted";

/// The six selectors; a rule and a file have at most one (`sops.go`, `shouldBeEncrypted`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Everything but what is below a key with this suffix.
    UnencryptedSuffix(String),
    /// Only what is below a key with this suffix.
    EncryptedSuffix(String),
    /// Everything but what is below a matching key.
    UnencryptedRegex(GoRegex),
    /// Only what is below a matching key.
    EncryptedRegex(GoRegex),
    /// Everything but what follows a matching comment.
    UnencryptedCommentRegex(GoRegex),
    /// Only what follows a matching comment.
    EncryptedCommentRegex(GoRegex),
}

/// What a selector says of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It is encrypted.
    Encrypted,
    /// It stays plain.
    Plain,
    /// Comments decide, which are not looked at.
    ByComment,
}

impl Default for Selector {
    fn default() -> Self {
        Self::UnencryptedSuffix(DEFAULT_UNENCRYPTED_SUFFIX.to_owned())
    }
}

impl Selector {
    /// The names of the selectors, as `.sops.yaml` and files spell them.
    pub const NAMES: [&'static str; 6] = [
        "unencrypted_suffix",
        "encrypted_suffix",
        "unencrypted_regex",
        "encrypted_regex",
        "unencrypted_comment_regex",
        "encrypted_comment_regex",
    ];

    /// The name, as `.sops.yaml` and files spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnencryptedSuffix(_) => "unencrypted_suffix",
            Self::EncryptedSuffix(_) => "encrypted_suffix",
            Self::UnencryptedRegex(_) => "unencrypted_regex",
            Self::EncryptedRegex(_) => "encrypted_regex",
            Self::UnencryptedCommentRegex(_) => "unencrypted_comment_regex",
            Self::EncryptedCommentRegex(_) => "encrypted_comment_regex",
        }
    }

    /// The suffix or pattern.
    pub fn pattern(&self) -> &str {
        match self {
            Self::UnencryptedSuffix(suffix) | Self::EncryptedSuffix(suffix) => suffix,
            Self::UnencryptedRegex(regex)
            | Self::EncryptedRegex(regex)
            | Self::UnencryptedCommentRegex(regex)
            | Self::EncryptedCommentRegex(regex) => regex.as_str(),
        }
    }

    /// Makes a selector from its name and value; `None` for another name.
    ///
    /// # Errors
    ///
    /// The pattern is none that sops accepts.
    pub fn parse(name: &str, value: &str) -> Option<Result<Self, crate::rules::goregex::Unusable>> {
        let regex = || GoRegex::new(value);
        Some(match name {
            "unencrypted_suffix" => Ok(Self::UnencryptedSuffix(value.to_owned())),
            "encrypted_suffix" => Ok(Self::EncryptedSuffix(value.to_owned())),
            "unencrypted_regex" => regex().map(Self::UnencryptedRegex),
            "encrypted_regex" => regex().map(Self::EncryptedRegex),
            "unencrypted_comment_regex" => regex().map(Self::UnencryptedCommentRegex),
            "encrypted_comment_regex" => regex().map(Self::EncryptedCommentRegex),
            _ => return None,
        })
    }

    /// What it says of the leaf at this path of map keys (list positions are no part of it). Any key on
    /// the way counts, so a leaf below an encrypted map is encrypted.
    pub fn covers<S: AsRef<str>>(&self, path: &[S]) -> Coverage {
        let any = |test: &dyn Fn(&str) -> bool| path.iter().any(|key| test(key.as_ref()));
        let encrypted = match self {
            Self::UnencryptedSuffix(suffix) => !any(&|key| key.ends_with(suffix.as_str())),
            Self::EncryptedSuffix(suffix) => any(&|key| key.ends_with(suffix.as_str())),
            Self::UnencryptedRegex(regex) => !any(&|key| regex.is_match(key.as_bytes())),
            Self::EncryptedRegex(regex) => any(&|key| regex.is_match(key.as_bytes())),
            Self::UnencryptedCommentRegex(_) | Self::EncryptedCommentRegex(_) => return Coverage::ByComment,
        };
        if encrypted { Coverage::Encrypted } else { Coverage::Plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_on_the_way_counts() {
        let regex = |pattern: &str| GoRegex::new(pattern).unwrap();
        let table: &[(Selector, &[&str], Coverage)] = &[
            (Selector::default(), &["a"], Coverage::Encrypted),
            (Selector::default(), &["a_unencrypted", "b"], Coverage::Plain),
            (Selector::EncryptedSuffix("_s".into()), &["a_s", "b"], Coverage::Encrypted),
            (Selector::EncryptedSuffix("_s".into()), &["a"], Coverage::Plain),
            (Selector::EncryptedRegex(regex("^(data|stringData)$")), &["data", "x"], Coverage::Encrypted),
            (Selector::EncryptedRegex(regex("^(data|stringData)$")), &["metadata", "name"], Coverage::Plain),
            (Selector::UnencryptedRegex(regex("^kind$")), &["kind"], Coverage::Plain),
            (Selector::UnencryptedRegex(regex("^kind$")), &["spec"], Coverage::Encrypted),
            (Selector::EncryptedCommentRegex(regex("x")), &["spec"], Coverage::ByComment),
        ];
        for (selector, path, wanted) in table {
            assert_eq!(selector.covers(path), *wanted, "{selector:?} {path:?}");
        }
    }
}

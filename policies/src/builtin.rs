//! What the findings mean: the texts of `policies/builtin`, one file for each code.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::finding::Code;

/// A plaintext value in a Secret.
pub const PLAIN_SECRET: Code = Code(1);
/// A plaintext value in a file that is encrypted otherwise.
pub const PARTLY_ENCRYPTED: Code = Code(2);
/// A file that must be encrypted, by its name or by a rule, and is not.
pub const NOT_ENCRYPTED: Code = Code(3);
/// SOPS metadata with parts missing.
pub const METADATA: Code = Code(4);
/// A value that looks encrypted and is not well-formed.
pub const MALFORMED_VALUE: Code = Code(5);
/// A value in `secretGenerator.literals`.
pub const GENERATOR_LITERAL: Code = Code(6);
/// A plaintext file that a `secretGenerator` names.
pub const GENERATOR_SOURCE: Code = Code(7);
/// A patch that puts a plaintext value into a Secret.
pub const SECRET_PATCH: Code = Code(8);
/// A manifest of a plaintext Secret inside of a string.
pub const EMBEDDED_SECRET: Code = Code(9);
/// The annotation that kubectl leaves, with a plaintext Secret in it.
pub const LAST_APPLIED: Code = Code(10);
/// A private age identity.
pub const AGE_IDENTITY: Code = Code(11);
/// An OpenPGP private key.
pub const PGP_PRIVATE_KEY: Code = Code(12);
/// A private key in PEM.
pub const PEM_PRIVATE_KEY: Code = Code(13);
/// A kubeconfig with credentials.
pub const KUBECONFIG: Code = Code(14);
/// A file that cannot be judged because it cannot be read.
pub const UNREADABLE: Code = Code(15);
/// A file that cannot be judged within the limits.
pub const BEYOND_LIMITS: Code = Code(16);
/// A problem in a `.sops.yaml`.
pub const SOPS_CONFIG: Code = Code(17);
/// Recipients, groups or threshold of an encrypted file are not those of its rule.
pub const RECIPIENTS: Code = Code(18);
/// An encrypted file has another selector than its rule, or is authenticated otherwise.
pub const SELECTOR: Code = Code(19);
/// A literal under a key that is named like a credential, outside of Secrets.
pub const CREDENTIAL: Code = Code(20);
/// A credential in a plain part of an encrypted file: a comment, an annotation.
pub const PLAIN_PART: Code = Code(21);
/// A user and a password in an address.
pub const URL_CREDENTIALS: Code = Code(22);
/// A Kubernetes object whose kind is encrypted.
pub const HIDDEN_KIND: Code = Code(23);
/// A pointer to content that is kept elsewhere, where content must be encrypted.
pub const POINTER: Code = Code(24);

/// A change of the rules: who can open what, or what is covered.
pub const POLICY_CHANGED: Code = Code(25);
/// A change of the rules that leaves nobody of before.
pub const POLICY_REPLACED: Code = Code(26);
/// A change of what only some people may change.
pub const PROTECTED: Code = Code(27);
/// A wrapped data key that is at another path, too.
pub const SHARED_DATA_KEY: Code = Code(28);
/// A recipient was taken out, and the ciphertext stays.
pub const KEPT_DATA_KEY: Code = Code(29);

/// A plaintext value of a Secret that a template makes.
pub const TEMPLATE_SECRET: Code = Code(30);
/// A plaintext secret in a file of an archive.
pub const PACKED: Code = Code(31);

/// What a finding means and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// A headline.
    pub title: String,
    /// Why it matters, in a sentence or three.
    pub why: String,
    /// What to do, and what to type.
    pub fix: String,
}

const TEXTS: &[(Code, &str)] = &[
    (PLAIN_SECRET, include_str!("../builtin/KBY001.yaml")),
    (PARTLY_ENCRYPTED, include_str!("../builtin/KBY002.yaml")),
    (NOT_ENCRYPTED, include_str!("../builtin/KBY003.yaml")),
    (METADATA, include_str!("../builtin/KBY004.yaml")),
    (MALFORMED_VALUE, include_str!("../builtin/KBY005.yaml")),
    (GENERATOR_LITERAL, include_str!("../builtin/KBY006.yaml")),
    (GENERATOR_SOURCE, include_str!("../builtin/KBY007.yaml")),
    (SECRET_PATCH, include_str!("../builtin/KBY008.yaml")),
    (EMBEDDED_SECRET, include_str!("../builtin/KBY009.yaml")),
    (LAST_APPLIED, include_str!("../builtin/KBY010.yaml")),
    (AGE_IDENTITY, include_str!("../builtin/KBY011.yaml")),
    (PGP_PRIVATE_KEY, include_str!("../builtin/KBY012.yaml")),
    (PEM_PRIVATE_KEY, include_str!("../builtin/KBY013.yaml")),
    (KUBECONFIG, include_str!("../builtin/KBY014.yaml")),
    (UNREADABLE, include_str!("../builtin/KBY015.yaml")),
    (BEYOND_LIMITS, include_str!("../builtin/KBY016.yaml")),
    (SOPS_CONFIG, include_str!("../builtin/KBY017.yaml")),
    (RECIPIENTS, include_str!("../builtin/KBY018.yaml")),
    (SELECTOR, include_str!("../builtin/KBY019.yaml")),
    (CREDENTIAL, include_str!("../builtin/KBY020.yaml")),
    (PLAIN_PART, include_str!("../builtin/KBY021.yaml")),
    (URL_CREDENTIALS, include_str!("../builtin/KBY022.yaml")),
    (HIDDEN_KIND, include_str!("../builtin/KBY023.yaml")),
    (POINTER, include_str!("../builtin/KBY024.yaml")),
    (POLICY_CHANGED, include_str!("../builtin/KBY025.yaml")),
    (POLICY_REPLACED, include_str!("../builtin/KBY026.yaml")),
    (PROTECTED, include_str!("../builtin/KBY027.yaml")),
    (SHARED_DATA_KEY, include_str!("../builtin/KBY028.yaml")),
    (KEPT_DATA_KEY, include_str!("../builtin/KBY029.yaml")),
    (TEMPLATE_SECRET, include_str!("../builtin/KBY030.yaml")),
    (PACKED, include_str!("../builtin/KBY031.yaml")),
];

static EXPLANATIONS: LazyLock<BTreeMap<Code, Explanation>> = LazyLock::new(|| {
    let read = |(code, text): &(Code, &str)| Some((*code, serde_yaml::from_str(text).ok()?));
    TEXTS.iter().filter_map(read).collect()
});

static UNKNOWN: LazyLock<Explanation> = LazyLock::new(|| Explanation {
    title: "Unknown finding".to_owned(),
    why: "This version does not know the code.".to_owned(),
    fix: "Ask the version that reported it.".to_owned(),
});

/// All codes, in order.
pub fn codes() -> impl Iterator<Item = Code> {
    TEXTS.iter().map(|(code, _)| *code)
}

/// What the code means. A code that is not known gets a text that says so.
pub fn explain(code: Code) -> &'static Explanation {
    EXPLANATIONS.get(&code).unwrap_or(&UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_and_every_text_is_used() {
        assert!(codes().is_sorted_by(|one, next| one < next));
        for code in codes() {
            let text = explain(code);
            assert_ne!(text, &*UNKNOWN, "{code}");
            assert!(!text.title.ends_with('.') && text.why.ends_with('.'), "{code}");
            assert!(text.title.len() <= 60 && !text.fix.is_empty(), "{code}");
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/builtin")).unwrap().count();
        assert_eq!(files, TEXTS.len());
    }
}

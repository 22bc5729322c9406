//! The ways to encrypt that are compared: every selector, with and without a code over everything, one key group
//! and two.

use super::check::identity;
use kubiya_policies::rules::goregex::GoRegex;
use kubiya_policies::sops::file::Recipe;
use kubiya_policies::sops::recipient::{KeyGroup, Recipient};
use kubiya_policies::sops::selector::Selector;
use std::fmt::Write as _;

/// Selectors as a rule writes them; the last has none.
const SELECTORS: [Option<(&str, &str)>; 8] = [
    Some(("unencrypted_suffix", "_plain")),
    Some(("encrypted_suffix", "_enc")),
    Some(("unencrypted_regex", "^(kind|meta|k[0-9]+_name)")),
    Some(("encrypted_regex", "^(data|stringData)")),
    Some(("unencrypted_comment_regex", "plain-me")),
    Some(("encrypted_comment_regex", "enc-me")),
    None,
    None,
];

/// How many there are: every selector four times.
pub(crate) const COUNT: usize = SELECTORS.len() * 4;

fn only_encrypted(recipe: usize) -> bool {
    recipe / SELECTORS.len() % 2 == 1
}

fn groups(recipe: usize) -> usize {
    1 + usize::from(recipe / SELECTORS.len() == 3)
}

pub(crate) fn selector(recipe: usize) -> Option<(&'static str, &'static str)> {
    SELECTORS[recipe % SELECTORS.len()]
}

/// The recipe for our engine.
pub(crate) fn recipe(recipe: usize) -> Recipe {
    let selector = selector(recipe).map(|(name, pattern)| match name {
        "unencrypted_suffix" => Selector::UnencryptedSuffix(pattern.to_owned()),
        "encrypted_suffix" => Selector::EncryptedSuffix(pattern.to_owned()),
        "unencrypted_regex" => Selector::UnencryptedRegex(GoRegex::new(pattern).unwrap()),
        "encrypted_regex" => Selector::EncryptedRegex(GoRegex::new(pattern).unwrap()),
        "unencrypted_comment_regex" => Selector::UnencryptedCommentRegex(GoRegex::new(pattern).unwrap()),
        _ => Selector::EncryptedCommentRegex(GoRegex::new(pattern).unwrap()),
    });
    let group = || KeyGroup { recipients: vec![Recipient::Age(identity().recipient().unwrap())] };
    Recipe {
        groups: (0..groups(recipe)).map(|_| group()).collect(),
        shamir_threshold: None,
        selector,
        mac_only_encrypted: only_encrypted(recipe),
    }
}

/// The same for sops: rules for folders named by the numbers of the recipes.
pub(crate) fn configuration() -> String {
    let age = identity().recipient().unwrap();
    let mut text = String::from("creation_rules:\n");
    for number in 0..COUNT {
        let _ = writeln!(text, "  - path_regex: ^{number}/");
        if groups(number) == 1 {
            let _ = writeln!(text, "    age: {age}");
        } else {
            let _ = writeln!(text, "    key_groups: [{{age: [{age}]}}, {{age: [{age}]}}]");
        }
        if let Some((name, pattern)) = selector(number) {
            let _ = writeln!(text, "    {name}: '{pattern}'");
        }
        if only_encrypted(number) {
            text.push_str("    mac_only_encrypted: true\n");
        }
    }
    text
}

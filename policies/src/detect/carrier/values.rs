//! Values of charts that stand one step further from the key that names them.

use super::{Carrier, Finder, Place, What, is_plain_value};
use crate::detect::credential::{Named, Strictness, is_credential, named};
use crate::detect::literal::{is_literal, leaf_text};
use crate::yaml::{KeyPath, NodeRef, Sort, Step, leaves};

impl Finder {
    /// What is under a key, where values are applied as they are: `password: {value: x}`, `passwords: [x]`,
    /// `tokens: {admin: x}`, `secret: {data: {any: x}}`.
    pub(super) fn beneath(&mut self, key: &str, value: NodeRef<'_>, path: &mut KeyPath, place: Place) {
        if place.carrier < Carrier::Deployer || place.referring {
            return;
        }
        if named(key) == Named::Credential {
            for inner in value.values("value") {
                path.with(Step::Key("value".to_owned()), |path| self.entry(key, inner, path, place));
            }
        }
        if let Some(one) = key.strip_suffix('s').filter(|one| named(one) == Named::Credential) {
            for (index, item) in value.items().enumerate() {
                path.with(Step::Index(index), |path| self.entry(one, item, path, place));
            }
            // Beside credentials may be settings: only what a machine made counts.
            for entry in value.entries() {
                path.with(Step::key(entry.key), |path| self.entry("secret", entry.value, path, place));
            }
        }
        if is_section_of_secret(key, path) {
            leaves(value, path, &mut |path, node| {
                if is_plain_value(node) && leaf_text(node).is_some_and(|text| is_literal(&text)) {
                    self.hit(What::Value, place.carrier, path, node);
                }
            });
        }
    }

    /// `--password` and its value as the next argument.
    pub(super) fn flags(&mut self, list: NodeRef<'_>, path: &mut KeyPath, place: Place) {
        let items = list.items().collect::<Vec<_>>();
        for (index, pair) in items.windows(2).enumerate() {
            let [flag, value] = pair else { continue };
            let Some(name) = flag.text().and_then(|text| text.strip_prefix("--").map(str::to_owned)) else {
                continue;
            };
            let text =
                leaf_text(*value).filter(|text| !text.starts_with('-') && value.sort() == Sort::Scalar);
            if text.is_some_and(|text| is_credential(&name, &text, Strictness::Anywhere)) {
                path.with(Step::Index(index + 1), |path| self.hit(What::Value, place.carrier, path, *value));
            }
        }
    }
}

/// `stringData` is found in Secrets only; `data` below something that is called one.
fn is_section_of_secret(key: &str, path: &KeyPath) -> bool {
    let keys = path.keys();
    let above = keys.iter().rev().skip(1).take(2);
    let called = |name: &&&str| matches!(name.to_ascii_lowercase().as_str(), "secret" | "secrets");
    key == "stringData" || (key == "data" && above.into_iter().any(|name| called(&name)))
}

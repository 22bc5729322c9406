//! Kubeconfigs with credentials in them.

use super::literal::is_literal;
use crate::finding::Span;
use crate::sops::state::{Leaf, leaf};
use crate::yaml::{KeyPath, NodeRef, Sort, Step, leaves};

/// What kubectl prints in place of credentials.
const REDACTED: [&str; 2] = ["REDACTED", "DATA+OMITTED"];

/// The fields of a user that are credentials.
const CREDENTIALS: [&str; 4] = ["token", "client-key-data", "password", "auth-provider"];

/// The credentials of a kubeconfig, where each is; nothing for other documents.
///
/// Told by its structure: `users` with a `user` each, beside `clusters`, `contexts` or `kind: Config`.
pub fn find(root: NodeRef<'_>) -> Vec<(KeyPath, Span)> {
    let mut found = Vec::new();
    let is_config = root.says("kind", "Config") || root.has("clusters") || root.has("contexts");
    if root.sort() != Sort::Mapping || !is_config {
        return found;
    }
    for users in root.values("users") {
        for (index, item) in users.items().enumerate() {
            for user in item.values("user") {
                credentials(index, user, &mut found);
            }
        }
    }
    found
}

fn credentials(index: usize, user: NodeRef<'_>, found: &mut Vec<(KeyPath, Span)>) {
    for name in CREDENTIALS {
        for value in user.values(name) {
            // Of a provider, only its tokens.
            let tokens = name == "auth-provider";
            let mut path = KeyPath::of(&["users"]);
            path.with(Step::Index(index), |path| {
                path.with(Step::Key("user".to_owned()), |path| {
                    path.with(Step::Key(name.to_owned()), |path| {
                        leaves(value, path, &mut |path, node| {
                            let wanted = !tokens || path.keys().iter().any(|key| key.contains("token"));
                            if wanted && is_credential(node) {
                                found.push((path.clone(), node.span()));
                            }
                        });
                    });
                });
            });
        }
    }
}

fn is_credential(node: NodeRef<'_>) -> bool {
    let text = node.text().unwrap_or_default();
    matches!(leaf(node), Leaf::Plain | Leaf::Malformed(_))
        && !REDACTED.contains(&text.as_ref())
        && is_literal(&text)
}

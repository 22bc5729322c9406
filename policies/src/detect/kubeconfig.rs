//! Kubeconfigs with credentials in them.

use super::credential::{Named, named};
use super::literal::is_literal;
use crate::finding::Span;
use crate::sops::state::{Leaf, leaf};
use crate::yaml::{KeyPath, Limits, NodeRef, Sort, Source, Step, leaves, readings};

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
                variables(index, user, &mut found);
            }
        }
    }
    found
}

/// The strings of a document that hold a kubeconfig with credentials, also in base64: where each string is.
pub fn find_in_strings(root: NodeRef<'_>) -> Vec<(KeyPath, Span)> {
    let mut found = Vec::new();
    leaves(root, &mut KeyPath::root(), &mut |path, node| {
        let Some(text) = node.text() else { return };
        let encoded = path.keys().contains(&"binaryData");
        let decoded = if encoded { crate::yaml::decode_base64(&text) } else { None };
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = decoded.as_deref().unwrap_or(&text);
        if text.contains("users") && text.contains("user") && text.contains(['\n', '{']) {
            let source = Source::new(text.as_bytes());
            let streams = readings(&source, Limits::DEFAULT);
            let mut roots = streams.iter().flat_map(|(_, stream)| stream.documents());
            if roots.any(|(_, root)| !find(root).is_empty()) {
                found.push((path.clone(), node.span()));
            }
        }
    });
    found
}

/// Variables of the program that fetches a token.
fn variables(index: usize, user: NodeRef<'_>, found: &mut Vec<(KeyPath, Span)>) {
    let lists = user.values("exec").flat_map(|exec| exec.values("env").collect::<Vec<_>>());
    for (at, variable) in lists.flat_map(NodeRef::items).enumerate() {
        let names = variable.values("name").filter_map(NodeRef::text).collect::<Vec<_>>();
        for value in variable.values("value").filter(|value| is_credential(*value)) {
            if names.iter().any(|name| named(name) == Named::Credential) {
                let mut path = KeyPath::of(&["users"]);
                path.push(Step::Index(index));
                let mut path = path.below(&["user", "exec", "env"]);
                path.push(Step::Index(at));
                found.push((path.below(&["value"]), value.span()));
            }
        }
    }
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

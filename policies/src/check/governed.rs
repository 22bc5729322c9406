//! What must be encrypted: the one predicate.

use super::class::{PathClass, PathKind};
use crate::contract::Role;
use crate::detect::literal::leaf_text;
use crate::detect::secret;
use crate::rules::Rules;
use crate::sops::selector::{Coverage, Selector};
use crate::sops::store::Flat;
use crate::yaml::{KeyPath, NodeRef, Sort, leaves};

/// Why a file must be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It holds a Secret.
    Secret,
    /// A generator or patch of a kustomization makes a Secret of it.
    Generated,
    /// Its name says that it is encrypted.
    Name,
    /// A creation rule, by number, is made for it.
    Rule(usize),
}

/// A content to be judged.
#[derive(Clone, Copy, Debug)]
pub enum Content<'c> {
    /// A YAML or JSON document.
    Document(NodeRef<'c>),
    /// A dotenv or INI file.
    Flat(&'c Flat),
    /// Anything else, not empty.
    Whole,
}

/// Whether, and why, a content at a path must be encrypted:
///
/// * it is a Secret by structure, or becomes one;
/// * or its name claims it (`*.sops.*`, `*.enc.*`);
/// * or a creation rule matches it, it is no Kubernetes object, kustomization, chart or `.sops.yaml`, the
///   rule's selector hits a non-empty leaf, and the rule is no catch-all.
///
/// A rule `.*\.yaml` with `^(data|stringData)$` therefore does not make every ConfigMap a finding.
pub fn must_encrypt(
    class: &PathClass,
    rules: Option<&Rules>,
    role: Role,
    content: Content<'_>,
) -> Option<Reason> {
    if let Content::Document(root) = content
        && secret::contains_secret(root)
    {
        return Some(Reason::Secret);
    }
    if role == Role::SecretSource && hits(content, None) {
        return Some(Reason::Generated);
    }
    if matches!(content, Content::Document(root) if is_sops_config(root)) {
        return None;
    }
    if class.claimed && hits(content, None) {
        return Some(Reason::Name);
    }
    let number = class.rule.filter(|_| class.kind == PathKind::Plain)?;
    let rule = rules?.rules().get(number)?;
    let object = matches!(content, Content::Document(root) if is_kubernetes_object(root));
    // sops stores what is no tree as one value, whatever the selector says (since 3.11).
    let selector = rule.effective_selector();
    (!object && hits(content, Some(&selector))).then_some(Reason::Rule(number))
}

/// Whether a leaf that is not empty is covered by the selector; without one, whether there is any.
fn hits(content: Content<'_>, selector: Option<&Selector>) -> bool {
    match content {
        Content::Whole => true,
        Content::Flat(flat) => flat.entries.iter().any(|entry| {
            !entry.value.is_empty() && selector.is_none_or(|s| entry.coverage(s) == Coverage::Encrypted)
        }),
        Content::Document(root) => {
            let mut hit = false;
            covered_leaves(root, selector, &mut |_, _| hit = true);
            hit
        }
    }
}

/// Calls back for every non-empty leaf of a document, the metadata aside, that the selector covers.
pub(super) fn covered_leaves<'t>(
    root: NodeRef<'t>,
    selector: Option<&Selector>,
    visit: &mut dyn FnMut(&KeyPath, NodeRef<'t>),
) {
    leaves(root, &mut KeyPath::root(), &mut |path, node| {
        let keys = path.keys();
        let covered = selector.is_none_or(|selector| selector.covers(&keys) == Coverage::Encrypted);
        if covered && keys.first() != Some(&"sops") && leaf_text(node).is_none_or(|text| !text.is_empty()) {
            visit(path, node);
        }
    });
}

/// `apiVersion` and `kind`, or a list of such.
fn is_kubernetes_object(root: NodeRef<'_>) -> bool {
    let object = |node: NodeRef<'_>| node.has("apiVersion") && node.has("kind");
    match root.sort() {
        Sort::Sequence => root.items().next().is_some() && root.items().all(object),
        _ => object(root),
    }
}

/// A `.sops.yaml` under another name, such as `prod.sops.yaml`, for `sops --config`.
fn is_sops_config(root: NodeRef<'_>) -> bool {
    root.get("creation_rules").is_some_and(|rules| rules.sort() == Sort::Sequence)
}

//! Values that a kustomization puts into fields of Secrets: `replacements`, and the transformer that adds a value.

use crate::detect::literal::is_literal;
use crate::finding::Span;
use crate::yaml::{KeyPath, NodeRef, Sort, Step};

/// Looks at a kustomization or at the configuration of a transformer.
pub(super) fn find(root: NodeRef<'_>, path: &KeyPath, found: &mut Vec<(KeyPath, Span)>) {
    for list in root.values("replacements") {
        for (index, item) in list.items().enumerate() {
            let path = path.below(&["replacements"]).with(Step::Index(index), |path| path.clone());
            value_for_targets(item, "sourceValue", &path, found);
        }
    }
    // A replacement in a file of its own, and a transformer.
    value_for_targets(root, "sourceValue", path, found);
    if root.says("kind", "ValueAddTransformer") {
        value_for_targets(root, "value", path, found);
    }
}

fn value_for_targets(item: NodeRef<'_>, name: &str, path: &KeyPath, found: &mut Vec<(KeyPath, Span)>) {
    if item.sort() != Sort::Mapping || !item.values("targets").flat_map(NodeRef::items).any(is_secret_field) {
        return;
    }
    for value in item.values(name) {
        if value.text().is_some_and(|text| is_literal(&text)) {
            found.push((path.below(&[name]), value.span()));
        }
    }
}

/// Whether a target is a value of a Secret, or of what is not said to be something else.
fn is_secret_field(target: NodeRef<'_>) -> bool {
    let mut selectors = target.values("select").chain(target.values("selector")).peekable();
    let may_be_secret = |selector: NodeRef<'_>| {
        let kind = selector.get("kind").and_then(NodeRef::text);
        kind.map_or(!selector.has("group"), |kind| {
            kind.split('|').any(|name| name == "Secret" || name.contains('*'))
        })
    };
    let secret = selectors.peek().is_none() || selectors.any(may_be_secret);
    let lists = target.values("fieldPaths").flat_map(NodeRef::items);
    let mut fields = lists.chain(target.values("fieldPath")).filter_map(NodeRef::text);
    let names_value = |field: &str| {
        let first = field.split(['.', '/', '[']).find(|part| !part.is_empty());
        matches!(first, Some("data" | "stringData"))
    };
    secret && fields.any(|field| names_value(&field))
}

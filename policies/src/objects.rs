//! Kubernetes objects of a file, as far as somebody wants to know whether they changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::values::ValueHash;
use crate::yaml::{KeyPath, Limits, NodeRef, Sort, Source, leaves, readings};

/// An object, or a field of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Kind of the object; empty where the file cannot be read.
    pub kind: String,
    /// Its namespace, as written.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The field; empty for the whole object.
    pub field: String,
}

/// What the parts of a file hold, as hashes. Comments and layout are not in them.
///
/// `kinds` are the kinds to look at, all where it is empty; `fields` the fields, the whole object where it is
/// empty. A file that cannot be read is one part with all of its bytes.
pub fn parts(bytes: &[u8], kinds: &[String], fields: &[Vec<String>]) -> BTreeMap<Part, BTreeSet<ValueHash>> {
    let source = Source::new(bytes);
    let mut parts = BTreeMap::new();
    for (_, stream) in readings(&source, Limits::DEFAULT) {
        if !stream.errors().is_empty() {
            let unread = Part {
                kind: String::new(),
                namespace: String::new(),
                name: String::new(),
                field: String::new(),
            };
            parts.insert(unread, BTreeSet::from([ValueHash::of(&[bytes])]));
        }
        for (_, root) in stream.documents() {
            object(root, kinds, fields, &mut parts);
        }
    }
    parts
}

fn object(
    node: NodeRef<'_>,
    kinds: &[String],
    fields: &[Vec<String>],
    parts: &mut BTreeMap<Part, BTreeSet<ValueHash>>,
) {
    if node.sort() == Sort::Sequence {
        return node.items().for_each(|item| object(item, kinds, fields, parts));
    }
    for items in node.values("items").filter(|items| items.sort() == Sort::Sequence) {
        items.items().for_each(|item| object(item, kinds, fields, parts));
    }
    // A key that is there twice is read in both ways.
    for kind in node.values("kind").filter_map(NodeRef::text) {
        if !kinds.is_empty() && !kinds.iter().any(|wanted| *wanted == kind) {
            continue;
        }
        let metadata = node.get("metadata");
        let text = |key: &str| {
            let text = metadata.and_then(|metadata| metadata.get(key)?.text());
            text.unwrap_or_default().into_owned()
        };
        let part = |field: &str| Part {
            kind: kind.clone().into_owned(),
            namespace: text("namespace"),
            name: text("name"),
            field: field.to_owned(),
        };
        if fields.is_empty() {
            collect(node, &mut KeyPath::root(), parts.entry(part("")).or_default());
        }
        for field in fields {
            let mut below = vec![node];
            for key in field {
                below = below.into_iter().flat_map(|node| node.values(key)).collect();
            }
            for value in below {
                collect(value, &mut KeyPath::root(), parts.entry(part(&field.join("."))).or_default());
            }
        }
    }
}

fn collect(node: NodeRef<'_>, path: &mut KeyPath, into: &mut BTreeSet<ValueHash>) {
    leaves(node, path, &mut |path, leaf| {
        let text = leaf.text().unwrap_or_else(|| leaf.source_text().unwrap_or_default().into());
        into.insert(ValueHash::of(&[path.to_string().as_bytes(), text.as_bytes()]));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str, kinds: &[&str], fields: &[&str]) -> Vec<String> {
        let kinds: Vec<_> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let fields: Vec<Vec<_>> =
            fields.iter().map(|field| field.split('.').map(str::to_owned).collect()).collect();
        let parts = parts(text.as_bytes(), &kinds, &fields);
        parts
            .into_keys()
            .map(|part| format!("{}/{}/{}/{}", part.kind, part.namespace, part.name, part.field))
            .collect()
    }

    const TWO: &str = "kind: Kustomization\nmetadata: {name: a, namespace: n}\nspec: {kubeConfig: {secretRef: {name: k}}, path: ./x}\n---\nkind: List\nitems: [{kind: Secret, metadata: {name: s}}]\n";

    #[test]
    fn objects_are_found_at_any_place_by_kind_and_field() {
        assert_eq!(keys(TWO, &["Secret"], &[]), ["Secret//s/"]);
        assert_eq!(keys(TWO, &[], &["spec.kubeConfig"]), ["Kustomization/n/a/spec.kubeConfig"]);
        assert_eq!(keys(TWO, &["Kustomization"], &["spec.decryption"]), [""; 0]);
        assert_eq!(keys("a: [", &[], &[]), ["///"]);
    }

    #[test]
    fn layout_is_no_change_and_a_value_is() {
        let of = |text: &str| parts(text.as_bytes(), &[], &[]);
        let one = of("kind: Secret\nmetadata: {name: s}\ndata: {a: b}\n");
        assert_eq!(one, of("# x\nkind: Secret\ndata:\n  a: 'b'\nmetadata:\n  name: s\n"));
        assert_ne!(one, of("kind: Secret\nmetadata: {name: s}\ndata: {a: c}\n"));
    }
}

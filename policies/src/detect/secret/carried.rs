//! Literals that a document itself carries into a Secret: parameters of a `Template` of OpenShift, inputs of a
//! `ResourceSet` of the Flux operator, what a store of External Secrets gives without asking anybody.

use super::{objects, sections};
use crate::detect::literal::{is_literal, leaf_text};
use crate::yaml::{KeyPath, NodeRef, Step, leaves};

/// The literals, each with the keys that lead there.
pub(super) fn find(root: NodeRef<'_>) -> Vec<(KeyPath, NodeRef<'_>)> {
    if ["SecretStore", "ClusterSecretStore"].iter().any(|kind| root.says("kind", kind)) {
        return of_store(root);
    }
    let (is_template, is_set) = (root.says("kind", "Template"), root.says("kind", "ResourceSet"));
    if !is_template && !is_set {
        return Vec::new();
    }
    let mut texts = Vec::new();
    objects(root, &mut |secret| {
        for (_, section) in sections(secret) {
            leaves(section, &mut KeyPath::root(), &mut |_, leaf| texts.extend(leaf_text(leaf)));
        }
    });
    let mut found = given(root, is_template);
    found.retain(|(name, _, value)| {
        let says =
            |text: &String| if is_template { has_parameter(text, name) } else { has_input(text, name) };
        texts.iter().any(says) && leaf_text(*value).is_some_and(|text| is_literal(&text))
    });
    found.into_iter().map(|(_, path, value)| (path, value)).collect()
}

/// What the provider `fake` has for others to make Secrets of.
fn of_store(root: NodeRef<'_>) -> Vec<(KeyPath, NodeRef<'_>)> {
    const DATA: [&str; 4] = ["spec", "provider", "fake", "data"];
    let data = DATA.iter().fold(vec![root], |nodes, key| {
        nodes.into_iter().flat_map(|node| node.values(key).collect::<Vec<_>>()).collect()
    });
    let mut found = Vec::new();
    for (index, one) in data.into_iter().flat_map(indexed) {
        let path = item(&KeyPath::root().below(&DATA), index);
        for key in ["value", "valueMap"] {
            for value in one.values(key) {
                leaves(value, &mut path.below(&[key]), &mut |path, leaf| {
                    if leaf_text(leaf).is_some_and(|text| is_literal(&text)) {
                        found.push((path.clone(), leaf));
                    }
                });
            }
        }
    }
    found
}

/// What the document gives: the name, the keys, the value.
fn given(root: NodeRef<'_>, is_template: bool) -> Vec<(String, KeyPath, NodeRef<'_>)> {
    let mut all = Vec::new();
    if is_template {
        for parameter in root.values("parameters").flat_map(indexed) {
            let (index, parameter) = parameter;
            let path = item(&KeyPath::root().below(&["parameters"]), index).below(&["value"]);
            let name = parameter.values("name").find_map(NodeRef::text);
            let value = parameter.get("value");
            all.extend(name.zip(value).map(|(name, value)| (name.into_owned(), path, value)));
        }
        return all;
    }
    for inputs in root.values("spec").flat_map(|spec| spec.values("inputs")) {
        for (index, input) in indexed(inputs) {
            let path = item(&KeyPath::root().below(&["spec", "inputs"]), index);
            for entry in input.entries() {
                let Some(name) = entry.key.text() else { continue };
                all.push((name.to_string(), path.below(&[&*name]), entry.value));
            }
        }
    }
    all
}

fn indexed(list: NodeRef<'_>) -> Vec<(usize, NodeRef<'_>)> {
    list.items().enumerate().collect()
}

fn item(list: &KeyPath, index: usize) -> KeyPath {
    list.clone().with(Step::Index(index), |path| path.clone())
}

/// `${NAME}`, or `${{NAME}}` for what is no text.
fn has_parameter(text: &str, name: &str) -> bool {
    text.contains(&format!("${{{name}}}")) || text.contains(&format!("${{{{{name}}}}}"))
}

/// `<< inputs.name >>`, with functions behind it.
fn has_input(text: &str, name: &str) -> bool {
    text.split("inputs.").skip(1).any(|rest| {
        let behind = rest.strip_prefix(name);
        behind.is_some_and(|behind| !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

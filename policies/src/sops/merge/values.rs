//! The three-way merge of values, without layout: maps by their keys, everything else as a whole.

use super::{Conflict, ConflictKind};
use crate::sops::plain::Plain;
use crate::sops::tree::{Branch, Element, Item, Leaf, Tree};
use crate::yaml::KeyPath;

/// A value without its place and without comments. `Debug` shows no text.
#[derive(Clone, Debug)]
pub enum Node {
    /// A scalar; `None` for null.
    Leaf(Option<Plain>),
    /// A map in its order. Keys are there once: see [`ConflictKind::Twice`].
    Map(Vec<(String, Node)>),
    /// A list.
    List(Vec<Node>),
}

impl From<&Branch> for Node {
    fn from(branch: &Branch) -> Self {
        let entry = |item: &Item| match item {
            Item::Entry(key, value) => Some((key.clone(), Node::from(value))),
            Item::Comment(_) => None,
        };
        Self::Map(branch.items.iter().filter_map(entry).collect())
    }
}

impl From<&Tree> for Node {
    fn from(tree: &Tree) -> Self {
        let item = |element: &Element| match element {
            Element::Value(tree) => Some(Node::from(tree)),
            Element::Comment(_) => None,
        };
        match tree {
            Tree::Map(branch) => Self::from(branch),
            Tree::List(elements) => Self::List(elements.iter().filter_map(item).collect()),
            Tree::Leaf(Leaf { value, .. }) => Self::Leaf(value.clone()),
        }
    }
}

impl Node {
    /// Whether two values are the same to sops, whatever the order of keys.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(None), Self::Leaf(None)) => true,
            (Self::Leaf(Some(one)), Self::Leaf(Some(other))) => one.same(other),
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.same(other))
            }
            (Self::Map(one), Self::Map(other)) => {
                let there =
                    |(key, value): &(String, Node)| find(other, key).is_some_and(|other| value.same(other));
                one.len() == other.len() && one.iter().all(there)
            }
            _ => false,
        }
    }

    /// The value of a key, where this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Self::Map(entries) => find(entries, key),
            _ => None,
        }
    }

    fn entries(&self) -> &[(String, Node)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }
}

fn find<'n>(entries: &'n [(String, Node)], key: &str) -> Option<&'n Node> {
    entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// Merges the documents of a file, by their position where no side added or took away one. Without a base,
/// both sides are new. The order of keys is ours; keys of theirs come after the key they follow there.
///
/// # Errors
///
/// Every place where the sides contradict each other.
pub fn merge(base: Option<&[Node]>, ours: &[Node], theirs: &[Node]) -> Result<Vec<Node>, Vec<Conflict>> {
    let aligned = ours.len() == theirs.len() && base.is_none_or(|base| base.len() == ours.len());
    if !aligned {
        let nodes = |documents: &[Node]| Documents(documents.to_vec());
        let merged = super::merged(base.map(nodes).as_ref(), nodes(ours), nodes(theirs));
        return merged
            .map(|documents| documents.0)
            .ok_or_else(|| vec![Conflict::of_file(ConflictKind::Documents)]);
    }
    let mut merging = Merging { path: Vec::new(), conflicts: Vec::new() };
    let documents = ours.iter().zip(theirs).enumerate();
    let merge = |(index, (ours, theirs)): (usize, (&Node, &Node))| {
        merging.merge(base.and_then(|base| base.get(index)), Some(ours), Some(theirs))
    };
    let merged = documents.filter_map(merge).collect();
    if merging.conflicts.is_empty() { Ok(merged) } else { Err(merging.conflicts) }
}

/// Documents that are compared as a whole.
struct Documents(Vec<Node>);

impl PartialEq for Documents {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, other)| one.same(other))
    }
}

struct Merging {
    path: Vec<String>,
    conflicts: Vec<Conflict>,
}

impl Merging {
    /// The merged value; `None` where there is none. In a conflict ours.
    fn merge(&mut self, base: Option<&Node>, ours: Option<&Node>, theirs: Option<&Node>) -> Option<Node> {
        let same = |one: Option<&Node>, other: Option<&Node>| match (one, other) {
            (Some(one), Some(other)) => one.same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        if same(ours, theirs) || same(base, theirs) {
            return ours.cloned();
        }
        if same(base, ours) {
            return theirs.cloned();
        }
        if let (None | Some(Node::Map(_)), Some(Node::Map(ours)), Some(Node::Map(theirs))) =
            (base, ours, theirs)
        {
            return Some(self.merge_maps(base.map_or(&[], Node::entries), ours, theirs));
        }
        let kind = match (base, ours, theirs) {
            (_, None, _) => ConflictKind::RemovedHere,
            (_, _, None) => ConflictKind::RemovedThere,
            (_, Some(Node::List(_)), Some(Node::List(_))) => ConflictKind::List,
            (None, ..) => ConflictKind::Added,
            _ => ConflictKind::Changed,
        };
        let path = self.path.iter().map(String::as_str).collect::<Vec<_>>();
        self.conflicts.push(Conflict { key_path: KeyPath::of(&path).to_string(), kind });
        ours.cloned()
    }

    fn merge_maps(
        &mut self,
        base: &[(String, Node)],
        ours: &[(String, Node)],
        theirs: &[(String, Node)],
    ) -> Node {
        let mut merged: Vec<(String, Node)> = Vec::with_capacity(ours.len());
        for (key, value) in ours {
            let value = self.below(key, find(base, key), Some(value), find(theirs, key));
            merged.extend(value.map(|value| (key.clone(), value)));
        }
        let mut before = None;
        for (key, value) in theirs {
            if find(ours, key).is_none()
                && let Some(value) = self.below(key, find(base, key), None, Some(value))
            {
                let at =
                    before.and_then(|before: &String| merged.iter().position(|(name, _)| name == before));
                merged.insert(at.map_or(0, |at| at + 1), (key.clone(), value));
            }
            before = Some(key);
        }
        Node::Map(merged)
    }

    fn below(
        &mut self,
        key: &str,
        base: Option<&Node>,
        ours: Option<&Node>,
        theirs: Option<&Node>,
    ) -> Option<Node> {
        self.path.push(key.to_owned());
        let merged = self.merge(base, ours, theirs);
        self.path.pop();
        merged
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;

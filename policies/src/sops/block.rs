//! The metadata of a file as plain data in its own order: what stores read and write.
//!
//! [`Metadata`](super::metadata::Metadata) is what it means.

use crate::yaml::resolve::Resolved;
use crate::yaml::{NodeRef, Sort};

/// A value in the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meta {
    /// Text.
    Text(String),
    /// A number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
    /// A list.
    List(Vec<Meta>),
    /// A map, in order.
    Map(Block),
}

/// The metadata block, or a map in it: fields in order, those that nobody knows included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Names and values.
    pub fields: Vec<(String, Meta)>,
}

impl Block {
    /// From a map of a YAML or JSON document. Comments are lost.
    pub fn of_node(node: NodeRef<'_>) -> Self {
        let fields = node
            .entries()
            .into_iter()
            .filter_map(|entry| Some((entry.key.text()?.into_owned(), meta(entry.value))))
            .collect();
        Self { fields }
    }

    /// From flattened pairs such as `age__list_0__map_enc` (`stores/flatten.go`), without their prefix. The
    /// order of first appearance is kept. Texts are taken as they are: what a store escapes, it undoes before.
    pub fn of_flat(pairs: &[(String, String)]) -> Self {
        let mut block = Self::default();
        for (path, value) in pairs {
            place(&mut block, path, value);
        }
        block
    }

    /// Flattened pairs, without a prefix: what [`Block::of_flat`] reads.
    pub fn flatten(&self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (name, value) in &self.fields {
            flatten(name, value, &mut pairs);
        }
        pairs
    }

    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<&Meta> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The text of a field: numbers and truth values as text, empty and null as nothing.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(Meta::text)
    }

    /// The items of a field that is a list of maps.
    pub fn maps(&self, name: &str) -> impl Iterator<Item = &Block> {
        let items: &[Meta] = match self.get(name) {
            Some(Meta::List(items)) => items,
            _ => &[],
        };
        items.iter().filter_map(|item| match item {
            Meta::Map(block) => Some(block),
            _ => None,
        })
    }

    /// Sets a field where it stands; a new one goes before the first that sorts after it.
    pub fn set(&mut self, name: &str, value: Meta) {
        if let Some((_, old)) = self.fields.iter_mut().find(|(field, _)| field == name) {
            *old = value;
            return;
        }
        let at = self.fields.iter().position(|(field, _)| field.as_str() > name).unwrap_or(self.fields.len());
        self.fields.insert(at, (name.to_owned(), value));
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(field, _)| field != name);
    }
}

impl Meta {
    /// As text; empty, null, lists and maps are nothing.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.clone()),
            Self::Int(int) => Some(int.to_string()),
            Self::Bool(bool) => Some(bool.to_string()),
            _ => None,
        }
    }
}

fn meta(node: NodeRef<'_>) -> Meta {
    match node.sort() {
        Sort::Mapping => Meta::Map(Block::of_node(node)),
        Sort::Sequence => Meta::List(node.items().map(meta).collect()),
        Sort::Scalar => match node.resolved() {
            Resolved::Null => Meta::Null,
            Resolved::Bool(bool) => Meta::Bool(bool),
            Resolved::Int(int) => Meta::Int(int),
            _ => Meta::Text(node.text().unwrap_or_default().into_owned()),
        },
    }
}

fn flatten(path: &str, value: &Meta, into: &mut Vec<(String, String)>) {
    match value {
        Meta::Map(block) => {
            for (name, value) in &block.fields {
                flatten(&format!("{path}__map_{name}"), value, into);
            }
        }
        Meta::List(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(&format!("{path}__list_{index}"), value, into);
            }
        }
        Meta::Text(text) => into.push((path.to_owned(), text.clone())),
        Meta::Null => {}
        other => into.push((path.to_owned(), other.text().unwrap_or_default())),
    }
}

/// Positions in a list beyond this are damage.
const MOST_ITEMS: usize = 10_000;

fn place(block: &mut Block, path: &str, value: &str) {
    let (name, rest) = match path.find("__map_").into_iter().chain(path.find("__list_")).min() {
        Some(at) => path.split_at(at),
        None => (path, ""),
    };
    let slot = match block.fields.iter().position(|(field, _)| field == name) {
        Some(at) => at,
        None => {
            block.fields.push((name.to_owned(), Meta::Null));
            block.fields.len() - 1
        }
    };
    place_in(&mut block.fields[slot].1, rest, value);
}

fn place_in(meta: &mut Meta, rest: &str, value: &str) {
    if let Some(path) = rest.strip_prefix("__map_") {
        if !matches!(meta, Meta::Map(_)) {
            *meta = Meta::Map(Block::default());
        }
        if let Meta::Map(block) = meta {
            place(block, path, value);
        }
    } else if let Some(path) = rest.strip_prefix("__list_") {
        let digits = path.bytes().take_while(u8::is_ascii_digit).count();
        let (index, rest) = path.split_at(digits);
        let Some(index) = index.parse::<usize>().ok().filter(|index| *index < MOST_ITEMS) else { return };
        if !matches!(meta, Meta::List(_)) {
            *meta = Meta::List(Vec::new());
        }
        if let Meta::List(items) = meta {
            if items.len() <= index {
                items.resize(index + 1, Meta::Null);
            }
            place_in(&mut items[index], rest, value);
        }
    } else {
        *meta = Meta::Text(value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flattening_gives_back_what_it_took() {
        let pairs = [
            ("age__list_0__map_enc", "one\ntwo\n"),
            ("age__list_0__map_recipient", "age1x"),
            ("age__list_1__map_enc", "three"),
            ("key_groups__list_0__map_age__list_0__map_enc", "four"),
            ("lastmodified", "2026-11-21T06:00:00Z"),
            ("shamir_threshold", "2"),
        ];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let block = Block::of_flat(&pairs);
        assert_eq!(block.flatten(), pairs);
        assert_eq!(block.maps("age").count(), 2);
        assert_eq!(block.text("shamir_threshold").as_deref(), Some("2"));
    }

    #[test]
    fn damage_is_no_panic() {
        for path in ["__list_", "a__list_99999999999", "a__list_5__map_", "__map___map_", "a__list_x", ""] {
            let _ = Block::of_flat(&[(path.to_owned(), "v".to_owned()), ("a".to_owned(), "w".to_owned())]);
        }
    }

    #[test]
    fn a_new_field_finds_its_place() {
        let mut block = Block::of_flat(&[("age".into(), "x".into()), ("version".into(), "3".into())]);
        block.set("mac", Meta::Text("m".into()));
        block.set("age", Meta::Null);
        let names = block.fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["age", "mac", "version"]);
    }
}

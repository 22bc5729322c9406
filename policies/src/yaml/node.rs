//! The tree: an arena of nodes, and a cursor over it.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::error::Error;
use super::resolve::{Resolved, resolve};
use super::source::Source;
use crate::finding::Span;

/// A node's place in the arena.
pub(super) type Id = u32;

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'single'`.
    SingleQuoted,
    /// `"double"`.
    DoubleQuoted,
    /// A `|` block.
    Literal,
    /// A `>` block.
    Folded,
}

/// A tag, resolved: `!!str` is `tag:yaml.org,2002:str`, however it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// The whole resolved name.
    pub name: String,
    /// Where it is written, as a range of the decoded text.
    pub range: Option<Range<usize>>,
}

impl Tag {
    /// The short name within `tag:yaml.org,2002:`, such as `str`, `binary` or `merge`.
    pub fn core(&self) -> Option<&str> {
        self.name.strip_prefix("tag:yaml.org,2002:")
    }
}

/// What kind of node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    /// A leaf.
    Scalar,
    /// A list.
    Sequence,
    /// A map.
    Mapping,
}

/// A scalar as written.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text after quotes, escapes and folding are taken away; `None` where it stands so in the source, but
    /// for quotes around it.
    pub(super) value: Option<Box<str>>,
    /// How it is written.
    pub(super) style: Style,
    /// Range of a block scalar's `|` or `>` with its indicators.
    pub(super) header: Option<Box<Range<usize>>>,
}

/// What stands inside of a scalar's quotes, where it has some.
pub(super) fn inside(style: Style, range: &Range<usize>) -> Range<usize> {
    match style {
        Style::SingleQuoted | Style::DoubleQuoted => range.start + 1..range.end.saturating_sub(1),
        _ => range.clone(),
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Data {
    Scalar(Scalar),
    Sequence(Vec<Id>),
    Mapping(Vec<(Id, Id)>),
    Alias(Id),
}

#[derive(Clone)]
pub(super) struct Node {
    pub(super) data: Data,
    /// Range in the decoded text. A block scalar's begins after the indentation of its first line.
    pub(super) range: Range<usize>,
    pub(super) flow: bool,
    /// Few nodes have any.
    pub(super) properties: Option<Box<Properties>>,
}

/// What can stand before a node.
#[derive(Clone, Default)]
pub(super) struct Properties {
    pub(super) tag: Option<Tag>,
    pub(super) anchor: Option<(Box<str>, Range<usize>)>,
}

/// One document of a stream.
#[derive(Clone)]
pub struct Document {
    pub(super) root: Id,
    /// Number of the document, from 0; documents that could not be read count.
    pub index: u32,
    /// Range of the decoded text, from its `---` (or first content) to the next document's.
    pub range: Range<usize>,
}

/// A comment, with its `#`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Range in the decoded text, `#` included, line break excluded.
    pub range: Range<usize>,
}

/// The documents of one reading of a [`Source`].
///
/// Documents that could not be read are in [`Stream::errors`]; those around them are still here.
pub struct Stream<'s> {
    pub(super) source: &'s Source<'s>,
    pub(super) nodes: Vec<Node>,
    pub(super) documents: Vec<Document>,
    pub(super) comments: Vec<Comment>,
    pub(super) errors: Vec<Error>,
}

/// Shows sizes only: scalars may be secrets.
impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("documents", &self.documents.len())
            .field("nodes", &self.nodes.len())
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

impl<'s> Stream<'s> {
    /// The source that was read.
    pub fn source(&self) -> &'s Source<'s> {
        self.source
    }

    /// The documents that could be read, with their roots.
    pub fn documents(&self) -> impl Iterator<Item = (&Document, NodeRef<'_>)> {
        self.documents.iter().map(|document| (document, NodeRef { stream: self, id: document.root }))
    }

    /// How many nodes it has: keys, values, lists, maps and aliases.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// What could not be read.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// All comments, in the order of the text.
    pub fn comments(&self) -> &[Comment] {
        &self.comments
    }
}

/// A node of a stream; aliases are followed.
#[derive(Clone, Copy)]
pub struct NodeRef<'t> {
    stream: &'t Stream<'t>,
    id: Id,
}

/// Shows the sort and the place only.
impl std::fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}@{:?}", self.sort(), self.node().range)
    }
}

/// A key and its value.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'t> {
    /// The key.
    pub key: NodeRef<'t>,
    /// The value.
    pub value: NodeRef<'t>,
}

impl<'t> NodeRef<'t> {
    fn at(self, id: Id) -> Self {
        Self { stream: self.stream, id }
    }

    fn written(self) -> &'t Node {
        &self.stream.nodes[self.id as usize]
    }

    fn node(self) -> &'t Node {
        match self.written().data {
            // The builder makes aliases point to what is no alias.
            Data::Alias(target) => &self.stream.nodes[target as usize],
            _ => self.written(),
        }
    }

    /// What kind of node.
    pub fn sort(self) -> Sort {
        match self.node().data {
            Data::Scalar(_) | Data::Alias(_) => Sort::Scalar,
            Data::Sequence(_) => Sort::Sequence,
            Data::Mapping(_) => Sort::Mapping,
        }
    }

    /// Whether an alias stands here.
    pub fn is_alias(self) -> bool {
        matches!(self.written().data, Data::Alias(_))
    }

    /// Whether a list or map is written in brackets or braces.
    pub fn is_flow(self) -> bool {
        self.node().flow
    }

    /// The tag, if one is written.
    pub fn tag(self) -> Option<&'t Tag> {
        self.node().properties.as_ref()?.tag.as_ref()
    }

    /// Name and place of the anchor written here.
    pub fn anchor(self) -> Option<(&'t str, Range<usize>)> {
        let anchor = self.written().properties.as_ref()?.anchor.as_ref();
        anchor.map(|(name, range)| (name.as_ref(), range.clone()))
    }

    /// Range in the decoded text, of the alias if one stands here.
    pub fn range(self) -> Range<usize> {
        self.written().range.clone()
    }

    /// Where, in the decoded text, that begins which an alias stands for; of other nodes, the node.
    pub fn target_start(self) -> usize {
        self.node().range.start
    }

    /// Position in the file.
    pub fn span(self) -> Span {
        self.stream.source.span(&self.written().range)
    }

    /// The text as it is written.
    pub fn source_text(self) -> Option<&'t str> {
        self.stream.source.text().get(self.node().range.clone())
    }

    /// Whether this is a template action such as `{{ .x }}`, which YAML takes for a map in a map.
    pub fn is_template_action(self) -> bool {
        self.is_flow()
            && self.sort() == Sort::Mapping
            && self.source_text().is_some_and(|text| text.starts_with("{{"))
    }

    /// How a scalar is written.
    pub fn style(self) -> Option<Style> {
        self.scalar().map(|scalar| scalar.style)
    }

    /// Range, in the decoded text, of a block scalar's header: `|` or `>` and what follows it.
    pub fn block_header(self) -> Option<Range<usize>> {
        self.scalar().and_then(|scalar| scalar.header.as_deref().cloned())
    }

    fn scalar(self) -> Option<&'t Scalar> {
        match &self.node().data {
            Data::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text of a scalar as YAML gives it: quotes, escapes and folding taken away.
    pub fn raw_text(self) -> Option<&'t str> {
        let scalar = self.scalar()?;
        Some(scalar.value.as_deref().unwrap_or_else(|| {
            let range = inside(scalar.style, &self.node().range);
            self.stream.source.text().get(range).unwrap_or_default()
        }))
    }

    /// The text of a scalar as a Go program gets it: a `!!binary` scalar is decoded, as go-yaml does.
    pub fn text(self) -> Option<Cow<'t, str>> {
        let raw = self.raw_text()?;
        let binary = self.tag().is_some_and(|tag| tag.core() == Some("binary"));
        let decoded = binary.then(|| decode_base64(raw)).flatten();
        Some(
            decoded
                .map_or(Cow::Borrowed(raw), |bytes| Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())),
        )
    }

    /// What the scalar means to go-yaml; lists and maps are `Str`.
    pub fn resolved(self) -> Resolved {
        match (self.style(), self.raw_text()) {
            (Some(style), Some(text)) => resolve(self.tag().map(|tag| tag.name.as_str()), style, text),
            _ => Resolved::Str,
        }
    }

    /// Whether this is an empty or null scalar.
    pub fn is_empty_scalar(self) -> bool {
        self.raw_text().is_some_and(|text| text.is_empty() || self.resolved() == Resolved::Null)
    }

    /// The items of a list; nothing for other nodes.
    pub fn items(self) -> impl Iterator<Item = NodeRef<'t>> {
        let items: &[Id] = match &self.node().data {
            Data::Sequence(items) => items,
            _ => &[],
        };
        items.iter().map(move |id| self.at(*id))
    }

    /// The entries as written, duplicates kept, `<<` as an entry like any other; nothing for other nodes.
    pub fn own_entries(self) -> impl Iterator<Item = Entry<'t>> {
        let entries: &[(Id, Id)] = match &self.node().data {
            Data::Mapping(entries) => entries,
            _ => &[],
        };
        entries.iter().map(move |(key, value)| Entry { key: self.at(*key), value: self.at(*value) })
    }

    /// The entries of a map as a reader gets them: duplicates kept, then what comes through merge keys.
    ///
    /// Nothing is overridden: where a key is there twice, both values are given, as readers differ in
    /// which one they take.
    pub fn entries(self) -> Vec<Entry<'t>> {
        let mut entries = Vec::new();
        self.collect_entries(&mut entries);
        entries
    }

    fn collect_entries(self, into: &mut Vec<Entry<'t>>) {
        let mut merged = Vec::new();
        for entry in self.own_entries() {
            if entry.key.is_merge_key() {
                merged.push(entry.value);
            } else {
                into.push(entry);
            }
        }
        // Depth and number are bounded: the builder counted every alias with all it stands for.
        for value in merged {
            value.collect_entries(into);
            for item in value.items() {
                item.collect_entries(into);
            }
        }
    }

    fn is_merge_key(self) -> bool {
        self.raw_text() == Some("<<")
            && match self.tag() {
                Some(tag) => matches!(tag.core(), Some("merge")) || tag.name == "!",
                None => self.style() == Some(Style::Plain),
            }
    }

    /// All values of a key of a map, merge keys followed; more than one where the key is there twice.
    pub fn values(self, key: &str) -> impl Iterator<Item = NodeRef<'t>> {
        let key = key.to_owned();
        self.entries()
            .into_iter()
            .filter(move |e| e.key.text().is_some_and(|text| text == key))
            .map(|e| e.value)
    }

    /// The first value of a key of a map.
    pub fn get(self, key: &str) -> Option<NodeRef<'t>> {
        self.values(key).next()
    }

    /// Whether a map has the key.
    pub fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether one of the key's values is the given text, blanks around it aside: line ends that not every reader
    /// knows leave some.
    pub fn says(self, key: &str, text: &str) -> bool {
        self.values(key).any(|value| value.text().is_some_and(|value| value.trim() == text))
    }
}

/// Lenient base64 as Go programs accept it: line breaks inside, padding optional for us.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let compact = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<_>>();
    ENGINE.decode(compact).ok()
}

//! From YAML's tree to sops's: entries in order, comments in the map or list they belong to.

mod attached;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use zeroize::Zeroizing;

use self::attached::{Notes, lost, notes};
use super::comments::NotedDocument;
use super::layout::has_slash_escape;
use super::{ReadDocuments, ScalarSite, Written};
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::{Branch, Element, Item, Leaf, Site, Tree};
use crate::yaml::resolve::{Resolved, resolve};
use crate::yaml::{KeyPath, NodeRef, Sort, Step, Stream, Style, decode_base64};

/// How long a key may be for sops's library.
const LONGEST_KEY: usize = 1024;

/// Reads all documents.
pub(super) fn documents(stream: &Stream<'_>) -> Result<ReadDocuments, Vec<Problem>> {
    let text = stream.source().text();
    let mut comments = stream.comments().iter().map(|comment| comment.range.clone()).collect::<Vec<_>>();
    comments.sort_by_key(|range| range.start);
    let roots = stream.documents().map(|(_, root)| root).collect::<Vec<_>>();
    let notes = notes(text, &comments, &roots);
    let mut reader = Reader {
        text,
        lost: lost(&comments, &notes),
        // Every second node is a key, in most files.
        sites: Vec::with_capacity(stream.size() / 2 + comments.len()),
        comments,
        path: Vec::new(),
        aliased: HashSet::new(),
        follow: 0,
        problems: Vec::new(),
        duplicates: Vec::new(),
    };
    for root in &roots {
        reader.find_aliases(*root);
    }
    let ranges = stream.documents().map(|(document, _)| document.range.start).collect::<Vec<_>>();
    let mut branches = Vec::with_capacity(roots.len());
    for (index, root) in roots.into_iter().enumerate() {
        let end = ranges.get(index + 1).copied().unwrap_or(text.len());
        branches.push(reader.document(root, notes.get(index), end));
    }
    if reader.problems.is_empty() {
        Ok((branches, reader.sites, reader.duplicates))
    } else {
        Err(reader.problems)
    }
}

struct Reader<'t> {
    text: &'t str,
    comments: Vec<Range<usize>>,
    /// Places of comments that sops does not see: they go into the map or list that they stand in.
    lost: Vec<usize>,
    sites: Vec<Written>,
    path: Vec<At<'t>>,
    /// Where nodes begin that an alias repeats.
    aliased: HashSet<usize>,
    /// How many aliases and repeated nodes we are in.
    follow: usize,
    problems: Vec<Problem>,
    duplicates: Vec<Problem>,
}

/// A step of the way to a node, made into text only where something is wrong.
enum At<'t> {
    Key(Cow<'t, str>),
    Index(usize),
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Around {
    /// Column of the key or dash.
    indent: usize,
    dash: Option<usize>,
    flow: bool,
}

impl<'t> Reader<'t> {
    fn find_aliases(&mut self, node: NodeRef<'t>) {
        if node.is_alias() {
            self.aliased.insert(node.target_start());
            return;
        }
        for item in node.items() {
            self.find_aliases(item);
        }
        for entry in node.own_entries() {
            self.find_aliases(entry.value);
        }
    }

    fn document(&mut self, root: NodeRef<'t>, noted: Option<&NotedDocument>, end: usize) -> Branch {
        let mut items = Vec::new();
        self.comments_of(noted.map(|noted| noted.head.as_slice()), &mut items);
        match root.sort() {
            Sort::Mapping => {
                let around = Around { indent: 0, dash: None, flow: false };
                let notes = Notes { of: noted.map(|noted| &noted.root), handled: false };
                items.extend(self.map(root, notes, around, true).items);
            }
            Sort::Scalar if root.is_empty_scalar() => {
                let root = noted.map(|noted| &noted.root);
                self.comments_of(root.map(|root| root.head.as_slice()), &mut items);
                self.comments_of(root.map(|root| root.line.as_slice()), &mut items);
            }
            sort => {
                let what = if sort == Sort::Sequence { "a list" } else { "a single value" };
                self.problem(ProblemKind::RootNotAMap(what), root);
            }
        }
        self.comments_of(noted.map(|noted| noted.foot.as_slice()), &mut items);
        self.lost_in(0..end, &mut items);
        Branch { items }
    }

    fn key_path(&self) -> KeyPath {
        let mut path = KeyPath::root();
        for at in &self.path {
            path.push(match at {
                At::Key(key) => Step::Key(key.to_string()),
                At::Index(index) => Step::Index(*index),
            });
        }
        path
    }

    fn problem(&mut self, kind: ProblemKind, node: NodeRef<'t>) {
        self.problems.push(Problem::at(kind, node.span()).key(self.key_path().to_string()));
    }

    fn map(&mut self, node: NodeRef<'t>, notes: Notes<'_>, around: Around, top: bool) -> Branch {
        let entries = node.own_entries().collect::<Vec<_>>();
        let flow = node.is_flow();
        let start = entries.first().map_or(node.range().start, |entry| self.start(entry.key));
        let indent = if flow { around.indent } else { self.column(self.question_before(start)) };
        let inner = Around { indent, dash: None, flow };
        let mut items = Vec::with_capacity(entries.len());
        self.comments_before(notes, &mut items);
        let mut after_metadata = Vec::new();
        let mut seen = HashSet::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let noted = |at: usize| notes.of.and_then(|noted| noted.children.get(2 * index + at));
            let (noted_key, noted_value) = (noted(0), noted(1));
            let Some(key) = self.key(entry.key) else { continue };
            self.comments_of(noted_key.map(|noted| noted.head.as_slice()), &mut items);
            self.comments_of(noted_key.map(|noted| noted.line.as_slice()), &mut items);
            if top && key == "sops" {
                let inside = entry.key.range().start..entry.value.range().end;
                self.lost_in(inside.clone(), &mut Vec::<Item>::new());
                // sops throws comments around the metadata away with it; in the file they are others'.
                let mut around = Vec::new();
                noted_value.into_iter().for_each(|noted| noted.all(&mut around));
                around.retain(|place| !inside.contains(place));
                self.comments_of(Some(&around), &mut after_metadata);
            } else {
                if !seen.insert(key.clone()) {
                    let mut path = self.key_path();
                    path.push(Step::Key(key.to_string()));
                    let problem = Problem::at(ProblemKind::DuplicateKey, entry.key.span());
                    self.duplicates.push(problem.key(path.to_string()));
                }
                let single = entry.value.is_alias() || entry.value.sort() == Sort::Scalar;
                let value_notes = Notes { of: noted_value, handled: single };
                if single {
                    self.comments_before(Notes { handled: false, ..value_notes }, &mut items);
                }
                let tree = self.path_value(At::Key(key.clone()), entry.value, value_notes, inner);
                items.push(Item::Entry(key.into_owned(), tree));
                if single {
                    self.comments_of(noted_value.map(|noted| noted.foot.as_slice()), &mut items);
                }
            }
            self.comments_of(noted_key.map(|noted| noted.foot.as_slice()), &mut items);
        }
        self.comments_after(notes, &mut items);
        items.append(&mut after_metadata);
        self.lost_in(node.range(), &mut items);
        Branch { items }
    }

    fn list(&mut self, node: NodeRef<'t>, notes: Notes<'_>, around: Around) -> Vec<Element> {
        let flow = node.is_flow();
        let mut elements = Vec::new();
        self.comments_before(notes, &mut elements);
        let mut indent = around.indent;
        for (index, item) in node.items().enumerate() {
            let dash = (!flow).then(|| self.item_start(item, flow));
            if let (0, Some(dash)) = (index, dash) {
                indent = self.column(dash);
            }
            let inner = Around { indent, dash, flow };
            let noted = notes.of.and_then(|noted| noted.children.get(index));
            self.comments_before(Notes { of: noted, handled: false }, &mut elements);
            let tree = self.path_value(At::Index(index), item, Notes { of: noted, handled: true }, inner);
            elements.push(Element::Value(tree));
            self.comments_of(noted.map(|noted| noted.foot.as_slice()), &mut elements);
        }
        self.comments_after(notes, &mut elements);
        self.lost_in(node.range(), &mut elements);
        self.comments_alone(&elements);
        elements
    }

    fn path_value(&mut self, step: At<'t>, node: NodeRef<'t>, notes: Notes<'_>, around: Around) -> Tree {
        self.path.push(step);
        // What an alias stands for is read with its comments where it is written.
        let notes = if node.is_alias() { Notes { of: None, handled: true } } else { notes };
        let repeated =
            node.is_alias() || (node.anchor().is_some() && self.aliased.contains(&node.range().start));
        self.follow += usize::from(repeated);
        let tree = match node.sort() {
            Sort::Mapping => Tree::Map(self.map(node, notes, around, false)),
            Sort::Sequence => Tree::List(self.list(node, notes, around)),
            Sort::Scalar => Tree::Leaf(self.leaf(node, around)),
        };
        self.follow -= usize::from(repeated);
        self.path.pop();
        tree
    }

    fn leaf(&mut self, node: NodeRef<'t>, around: Around) -> Leaf {
        let resolved = resolved(node);
        let binary = resolved == Resolved::Binary;
        let value = self.plain(node, resolved);
        if let Some(what) = self.unreadable(node) {
            self.problem(ProblemKind::Unreadable(what), node);
        }
        let tag = node.tag().and_then(|tag| {
            let range = tag.range.clone()?;
            let blanks = self.text[range.end..].bytes().take_while(|byte| *byte == b' ').count();
            let keeps =
                !matches!(tag.core(), Some("int" | "float" | "bool" | "null" | "timestamp" | "binary"));
            Some(Box::new((range.start..range.end + blanks, keeps)))
        });
        let site = ScalarSite {
            range: node.range(),
            style: node.style().unwrap_or(Style::Plain),
            header: node.block_header().map(Box::new),
            flow: around.flow,
            tag,
            indent: around.indent,
            dash: around.dash,
            alone: false,
            body_indent: self.body_indent(node, around.indent),
            aliased: self.follow > 0,
            binary,
        };
        Leaf { value, site: self.site(Written::Scalar(site)) }
    }

    /// Spaces before each line of a block text.
    fn body_indent(&self, node: NodeRef<'t>, around: usize) -> usize {
        let Some(header) = node.block_header() else { return 0 };
        let body = self.text.get(header.end..node.range().end).unwrap_or_default();
        let lines = body.split_once('\n').map_or("", |(_, lines)| lines);
        let spaces = |line: &str| line.bytes().take_while(|byte| *byte == b' ').count();
        let filled = |text: &str| {
            text.split('\n').find(|line| !line.trim_matches([' ', '\r']).is_empty()).map(&spaces)
        };
        let written = filled(lines).unwrap_or(around + 2);
        written.saturating_sub(filled(node.raw_text().unwrap_or_default()).unwrap_or(0)).max(1)
    }

    fn plain(&mut self, node: NodeRef<'t>, resolved: Resolved) -> Option<Plain> {
        let raw = node.raw_text().unwrap_or_default();
        Some(match resolved {
            Resolved::Null => return None,
            Resolved::Bool(bool) => Plain::Bool(bool),
            Resolved::Int(int) => Plain::Int(int),
            Resolved::Float(float) => Plain::Float(float),
            Resolved::Time(time) => Plain::Time(time),
            Resolved::Uint(_) => {
                self.problem(ProblemKind::Unreadable("an integer beyond 64 bits with sign"), node);
                return None;
            }
            Resolved::Binary => Plain::Str(Zeroizing::new(decode_base64(raw).unwrap_or_default())),
            Resolved::Merge | Resolved::Str => {
                // The parser ends a block text at the end of the file with a line break that is not there.
                let cut = matches!(node.style(), Some(Style::Literal | Style::Folded))
                    && node.range().end == self.text.len()
                    && !self.text.ends_with(['\n', '\r']);
                Plain::text(raw.strip_suffix('\n').filter(|_| cut).unwrap_or(raw))
            }
        })
    }

    /// What sops's library does not read although our parser does, wherever it stands.
    fn unreadable(&self, node: NodeRef<'t>) -> Option<&'static str> {
        if let Some(header) = node.block_header() {
            let given = self.text[header.clone()].contains(|c: char| c.is_ascii_digit());
            let body = self.text.get(header.end..node.range().end)?.split_once('\n')?.1;
            let first = body.lines().find(|line| !line.trim_matches(' ').is_empty())?;
            let tab = !given && first.trim_start_matches(' ').starts_with('\t');
            return tab.then_some("a block text that begins with a tab");
        }
        let quoted = node.style() == Some(Style::DoubleQuoted);
        let half = quoted && has_surrogate(self.text.get(node.range())?);
        half.then_some("a character as the escapes of a surrogate pair (`\\ud83d\\ude00`)")
    }

    fn key(&mut self, key: NodeRef<'t>) -> Option<Cow<'t, str>> {
        if key.style().is_some_and(|style| has_slash_escape(self.text, key.range(), style)) {
            self.problem(ProblemKind::Unreadable("the escape `\\/` in a key"), key);
        }
        let range = key.range();
        let written = self.text.get(range.clone()).filter(|_| range.len() > LONGEST_KEY);
        if written.is_some_and(|text| text.chars().count() > LONGEST_KEY) {
            self.problem(ProblemKind::Unreadable("a key of more than 1024 characters"), key);
        }
        let what = match (key.sort(), resolved(key)) {
            (Sort::Scalar, Resolved::Str | Resolved::Merge) => {
                return key.text();
            }
            (Sort::Mapping, _) => "a map (a template, perhaps)",
            (Sort::Sequence, _) => "a list",
            (_, Resolved::Null) => "null",
            (_, Resolved::Bool(_)) => "true or false",
            (_, Resolved::Int(_) | Resolved::Uint(_) | Resolved::Float(_)) => "a number",
            (_, Resolved::Time(_)) => "a time",
            _ => "bytes",
        };
        self.problem(ProblemKind::KeyNotText(what), key);
        None
    }

    fn site(&mut self, written: Written) -> Site {
        self.sites.push(written);
        Site(u32::try_from(self.sites.len() - 1).unwrap_or(u32::MAX))
    }

    // --- positions -----------------------------------------------------------------------------

    fn column(&self, at: usize) -> usize {
        let line = self.text[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1);
        self.text[line..at].chars().count()
    }

    /// Where a node begins with its anchor and tag; a block collection at its first key or dash.
    fn start(&self, node: NodeRef<'t>) -> usize {
        if !node.is_alias() && !node.is_flow() {
            if let Some(entry) = node.own_entries().next() {
                return self.start(entry.key).min(properties(node));
            }
            if let Some(item) = node.items().next() {
                return self.item_start(item, false).min(properties(node));
            }
        }
        properties(node)
    }

    /// Where an entry begins whose key is written behind a `?`.
    fn question_before(&self, key: usize) -> usize {
        let before = self.text[..key].trim_end_matches([' ', '\t']);
        if before.len() < key && before.ends_with('?') { before.len() - 1 } else { key }
    }

    /// Where an item of a list begins: at its dash, in block lists.
    fn item_start(&self, item: NodeRef<'t>, flow: bool) -> usize {
        let start = self.start(item);
        if flow {
            return start;
        }
        let floor = match item.block_header() {
            Some(header) => header.start.min(start),
            None => start,
        };
        let mut before = &self.text[..floor];
        loop {
            before = before.trim_end();
            let index = self.comments.partition_point(|range| range.end < before.len());
            match self.comments.get(index).filter(|range| range.end == before.len()) {
                Some(comment) => before = &self.text[..comment.start],
                None => return before.len().saturating_sub(1),
            }
        }
    }
}

/// What a scalar is to sops: the tag `!` says nothing there.
fn resolved(node: NodeRef<'_>) -> Resolved {
    let (Some(style), Some(text)) = (node.style(), node.raw_text()) else { return Resolved::Str };
    let tag = node.tag().map(|tag| tag.name.as_str()).filter(|name| *name != "!");
    resolve(tag, style, text)
}

/// Whether a text in double quotes has an escape from `\ud800` to `\udfff`.
fn has_surrogate(quoted: &str) -> bool {
    let mut rest = quoted;
    while let Some(at) = rest.find('\\') {
        let escape = &rest.as_bytes()[at + 1..];
        if let [b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] = escape {
            return true;
        }
        // The character after a backslash begins no escape of its own.
        let skipped = rest[at + 1..].chars().next().map_or(0, char::len_utf8);
        rest = &rest[at + 1 + skipped..];
    }
    false
}

fn properties(node: NodeRef<'_>) -> usize {
    let anchor = node.anchor().map(|(_, range)| range.start);
    let tag = (!node.is_alias()).then(|| node.tag().and_then(|tag| tag.range.clone())).flatten();
    let header = (!node.is_alias()).then(|| node.block_header()).flatten();
    let starts = [anchor, tag.map(|range| range.start), header.map(|range| range.start)];
    starts.into_iter().flatten().chain([node.range().start]).min().unwrap_or_default()
}

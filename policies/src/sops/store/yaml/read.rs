//! From YAML's tree to sops's: entries in order, comments in the map or list they belong to.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use zeroize::Zeroizing;

use super::comments::{Line, Next, level};
use super::{ReadDocuments, ScalarSite, Written};
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::{Branch, Comment, Element, Item, Leaf, Site, Tree};
use crate::yaml::resolve::Resolved;
use crate::yaml::{KeyPath, NodeRef, Sort, Step, Stream, Style, decode_base64};

/// Reads all documents.
pub(super) fn documents(stream: &Stream<'_>) -> Result<ReadDocuments, Vec<Problem>> {
    let text = stream.source().text();
    let mut comments = stream.comments().iter().map(|comment| comment.range.clone()).collect::<Vec<_>>();
    comments.sort_by_key(|range| range.start);
    let mut reader = Reader {
        text,
        comments,
        cursor: 0,
        sites: Vec::new(),
        frames: Vec::new(),
        path: KeyPath::root(),
        aliased: HashSet::new(),
        follow: 0,
        problems: Vec::new(),
        duplicates: Vec::new(),
    };
    let roots = stream.documents().map(|(_, root)| root).collect::<Vec<_>>();
    for root in &roots {
        reader.find_aliases(*root);
    }
    let ranges = stream.documents().map(|(document, _)| document.range.start).collect::<Vec<_>>();
    let mut branches = Vec::with_capacity(roots.len());
    for (index, root) in roots.into_iter().enumerate() {
        let end = ranges.get(index + 1).copied().unwrap_or(text.len());
        branches.push(reader.document(root, end));
    }
    if reader.problems.is_empty() {
        Ok((branches, reader.sites, reader.duplicates))
    } else {
        Err(reader.problems)
    }
}

/// A map or list that is being read.
struct Frame {
    pieces: Vec<Piece>,
    /// Comments that come after the entry that is being read.
    after: Vec<Piece>,
    /// Column of its keys or dashes; none in flow.
    column: Option<usize>,
}

enum Piece {
    Comment(Comment),
    Entry(String, Tree),
    Value(Tree),
}

struct Reader<'t> {
    text: &'t str,
    comments: Vec<Range<usize>>,
    cursor: usize,
    sites: Vec<Written>,
    frames: Vec<Frame>,
    path: KeyPath,
    /// Where nodes begin that an alias repeats.
    aliased: HashSet<usize>,
    /// How many aliases and repeated nodes we are in.
    follow: usize,
    problems: Vec<Problem>,
    duplicates: Vec<Problem>,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Around {
    /// Where the next content begins.
    limit: usize,
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

    fn document(&mut self, root: NodeRef<'t>, end: usize) -> Branch {
        let mut branch = match root.sort() {
            Sort::Mapping => self.map(root, Around { limit: end, indent: 0, dash: None, flow: false }),
            Sort::Scalar if root.is_empty_scalar() => Branch::default(),
            sort => {
                let what = if sort == Sort::Sequence { "a list" } else { "a single value" };
                self.problem(ProblemKind::RootNotAMap(what), root);
                Branch::default()
            }
        };
        // What stands between the documents belongs to the one before.
        while let Some(comment) = self.comment_before(end) {
            branch.items.push(Item::Comment(comment));
        }
        branch
    }

    fn problem(&mut self, kind: ProblemKind, node: NodeRef<'t>) {
        self.problems.push(Problem::at(kind, node.span()).key(self.path.to_string()));
    }

    fn map(&mut self, node: NodeRef<'t>, around: Around) -> Branch {
        let entries = node.own_entries().collect::<Vec<_>>();
        let top = self.frames.is_empty();
        let flow = node.is_flow();
        let start = entries.first().map_or(node.range().start, |entry| self.start(entry.key));
        self.open(node, start, flow);
        let mut seen = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let limit = match entries.get(index + 1) {
                Some(next) => self.start(next.key),
                None if flow => node.range().end,
                None => around.limit,
            };
            let Some(key) = self.key(entry.key) else { continue };
            if top && key == "sops" {
                self.skip(entry.value, limit);
                continue;
            }
            if seen.insert(key.clone(), ()).is_some() {
                let problem = Problem::at(ProblemKind::DuplicateKey, entry.key.span());
                self.duplicates.push(problem.key(format!("{}{key}", dotted(&self.path))));
            }
            let indent = if flow { around.indent } else { self.column(start) };
            let inner = Around { limit, indent, dash: None, flow };
            let tree = self.path_value(Step::Key(key.clone()), entry.value, entry.key.range().end, inner);
            self.push(Piece::Entry(key, tree));
            self.trail(entry.value, inner);
        }
        let items = self.close(node, flow).into_iter().filter_map(|piece| match piece {
            Piece::Comment(comment) => Some(Item::Comment(comment)),
            Piece::Entry(key, tree) => Some(Item::Entry(key, tree)),
            Piece::Value(_) => None,
        });
        Branch { items: items.collect() }
    }

    fn list(&mut self, node: NodeRef<'t>, around: Around) -> Vec<Element> {
        let flow = node.is_flow();
        let items = node.items().collect::<Vec<_>>();
        let starts = items.iter().map(|item| self.item_start(*item, flow)).collect::<Vec<_>>();
        let start = starts.first().copied().unwrap_or(node.range().start);
        self.open(node, start, flow);
        for (index, item) in items.into_iter().enumerate() {
            let limit = match starts.get(index + 1) {
                Some(next) => *next,
                None if flow => node.range().end,
                None => around.limit,
            };
            let indent = if flow { around.indent } else { self.column(start) };
            let dash = if flow { None } else { starts.get(index).copied() };
            let inner = Around { limit, indent, dash, flow };
            let begin = starts.get(index).copied().unwrap_or_default();
            let tree = self.path_value(Step::Index(index), item, begin, inner);
            self.push(Piece::Value(tree));
            self.trail(item, inner);
        }
        let elements = self.close(node, flow).into_iter().filter_map(|piece| match piece {
            Piece::Comment(comment) => Some(Element::Comment(comment)),
            Piece::Value(tree) => Some(Element::Value(tree)),
            Piece::Entry(..) => None,
        });
        elements.collect()
    }

    fn path_value(&mut self, step: Step, node: NodeRef<'t>, key_end: usize, around: Around) -> Tree {
        self.path.push(step);
        let tree = self.value(node, key_end, around);
        self.path.pop();
        tree
    }

    fn value(&mut self, node: NodeRef<'t>, key_end: usize, around: Around) -> Tree {
        if node.is_alias() {
            self.before_scalar(node.range().start);
            self.inline(node.range().end, false);
            // What an alias stands for was read with its comments where it is written.
            let cursor = std::mem::replace(&mut self.cursor, usize::MAX);
            self.follow += 1;
            let tree = self.tree(node, around);
            self.follow -= 1;
            self.cursor = cursor;
            return tree;
        }
        let repeated = self.aliased.contains(&node.range().start) && node.anchor().is_some();
        self.follow += usize::from(repeated);
        if node.sort() != Sort::Scalar {
            // On the line of the key: before the entry. On lines of their own: in what follows.
            self.inline(key_end, false);
        }
        let tree = self.tree(node, around);
        self.follow -= usize::from(repeated);
        tree
    }

    fn tree(&mut self, node: NodeRef<'t>, around: Around) -> Tree {
        match node.sort() {
            Sort::Mapping => Tree::Map(self.map(node, around)),
            Sort::Sequence => Tree::List(self.list(node, around)),
            Sort::Scalar => Tree::Leaf(self.leaf(node, around)),
        }
    }

    fn leaf(&mut self, node: NodeRef<'t>, around: Around) -> Leaf {
        if self.cursor != usize::MAX {
            self.before_scalar(node.range().start);
            self.inline(node.range().end, false);
        }
        let value = self.plain(node);
        let tag = node.tag().and_then(|tag| {
            let range = tag.range.clone()?;
            let blanks = self.text[range.end..].bytes().take_while(|byte| *byte == b' ').count();
            let keeps =
                !matches!(tag.core(), Some("int" | "float" | "bool" | "null" | "timestamp" | "binary"));
            Some((range.start..range.end + blanks, keeps))
        });
        let site = ScalarSite {
            range: node.range(),
            style: node.style().unwrap_or(Style::Plain),
            header: node.block_header(),
            flow: around.flow,
            tag,
            indent: around.indent,
            dash: around.dash,
            body_indent: self.body_indent(node, around.indent),
            aliased: self.follow > 0,
            binary: node.resolved() == Resolved::Binary,
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

    fn plain(&mut self, node: NodeRef<'t>) -> Option<Plain> {
        let raw = node.raw_text().unwrap_or_default();
        Some(match node.resolved() {
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

    fn key(&mut self, key: NodeRef<'t>) -> Option<String> {
        let what = match (key.sort(), key.resolved()) {
            (Sort::Scalar, Resolved::Str | Resolved::Merge) => {
                return key.text().map(std::borrow::Cow::into_owned);
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

    // --- comments ------------------------------------------------------------------------------

    fn open(&mut self, node: NodeRef<'t>, start: usize, flow: bool) {
        let column = (!flow).then(|| self.column(start));
        self.frames.push(Frame { pieces: Vec::new(), after: Vec::new(), column });
        let before = if flow { node.range().start } else { start };
        self.before_scalar(before);
    }

    fn close(&mut self, node: NodeRef<'t>, flow: bool) -> Vec<Piece> {
        if flow {
            self.before_scalar(node.range().end);
            self.inline(node.range().end, true);
        }
        self.frames.pop().map(|frame| frame.pieces).unwrap_or_default()
    }

    fn push(&mut self, piece: Piece) {
        if let Some(frame) = self.frames.last_mut() {
            frame.pieces.push(piece);
            frame.pieces.append(&mut frame.after);
        }
    }

    fn comment_before(&mut self, limit: usize) -> Option<Comment> {
        let range = self.comments.get(self.cursor).filter(|range| range.start < limit)?.clone();
        self.cursor += 1;
        let text = range.start + 1..range.end;
        let comment = self.text[text.clone()].to_owned();
        let site = self.site(Written::Comment(text));
        Some(Comment { text: comment, site })
    }

    /// All comments before a position go into the collection that is being read.
    fn before_scalar(&mut self, position: usize) {
        while let Some(comment) = self.comment_before(position) {
            self.push(Piece::Comment(comment));
        }
    }

    /// A comment on the line that the value (or key) ends on.
    fn inline(&mut self, end: usize, first: bool) {
        let Some(range) = self.comments.get(self.cursor) else { return };
        let same_line = self.text.get(end..range.start).is_some_and(|gap| {
            !gap.contains(['\n', '\r'])
                && gap.bytes().all(|byte| byte == b' ' || byte == b'\t' || byte == b':')
        });
        if !same_line || self.text[..end].ends_with('\n') {
            return;
        }
        let Some(comment) = self.comment_before(usize::MAX) else { return };
        match self.frames.last_mut() {
            Some(frame) if first => frame.pieces.insert(0, Piece::Comment(comment)),
            _ => self.push(Piece::Comment(comment)),
        }
    }

    /// Passes over a value that is not part of the tree, with its comments.
    fn skip(&mut self, node: NodeRef<'t>, limit: usize) {
        let end = node.range().end;
        while self.comments.get(self.cursor).is_some_and(|range| range.start < end.min(limit)) {
            self.cursor += 1;
        }
    }

    /// The comments on lines of their own between a value and the next content.
    fn trail(&mut self, node: NodeRef<'t>, around: Around) {
        let leaf_like = node.sort() == Sort::Scalar || node.is_flow() || node.is_alias();
        let columns = self.frames.iter().map_while(|frame| frame.column).collect::<Vec<_>>();
        if around.flow {
            return self.before_scalar(around.limit);
        }
        if !leaf_like || self.cursor == usize::MAX || columns.is_empty() {
            return;
        }
        let follows = self.level_at(around.limit, &columns);
        let mut first = true;
        let mut column_before = None;
        while let Some(range) = self.comments.get(self.cursor).filter(|r| r.start < around.limit).cloned() {
            let column = self.column(range.start);
            first = first && column_before.is_none_or(|before| before == column);
            let blank_before = self.blank_before(range.start);
            let line = Line { column, next: self.next_line(range.end), blank_before, first };
            column_before = Some(column);
            let level = level(line, &columns, follows);
            let Some(comment) = self.comment_before(around.limit) else { return };
            let innermost = self.frames.len() - 1;
            if let Some(frame) = self.frames.get_mut(level) {
                let into = if level == innermost { &mut frame.pieces } else { &mut frame.after };
                into.push(Piece::Comment(comment));
            }
        }
    }

    /// The level that content at a position belongs to.
    fn level_at(&self, position: usize, columns: &[usize]) -> usize {
        if position >= self.text.len() || self.text[position..].starts_with("---") {
            return 0;
        }
        let column = self.column(position);
        let dash = self.text[position..].starts_with("- ") || self.text[position..].starts_with("-\n");
        let deepest = columns.iter().rposition(|level| *level == column).unwrap_or(0);
        let outermost = columns.iter().position(|level| *level == column).unwrap_or(0);
        if dash { deepest } else { outermost }
    }

    fn next_line(&self, end: usize) -> Next {
        let rest = &self.text[end..];
        let line = rest.trim_start_matches('\r').strip_prefix('\n').unwrap_or("");
        let content = line.split(['\n', '\r']).next().unwrap_or_default();
        if rest.trim().is_empty() {
            Next::End
        } else if content.trim().is_empty() {
            Next::Blank
        } else {
            Next::Column(content.chars().take_while(|c| *c == ' ').count())
        }
    }

    fn blank_before(&self, start: usize) -> bool {
        let before = self.text[..start].trim_end_matches([' ', '\t']);
        let lines = before.strip_suffix('\n').map(|text| text.trim_end_matches([' ', '\t', '\r']));
        lines.is_some_and(|text| text.ends_with('\n'))
    }
}

fn properties(node: NodeRef<'_>) -> usize {
    let anchor = node.anchor().map(|(_, range)| range.start);
    let tag = (!node.is_alias()).then(|| node.tag().and_then(|tag| tag.range.clone())).flatten();
    let header = (!node.is_alias()).then(|| node.block_header()).flatten();
    let starts = [anchor, tag.map(|range| range.start), header.map(|range| range.start)];
    starts.into_iter().flatten().chain([node.range().start]).min().unwrap_or_default()
}

fn dotted(path: &KeyPath) -> String {
    let text = path.to_string();
    if text.is_empty() { text } else { format!("{text}.") }
}

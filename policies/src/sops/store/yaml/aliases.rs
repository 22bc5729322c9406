//! A file without aliases: every alias becomes a copy of what it stands for.

use std::fmt::Write as _;
use std::ops::Range;

use zeroize::Zeroizing;

use super::documents::line_start;
use super::scalar::{self, BlockShape};
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::store::{Edit, apply, text};
use crate::yaml::resolve::Resolved;
use crate::yaml::{Entry, Limits, NodeRef, Sort, Source, Stream, Style, readings};

/// What the result may grow to: copies of copies grow fast.
const MOST_BYTES: usize = 16 << 20;

/// Replaces every alias by a copy of what it stands for and every merge key `<<` by what it merges (where the map
/// has a key itself, that stays; of several maps the first one wins), and takes the anchors away. All else stays
/// as it is.
///
/// # Errors
///
/// What is not read as YAML; aliases that grow beyond 16 MiB; a result that would not read as the same values.
pub fn expand_aliases(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Vec<Problem>> {
    let source = text::decode(bytes)?;
    let stream = the_reading(&source)?;
    let mut expansion = Expansion { source: &source, edits: Vec::new(), bytes: 0 };
    for (_, root) in stream.documents() {
        expansion.node(root, Place { column: 0, flow: false });
    }
    if expansion.bytes > MOST_BYTES {
        let kind = ProblemKind::Limit("aliases expand to more than 16 MiB".to_owned());
        return Err(vec![Problem::of_file(kind)]);
    }
    let expanded = apply(bytes, expansion.edits).map_err(|problem| vec![problem])?;
    let again = text::decode(&expanded)?;
    let same = the_reading(&again).is_ok_and(|again| values(&stream) == values(&again));
    let problem = || Problem::of_file(ProblemKind::Unproven("without aliases, the values would be others"));
    if same { Ok(expanded) } else { Err(vec![problem()]) }
}

fn the_reading<'s>(source: &'s Source<'s>) -> Result<Stream<'s>, Vec<Problem>> {
    let Some((_, stream)) = readings(source, Limits::DEFAULT).into_iter().next() else {
        return Err(vec![Problem::of_file(ProblemKind::Empty)]);
    };
    super::whole(&stream)?;
    Ok(stream)
}

fn is_merge(key: NodeRef<'_>) -> bool {
    let tagged = key.tag().is_some_and(|tag| tag.core() == Some("merge"));
    let plain = key.style() == Some(Style::Plain) && key.tag().is_none();
    key.raw_text() == Some("<<") && (tagged || plain)
}

/// The entries of a map as kubectl and Flux read it: those of merge keys where the `<<` stands.
fn entries<'t>(map: NodeRef<'t>) -> Vec<Entry<'t>> {
    let own = map.own_entries().collect::<Vec<_>>();
    let mut all: Vec<Entry<'t>> = Vec::with_capacity(own.len());
    for entry in &own {
        if is_merge(entry.key) {
            let merged = merged(map, entry.value);
            let new = merged.into_iter().filter(|new| !all.iter().any(|old| same_key(old.key, new.key)));
            all.extend(new.collect::<Vec<_>>());
        } else {
            all.push(*entry);
        }
    }
    all
}

/// What a merge key brings into a map: nothing that the map has itself.
fn merged<'t>(map: NodeRef<'t>, value: NodeRef<'t>) -> Vec<Entry<'t>> {
    let maps = if value.sort() == Sort::Mapping { vec![value] } else { value.items().collect() };
    let own = map.own_entries().filter(|entry| !is_merge(entry.key)).collect::<Vec<_>>();
    let mut merged: Vec<Entry<'t>> = Vec::new();
    for entry in maps.into_iter().flat_map(entries) {
        let known = own.iter().chain(&merged).any(|other| same_key(other.key, entry.key));
        if !known {
            merged.push(entry);
        }
    }
    merged
}

fn same_key(one: NodeRef<'_>, other: NodeRef<'_>) -> bool {
    one.text() == other.text() && one.resolved() == other.resolved()
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place {
    /// Column of the key or dash.
    column: usize,
    flow: bool,
}

struct Expansion<'s> {
    source: &'s Source<'s>,
    edits: Vec<Edit>,
    /// How much was written.
    bytes: usize,
}

impl Expansion<'_> {
    fn text(&self) -> &str {
        self.source.text()
    }

    fn edit(&mut self, range: Range<usize>, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes <= MOST_BYTES {
            self.edits.push(Edit::new(self.source.original_range(&range), text));
        }
    }

    fn node(&mut self, node: NodeRef<'_>, place: Place) {
        if self.bytes > MOST_BYTES {
            return;
        }
        if node.is_alias() {
            return self.alias(node, place);
        }
        self.anchor(node);
        let flow = node.is_flow();
        for item in node.items() {
            let column = self.column_before(item, place);
            self.node(item, Place { column, flow: place.flow || flow });
        }
        for entry in node.own_entries() {
            if is_merge(entry.key) {
                self.merge(node, entry, place.flow || flow);
                continue;
            }
            let column = self.column(entry.key.range().start);
            let inner = Place { column, flow: place.flow || flow };
            self.node(entry.key, Place { flow: true, ..inner });
            self.node(entry.value, inner);
        }
    }

    fn column(&self, at: usize) -> usize {
        at - line_start(self.text(), at)
    }

    /// Column of the dash before an item.
    fn column_before(&self, item: NodeRef<'_>, place: Place) -> usize {
        let before = self.text()[..item.range().start].trim_end();
        if before.ends_with('-') { self.column(before.len() - 1) } else { place.column }
    }

    fn anchor(&mut self, node: NodeRef<'_>) {
        let Some((_, range)) = node.anchor() else { return };
        let rest = &self.text()[range.end..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let at_end = rest[blanks..].is_empty() || rest[blanks..].starts_with(['\n', '\r']);
        let range = if at_end {
            let before = self.text()[..range.start].trim_end_matches([' ', '\t']).len();
            before..range.end + blanks
        } else {
            range.start..range.end + blanks
        };
        self.edit(range, "");
    }

    fn alias(&mut self, alias: NodeRef<'_>, place: Place) {
        let range = alias.range();
        // What follows on the line would follow the last line of the copy.
        let rest = self.text()[range.end..].split('\n').next().unwrap_or_default();
        let flow = place.flow || !rest.trim().is_empty();
        let mut copy = Copy { text: String::new(), source: self.source };
        if flow {
            copy.flow(alias);
            return self.edit(range, &copy.text);
        }
        let in_list = self.text()[..range.start].trim_end().ends_with('-');
        let block = matches!(alias.sort(), Sort::Mapping | Sort::Sequence) && !is_empty(alias);
        if block && in_list {
            copy.block(alias, place.column + 2, true);
            return self.edit(range, &copy.text);
        }
        if block {
            copy.block(alias, place.column + 2, false);
            let start = self.text()[..range.start].trim_end_matches([' ', '\t']).len();
            return self.edit(start..range.end, &copy.text);
        }
        copy.scalar_line(alias, place.column + 2, place.column);
        self.edit(range, &copy.text);
    }

    fn merge(&mut self, map: NodeRef<'_>, entry: Entry<'_>, flow: bool) {
        let new = merged(map, entry.value);
        let start = entry.key.range().start;
        let end = entry.value.range().end.max(entry.key.range().end);
        let mut copy = Copy { text: String::new(), source: self.source };
        if flow {
            copy.flow_entries(&new);
            if new.is_empty() {
                // With the comma after it, or else that before it.
                let rest = &self.text()[end..];
                let after = rest.trim_start().strip_prefix(',').map(|after| rest.len() - after.len());
                let before = self.text()[..start].trim_end();
                let range = match (after, before.strip_suffix(',')) {
                    (Some(after), _) => start..end + after,
                    (None, Some(before)) => before.len()..end,
                    (None, None) => start..end,
                };
                return self.edit(range, "");
            }
            return self.edit(start..end, &copy.text);
        }
        let column = self.column(start);
        if new.is_empty() {
            if map.own_entries().count() == 1 {
                return self.edit(start..end, "{}");
            }
            let line = line_start(self.text(), start);
            let rest = self.text()[end..].find('\n').map_or(self.text().len(), |at| end + at + 1);
            let own_line =
                self.text()[line..start].trim().is_empty() && self.text()[end..rest].trim().is_empty();
            return self.edit(if own_line { line..rest } else { start..end }, "");
        }
        for (index, entry) in new.iter().enumerate() {
            if index > 0 {
                let _ = write!(copy.text, "\n{:column$}", "");
            }
            copy.entry(entry, column);
        }
        self.edit(start..end, &copy.text);
    }
}

fn is_empty(node: NodeRef<'_>) -> bool {
    node.items().next().is_none() && node.own_entries().next().is_none()
}

/// A value written again, with its values spelled as they are where that can be.
struct Copy<'s> {
    text: String,
    source: &'s Source<'s>,
}

impl Copy<'_> {
    /// A map or list on lines of its own at a column; its first line goes on where the text ends, or not.
    fn block(&mut self, node: NodeRef<'_>, column: usize, on_line: bool) {
        let mut first = on_line;
        let mut line = |copy: &mut Self| {
            if !std::mem::take(&mut first) {
                let _ = write!(copy.text, "\n{:column$}", "");
            }
        };
        for item in node.items() {
            line(self);
            self.text.push('-');
            let collection = item.sort() != Sort::Scalar && !is_empty(item);
            self.text.push(' ');
            if collection {
                self.block(item, column + 2, true);
            } else {
                self.scalar_line(item, column + 2, column);
            }
        }
        for entry in entries(node) {
            line(self);
            self.entry(&entry, column);
        }
    }

    fn entry(&mut self, entry: &Entry<'_>, column: usize) {
        self.scalar(entry.key, false);
        self.text.push(':');
        if entry.value.sort() != Sort::Scalar && !is_empty(entry.value) {
            return self.block(entry.value, column + 2, false);
        }
        self.text.push(' ');
        self.scalar_line(entry.value, column + 2, column);
    }

    /// A scalar where a block text may stand.
    fn scalar_line(&mut self, node: NodeRef<'_>, indent: usize, parent: usize) {
        let written = matches!(node.style(), Some(Style::Literal | Style::Folded));
        let shape = BlockShape { header: "|", indent, parent, line_break: "\n" };
        let block = node.raw_text().filter(|_| written).and_then(|text| scalar::block(text, shape));
        match block {
            Some(block) if !block.header.contains('+') => {
                self.tag(node);
                let lines = block.lines.strip_suffix('\n').unwrap_or(&block.lines);
                let _ = write!(self.text, "{}\n{lines}", block.header);
            }
            _ if node.sort() == Sort::Scalar => self.scalar(node, false),
            _ => self.flow(node),
        }
    }

    fn flow(&mut self, node: NodeRef<'_>) {
        match node.sort() {
            Sort::Scalar => self.scalar(node, true),
            Sort::Sequence => {
                self.text.push('[');
                for (index, item) in node.items().enumerate() {
                    self.text.push_str(if index > 0 { ", " } else { "" });
                    self.flow(item);
                }
                self.text.push(']');
            }
            Sort::Mapping => {
                self.text.push('{');
                self.flow_entries(&entries(node));
                self.text.push('}');
            }
        }
    }

    fn flow_entries(&mut self, entries: &[Entry<'_>]) {
        for (index, entry) in entries.iter().enumerate() {
            self.text.push_str(if index > 0 { ", " } else { "" });
            self.scalar(entry.key, true);
            self.text.push_str(": ");
            self.flow(entry.value);
        }
    }

    fn tag(&mut self, node: NodeRef<'_>) {
        let range = node.tag().and_then(|tag| tag.range.clone());
        if let Some(tag) = range.and_then(|range| self.source.text().get(range)) {
            self.text.push_str(tag);
            self.text.push(' ');
        }
    }

    fn scalar(&mut self, node: NodeRef<'_>, flow: bool) {
        self.tag(node);
        let raw = node.raw_text().unwrap_or_default();
        let written = node.source_text().unwrap_or_default();
        let tagged = node.tag().is_some();
        let text = match node.style() {
            Some(Style::Plain) if raw.is_empty() => if tagged { "\"\"" } else { "null" }.to_owned(),
            // Numbers and words keep their spelling.
            Some(Style::Plain) if node.resolved() != Resolved::Str => written.to_owned(),
            Some(Style::Plain) if !flow && !written.contains(['\n', '\r']) => written.to_owned(),
            Some(Style::Plain) => scalar::inline(&Plain::text(raw), Style::Plain, flow, tagged),
            Some(Style::SingleQuoted | Style::DoubleQuoted) if !written.contains('\n') => written.to_owned(),
            _ => scalar::double(raw),
        };
        self.text.push_str(&text);
    }
}

/// Every value with its path and meaning, aliases and merge keys followed.
fn values(stream: &Stream<'_>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (number, (_, root)) in stream.documents().enumerate() {
        collect(root, &number.to_string(), &mut all);
    }
    // Merged entries may stand elsewhere than a reader puts them.
    all.sort();
    all
}

fn collect(node: NodeRef<'_>, path: &str, into: &mut Vec<(String, String)>) {
    match node.sort() {
        Sort::Scalar => {
            let resolved = node.resolved();
            let text = if resolved == Resolved::Str { node.text().unwrap_or_default() } else { "".into() };
            into.push((path.to_owned(), format!("{resolved:?} {text}")));
        }
        Sort::Sequence => {
            into.push((path.to_owned(), "list".to_owned()));
            for (index, item) in node.items().enumerate() {
                collect(item, &format!("{path}/{index}"), into);
            }
        }
        Sort::Mapping => {
            into.push((path.to_owned(), "map".to_owned()));
            for entry in entries(node) {
                collect(entry.value, &format!("{path}/{:?}", entry.key.text()), into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        match expand_aliases(text.as_bytes()) {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Err(problems) => problems[0].to_string(),
        }
    }

    #[test]
    fn an_alias_becomes_a_copy_of_what_it_stands_for() {
        let table = [
            ("a: &x 0x1F # n\nb: *x # m\n", "a: 0x1F # n\nb: 0x1F # m\n"),
            ("a: &x 'it''s'\nb: [*x, 1]\n", "a: 'it''s'\nb: ['it''s', 1]\n"),
            (
                "a: &x\n  k: v\n  l:\n  - 1\nb: *x\nc: 1\n",
                "a:\n  k: v\n  l:\n  - 1\nb:\n  k: v\n  l:\n    - 1\nc: 1\n",
            ),
            ("a: &x {k: v}\nb: *x # c\n", "a: {k: v}\nb: {k: v} # c\n"),
            ("a: &x |\n  one\n  two\nb: *x\nc: 1\n", "a: |\n  one\n  two\nb: |\n  one\n  two\nc: 1\n"),
            ("a: &x\nb: *x\n", "a:\nb: null\n"),
            ("l:\n- &x {k: 1}\n- *x\n", "l:\n- {k: 1}\n- k: 1\n"),
            ("a: &x !!str 5\nb: *x\n", "a: !!str 5\nb: !!str 5\n"),
            ("a: &x [1, &y b]\nc: {d: *y, e: *x}\n", "a: [1, b]\nc: {d: b, e: [1, b]}\n"),
            ("no: aliases # here\n", "no: aliases # here\n"),
        ];
        for (text, wanted) in table {
            assert_eq!(expanded(text), wanted);
        }
    }

    #[test]
    fn merge_keys_become_entries_and_a_maps_own_keys_win() {
        let table = [
            ("d: &d\n  a: 1\n  b: 2\nx:\n  <<: *d\n  b: 3\n", "d:\n  a: 1\n  b: 2\nx:\n  a: 1\n  b: 3\n"),
            (
                "d: &d {a: 1}\ne: &e {a: 2, c: 3}\nx:\n  k: v\n  <<: [*d, *e]\n",
                "d: {a: 1}\ne: {a: 2, c: 3}\nx:\n  k: v\n  a: 1\n  c: 3\n",
            ),
            (
                "d: &d {a: 1}\nx: {<<: *d, b: 2}\ny: {<<: *d, a: 2}\n",
                "d: {a: 1}\nx: {a: 1, b: 2}\ny: { a: 2}\n",
            ),
            ("d: &d {}\nx:\n  <<: *d\n", "d: {}\nx:\n  {}\n"),
            ("d: &d\n  n: {k: v}\nx:\n- <<: *d\n  b: 1\n", "d:\n  n: {k: v}\nx:\n- n:\n    k: v\n  b: 1\n"),
            (
                "a: &a {k: 1}\nb: &b\n  <<: *a\n  l: 2\nc:\n  <<: *b\n",
                "a: {k: 1}\nb:\n  k: 1\n  l: 2\nc:\n  k: 1\n  l: 2\n",
            ),
            (
                "d: &d {a: 1}\nx:\n  <<: *d\n  a: 2\ny:\n- <<: *d # c\n  a: 3\n",
                "d: {a: 1}\nx:\n  a: 2\ny:\n-  # c\n  a: 3\n",
            ),
            ("\"<<\": plain\n", "\"<<\": plain\n"),
        ];
        for (text, wanted) in table {
            assert_eq!(expanded(text), wanted);
        }
    }

    #[test]
    fn copies_of_copies_end_at_a_limit() {
        let mut text = format!("a0: &a0 {}\n", "x".repeat(1000));
        for level in 1..7 {
            let before = level - 1;
            text += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 9].join(", "));
        }
        assert!(expanded(&text).contains("more than 16 MiB"), "{}", &expanded(&text)[..100]);
        assert!(expanded("a: *b\n").contains("not valid YAML"));
    }
}

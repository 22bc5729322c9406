//! Events to tree.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StructureStyle};

use super::Limits;
use super::error::{Error, ErrorKind, words};
use super::node::{Comment, Data, Document, Id, Node, Properties, Scalar, Stream, Style, Tag, inside};
use super::stretch::{Line, Shortened};

type Input<'t> = granit_parser::StrInput<'t>;

/// What an anchor stands for.
#[derive(Clone, Copy)]
struct Target {
    id: Id,
    /// Nodes in it with aliases followed, and levels; unknown until its end is seen.
    size: Option<(u64, u32)>,
}

/// A collection that is not closed yet.
struct Open {
    id: Id,
    anchor: usize,
    /// A key that waits for its value.
    key: Option<Id>,
    size: u64,
    height: u32,
    end: usize,
}

/// Reads `text`, a part of the source's text (or one of the same length) that begins at `base`, and
/// appends to the stream.
pub(super) fn read(stream: &mut Stream<'_>, text: &str, base: usize, limits: Limits) {
    if let Some(short) = Shortened::of(text) {
        stream.nodes.reserve_exact(room(short.text.len()) + 2 * short.lines());
        let before = (stream.nodes.len(), stream.documents.len(), stream.comments.len(), stream.errors.len());
        let all_in_place = parse(stream, &short.text, base, limits, Some(&short));
        if all_in_place && stream.errors.len() == before.3 {
            return;
        }
        stream.nodes.truncate(before.0);
        stream.documents.truncate(before.1);
        stream.comments.truncate(before.2);
        stream.errors.truncate(before.3);
    }
    stream.nodes.reserve(room(text.len()));
    parse(stream, text, base, limits, None);
}

/// Room for the nodes of most texts, so that few have to be moved to where there is more.
fn room(length: usize) -> usize {
    32 + length / 24
}

/// Whether all stretches of a shortened text were found where lines are entries of a map.
pub(super) fn parse(
    stream: &mut Stream<'_>,
    text: &str,
    base: usize,
    limits: Limits,
    short: Option<&Shortened>,
) -> bool {
    let options = granit_parser::options! {
        emit_anchor_events: true,
        max_buffered_comment_events: 1 << 20,
        // JSON readers know no limit for keys; YAML's would hide what follows a long one.
        simple_key_max_lookahead: 1 << 24,
        flow_nesting_limit: limits.depth as usize,
        block_nesting_limit: limits.depth as usize,
    };
    let index = stream.documents.last().map_or(0, |document| document.index + 1);
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        text,
        base,
        limits,
        stream,
        short,
        stretches: 0,
        anchors: HashMap::new(),
        open: Vec::new(),
        root: None,
        start: base,
        index,
        floor: 0,
    };
    builder.run();
    builder.stretches == short.map_or(0, |short| short.stretches.len())
}

struct Builder<'b, 's, 't> {
    parser: Parser<'t, Input<'t>>,
    text: &'t str,
    base: usize,
    limits: Limits,
    stream: &'b mut Stream<'s>,
    /// What the text was shortened by.
    short: Option<&'b Shortened>,
    /// How many stretches are put in.
    stretches: usize,
    anchors: HashMap<usize, Target>,
    open: Vec<Open>,
    root: Option<Id>,
    /// Where the document begins, in the source's text.
    start: usize,
    index: u32,
    /// End of the last token, in `text`: where the search for a block header begins.
    floor: usize,
}

impl Builder<'_, '_, '_> {
    fn run(&mut self) {
        loop {
            match self.parser.next_event() {
                Some(Ok((event, span))) => {
                    let range = span.byte_range().unwrap_or(0..0);
                    let tag_range = span.tag_span().and_then(|tag| tag.byte_range());
                    if let Err(kind) = self.event(event, range.clone(), tag_range) {
                        self.give_up(kind, range.start);
                        if !self.next_document() {
                            return;
                        }
                    }
                }
                Some(Err(error)) => {
                    let (kind, at) = scan_error(&error, self.text.len());
                    self.give_up(kind, at);
                    if !self.next_document() {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    fn next_document(&mut self) -> bool {
        self.parser.proceed_next_document().unwrap_or(false)
    }

    /// Drops the document being read and notes why.
    fn give_up(&mut self, kind: ErrorKind, at: usize) {
        let at = self.at(at.min(self.text.len()));
        let region = self.start..self.at(self.text.len());
        let span = self.stream.source.span(&(at..at));
        self.stream.errors.push(Error { kind, span, region, document: self.index });
        self.finish_document();
    }

    fn finish_document(&mut self) {
        self.open.clear();
        self.anchors.clear();
        self.root = None;
        self.index += 1;
    }

    fn event(
        &mut self,
        event: Event<'_>,
        range: Range<usize>,
        tag_range: Option<Range<usize>>,
    ) -> Result<(), ErrorKind> {
        match event {
            Event::DocumentStart(..) => self.start_document(range),
            Event::DocumentEnd => self.end_document(),
            Event::Comment(..) => self.stream.comments.push(Comment { range: self.place(&range) }),
            Event::Anchor(id, name) => self.name_anchor(id, &name, range),
            Event::Alias(target) => self.alias(target, range)?,
            Event::Scalar(value, style, anchor, tag) => {
                let tag = tag.map(|tag| self.tag(&tag, tag_range));
                let data = Data::Scalar(self.scalar(&value, style, &range));
                self.floor = range.end;
                let end = self.at(range.end);
                let id = self.add(data, range, false, tag)?;
                self.remember(anchor, Target { id, size: Some((1, 1)) });
                self.attach(id, 1, 1)?;
                self.stretch(end)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                let tag = tag.map(|tag| self.tag(&tag, tag_range));
                self.open(Data::Sequence(Vec::new()), anchor, style, range, tag)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let tag = tag.map(|tag| self.tag(&tag, tag_range));
                self.open(Data::Mapping(Vec::new()), anchor, style, range, tag)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&range)?,
            _ => {}
        }
        Ok(())
    }

    /// Keeps what an anchor stands for; 0 is none.
    fn remember(&mut self, anchor: usize, target: Target) {
        if anchor != 0 {
            self.anchors.insert(anchor, target);
        }
    }

    /// The place in the source's text.
    fn at(&self, at: usize) -> usize {
        self.base + self.short.map_or(at, |short| short.whole(at))
    }

    fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.at(range.start)..self.at(range.end)
    }

    fn start_document(&mut self, range: Range<usize>) {
        self.floor = range.end;
        self.start = self.at(range.start);
        if let Some(error) = self.stream.errors.last_mut().filter(|error| error.region.end > self.start) {
            error.region.end = self.start.max(error.region.start);
        }
    }

    fn end_document(&mut self) {
        if let Some(root) = self.root {
            let end = self.stream.nodes.get(root as usize).map_or(self.start, |node| node.range.end);
            let range = self.start.min(end)..end;
            self.stream.documents.push(Document { root, index: self.index, range });
        }
        self.finish_document();
    }

    fn name_anchor(&mut self, id: usize, name: &str, range: Range<usize>) {
        let place = self.place(&range);
        let target = self.anchors.get(&id).map(|target| target.id);
        if let Some(node) = target.and_then(|id| self.stream.nodes.get_mut(id as usize)) {
            node.properties.get_or_insert_default().anchor = Some((name.into(), place));
        }
    }

    fn alias(&mut self, anchor: usize, range: Range<usize>) -> Result<(), ErrorKind> {
        self.floor = range.end;
        let target =
            self.anchors.get(&anchor).copied().ok_or_else(|| ErrorKind::Syntax("unknown anchor".into()))?;
        let (size, height) = target.size.ok_or(ErrorKind::AliasLoop)?;
        let id = self.add(Data::Alias(target.id), range, false, None)?;
        self.attach(id, size, height)
    }

    fn tag(&self, tag: &granit_parser::Tag, range: Option<Range<usize>>) -> Tag {
        let (handle, suffix) = tag.parts();
        let name = match (handle, suffix) {
            ("!", "") | ("", "!") => "!".to_owned(),
            // `!!x` with a redefined or unknown secondary handle stays as written.
            _ => format!("{handle}{suffix}"),
        };
        Tag { name, range: range.map(|range| self.place(&range)) }
    }

    fn scalar(&self, value: &str, style: ScalarStyle, range: &Range<usize>) -> Scalar {
        let style = match style {
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
            _ => Style::Plain,
        };
        let header = matches!(style, Style::Literal | Style::Folded)
            .then(|| block_header(self.text, self.floor, range.start))
            .flatten()
            .map(|header| Box::new(self.place(&header)));
        // The parser says `~` for a value that is not there.
        let value = if style == Style::Plain && range.is_empty() { "" } else { value };
        // Most texts need no copy. (In a reading of its own the source may say something else.)
        let written = self.stream.source.text().get(inside(style, &self.place(range)));
        let value = (written != Some(value)).then(|| value.into());
        Scalar { value, style, header }
    }

    fn add(
        &mut self,
        data: Data,
        range: Range<usize>,
        flow: bool,
        tag: Option<Tag>,
    ) -> Result<Id, ErrorKind> {
        let id = Id::try_from(self.stream.nodes.len()).map_err(|_| ErrorKind::TooLarge)?;
        let range = self.place(&range);
        let properties = tag.map(|tag| Box::new(Properties { tag: Some(tag), anchor: None }));
        self.stream.nodes.push(Node { data, range, flow, properties });
        Ok(id)
    }

    fn open(
        &mut self,
        data: Data,
        anchor: usize,
        style: StructureStyle,
        range: Range<usize>,
        tag: Option<Tag>,
    ) -> Result<(), ErrorKind> {
        self.floor = self.floor.max(range.end);
        let end = self.at(range.end);
        let id = self.add(data, range, style == StructureStyle::Flow, tag)?;
        self.remember(anchor, Target { id, size: None });
        if self.open.len() >= self.limits.depth as usize {
            return Err(ErrorKind::TooDeep);
        }
        self.open.push(Open { id, anchor, key: None, size: 1, height: 1, end });
        Ok(())
    }

    fn close(&mut self, range: &Range<usize>) -> Result<(), ErrorKind> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let end = self.at(range.end);
        if let Some(node) = self.stream.nodes.get_mut(open.id as usize) {
            let end = if node.flow { end } else { open.end };
            node.range.end = end.max(node.range.start);
        }
        self.floor = self.floor.max(range.start);
        self.remember(open.anchor, Target { id: open.id, size: Some((open.size, open.height)) });
        self.attach(open.id, open.size, open.height)
    }

    /// Puts a finished node into the collection around it, or makes it the root.
    fn attach(&mut self, id: Id, size: u64, height: u32) -> Result<(), ErrorKind> {
        let end = self.stream.nodes.get(id as usize).map_or(0, |node| node.range.end);
        let depth = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        if depth.saturating_add(height) > self.limits.depth.saturating_add(1) {
            return Err(ErrorKind::TooDeep);
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(id);
            return Ok(());
        };
        open.size = open.size.saturating_add(size);
        open.height = open.height.max(height + 1);
        open.end = open.end.max(end);
        if open.size > self.limits.expanded_nodes {
            return Err(ErrorKind::TooManyAliases);
        }
        match self.stream.nodes.get_mut(open.id as usize).map(|node| &mut node.data) {
            Some(Data::Sequence(items)) => items.push(id),
            Some(Data::Mapping(entries)) => match open.key.take() {
                None => open.key = Some(id),
                Some(key) => entries.push((key, id)),
            },
            _ => {}
        }
        Ok(())
    }
}

impl Builder<'_, '_, '_> {
    /// Puts the next stretch in behind its first line, whose value ends here, if that is an entry of a block map.
    fn stretch(&mut self, end: usize) -> Result<(), ErrorKind> {
        let Some(stretch) = self.short.and_then(|short| short.stretches.get(self.stretches)) else {
            return Ok(());
        };
        let Some(first) = stretch.first.filter(|first| self.base + first.value().end == end) else {
            return Ok(());
        };
        let map = self.open.last().filter(|open| open.key.is_none()).map(|open| open.id);
        let Some(map) = map.and_then(|map| self.stream.nodes.get(map as usize)) else { return Ok(()) };
        let last = match &map.data {
            Data::Mapping(entries) if !map.flow => entries.last(),
            _ => None,
        };
        let starts = |id: Id| self.stream.nodes.get(id as usize).map(|node| node.range.start - self.base);
        let places = last.map(|(key, value)| (starts(*key), starts(*value)));
        if places != Some((Some(first.key().start), Some(first.value().start))) {
            return Ok(());
        }
        self.stretches += 1;
        let map = self.open.last().and_then(|open| self.stream.nodes.get_mut(open.id as usize));
        if let Some(Data::Mapping(entries)) = map.map(|map| &mut map.data) {
            entries.reserve(stretch.others.len());
        }
        stretch.others.iter().try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &Line) -> Result<(), ErrorKind> {
        for (range, style) in [(line.key(), Style::Plain), (line.value(), line.style)] {
            let range = self.base + range.start..self.base + range.end;
            let data = Data::Scalar(Scalar { value: None, style, header: None });
            let id = Id::try_from(self.stream.nodes.len()).map_err(|_| ErrorKind::TooLarge)?;
            self.stream.nodes.push(Node { data, range, flow: false, properties: None });
            self.attach(id, 1, 1)?;
        }
        Ok(())
    }
}

fn scan_error(error: &ScanError, end: usize) -> (ErrorKind, usize) {
    let words = words(error.kind());
    let kind = if words.contains("nesting") || words.contains("too deep") || words.contains("recursion") {
        ErrorKind::TooDeep
    } else {
        ErrorKind::Syntax(words)
    };
    (kind, error.marker().byte_offset().unwrap_or(end))
}

/// Finds `|` or `>` with its indicators between the last token and the content of a block scalar:
/// the parser's span begins after it. Tags, anchors and comments on the way may hold the same characters.
fn block_header(text: &str, floor: usize, content: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes().get(..content)?;
    let mut at = floor.min(content);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'|' | b'>' => {
                let length = bytes.get(at + 1..)?.iter().take_while(|b| b"+-0123456789".contains(b)).count();
                return Some(at..at + 1 + length);
            }
            b'#' => at += bytes.get(at..)?.iter().take_while(|b| !b"\r\n".contains(b)).count(),
            b'!' | b'&' => at += bytes.get(at..)?.iter().take_while(|b| !b.is_ascii_whitespace()).count(),
            _ => at += 1,
        }
    }
    None
}

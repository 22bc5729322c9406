//! JSON files as sops reads them (`stores/json/store.go`): an object; the metadata is its member `sops`.
//!
//! What decrypting does not give back of what was encrypted: the spelling of numbers (`1.0`, `1E2`) and of
//! strings with escapes that need none (`\/`, `\u0041`). Integers and other texts come back byte for byte.

use std::collections::HashSet;
use std::ops::Range;

use zeroize::{Zeroize as _, Zeroizing};

use super::located_json::{self, Kind, Member, Number, Value};
use super::text::{self, edit, next_site};
use super::{Edit, Layout, Parsed, StoreSettings};
use crate::finding::Span;
use crate::sops::block::{Block, Meta};
use crate::sops::metadata;
use crate::sops::plain::{Plain, float_text};
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::{Branch, Element, Item, Leaf, Site, Tree};
use crate::yaml::{KeyPath, Source, Step};

const METADATA: &str = "sops";

/// Problems of a kind that are kept. More say nothing new, and finding the column on a long line takes time.
const MOST_PROBLEMS: usize = 100;

/// Reads a JSON file, plain or encrypted. Of the settings, `json_indent` counts: for a new metadata block in
/// a file that is not all on one line; without it the block takes the file's own indentation.
///
/// # Errors
///
/// The first place that is not JSON; a root that is no object; a byte order mark, which sops refuses; all
/// numbers beyond the range of 64-bit floats, all strings with half a surrogate pair; `sops` where it is no
/// metadata. In plain files moreover: integers beyond 64 bits that lose digits as floats.
pub fn read(bytes: &[u8], settings: StoreSettings) -> Result<Parsed<'_>, Vec<Problem>> {
    let source = text::decode(bytes)?;
    if bytes.starts_with(text::MARK) {
        let what = "a byte order mark, which sops refuses".to_owned();
        return Err(vec![Problem::of_file(ProblemKind::Syntax { format: "JSON", what })]);
    }
    read_source(source, settings.json_indent)
}

/// The same for text that is there.
pub(super) fn read_source(source: Source<'_>, indent: Option<i8>) -> Result<Parsed<'_>, Vec<Problem>> {
    let root = located_json::parse(&source).map_err(|problem| vec![problem])?;
    let Kind::Map(members) = root.kind else {
        let what = if matches!(root.kind, Kind::List(_)) { "a list" } else { "a scalar" };
        return Err(vec![Problem::at(ProblemKind::RootNotAMap(what), source.span(&root.range))]);
    };
    let mut reader = Reader::new(&source);
    let block = reader.block(&members);
    let branch = reader.branch(members.iter().filter(|member| !is_metadata(member)));
    let Reader { places, duplicates, mut problems, doubts, .. } = reader;
    if block.is_none() {
        problems.extend(doubts);
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.bytes.start));
        return Err(problems);
    }
    let style = Style::of(source.text(), &root.range, &members, indent);
    Ok(Parsed {
        documents: vec![branch],
        block,
        duplicate_keys: duplicates,
        layout: Box::new(Json { source, places, root: root.range, members, style }),
    })
}

fn is_metadata(member: &Member) -> bool {
    member.key.as_deref() == Some(METADATA)
}

/// Makes the tree.
struct Reader<'s> {
    source: &'s Source<'s>,
    path: KeyPath,
    places: Vec<Range<usize>>,
    duplicates: Vec<Problem>,
    problems: Vec<Problem>,
    /// Problems of plain files only.
    doubts: Vec<Problem>,
}

impl<'s> Reader<'s> {
    fn new(source: &'s Source<'s>) -> Self {
        Self {
            source,
            path: KeyPath::root(),
            places: Vec::new(),
            duplicates: Vec::new(),
            problems: Vec::new(),
            doubts: Vec::new(),
        }
    }

    fn problem_at(&self, kind: ProblemKind, range: &Range<usize>) -> Problem {
        Problem::at(kind, self.source.span(range)).key(self.path.to_string())
    }

    fn problem(&mut self, kind: ProblemKind, range: &Range<usize>) {
        if self.problems.len() < MOST_PROBLEMS {
            let problem = self.problem_at(kind, range);
            self.problems.push(problem);
        }
    }

    /// The metadata. `sops` that is none, or is there twice, or has a key twice, is a problem.
    fn block(&mut self, members: &[Member]) -> Option<Block> {
        let mut found = members.iter().filter(|member| is_metadata(member));
        let first = found.next()?;
        let block = first.value.members().map(|members| located_json::block(members, self.source.text()));
        self.path.push(Step::Key(METADATA.to_owned()));
        if !block.as_ref().is_some_and(metadata::tells) {
            self.problem(ProblemKind::ReservedKey, &first.key_range);
        }
        for range in found.map(|member| &member.key_range).chain(&key_twice(&first.value)) {
            self.problem(ProblemKind::DuplicateKey, range);
        }
        self.path.pop();
        block
    }

    fn branch<'m>(&mut self, members: impl Iterator<Item = &'m Member>) -> Branch {
        let mut keys = HashSet::new();
        let mut branch = Branch::default();
        for member in members {
            let Some(key) = &member.key else {
                self.problem(HALF_A_PAIR, &member.key_range);
                continue;
            };
            self.path.push(Step::Key(key.clone()));
            if !keys.insert(key.as_str()) && self.duplicates.len() < MOST_PROBLEMS {
                let problem = self.problem_at(ProblemKind::DuplicateKey, &member.key_range);
                self.duplicates.push(problem);
            }
            let tree = self.tree(&member.value);
            branch.items.push(Item::Entry(key.clone(), tree));
            self.path.pop();
        }
        branch
    }

    fn tree(&mut self, value: &Value) -> Tree {
        match &value.kind {
            Kind::Map(members) => Tree::Map(self.branch(members.iter())),
            Kind::List(items) => Tree::List(self.elements(items)),
            _ => {
                let plain = self.leaf(value);
                let site = next_site(&self.places);
                self.places.push(value.range.clone());
                Tree::Leaf(Leaf { value: plain, site })
            }
        }
    }

    fn elements(&mut self, items: &[Value]) -> Vec<Element> {
        let mut elements = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            elements.push(Element::Value(self.tree(item)));
            self.path.pop();
        }
        elements
    }

    /// A scalar; `None` for null, and where there is a problem.
    fn leaf(&mut self, value: &Value) -> Option<Plain> {
        let text = self.source.text();
        let (plain, problem) = match value.kind {
            Kind::Bool(bool) => return Some(Plain::Bool(bool)),
            Kind::Text => {
                let mut text = value.text(text);
                let bytes = text.as_mut().map(|text| std::mem::take(&mut **text).into_bytes());
                (bytes.map(|bytes| Plain::Str(Zeroizing::new(bytes))), HALF_A_PAIR)
            }
            Kind::Number => {
                let plain = value.number(text).map(|number| match number {
                    Number::Int(int) => Plain::Int(int),
                    Number::Float(float) => {
                        self.rounded(value, float);
                        Plain::Float(float)
                    }
                });
                (plain, ProblemKind::Unreadable("a number beyond the range of 64-bit floats"))
            }
            _ => return None,
        };
        if plain.is_none() {
            self.problem(problem, &value.range);
        }
        plain
    }

    /// An integer that loses digits as a float is in doubt.
    fn rounded(&mut self, value: &Value, float: f64) {
        let token = value.token(self.source.text());
        let integer = !token.contains(['.', 'e', 'E']);
        if integer && token != float_text(float) && self.doubts.len() < MOST_PROBLEMS {
            let kind =
                ProblemKind::Ambiguous("an integer beyond 64 bits, which sops rounds; put it in quotes");
            self.doubts.push(self.problem_at(kind, &value.range));
        }
    }
}

const HALF_A_PAIR: ProblemKind = ProblemKind::Unreadable("half a surrogate pair in a string");

/// The place of a key that is there twice in an object of the metadata, if there is one.
fn key_twice(value: &Value) -> Option<Range<usize>> {
    match &value.kind {
        Kind::Map(members) => {
            let mut keys = HashSet::new();
            members.iter().find_map(|member| {
                if keys.insert(&member.key) {
                    key_twice(&member.value)
                } else {
                    Some(member.key_range.clone())
                }
            })
        }
        Kind::List(items) => items.iter().find_map(key_twice),
        _ => None,
    }
}

/// How a file is laid out: what a new metadata block takes over.
struct Style {
    /// Whether the members of the root stand on lines of their own.
    lines: bool,
    line_end: &'static str,
    /// Before the members of the root.
    indent: String,
    /// A level more of it.
    unit: String,
    /// Between a key and its value.
    colon: &'static str,
    /// Between members on one line.
    comma: &'static str,
}

impl Style {
    fn of(text: &str, root: &Range<usize>, members: &[Member], indent: Option<i8>) -> Self {
        let between = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        let first = members.first();
        let before = first.map_or("", |member| between(root.start + 1, member.key_range.start));
        let own = before.rsplit_once('\n').map_or("", |(_, indent)| indent);
        let outer =
            between(0, root.start).rsplit_once('\n').map_or(between(0, root.start), |(_, indent)| indent);
        let unit = match indent {
            None => own.strip_prefix(outer).filter(|unit| !unit.is_empty()).unwrap_or(own).to_owned(),
            Some(indent) => unit(indent),
        };
        let tight =
            first.is_some_and(|member| between(member.key_range.end, member.value.range.start) == ":");
        let apart = match members {
            [one, two, ..] => between(one.value.range.end, two.key_range.start) == ", ",
            _ => !tight,
        };
        Self {
            lines: before.contains('\n'),
            line_end: if text.split_once('\n').is_some_and(|(line, _)| line.ends_with('\r')) {
                "\r\n"
            } else {
                "\n"
            },
            indent: own.to_owned(),
            unit,
            colon: if tight { ":" } else { ": " },
            comma: if apart { ", " } else { "," },
        }
    }

    /// What an indentation looks like that stands before the line of a token.
    fn indent_at(text: &str, at: usize) -> &str {
        let line = text.get(..at).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
        let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
        &line[..blank]
    }

    /// Writes metadata. `indent` is that of the line the value begins on.
    fn write(&self, meta: &Meta, indent: &str, into: &mut String) {
        let inner = format!("{indent}{}", self.unit);
        let (open, close, length) = match meta {
            Meta::Null => return into.push_str("null"),
            Meta::Bool(bool) => return into.push_str(if *bool { "true" } else { "false" }),
            Meta::Int(int) => return into.push_str(&int.to_string()),
            Meta::Text(text) => return into.push_str(&quoted(text)),
            Meta::List(items) => ('[', ']', items.len()),
            Meta::Map(block) => ('{', '}', block.fields.len()),
        };
        into.push(open);
        for index in 0..length {
            if index > 0 {
                into.push_str(if self.lines { "," } else { self.comma });
            }
            self.break_line(&inner, into);
            match meta {
                Meta::List(items) => self.write(&items[index], &inner, into),
                Meta::Map(block) => {
                    let (name, value) = &block.fields[index];
                    into.push_str(&quoted(name));
                    into.push_str(self.colon);
                    self.write(value, &inner, into);
                }
                _ => {}
            }
        }
        if length > 0 {
            self.break_line(indent, into);
        }
        into.push(close);
    }

    fn break_line(&self, indent: &str, into: &mut String) {
        if self.lines {
            into.push_str(self.line_end);
            into.push_str(indent);
        }
    }
}

/// A level of indentation as settings name it: tabs where it is negative.
pub(super) fn unit(indent: i8) -> String {
    usize::try_from(indent).map_or_else(|_| "\t".to_owned(), |spaces| " ".repeat(spaces))
}

/// A string token with as few escapes as JSON allows.
pub(super) fn quoted(text: &str) -> String {
    // A text cannot fail to be written; `Value` shows itself as JSON.
    let mut value = serde_json::Value::String(text.to_owned());
    let token = value.to_string();
    if let serde_json::Value::String(text) = &mut value {
        text.zeroize();
    }
    token
}

/// A metadata block as the envelope of a binary file has it.
pub(super) fn member_in_envelope(block: &Block, unit: &str) -> String {
    let style = Style {
        lines: true,
        line_end: "\n",
        indent: unit.to_owned(),
        unit: unit.to_owned(),
        colon: ": ",
        comma: ", ",
    };
    let mut member = format!("{unit}{}: ", quoted(METADATA));
    style.write(&Meta::Map(block.clone()), unit, &mut member);
    member
}

/// A number as Go writes it (`encoding/json`): an exponent below 1e-6 and from 1e21. But for the negative
/// zero, of which Go and sops make the integer 0 on the way back.
fn float_token(float: f64) -> Option<String> {
    let size = float.abs();
    if !float.is_finite() {
        return None;
    }
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let token = format!("{float:e}");
        return Some(if size < 1.0 { token } else { token.replace('e', "e+") });
    }
    Some(if size == 0.0 && float.is_sign_negative() { "-0.0".to_owned() } else { float.to_string() })
}

struct Json<'b> {
    source: Source<'b>,
    places: Vec<Range<usize>>,
    root: Range<usize>,
    members: Vec<Member>,
    style: Style,
}

impl Json<'_> {
    fn put(&self, site: Site, token: impl Into<Vec<u8>>) -> Result<Vec<Edit>, Problem> {
        Ok(vec![edit(&self.source, text::place(&self.places, site)?, token)])
    }

    fn metadata(&self) -> Option<usize> {
        self.members.iter().position(is_metadata)
    }

    /// Changes what differs: values one by one, where names and lengths are the same; else the list or map.
    fn update(&self, old: &Value, new: &Meta, edits: &mut Vec<Edit>) {
        let text = self.source.text();
        if old.meta(text) == *new {
            return;
        }
        match (&old.kind, new) {
            (Kind::Map(members), Meta::Map(block))
                if members
                    .iter()
                    .map(|member| member.key.as_deref())
                    .eq(block.fields.iter().map(|(name, _)| Some(name.as_str()))) =>
            {
                for (member, (_, value)) in members.iter().zip(&block.fields) {
                    self.update(&member.value, value, edits);
                }
            }
            (Kind::List(items), Meta::List(values)) if items.len() == values.len() => {
                for (item, value) in items.iter().zip(values) {
                    self.update(item, value, edits);
                }
            }
            _ => {
                let mut token = String::new();
                self.style.write(new, Style::indent_at(text, old.range.start), &mut token);
                edits.push(edit(&self.source, &old.range, token));
            }
        }
    }
}

impl Layout for Json<'_> {
    fn span(&self, site: Site) -> Span {
        self.source.span(text::place(&self.places, site).unwrap_or(&(0..0)))
    }

    fn seal(&self, site: Site, sealed: &str) -> Result<Vec<Edit>, Problem> {
        self.put(site, quoted(sealed))
    }

    fn open(&self, site: Site, plain: &Plain) -> Result<Vec<Edit>, Problem> {
        let refuse = |why| Problem::at(ProblemKind::Unwritable(why), self.span(site));
        let token = match plain {
            Plain::Str(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| refuse("it is not text in UTF-8"))?;
                quoted(text)
            }
            Plain::Int(int) => int.to_string(),
            Plain::Float(float) => float_token(*float).ok_or_else(|| refuse("JSON has no such number"))?,
            Plain::Bool(bool) => bool.to_string(),
            Plain::Time(time) => quoted(time),
        };
        self.put(site, token)
    }

    fn comment(&self, site: Site, _: &str) -> Result<Vec<Edit>, Problem> {
        Err(Problem::at(ProblemKind::Unwritable("JSON has no comments"), self.span(site)))
    }

    fn stamp(&self, block: &Block) -> Result<Vec<Edit>, Problem> {
        let new = Meta::Map(block.clone());
        let mut edits = Vec::new();
        if let Some(at) = self.metadata() {
            self.update(&self.members[at].value, &new, &mut edits);
            return Ok(edits);
        }
        let style = &self.style;
        let (at, mut member) = match self.members.last() {
            Some(last) if style.lines => {
                (last.value.range.end, format!(",{}{}", style.line_end, style.indent))
            }
            Some(last) => (last.value.range.end, style.comma.to_owned()),
            None => (self.root.start + 1, String::new()),
        };
        member.push_str(&quoted(METADATA));
        member.push_str(style.colon);
        style.write(&new, &style.indent, &mut member);
        edits.push(edit(&self.source, &(at..at), member));
        Ok(edits)
    }

    fn strip(&self) -> Vec<Edit> {
        let Some(at) = self.metadata() else { return Vec::new() };
        let end = self.members[at].value.range.end;
        let range = match (at.checked_sub(1).map(|before| &self.members[before]), self.members.get(at + 1)) {
            (Some(before), _) => before.value.range.end..end,
            (None, Some(after)) => self.members[at].key_range.start..after.key_range.start,
            (None, None) => self.root.start + 1..end,
        };
        vec![edit(&self.source, &range, "")]
    }
}

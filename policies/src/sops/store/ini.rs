//! INI files as sops reads them (`stores/ini/store.go`): sections with texts; the metadata is the section
//! `sops`, flattened. What stands before the first section is in the section `DEFAULT`.
//!
//! A comment belongs to the section or key after it, and its place in the tree is behind that key. sops knows
//! one comment for each, moves one at the end of a line above it, and drops those after the last key. Here
//! lines of comment with nothing between them are one comment, each other stretch is another one, and those
//! after the last key of a section before `[sops]`, or at the end, belong to that section: they are encrypted
//! as well. sops shows the first of several, and no value changes by that.
//!
//! Every file that can be read is given back byte for byte: quotes and the signs of comments stay around what
//! is encrypted. To make that so, what sops would read otherwise than other programs, or could not write
//! again, is refused in plain files; see [`read`].

mod grammar;
mod layout;

use std::collections::HashSet;
use std::ops::Range;

use self::layout::{Before, Field, Ini, Metadata, Place};
use super::text::{self, next_site};
use super::{Parsed, StoreSettings};
use crate::sops::block::Block;
use crate::sops::metadata;
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::{Branch, Comment, Item, Leaf, Tree};
use crate::sops::value;
use crate::yaml::{KeyPath, Source};

const METADATA: &str = "sops";
const DEFAULT: &str = "DEFAULT";

/// Reads an INI file, plain or encrypted. There are no settings for this store.
///
/// # Errors
///
/// What sops refuses: keys without a delimiter or name, sections without name or end, quotes that do not end.
/// What it reads in a way that loses something: a key twice in a section, the key `-`, a backslash at the
/// end of a value. In plain files moreover: `#` or `;` in a value that is not in backquotes, text after a
/// closing quote or bracket, comments that begin with an empty one (they crash sops), keys and values that sops
/// does not write as it reads them. The section `sops` where it is no metadata.
pub fn read(bytes: &[u8], _: StoreSettings) -> Result<Parsed<'_>, Vec<Problem>> {
    let source = text::decode(bytes)?;
    let mut reader = Reader::new(&source);
    reader.lines();
    let block = reader.block();
    let Reader { mut problems, doubts, sections, places, duplicates, metadata, .. } = reader;
    if block.is_none() {
        problems.extend(doubts);
        problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.bytes.start));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let items = sections.into_iter().map(|(name, branch)| Item::Entry(name, Tree::Map(branch))).collect();
    Ok(Parsed {
        documents: vec![Branch { items }],
        block,
        duplicate_keys: duplicates,
        layout: Box::new(Ini { source, places, metadata }),
    })
}

/// Comments that no key or section has taken yet.
#[derive(Default)]
struct Waiting {
    /// Stretches of comment.
    runs: Vec<(Range<usize>, Before)>,
    /// What sops makes of them: the lines without what is before their signs.
    joined: String,
}

struct Reader<'s> {
    source: &'s Source<'s>,
    sections: Vec<(String, Branch)>,
    /// Keys of the present section.
    keys: HashSet<&'s str>,
    /// Names of sections.
    names: HashSet<&'s str>,
    waiting: Waiting,
    places: Vec<Place>,
    metadata: Option<Metadata>,
    in_metadata: bool,
    duplicates: Vec<Problem>,
    problems: Vec<Problem>,
    /// Problems of plain files only.
    doubts: Vec<Problem>,
}

impl<'s> Reader<'s> {
    fn new(source: &'s Source<'s>) -> Self {
        Self {
            source,
            sections: Vec::new(),
            keys: HashSet::new(),
            names: HashSet::new(),
            waiting: Waiting::default(),
            places: Vec::new(),
            metadata: None,
            in_metadata: false,
            duplicates: Vec::new(),
            problems: Vec::new(),
            doubts: Vec::new(),
        }
    }

    fn lines(&mut self) {
        let text = self.source.text();
        let mut at = 0;
        while at < text.len() {
            let end = grammar::line_end(text, at);
            let line = text[at..end].trim_start();
            let start = end - line.len();
            at = match line.as_bytes().first() {
                None => end,
                Some(b'#' | b';') => {
                    self.comment_line(at, start, line);
                    end
                }
                Some(b'[') => {
                    self.section(at, line, end);
                    end
                }
                Some(_) => self.entry(start, line).unwrap_or(end),
            };
        }
        if !self.in_metadata {
            self.comments_at_the_end();
        }
    }

    fn syntax(&mut self, what: &str, range: Range<usize>) {
        let kind = ProblemKind::Syntax { format: "INI", what: what.to_owned() };
        self.problems.push(Problem::at(kind, self.source.span(&range)));
    }

    fn doubt(&mut self, kind: ProblemKind, range: &Range<usize>, key: &str) {
        let problem = Problem::at(kind, self.source.span(range)).key(self.path(key));
        self.doubts.push(problem);
    }

    /// The name of a key of the present section, for messages.
    fn path(&self, key: &str) -> String {
        let section = match self.sections.last() {
            _ if self.in_metadata => METADATA,
            Some((name, _)) => name,
            None => DEFAULT,
        };
        if key.is_empty() { KeyPath::of(&[section]) } else { KeyPath::of(&[section, key]) }.to_string()
    }

    /// Takes a line of comment: `at` its start, `start` that of its sign.
    fn comment_line(&mut self, at: usize, start: usize, line: &str) {
        self.waiting.joined.push_str(line);
        let text = self.source.text();
        let range = start..start + line.trim_end().len();
        if let Some((last, Before::Nothing)) = self.waiting.runs.last_mut()
            && at == start
            && grammar::line_end(text, last.end) == at
            && !is_sealed(&text[last.clone()])
            && !is_sealed(line)
        {
            last.end = range.end;
        } else {
            self.waiting.runs.push((range, Before::Nothing));
        }
    }

    fn comment_after(&mut self, range: Range<usize>, before: Before) {
        self.waiting.joined.push_str(&self.source.text()[range.clone()]);
        self.waiting.runs.push((range, before));
    }

    /// The comments that wait become items of the present section.
    fn take_comments(&mut self, items: &mut Vec<Item>) {
        let Waiting { runs, joined } = std::mem::take(&mut self.waiting);
        let Some((first, _)) = runs.first() else { return };
        let joined = joined.trim();
        let text = joined[grammar::sign_length(joined)..].split_once('\n');
        if text.is_some_and(|(first_line, _)| first_line.trim().is_empty()) {
            let kind = ProblemKind::Unreadable("a comment that begins with an empty line");
            self.doubt(kind, first, "");
        }
        for (range, before) in runs {
            let comment = &self.source.text()[range.clone()];
            let sign = grammar::sign_length(comment);
            let site = next_site(&self.places);
            items.push(Item::Comment(Comment { text: comment[sign..].to_owned(), site }));
            self.places.push(Place::Comment { range, sign, before });
        }
    }

    /// Comments that sops drops, given to the section they follow.
    fn comments_at_the_end(&mut self) {
        // One of them cannot crash sops.
        self.waiting.joined.clear();
        let mut items = Vec::new();
        self.take_comments(&mut items);
        if !items.is_empty() {
            self.open_section().items.append(&mut items);
        }
    }

    /// The section that keys go to.
    fn open_section(&mut self) -> &mut Branch {
        if self.sections.is_empty() {
            self.names.insert(DEFAULT);
            self.sections.push((DEFAULT.to_owned(), Branch::default()));
        }
        let last = self.sections.len() - 1;
        &mut self.sections[last].1
    }

    /// Takes a `[section]` line: `at` its start, `line` from its bracket, `end` past its line break.
    fn section(&mut self, at: usize, line: &'s str, end: usize) {
        let start = end - line.len();
        let range = start..start + line.trim_end().len();
        let Some(close) = line.rfind(']') else {
            return self.syntax("a section without `]`", range);
        };
        let (name, after) = (&line[1..close], line[close + 1..].trim());
        if name.is_empty() {
            return self.syntax("a section without a name", range);
        }
        let comment_after = after.find(['#', ';']).map(|sign| {
            let from = start + close + 1 + line[close + 1..].find(['#', ';']).unwrap_or(sign);
            from..range.end
        });
        self.keys.clear();
        self.in_metadata = name == METADATA;
        if self.in_metadata {
            self.comments_at_the_end();
            if self.metadata.is_some() {
                self.problems
                    .push(Problem::at(ProblemKind::DuplicateKey, self.source.span(&range)).key(METADATA));
            }
            self.metadata = Some(Metadata { fields: Vec::new(), start: at, inside: end, end });
            return;
        }
        self.sections.push((name.to_owned(), Branch::default()));
        if !self.names.insert(name) {
            let problem = Problem::at(ProblemKind::DuplicateKey, self.source.span(&range));
            self.duplicates.push(problem.key(self.path("")));
        }
        let junk = !after.is_empty() && !after.starts_with(['#', ';']);
        if junk || name.contains(']') {
            self.doubt(ProblemKind::Ambiguous("text after the `]` of a section"), &range, "");
        }
        if let Some(comment) = comment_after {
            self.comment_after(comment, Before::Section);
        }
        let mut items = Vec::new();
        self.take_comments(&mut items);
        self.open_section().items.append(&mut items);
    }

    /// Takes a line with a key: `start` where the key begins. Gives the start of the next line.
    fn entry(&mut self, start: usize, line: &'s str) -> Option<usize> {
        let text = self.source.text();
        let whole = start..start + line.trim_end().len();
        let read =
            grammar::key(line).and_then(|(key, length)| Ok((key, grammar::value(text, start + length)?)));
        let (key, value) = match read {
            Ok(read) => read,
            Err(what) => {
                self.syntax(what, whole);
                return None;
            }
        };
        let next = value.next;
        if !self.in_metadata {
            self.open_section();
        }
        if key == "-" {
            let kind = ProblemKind::Unreadable("the key `-`, which sops replaces by a number");
            self.problems.push(Problem::at(kind, self.source.span(&whole)).key(self.path(key)));
        } else if !self.keys.insert(key) {
            let problem = Problem::at(ProblemKind::DuplicateKey, self.source.span(&whole));
            self.problems.push(problem.key(self.path(key)));
        }
        if self.in_metadata {
            self.field(key, &value);
        } else {
            self.leaf(key, value);
        }
        Some(next)
    }

    fn field(&mut self, key: &str, value: &grammar::Value) {
        self.waiting = Waiting::default();
        let Some(metadata) = &mut self.metadata else { return };
        metadata.end = value.next;
        metadata.fields.push(Field {
            name: key.to_owned(),
            value: text::unescaped(&self.source.text()[value.range.clone()]),
            quotes: value.quotes,
            range: with_quotes(value),
        });
    }

    fn leaf(&mut self, key: &str, value: grammar::Value) {
        let plain = &self.source.text()[value.range.clone()];
        let range = with_quotes(&value);
        if let Some(why) = value.doubt {
            self.doubt(ProblemKind::Ambiguous(why), &range, key);
        } else if !grammar::key_survives_sops(key) || !grammar::value_survives_sops(plain) {
            let kind = ProblemKind::Unreadable("something in quotes that sops writes without them");
            self.doubt(kind, &range, key);
        }
        let site = next_site(&self.places);
        let leaf = Leaf { value: Some(Plain::text(plain)), site };
        self.places.push(Place::Value { quotes: value.quotes, range });
        let mut items = vec![Item::Entry(key.to_owned(), Tree::Leaf(leaf))];
        if let Some(comment) = value.comment {
            self.comment_after(comment, Before::Value);
        }
        self.take_comments(&mut items);
        self.open_section().items.append(&mut items);
    }

    /// The metadata; a section that is none, though its name says so, is a problem.
    fn block(&mut self) -> Option<Block> {
        let metadata = self.metadata.as_ref()?;
        let pairs = metadata.fields.iter().map(|field| (field.name.clone(), field.value.clone()));
        let block = Block::of_flat(&pairs.collect::<Vec<_>>());
        if !metadata::tells(&block) {
            let span = self.source.span(&(metadata.start..metadata.inside));
            self.problems.push(Problem::at(ProblemKind::ReservedKey, span).key(METADATA));
        }
        Some(block)
    }
}

fn is_sealed(comment: &str) -> bool {
    value::claims(&comment[grammar::sign_length(comment)..])
}

fn with_quotes(value: &grammar::Value) -> Range<usize> {
    let quote = value.quotes.text().len();
    value.range.start - quote..value.range.end + quote
}

//! dotenv files as sops reads them (`stores/dotenv/store.go`): `KEY=value` lines, `#` comments.
//!
//! Nothing is quoted: quotes, `export` and blanks are part of keys and values. `\n` in a value is a line
//! break. A line ends with LF; the CR of a CR LF is part of the value or comment. Metadata are lines whose
//! keys begin with `sops_`, flattened.
//!
//! A file without a line break at its end has none when it is encrypted, so that decrypting gives it back.
//! Every file that can be read is given back byte for byte.

use std::collections::HashSet;
use std::ops::Range;

use super::text::{self, edit, matched, next_site};
use super::{Edit, Layout, Parsed, StoreSettings};
use crate::finding::Span;
use crate::sops::block::Block;
use crate::sops::metadata;
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::{Branch, Comment, Item, Leaf, Site, Tree};
use crate::yaml::{KeyPath, Source};

const PREFIX: &str = "sops_";

/// Reads a dotenv file, plain or encrypted. There are no settings for this store.
///
/// # Errors
///
/// All lines that sops refuses; keys that begin with `sops_` and are no metadata; a byte order mark, which
/// sops takes for part of the first key.
pub fn read(bytes: &[u8], _: StoreSettings) -> Result<Parsed<'_>, Vec<Problem>> {
    let source = text::decode(bytes)?;
    let mut reader = Reader::default();
    if bytes.starts_with(text::MARK) {
        let kind = ProblemKind::Ambiguous("a byte order mark, which sops takes for part of the first key");
        reader.problems.push(Problem::at(kind, source.span(&(0..0))));
    }
    let mut start = 0;
    for line in source.text().split_inclusive('\n') {
        reader.line(&source, start, line);
        start += line.len();
    }
    let block = reader.block(&source);
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    Ok(Parsed {
        documents: vec![reader.branch],
        block,
        duplicate_keys: reader.duplicates,
        layout: Box::new(Dotenv { source, places: reader.places, metadata: reader.metadata }),
    })
}

/// A line of metadata.
struct Field {
    name: String,
    /// With its line breaks.
    value: String,
    /// The whole line.
    line: Range<usize>,
    /// The value.
    place: Range<usize>,
}

#[derive(Default)]
struct Reader {
    branch: Branch,
    places: Vec<Range<usize>>,
    metadata: Vec<Field>,
    keys: HashSet<String>,
    duplicates: Vec<Problem>,
    problems: Vec<Problem>,
}

impl Reader {
    fn line(&mut self, source: &Source<'_>, start: usize, line: &str) {
        let body = line.strip_suffix('\n').unwrap_or(line);
        if body.is_empty() {
            return;
        }
        if let Some(comment) = body.strip_prefix('#') {
            let comment = text::without_line_end_if_sealed(comment);
            let site = self.place(start + 1, comment);
            self.branch.items.push(Item::Comment(Comment { text: comment.to_owned(), site }));
            return;
        }
        let span = || source.span(&(start..start + body.len()));
        let Some((key, value)) = body.split_once('=') else {
            let what = if body == "\r" {
                "an empty line that ends in CR LF, which sops refuses"
            } else {
                "a line without `=`"
            };
            let kind = ProblemKind::Syntax { format: "dotenv", what: what.to_owned() };
            self.problems.push(Problem::at(kind, span()));
            return;
        };
        let at = start + key.len() + 1;
        if let Some(name) = key.strip_prefix(PREFIX) {
            let value = value.trim_end_matches('\r');
            self.metadata.push(Field {
                name: name.to_owned(),
                value: text::unescaped(value),
                line: start..start + line.len(),
                place: at..at + value.len(),
            });
            return;
        }
        if !self.keys.insert(key.to_owned()) {
            let problem = Problem::at(ProblemKind::DuplicateKey, span());
            self.duplicates.push(problem.key(KeyPath::of(&[key]).to_string()));
        }
        let value = text::without_line_end_if_sealed(value);
        let site = self.place(at, value);
        let plain = Plain::Str(zeroize::Zeroizing::new(text::unescaped(value).into_bytes()));
        self.branch.items.push(Item::Entry(key.to_owned(), Tree::Leaf(Leaf { value: Some(plain), site })));
    }

    fn place(&mut self, at: usize, text: &str) -> Site {
        let site = next_site(&self.places);
        self.places.push(at..at + text.len());
        site
    }

    /// The metadata; lines that are none, though their keys say so, are problems.
    fn block(&mut self, source: &Source<'_>) -> Option<Block> {
        if self.metadata.is_empty() {
            return None;
        }
        let pairs =
            self.metadata.iter().map(|field| (field.name.clone(), field.value.clone())).collect::<Vec<_>>();
        let block = Block::of_flat(&pairs);
        let mut names = HashSet::new();
        let tells = metadata::tells(&block);
        for field in &self.metadata {
            let kind = if !tells {
                ProblemKind::ReservedKey
            } else if !names.insert(field.name.as_str()) {
                ProblemKind::DuplicateKey
            } else {
                continue;
            };
            let key = KeyPath::of(&[&format!("{PREFIX}{}", field.name)]).to_string();
            self.problems.push(Problem::at(kind, source.span(&field.line)).key(key));
        }
        Some(block)
    }
}

struct Dotenv<'b> {
    source: Source<'b>,
    places: Vec<Range<usize>>,
    metadata: Vec<Field>,
}

impl Dotenv<'_> {
    fn put(&self, site: Site, text: impl Into<Vec<u8>>) -> Result<Vec<Edit>, Problem> {
        Ok(vec![edit(&self.source, text::place(&self.places, site)?, text)])
    }

    fn refuse(&self, site: Site, kind: ProblemKind) -> Problem {
        Problem::at(kind, self.span(site))
    }

    /// Stretches of metadata lines without anything between them.
    fn runs(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for field in &self.metadata {
            match runs.last_mut() {
                Some(last) if last.end == field.line.start => last.end = field.line.end,
                _ => runs.push(field.line.clone()),
            }
        }
        runs
    }

    /// Whether the stretch ends with the file, without a line break.
    fn unended(&self, run: &Range<usize>) -> bool {
        self.source.text().get(run.clone()).is_some_and(|text| !text.ends_with('\n'))
    }
}

impl Layout for Dotenv<'_> {
    fn span(&self, site: Site) -> Span {
        self.source.span(text::place(&self.places, site).unwrap_or(&(0..0)))
    }

    fn seal(&self, site: Site, sealed: &str) -> Result<Vec<Edit>, Problem> {
        self.put(site, sealed)
    }

    fn open(&self, site: Site, plain: &Plain) -> Result<Vec<Edit>, Problem> {
        let value = text::only_text(plain).map_err(|kind| self.refuse(site, kind))?;
        if !text::can_be_escaped(&value) {
            let kind = ProblemKind::Unwritable("a backslash before an `n` means a line break in it");
            return Err(self.refuse(site, kind));
        }
        self.put(site, text::escaped(&value))
    }

    fn comment(&self, site: Site, text: &str) -> Result<Vec<Edit>, Problem> {
        if text.contains(['\n', '\0']) {
            let kind = ProblemKind::Unwritable("a line break or NUL character in a comment");
            return Err(self.refuse(site, kind));
        }
        self.put(site, text)
    }

    fn stamp(&self, block: &Block) -> Result<Vec<Edit>, Problem> {
        let pairs = block.flatten();
        let fits = |(name, value): &(String, String)| {
            !name.contains(['=', '\n', '\0']) && !value.contains('\0') && text::can_be_escaped(value)
        };
        if !pairs.iter().all(fits) {
            let kind = ProblemKind::Unwritable("metadata with characters that dotenv gives another meaning");
            return Err(Problem::of_file(kind));
        }
        if let Some(fields) = matched(&self.metadata, |field| &field.name, &pairs) {
            let changed = fields.into_iter().filter(|(field, value)| field.value != *value);
            return Ok(changed
                .map(|(field, value)| edit(&self.source, &field.place, text::escaped(value)))
                .collect());
        }
        let lines = pairs.iter().map(|(name, value)| format!("{PREFIX}{name}={}", text::escaped(value)));
        let lines = lines.collect::<Vec<_>>().join("\n");
        let runs = self.runs();
        let Some((first, others)) = runs.split_first() else {
            let all = self.source.text();
            let lines = if all.ends_with('\n') { lines + "\n" } else { format!("\n{lines}") };
            return Ok(vec![edit(&self.source, &(all.len()..all.len()), lines)]);
        };
        let lines = if self.unended(first) { lines } else { lines + "\n" };
        let mut edits = vec![edit(&self.source, first, lines)];
        edits.extend(others.iter().map(|run| edit(&self.source, run, "")));
        Ok(edits)
    }

    fn strip(&self) -> Vec<Edit> {
        let whole = |run: Range<usize>| {
            let line_break_before = usize::from(self.unended(&run) && run.start > 0);
            edit(&self.source, &(run.start - line_break_before..run.end), "")
        };
        self.runs().into_iter().map(whole).collect()
    }
}

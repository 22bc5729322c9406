//! Changes of an INI file by its bytes: quotes, and the signs of comments, stay around what is encrypted.

use std::ops::Range;

use zeroize::Zeroizing;

use super::METADATA;
use super::grammar::{self, Quotes};
use crate::finding::Span;
use crate::sops::block::Block;
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::store::text::{self, edit, matched};
use crate::sops::store::{Edit, Layout};
use crate::sops::tree::Site;
use crate::yaml::Source;

/// Where a value or comment is.
pub(super) enum Place {
    Value {
        quotes: Quotes,
        /// With the quotes.
        range: Range<usize>,
    },
    Comment {
        /// With the sign.
        range: Range<usize>,
        sign: usize,
        before: Before,
    },
}

/// What is before a comment on its line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Value,
    /// A `[section]`, whose name sops reads up to the last `]` of the line.
    Section,
}

impl Place {
    fn range(&self) -> &Range<usize> {
        match self {
            Self::Value { range, .. } | Self::Comment { range, .. } => range,
        }
    }
}

/// The section of metadata.
pub(super) struct Metadata {
    pub(super) fields: Vec<Field>,
    /// Its first line.
    pub(super) start: usize,
    /// The line after its first.
    pub(super) inside: usize,
    /// The line after its last key.
    pub(super) end: usize,
}

pub(super) struct Field {
    pub(super) name: String,
    /// With its line breaks.
    pub(super) value: String,
    pub(super) quotes: Quotes,
    /// The value with its quotes.
    pub(super) range: Range<usize>,
}

/// Whether a comment would be read as one, with nothing but this sign before its text.
fn is_one_comment(comment: &str, sign: &str, lines: bool) -> bool {
    let text = &comment[sign.len()..];
    grammar::sign_length(comment) == sign.len()
        && comment.split('\n').all(|line| line.starts_with(['#', ';']))
        && text.trim_end().len() == text.len()
        && !text.contains('\0')
        && (lines || !text.contains('\n'))
}

/// The file, and where in it things are.
pub(super) struct Ini<'b> {
    pub(super) source: Source<'b>,
    pub(super) places: Vec<Place>,
    pub(super) metadata: Option<Metadata>,
}

impl Ini<'_> {
    fn refuse(&self, site: Site, why: &'static str) -> Problem {
        Problem::at(ProblemKind::Unwritable(why), self.span(site))
    }

    fn line_end(&self) -> &'static str {
        let first = self.source.text().split_once('\n');
        if first.is_some_and(|(line, _)| line.ends_with('\r')) { "\r\n" } else { "\n" }
    }

    /// Values of metadata as they are written.
    fn fields(block: &Block) -> Result<Vec<(String, String)>, Problem> {
        let fields = block.flatten();
        let fits = |(name, value): &(String, String)| {
            let plain = text::escaped(value);
            text::can_be_escaped(value)
                && !plain.contains('\0')
                && grammar::holds(Quotes::of_sops(&plain), &plain)
                && grammar::key_survives_sops(name)
                && !name.contains(['"', '`', '=', ':', '\n', '\0'])
        };
        if fields.iter().all(fits) {
            return Ok(fields);
        }
        Err(Problem::of_file(ProblemKind::Unwritable(
            "metadata with characters that INI gives another meaning",
        )))
    }
}

impl Layout for Ini<'_> {
    fn span(&self, site: Site) -> Span {
        self.source.span(text::place(&self.places, site).map_or(&(0..0), Place::range))
    }

    fn seal(&self, site: Site, sealed: &str) -> Result<Vec<Edit>, Problem> {
        match text::place(&self.places, site)? {
            Place::Value { quotes, range } => Ok(vec![edit(&self.source, range, quotes.around(sealed))]),
            Place::Comment { .. } => self.comment(site, sealed),
        }
    }

    fn open(&self, site: Site, plain: &Plain) -> Result<Vec<Edit>, Problem> {
        let Place::Value { quotes, range } = text::place(&self.places, site)? else {
            return Err(self.refuse(site, "a comment is no value"));
        };
        let value = text::only_text(plain).map_err(|kind| Problem::at(kind, self.span(site)))?;
        let choice = [*quotes, Quotes::of_sops(&value)].into_iter().chain(Quotes::ALL);
        let quotes = choice.into_iter().find(|quotes| grammar::holds(*quotes, &value));
        let quotes = quotes.ok_or_else(|| self.refuse(site, "no quotes of INI hold it"))?;
        Ok(vec![edit(&self.source, range, quotes.around(&value))])
    }

    fn comment(&self, site: Site, text: &str) -> Result<Vec<Edit>, Problem> {
        let Place::Comment { range, sign, before } = text::place(&self.places, site)? else {
            return Err(self.refuse(site, "a value is no comment"));
        };
        if *before == Before::Section && text.contains(']') {
            let why = "after a section, a `]` would be part of its name; put the comment above";
            return Err(self.refuse(site, why));
        }
        let sign = &self.source.text()[range.start..range.start + sign];
        // sops writes its own sign, before which a text that begins with that sign would not be the same.
        for sign in [sign, if sign.starts_with('#') { "; " } else { "# " }] {
            let whole = Zeroizing::new(format!("{sign}{text}"));
            if is_one_comment(&whole, sign, *before == Before::Nothing) {
                return Ok(vec![edit(&self.source, range, whole.as_bytes())]);
            }
        }
        Err(self.refuse(site, "the lines of a comment begin with `;` or `#`"))
    }

    fn stamp(&self, block: &Block) -> Result<Vec<Edit>, Problem> {
        let new = Self::fields(block)?;
        let written = |value: &str, quotes: Quotes| {
            let plain = text::escaped(value);
            if grammar::holds(quotes, &plain) { quotes } else { Quotes::of_sops(&plain) }.around(&plain)
        };
        if let Some(metadata) = &self.metadata
            && let Some(fields) = matched(&metadata.fields, |field| &field.name, &new)
        {
            let changed = fields.into_iter().filter(|(field, value)| field.value != *value);
            return Ok(changed
                .map(|(field, value)| edit(&self.source, &field.range, written(value, field.quotes)))
                .collect());
        }
        let width = new.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let lines =
            new.iter().map(|(name, value)| format!("{name:width$} = {}", written(value, Quotes::None)));
        let line_end = self.line_end();
        let lines = lines.collect::<Vec<_>>().join(line_end);
        let text = self.source.text();
        let last = |before: &str| if before.ends_with('\n') { line_end } else { "" };
        Ok(vec![match &self.metadata {
            Some(Metadata { inside, end, .. }) => {
                let end_of_last = last(&text[*inside..*end]);
                edit(&self.source, &(*inside..*end), format!("{lines}{end_of_last}"))
            }
            None => {
                let end_of_last = last(text);
                let before = if end_of_last.is_empty() { line_end } else { "" };
                let section = format!("{before}{line_end}[{METADATA}]{line_end}{lines}{end_of_last}");
                edit(&self.source, &(text.len()..text.len()), section)
            }
        }])
    }

    fn strip(&self) -> Vec<Edit> {
        let Some(Metadata { start, end, .. }) = &self.metadata else { return Vec::new() };
        let text = self.source.text();
        let (before, after) = (&text[..*start], &text[*end..]);
        let cut = |text: &str| text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).map(str::len);
        let range = if !after.trim().is_empty() {
            *start..*end
        } else if text[..*end].ends_with('\n') {
            // The empty line before it goes; the end of the line before that stays.
            let kept = cut(before).filter(|kept| *kept == 0 || before[..*kept].ends_with('\n'));
            kept.unwrap_or(before.len())..text.len()
        } else {
            let kept = cut(before).unwrap_or(before.len());
            cut(&before[..kept]).unwrap_or(kept)..text.len()
        };
        vec![edit(&self.source, &range, "")]
    }
}

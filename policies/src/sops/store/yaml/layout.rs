//! Changing a YAML file by its bytes.

use std::ops::Range;

use super::documents::{Found, Insert, Place, line_start};
use super::metadata::{self, Shape};
use super::scalar::{self, BlockShape};
use super::{ScalarSite, Written};
use crate::finding::Span;
use crate::sops::block::{Block, Meta};
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::store::{Edit, Layout, StoreSettings};
use crate::sops::tree::Site;
use crate::yaml::{Source, Style};

pub(super) struct YamlLayout<'b> {
    pub(super) source: Source<'b>,
    pub(super) sites: Vec<Written>,
    pub(super) places: Vec<Place>,
    pub(super) settings: StoreSettings,
}

/// The lines of a block text.
struct Body {
    /// From the line after the header to the end of what belongs to the value.
    lines: Range<usize>,
    /// The same with the empty lines after it.
    with_blanks: Range<usize>,
    /// The last line has no break: the file ends there.
    open_end: bool,
}

impl YamlLayout<'_> {
    fn text(&self) -> &str {
        self.source.text()
    }

    fn edit(&self, range: Range<usize>, text: impl Into<Vec<u8>>) -> Edit {
        Edit::new(self.source.original_range(&range), text)
    }

    /// A change to what is no secret.
    fn public(&self, range: Range<usize>, text: impl Into<Vec<u8>>) -> Edit {
        Edit::public(self.source.original_range(&range), text)
    }

    fn line_break(&self) -> &'static str {
        let first = self.text().split_once('\n').map(|(line, _)| line);
        if first.is_some_and(|line| line.ends_with('\r')) { "\r\n" } else { "\n" }
    }

    fn scalar(&self, site: Site) -> Result<&ScalarSite, Problem> {
        match self.sites.get(site.0 as usize) {
            Some(Written::Scalar(scalar)) => Ok(scalar),
            _ => Err(Problem::of_file(ProblemKind::Unproven("a place is not known"))),
        }
    }

    fn body(&self, site: &ScalarSite, header: &Range<usize>) -> Body {
        let text = self.text();
        let start = text[header.end..].find('\n').map_or(text.len(), |at| header.end + at + 1);
        let mut end = site.range.end.max(start);
        if end < text.len() && !text[..end].ends_with('\n') {
            end = line_start(text, end).max(start);
        }
        let blank = |line: &str| {
            let line = line.trim_end_matches(['\n', '\r']);
            line.len() <= site.body_indent && line.bytes().all(|byte| byte == b' ')
        };
        let mut content = start;
        let mut at = start;
        for line in text[start..end].split_inclusive('\n') {
            at += line.len();
            if !blank(line) {
                content = at;
            }
        }
        let keeps = text[header.clone()].contains('+');
        let mut open_end = content == text.len() && !text.ends_with('\n') && content > start;
        // The metadata of a file that ends without a line break begins with the break before it.
        let entries = self.places.iter().filter_map(|place| place.found.as_ref());
        if let Some(found) = entries.map(|found| found.entry.start).find(|at| start < *at && *at < end) {
            (content, end, open_end) = (content.min(found), found, true);
        }
        Body { lines: start..if keeps { end } else { content }, with_blanks: start..end, open_end }
    }

    /// A tag that says another type than text cannot stay before an encrypted value, nor any before others.
    fn tag_edit(&self, site: &ScalarSite, text: bool) -> Option<Edit> {
        let (range, keeps) = site.tag.as_deref()?;
        (!(*keeps && text)).then(|| self.edit(range.clone(), ""))
    }

    fn open_block(&self, site: &ScalarSite, header: &Range<usize>, plain: &Plain) -> Vec<Edit> {
        let body = self.body(site, header);
        let shape = BlockShape {
            header: &self.text()[header.clone()],
            indent: site.body_indent,
            parent: site.indent,
            line_break: self.line_break(),
        };
        let block = plain.as_text().and_then(|text| scalar::block(text, shape));
        let Some(mut block) = block else {
            // What no block holds stands in quotes; a comment behind the header stays.
            let inline = scalar::inline(plain, Style::DoubleQuoted, false, false);
            return vec![self.edit(header.clone(), inline), self.edit(body.lines, "")];
        };
        if body.open_end && block.header.contains('-') {
            block.lines.truncate(block.lines.len() - shape.line_break.len());
        }
        let lines = if block.header.contains('+') { body.with_blanks } else { body.lines };
        let mut edits = vec![self.edit(lines, block.lines)];
        if block.header != shape.header {
            edits.push(self.edit(header.clone(), block.header));
        }
        edits
    }

    /// A text of several lines where `ENC[…]` stood without quotes, as sops writes it.
    fn open_lines(&self, site: &ScalarSite, text: &str) -> Option<Edit> {
        if site.style != Style::Plain || site.flow || !text.contains('\n') {
            return None;
        }
        let rest = &self.text()[site.range.end..];
        let rest = rest.split('\n').next().unwrap_or_default();
        // With a comment behind it, the text would have to go around it.
        if !rest.trim().is_empty() {
            return None;
        }
        let shape = BlockShape {
            header: "|",
            indent: site.indent + self.step(),
            parent: site.indent,
            line_break: self.line_break(),
        };
        let block = scalar::block(text, shape)?;
        let lines = block.lines.strip_suffix(shape.line_break)?;
        Some(self.edit(site.range.clone(), format!("{}{}{lines}", block.header, shape.line_break)))
    }

    /// Spaces for a level: those of the file's first nested map, else sops's own.
    fn step(&self) -> usize {
        let indents = self.sites.iter().filter_map(|site| match site {
            Written::Scalar(scalar) if !scalar.flow && scalar.indent > 0 => Some(scalar.indent),
            _ => None,
        });
        indents.min().filter(|step| (2..=9).contains(step)).unwrap_or(4)
    }

    fn shape(&self) -> Shape<'static> {
        let step = self.settings.yaml_indent.map_or_else(|| self.step(), usize::from);
        Shape { step: step.clamp(2, 9), line_break: self.line_break() }
    }

    fn insert(&self, insert: &Insert, block: &Block) -> Edit {
        match insert {
            Insert::Braces { at, comma } => {
                let comma = if *comma { ", " } else { "" };
                self.edit(*at..*at, format!("{comma}\"sops\": {}", metadata::braces(block)))
            }
            Insert::Lines { at, column } => {
                let shape = self.shape();
                let mut lines = metadata::lines(block, *column, shape);
                let before = &self.text()[..*at];
                if !before.is_empty() && !before.ends_with('\n') {
                    // A file that ends without a line break goes on to do so.
                    lines.truncate(lines.len() - shape.line_break.len());
                    lines.insert_str(0, shape.line_break);
                }
                self.edit(*at..*at, lines)
            }
        }
    }

    /// A block text at the end of a file without a line break gets one with what comes after it: its header has
    /// to say that it is none of the text.
    fn last_header(&self) -> Option<Edit> {
        let text = self.text();
        let open = |site: &&Written| matches!(site, Written::Scalar(s) if s.range.end == text.len());
        let Some(Written::Scalar(site)) = self.sites.iter().rev().find(open) else { return None };
        let range = site.header.as_deref().filter(|_| !text.ends_with('\n'))?.clone();
        let header = &text[range.clone()];
        if header.contains('-') {
            return None;
        }
        let style = header.trim_end_matches('+').replace('+', "");
        Some(self.edit(range, format!("{style}-")))
    }

    fn replace(&self, found: &Found, block: &Block) -> Vec<Edit> {
        if let Some(edits) = self.patch(found, block) {
            return edits;
        }
        let text = &self.text()[found.entry.clone()];
        let new = match found.column {
            None => {
                let comma = if text.trim_start().starts_with(',') { ", " } else { "" };
                format!("{comma}\"sops\": {}", metadata::braces(block))
            }
            Some(column) => {
                let shape = self.shape();
                let lines = metadata::lines(block, column, shape);
                let last = lines.strip_suffix(shape.line_break).unwrap_or(&lines);
                let start = if text.starts_with(['\n', '\r']) { shape.line_break } else { "" };
                let end = if text.ends_with('\n') { shape.line_break } else { "" };
                if let Some(comment) = self.comment_on_key_line(found) {
                    let fields = last.split_once('\n').map_or("", |(_, fields)| fields);
                    let rest = self.next_line(comment.end)..found.entry.end;
                    return vec![self.edit(rest, format!("{fields}{end}"))];
                }
                format!("{start}{last}{end}")
            }
        };
        vec![self.edit(found.entry.clone(), new)]
    }

    /// A comment on the line of the key `sops`: it is none of the metadata.
    fn comment_on_key_line(&self, found: &Found) -> Option<Range<usize>> {
        let text = &self.text()[found.entry.clone()];
        let skipped = text.len() - text.trim_start_matches(['\r', '\n']).len();
        let line = text[skipped..].find('\n').map_or(found.entry.end, |at| found.entry.start + skipped + at);
        let inside = |range: &Range<usize>| found.entry.start < range.start && range.end <= line;
        found.column?;
        self.sites.iter().find_map(|site| match site {
            Written::Comment(range) if inside(range) => Some(range.clone()),
            _ => None,
        })
    }

    /// The line break that an entry at the end of a file without one begins with.
    fn before_comment(&self, found: &Found) -> &'static str {
        if self.text()[found.entry.clone()].starts_with(['\r', '\n']) { self.line_break() } else { "" }
    }

    fn next_line(&self, at: usize) -> usize {
        self.text()[at..].find('\n').map_or(self.text().len(), |end| at + end + 1)
    }

    /// Edits of single values, where nothing but values of the top level changed.
    fn patch(&self, found: &Found, block: &Block) -> Option<Vec<Edit>> {
        if found.block.fields.len() != block.fields.len() {
            return None;
        }
        let mut edits = Vec::new();
        for ((name, old), (new_name, new)) in found.block.fields.iter().zip(&block.fields) {
            if name != new_name {
                return None;
            }
            if old == new {
                continue;
            }
            let Meta::Text(text) = new else { return None };
            let (_, range, style) = found.scalars.iter().find(|(field, ..)| field == name)?;
            let inline = !matches!(style, Style::Literal | Style::Folded) && !text.contains('\n');
            if !inline || range.is_empty() {
                return None;
            }
            let text = scalar::inline(&Plain::text(text), *style, found.column.is_none(), false);
            edits.push(self.edit(range.clone(), text));
        }
        Some(edits)
    }
}

/// Whether a text in double quotes has an escape that YAML 1.2 took over from JSON and sops's library does not
/// know.
pub(super) fn has_slash_escape(text: &str, range: Range<usize>, style: Style) -> bool {
    let written = text.get(range).filter(|_| style == Style::DoubleQuoted).unwrap_or_default();
    let mut escaped = false;
    written.contains("\\/")
        && written.bytes().any(|byte| {
            let slash = escaped && byte == b'/';
            escaped = !escaped && byte == b'\\';
            slash
        })
}

impl Layout for YamlLayout<'_> {
    fn span(&self, site: Site) -> Span {
        match self.sites.get(site.0 as usize) {
            Some(Written::Scalar(scalar)) => self.source.span(&scalar.range),
            Some(Written::Comment(range)) => self.source.span(range),
            None => self.source.span(&(0..0)),
        }
    }

    fn offset(&self, site: Site) -> usize {
        let start = match self.sites.get(site.0 as usize) {
            Some(Written::Scalar(scalar)) => scalar.range.start,
            Some(Written::Comment(range)) => range.start,
            None => 0,
        };
        self.source.original_offset(start)
    }

    fn keep(&self, site: Site) -> Result<(), Problem> {
        match self.sites.get(site.0 as usize) {
            Some(Written::Scalar(scalar))
                if has_slash_escape(self.text(), scalar.range.clone(), scalar.style) =>
            {
                let kind = ProblemKind::Unreadable("the escape `\\/`");
                Err(Problem::at(kind, self.span(site)))
            }
            _ => Ok(()),
        }
    }

    fn seal(&self, site: Site, sealed: &str) -> Result<Vec<Edit>, Problem> {
        let at = |kind| Problem::at(kind, self.span(site));
        let site = self.scalar(site)?;
        if site.aliased {
            return Err(at(ProblemKind::Alias("stands for this value or for one around it")));
        }
        if site.binary {
            return Err(at(ProblemKind::Unreadable("a `!!binary` value")));
        }
        let mut edits = Vec::with_capacity(1);
        edits.extend(self.tag_edit(site, true));
        if let Some(header) = &site.header {
            let body = self.body(site, header);
            let end = if body.open_end { "" } else { self.line_break() };
            let line = format!("{}{sealed}{end}", " ".repeat(site.body_indent));
            edits.push(self.public(body.lines, line));
            return Ok(edits);
        }
        let text = match site.style {
            Style::DoubleQuoted => format!("\"{sealed}\""),
            Style::SingleQuoted => format!("'{sealed}'"),
            _ if site.flow => format!("'{sealed}'"),
            _ => sealed.to_owned(),
        };
        edits.push(self.public(site.range.clone(), text));
        Ok(edits)
    }

    fn open(&self, site: Site, plain: &Plain) -> Result<Vec<Edit>, Problem> {
        let at = |kind| Problem::at(kind, self.span(site));
        let site = self.scalar(site)?;
        let is_text = matches!(plain, Plain::Str(_));
        if is_text && plain.as_text().is_none() {
            return Err(at(ProblemKind::Unwritable("it is not text in UTF-8")));
        }
        let mut edits = Vec::with_capacity(1);
        edits.extend(self.tag_edit(site, is_text));
        if let Some(header) = &site.header {
            edits.extend(self.open_block(site, header, plain));
            return Ok(edits);
        }
        if let Some(edit) = plain.as_text().and_then(|text| self.open_lines(site, text)) {
            edits.push(edit);
            return Ok(edits);
        }
        let tagged = is_text && site.tag.as_ref().is_some_and(|tag| tag.1);
        edits.push(self.edit(site.range.clone(), scalar::inline(plain, site.style, site.flow, tagged)));
        Ok(edits)
    }

    fn comment(&self, site: Site, text: &str) -> Result<Vec<Edit>, Problem> {
        let span = self.span(site);
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err(Problem::at(ProblemKind::Unwritable("a comment is one line of text"), span));
        }
        match self.sites.get(site.0 as usize) {
            Some(Written::Comment(range)) => Ok(vec![self.edit(range.clone(), text)]),
            // In a list sops keeps an encrypted comment as an item.
            Some(Written::Scalar(ScalarSite { dash: Some(dash), range, alone, .. })) => {
                // A list without items would be nothing.
                let empty = if *alone { "[] " } else { "" };
                let rest = &self.text()[range.end..];
                let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
                if !rest[blanks..].starts_with('#') {
                    return Ok(vec![self.edit(*dash..range.end, format!("{empty}#{text}"))]);
                }
                // A comment on its line goes to the next.
                let indent = " ".repeat(dash - line_start(self.text(), *dash));
                let text = format!("{empty}#{text}{}{indent}", self.line_break());
                Ok(vec![self.edit(*dash..range.end + blanks, text)])
            }
            _ => Err(Problem::at(ProblemKind::Unwritable("a comment stands in the place of a value"), span)),
        }
    }

    fn stamp(&self, block: &Block) -> Result<Vec<Edit>, Problem> {
        let mut edits = Vec::new();
        if self.places.last().is_some_and(|place| place.found.is_none()) {
            edits.extend(self.last_header());
        }
        for (index, place) in self.places.iter().enumerate() {
            match &place.found {
                Some(found) => edits.extend(self.replace(found, block)),
                // sops reads the first document's; Flux each document's own, and none in an empty one.
                None if !place.empty || index == 0 => edits.push(self.insert(&place.insert, block)),
                None => {}
            }
        }
        Ok(edits)
    }

    fn strip(&self) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            let Some(found) = &place.found else { continue };
            // What held nothing else would be no document without it.
            let marked = self.text()[..found.entry.start].lines().any(|line| line.starts_with("---"));
            let nothing = index == 0 && place.alone && found.column.is_some() && !marked;
            let rest = if nothing { format!("{{}}{}", self.line_break()) } else { String::new() };
            match self.comment_on_key_line(found) {
                Some(comment) => {
                    edits.push(self.edit(found.entry.start..comment.start - 1, self.before_comment(found)));
                    edits.push(self.edit(self.next_line(comment.end)..found.entry.end, rest));
                }
                None => edits.push(self.edit(found.entry.clone(), rest)),
            }
        }
        edits
    }
}

//! Where the metadata of each document is, or goes.

use std::ops::Range;

use crate::sops::block::Block;
use crate::sops::problem::{Problem, ProblemKind};
use crate::yaml::{Entry, NodeRef, Sort, Source, Stream, Style};

/// One document.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where new metadata goes.
    pub(super) insert: Insert,
    /// The metadata that is there.
    pub(super) found: Option<Found>,
    /// Nothing in it but comments.
    pub(super) empty: bool,
    /// Nothing in it but metadata and comments.
    pub(super) alone: bool,
}

/// How new metadata is put in.
#[derive(Clone, Debug)]
pub(super) enum Insert {
    /// On lines of its own, at this offset, its key at this column.
    Lines { at: usize, column: usize },
    /// In braces: after the last entry, which ends here, or into empty braces.
    Braces { at: usize, comma: bool },
}

/// Metadata in a document.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) block: Block,
    /// The whole entry, in braces with its comma: what goes when the metadata goes.
    pub(super) entry: Range<usize>,
    /// Column of the key; none in braces.
    pub(super) column: Option<usize>,
    /// Top level scalars by name, and how they are written.
    pub(super) scalars: Vec<(String, Range<usize>, Style)>,
}

/// Finds the places of all documents.
pub(super) fn places(stream: &Stream<'_>) -> Result<Vec<Place>, Vec<Problem>> {
    let text = stream.source().text();
    let all = stream.documents().collect::<Vec<_>>();
    let mut places = Vec::with_capacity(all.len());
    let mut problems = Vec::new();
    for (index, (document, root)) in all.iter().enumerate() {
        let limit = all.get(index + 1).map_or(text.len(), |(next, _)| next.range.start);
        let end = document_end(text, document.range.end.min(limit), limit);
        let entries = root.own_entries().collect::<Vec<_>>();
        let mut found = None;
        for (number, entry) in entries.iter().enumerate() {
            if entry.key.text().is_some_and(|key| key == "sops") {
                match find(text, *root, &entries, number, end) {
                    Some(metadata) if found.is_none() => found = Some(metadata),
                    _ => problems.push(Problem::at(ProblemKind::ReservedKey, entry.key.span())),
                }
            }
        }
        let alone = found.is_some() && entries.len() == 1;
        let insert = insert(text, *root, &entries, end);
        places.push(Place { insert, found, empty: entries.is_empty(), alone });
    }
    if problems.is_empty() { Ok(places) } else { Err(problems) }
}

/// The metadata that counts: the first document's. Documents that were encrypted one by one are refused.
pub(super) fn metadata(source: &Source<'_>, places: &[Place]) -> Result<Option<Block>, Vec<Problem>> {
    let Some(first) = places.first().and_then(|place| place.found.as_ref()) else {
        let later = places.iter().filter_map(|place| place.found.as_ref());
        let what = "the first document has none, and sops reads that of the first only";
        let problems = later
            .map(|found| Problem::at(ProblemKind::Metadata(what.to_owned()), source.span(&found.entry)))
            .collect::<Vec<_>>();
        return if problems.is_empty() { Ok(None) } else { Err(problems) };
    };
    let what = "this document was encrypted by itself; sops reads the metadata of the first document for all";
    let others = places.iter().filter_map(|place| place.found.as_ref());
    let problems = others
        .filter(|found| found.block.get("mac") != first.block.get("mac"))
        .map(|found| Problem::at(ProblemKind::Metadata(what.to_owned()), source.span(&found.entry)))
        .collect::<Vec<_>>();
    if problems.is_empty() { Ok(Some(first.block.clone())) } else { Err(problems) }
}

/// Where the document's lines end: before a line with `...` or the next document.
fn document_end(text: &str, from: usize, limit: usize) -> usize {
    let mut at = line_start(text, from);
    while at < limit {
        let line = &text[at..limit];
        if at >= from && line.starts_with("...") {
            return at;
        }
        match line.find('\n') {
            Some(end) => at += end + 1,
            None => return limit,
        }
    }
    limit
}

fn insert(text: &str, root: NodeRef<'_>, entries: &[Entry<'_>], end: usize) -> Insert {
    if root.is_flow() && root.sort() == Sort::Mapping {
        return match entries.last() {
            Some(last) => Insert::Braces { at: value_end(text, last), comma: true },
            None => Insert::Braces { at: root.range().start + 1, comma: false },
        };
    }
    let column = entries.first().map_or(0, |entry| {
        // Where a key is written behind a `?`, that is where its map begins.
        let start = line_start(text, entry.key.range().start);
        text[start..].bytes().take_while(|byte| *byte == b' ').count()
    });
    Insert::Lines { at: end, column }
}

fn find(text: &str, root: NodeRef<'_>, entries: &[Entry<'_>], number: usize, end: usize) -> Option<Found> {
    let entry = entries.get(number)?;
    if entry.value.sort() != Sort::Mapping {
        return None;
    }
    let scalars = entry.value.own_entries().filter(|field| field.value.sort() == Sort::Scalar);
    let scalars = scalars
        .filter_map(|field| Some((field.key.text()?.into_owned(), field.value.range(), field.value.style()?)))
        .collect();
    let key = entry.key.range();
    let (range, column) = if root.is_flow() {
        let stop = value_end(text, entry);
        let range = match number.checked_sub(1).and_then(|before| entries.get(before)) {
            Some(before) => value_end(text, before)..stop,
            None => key.start..entries.get(1).map_or(stop, |next| next.key.range().start),
        };
        (range, None)
    } else {
        let start = line_start(text, key.start);
        let next = entries.get(number + 1).map_or(end, |next| line_start(text, next.key.range().start));
        (lines_of(text, start, value_end(text, entry), next), Some(key.start - start))
    };
    Some(Found { block: Block::of_node(entry.value), entry: range, column, scalars })
}

/// Whole lines from `start` to the one that holds the last byte before `end`. Where that is the end of a text
/// without a line break, the break before goes with them.
fn lines_of(text: &str, start: usize, end: usize, limit: usize) -> Range<usize> {
    let last = text[..end].trim_end().len().max(start);
    match text[last..].find('\n') {
        Some(at) => start..(last + at + 1).min(limit.max(last)),
        None => text[..start].trim_end_matches('\n').trim_end_matches('\r').len()..text.len(),
    }
}

/// Where a value ends, with all that is in it.
fn value_end(text: &str, entry: &Entry<'_>) -> usize {
    let mut end = entry.value.range().end.max(entry.key.range().end);
    if entry.value.range().is_empty() && !entry.value.is_alias() {
        // Nothing stands there: behind the colon, and a blank, without which it would be part of the key.
        let rest = &text[entry.key.range().end.min(text.len())..];
        let colon = rest.len() - rest.trim_start().len();
        if rest[colon..].starts_with(": ") {
            end = end.max(entry.key.range().end + colon + 2);
        }
    }
    // The span of a quoted scalar ends behind its quote, that of a collection behind its bracket.
    end.min(text.len())
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

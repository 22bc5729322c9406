//! One tree for each way in which readers understand the same bytes.

use std::ops::Range;

use super::error::{Error, ErrorKind};
use super::node::Stream;
use super::source::Source;
use super::templated::templated;
use super::{Limits, build};

/// How the text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// YAML 1.2: lines end at LF and CR.
    Yaml12,
    /// YAML 1.1 as kubectl, kustomize and sops read it: lines end at NEL, U+2028 and U+2029 too, and
    /// a byte order mark may begin any line. `# x<NEL>kind: Secret` holds a Secret for them.
    Yaml11,
    /// What a template becomes: its actions are scalars that stand for what they give. Made only where the others
    /// fail.
    Templated,
    /// What only a forgiving reader takes: control characters, and escapes of half a UTF-16 pair, which
    /// Go's JSON replaces. Made only where another reading fails.
    Forgiving,
}

/// Reads the source in every way in which its readers differ: one stream or more.
///
/// Never fails as a whole: what cannot be read is in [`Stream::errors`].
pub fn readings<'s>(source: &'s Source<'s>, limits: Limits) -> Vec<(Reading, Stream<'s>)> {
    let mut streams = vec![(Reading::Yaml12, stream(source, source.text(), limits))];
    if let Some(text) = with_yaml11_breaks(source.text()) {
        streams.push((Reading::Yaml11, stream(source, &text, limits)));
    }
    if streams.iter().all(|(_, stream)| stream.errors().iter().any(|error| !error.kind.is_limit()))
        && let Some(text) = forgiven(source.text())
    {
        streams.push((Reading::Forgiving, stream(source, &text, limits)));
    }
    if streams.iter().all(|(_, stream)| stream.errors().iter().any(|error| !error.kind.is_limit()))
        && let Some(text) = templated(source.text())
    {
        streams.push((Reading::Templated, stream(source, &text, limits)));
    }
    streams
}

fn stream<'s>(source: &'s Source<'s>, text: &str, limits: Limits) -> Stream<'s> {
    let mut stream = Stream { source, nodes: vec![], documents: vec![], comments: vec![], errors: vec![] };
    if source.bytes().len() > limits.bytes {
        stream.errors.push(whole(source, ErrorKind::TooLarge));
        return stream;
    }
    build::read(&mut stream, text, 0, limits);
    // kubectl reads JSON objects that follow each other without `---` as several documents.
    if !stream.errors.is_empty() && text.trim_start().starts_with('{') {
        let pieces = json_pieces(text);
        if pieces.len() > 1 {
            let mut split =
                Stream { source, nodes: vec![], documents: vec![], comments: vec![], errors: vec![] };
            for piece in &pieces {
                build::read(&mut split, &text[piece.clone()], piece.start, limits);
            }
            return split;
        }
    }
    stream
}

fn whole(source: &Source<'_>, kind: ErrorKind) -> Error {
    Error { kind, span: source.span(&(0..0)), region: 0..source.text().len(), document: 0 }
}

/// The stretches of JSON values that follow each other, if the whole text is such.
fn json_pieces(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let mut start = 0;
    while let Some(value) = values.next() {
        let end = values.byte_offset();
        if value.is_err() {
            // What is no JSON becomes a piece that does not parse.
            pieces.push(start..text.len());
            return pieces;
        }
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// The text with YAML 1.1's further line breaks made into CR LF, at the same length, so that offsets
/// stay; `None` where there are none.
fn with_yaml11_breaks(text: &str) -> Option<String> {
    let differs = |c: char| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    if text.is_ascii() || !text.contains(differs) {
        return None;
    }
    let mut changed = String::with_capacity(text.len());
    let mut at_line_start = true;
    for c in text.chars() {
        match c {
            '\u{85}' => changed.push_str("\r\n"),
            '\u{2028}' | '\u{2029}' => changed.push_str(" \r\n"),
            // A mark at the start of a line is skipped; a line break in its place leaves what follows at column 0.
            '\u{feff}' if at_line_start => changed.push_str(" \r\n"),
            other => changed.push(other),
        }
        at_line_start = matches!(c, '\n' | '\r') || differs(c);
    }
    Some(changed)
}

/// The text with what strict readers refuse made harmless, at the same length; `None` where there is nothing.
fn forgiven(text: &str) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, c) in text.char_indices() {
        if (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
        {
            bytes[at..at + c.len_utf8()].fill(b'?');
        }
    }
    let mut at = 0;
    while let Some(unit) = surrogate(&bytes, at) {
        let (start, high) = unit;
        let paired = high && surrogate_at(&bytes, start + 6) == Some(false);
        if paired {
            at = start + 12;
        } else {
            bytes[start + 2..start + 6].copy_from_slice(b"fffd");
            at = start + 6;
        }
    }
    (bytes != text.as_bytes()).then(|| String::from_utf8(bytes).ok()).flatten()
}

/// The next escape of a surrogate from `at` on, and whether it is a high one.
fn surrogate(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let mut at = at;
    while at + 6 <= bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
        } else if let Some(high) = surrogate_at(bytes, at) {
            return Some((at, high));
        } else {
            // An escaped backslash does not begin another escape.
            at += 2;
        }
    }
    None
}

fn surrogate_at(bytes: &[u8], at: usize) -> Option<bool> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    match unit {
        0xD800..=0xDBFF => Some(true),
        0xDC00..=0xDFFF => Some(false),
        _ => None,
    }
}

//! One tree for each way in which readers understand the same bytes.

use std::ops::Range;

use super::error::{Error, ErrorKind};
use super::node::Stream;
use super::source::Source;
use super::{Limits, build};

/// How the text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// YAML 1.2: lines end at LF and CR.
    Yaml12,
    /// YAML 1.1 as kubectl, kustomize and sops read it: lines end at NEL, U+2028 and U+2029 too, and
    /// a byte order mark may begin any line. `# x<NEL>kind: Secret` holds a Secret for them.
    Yaml11,
}

/// Reads the source in every way in which its readers differ: one stream, or two.
///
/// Never fails as a whole: what cannot be read is in [`Stream::errors`].
pub fn readings<'s>(source: &'s Source<'s>, limits: Limits) -> Vec<(Reading, Stream<'s>)> {
    let mut streams = vec![(Reading::Yaml12, stream(source, source.text(), limits))];
    if let Some(text) = with_yaml11_breaks(source.text()) {
        streams.push((Reading::Yaml11, stream(source, &text, limits)));
    }
    streams
}

fn stream<'s>(source: &'s Source<'s>, text: &str, limits: Limits) -> Stream<'s> {
    let mut stream =
        Stream { source, nodes: Vec::new(), documents: Vec::new(), comments: Vec::new(), errors: Vec::new() };
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

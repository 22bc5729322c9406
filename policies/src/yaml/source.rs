//! Bytes to text, and the way back.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use crate::finding::Span;

/// How the bytes spell characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16 { little: bool },
    Utf32 { little: bool },
}

/// A file's bytes as text, with the way back from text offsets to offsets in the bytes.
///
/// Total: what cannot be decoded is replaced by `?`, one for each bad byte, so that a file is not
/// let off for one broken byte; NUL becomes a space (the parser takes it for the end of the input).
/// [`Source::first_invalid`] tells where the first replacement was made.
pub struct Source<'b> {
    bytes: &'b [u8],
    text: Cow<'b, str>,
    /// Bytes before the text: the length of the byte order mark.
    skipped: usize,
    /// For UTF-16 and UTF-32: (text offset, original offset) of every character, in order. Empty for UTF-8.
    map: Vec<(usize, usize)>,
    invalid: Option<usize>,
    lines: OnceLock<Vec<usize>>,
}

/// Shows sizes only: the text may hold secrets.
impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl<'b> Source<'b> {
    /// Decodes as YAML 1.2.2 §5.2 says: by the byte order mark, without one by the place of the zero
    /// byte of an ASCII first character, else UTF-8.
    pub fn new(bytes: &'b [u8]) -> Self {
        let (encoding, skipped) = match bytes {
            [0xEF, 0xBB, 0xBF, ..] => (Encoding::Utf8, 3),
            [0xFF, 0xFE, 0, 0, ..] => (Encoding::Utf32 { little: true }, 4),
            [0, 0, 0xFE, 0xFF, ..] => (Encoding::Utf32 { little: false }, 4),
            [low, 0, 0, 0, ..] if *low != 0 => (Encoding::Utf32 { little: true }, 0),
            [0, 0, 0, low, ..] if *low != 0 => (Encoding::Utf32 { little: false }, 0),
            [0xFF, 0xFE, ..] => (Encoding::Utf16 { little: true }, 2),
            [0xFE, 0xFF, ..] => (Encoding::Utf16 { little: false }, 2),
            [low, 0, _, 0, ..] if *low != 0 => (Encoding::Utf16 { little: true }, 0),
            [0, low, 0, _, ..] if *low != 0 => (Encoding::Utf16 { little: false }, 0),
            _ => (Encoding::Utf8, 0),
        };
        let body = bytes.get(skipped..).unwrap_or_default();
        let mut source = Self {
            bytes,
            text: Cow::Borrowed(""),
            skipped,
            map: Vec::new(),
            invalid: None,
            lines: OnceLock::new(),
        };
        match encoding {
            Encoding::Utf8 => source.text = source.utf8(body),
            Encoding::Utf16 { little } => source.text = Cow::Owned(source.utf16(body, little)),
            Encoding::Utf32 { little } => source.text = Cow::Owned(source.utf32(body, little)),
        }
        source
    }

    fn utf8(&mut self, body: &'b [u8]) -> Cow<'b, str> {
        let text = match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(text),
            Err(error) => {
                self.invalid = Some(error.valid_up_to() + self.skipped);
                let mut text = String::with_capacity(body.len());
                for chunk in body.utf8_chunks() {
                    text.push_str(chunk.valid());
                    // One `?` for each byte: offsets stay as they are.
                    text.extend(chunk.invalid().iter().map(|_| '?'));
                }
                Cow::Owned(text)
            }
        };
        if text.as_bytes().contains(&0) { Cow::Owned(text.replace('\0', " ")) } else { text }
    }

    fn utf16(&mut self, body: &[u8], little: bool) -> String {
        let unit = |pair: &[u8]| match pair {
            [a, b] if little => u16::from_le_bytes([*a, *b]),
            [a, b] => u16::from_be_bytes([*a, *b]),
            _ => u16::from(b'?'),
        };
        let mut text = String::with_capacity(body.len());
        let mut at = self.skipped;
        for decoded in char::decode_utf16(body.chunks(2).map(unit)) {
            self.map.push((text.len(), at));
            match decoded {
                Ok('\0') => text.push(' '),
                Ok(c) => text.push(c),
                Err(_) => {
                    self.invalid.get_or_insert(at);
                    text.push('?');
                }
            }
            at += decoded.map_or(2, |c| 2 * c.len_utf16());
        }
        self.map.push((text.len(), self.bytes.len()));
        text
    }

    fn utf32(&mut self, body: &[u8], little: bool) -> String {
        let mut text = String::with_capacity(body.len() / 4);
        let mut at = self.skipped;
        for unit in body.chunks(4) {
            self.map.push((text.len(), at));
            let number = <[u8; 4]>::try_from(unit)
                .map(|unit| if little { u32::from_le_bytes(unit) } else { u32::from_be_bytes(unit) });
            match number.ok().and_then(char::from_u32) {
                Some('\0') => text.push(' '),
                Some(c) => text.push(c),
                None => {
                    self.invalid.get_or_insert(at);
                    text.push('?');
                }
            }
            at += unit.len();
        }
        self.map.push((text.len(), self.bytes.len()));
        text
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The text, without byte order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Offset, in the original bytes, of the first byte that is no text in the file's encoding.
    pub fn first_invalid(&self) -> Option<usize> {
        self.invalid
    }

    /// The original bytes' offset of a text offset.
    pub fn original_offset(&self, text_offset: usize) -> usize {
        if self.map.is_empty() {
            return (text_offset + self.skipped).min(self.bytes.len());
        }
        let index = self.map.partition_point(|(text, _)| *text < text_offset);
        self.map.get(index).map_or(self.bytes.len(), |(_, original)| *original)
    }

    /// A stretch of text as a stretch of the original bytes.
    pub fn original_range(&self, text: &Range<usize>) -> Range<usize> {
        let start = self.original_offset(text.start);
        start..self.original_offset(text.end).max(start)
    }

    /// Position of a stretch of text: original bytes, line and column of its start, both from 1.
    ///
    /// A line ends at LF, CR LF or a lone CR, as in an editor, whatever else a reader may take for a line end.
    pub fn span(&self, text: &Range<usize>) -> Span {
        let start = text.start.min(self.text.len());
        let lines = self.lines.get_or_init(|| line_starts(&self.text));
        let line = lines.partition_point(|&line_start| line_start <= start).max(1);
        let line_start = lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(line_start..start).map_or(0, |before| before.chars().count());
        Span { bytes: self.original_range(text), line: small(line), column: small(column + 1) }
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut starts = vec![0];
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
            starts.push(at + 1);
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, little: bool, mark: bool) -> Vec<u8> {
        let mark = if mark { "\u{feff}" } else { "" };
        let units = mark.encode_utf16().chain(text.encode_utf16()).collect::<Vec<_>>();
        units.iter().flat_map(|u| if little { u.to_le_bytes() } else { u.to_be_bytes() }).collect()
    }

    #[test]
    fn every_encoding_reads_the_same_and_knows_the_way_back() {
        let text = "k: v\r\nä: \u{1f511}x\n";
        let at = text.find('x').unwrap();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            utf16(text, true, true),
            utf16(text, false, true),
            utf16(text, true, false),
            utf16(text, false, false),
            format!("\u{feff}{text}").chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
            text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
        ] {
            let source = Source::new(&bytes);
            assert_eq!(source.text(), text);
            let span = source.span(&(at..at + 1));
            assert_eq!((span.line, span.column), (2, 5));
            let slice = &bytes[span.bytes.clone()];
            assert_eq!(slice.iter().filter(|byte| **byte != 0).collect::<Vec<_>>(), [&b'x'], "{slice:?}");
        }
    }

    #[test]
    fn broken_bytes_are_replaced_one_by_one() {
        let source = Source::new(b"a: \xff\xfe\nb: \0c\n");
        assert_eq!(source.text(), "a: ??\nb:  c\n");
        assert_eq!(source.first_invalid(), Some(3));
    }

    #[test]
    fn lone_surrogates_and_odd_lengths_do_not_stop_utf16() {
        let source = Source::new(b"\xff\xfea\0\x00\xd8b\0c");
        assert_eq!(source.text(), "a?b?");
        assert_eq!(source.first_invalid(), Some(4));
    }
}

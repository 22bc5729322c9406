//! Long stretches of simple lines, `key: value`, which need no parser.
//!
//! The parser reads the first line of a stretch and what is around the others. Where it takes the first line for an
//! entry of a block map, the others are entries of that map too: their keys stand at the same column, at the
//! beginning of a line; the value before each is closed on its own line or has no quotes, and then goes on only on
//! lines that are indented more; and nothing in a line means anything but a key, a colon and a value. What follows
//! the last line would go on with the first one's value just as well, which then would not end where its line does.

use std::ops::Range;

use bstr::ByteSlice as _;
use zeroize::Zeroizing;

use super::node::Style;

/// Fewer lines are no stretch.
const LEAST: usize = 64;
/// Longer keys may be none to some readers.
const LONGEST_KEY: usize = 128;

/// One line; places as offsets in the text, small because there may be very many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    key: (u32, u32),
    value: (u32, u32),
    pub(super) style: Style,
}

impl Line {
    pub(super) fn key(&self) -> Range<usize> {
        range(self.key)
    }

    /// The value with its quotes.
    pub(super) fn value(&self) -> Range<usize> {
        range(self.value)
    }
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    start as usize..end as usize
}

/// Lines at one column. The first one is left to the parser.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    pub(super) first: Option<Line>,
    pub(super) others: Vec<Line>,
    /// What is kept from the parser.
    range: Range<usize>,
}

/// A text without the lines that the parser need not see.
#[derive(Debug)]
pub(super) struct Shortened {
    pub(super) text: Zeroizing<String>,
    pub(super) stretches: Vec<Stretch>,
    /// For each stretch, where it would begin in the shortened text, and how much was taken away until then.
    cuts: Vec<(usize, usize)>,
}

impl Shortened {
    /// `None` where there is nothing to take away.
    pub(super) fn of(text: &str) -> Option<Self> {
        let stretches = stretches(text);
        if stretches.is_empty() {
            return None;
        }
        let away = stretches.iter().map(|stretch| stretch.range.len()).sum::<usize>();
        // No more than is needed: all of it is wiped.
        let mut short = Zeroizing::new(String::with_capacity(text.len() - away));
        let (mut cuts, mut at, mut taken) = (Vec::with_capacity(stretches.len()), 0, 0);
        for stretch in &stretches {
            short.push_str(&text[at..stretch.range.start]);
            at = stretch.range.end;
            taken += stretch.range.len();
            cuts.push((short.len(), taken));
        }
        short.push_str(&text[at..]);
        Some(Self { text: short, stretches, cuts })
    }

    /// How many lines the parser does not see.
    pub(super) fn lines(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.others.len()).sum()
    }

    /// The place in the whole text.
    pub(super) fn whole(&self, at: usize) -> usize {
        let before = self.cuts.partition_point(|(cut, _)| *cut <= at);
        at + before.checked_sub(1).map_or(0, |index| self.cuts[index].1)
    }
}

fn stretches(text: &str) -> Vec<Stretch> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut stretch = Stretch::default();
    let mut column = 0;
    let mut at = 0;
    while let Some(length) = bytes[at..].find_byte(b'\n') {
        let end = at + length + 1;
        let line = simple(bytes, at, at + length);
        let begins = line.map_or(0, |line| line.key().start - at);
        match line {
            Some(line) if stretch.first.is_some() && begins == column => {
                stretch.others.push(line);
                stretch.range.end = end;
            }
            line => {
                let next = Stretch { first: line, others: Vec::new(), range: end..end };
                let done = std::mem::replace(&mut stretch, next);
                if done.others.len() >= LEAST {
                    found.push(done);
                }
                column = begins;
            }
        }
        at = end;
    }
    if stretch.others.len() >= LEAST {
        found.push(stretch);
    }
    found
}

/// Takes a line apart, if it is `key: value` and nothing else to any reader.
fn simple(bytes: &[u8], start: usize, end: usize) -> Option<Line> {
    let line = bytes[start..end].strip_suffix(b"\r").unwrap_or(&bytes[start..end]);
    let indent = line.iter().take_while(|byte| **byte == b' ').count();
    let rest = &line[indent..];
    let named = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let key = rest.iter().take(LONGEST_KEY).take_while(named).count();
    let value = rest.get(key..)?.strip_prefix(b": ")?;
    if !rest.first()?.is_ascii_alphanumeric() {
        return None;
    }
    let style = match value.first()? {
        quote @ (b'"' | b'\'') => {
            let inner = value[1..].strip_suffix(std::slice::from_ref(quote))?;
            let closed = |byte: &u8| byte == quote || *byte == b'\\';
            if !visible(inner) || inner.iter().any(closed) {
                return None;
            }
            if *quote == b'"' { Style::DoubleQuoted } else { Style::SingleQuoted }
        }
        first if first.is_ascii_alphanumeric() || *first == b'/' => {
            let ends = matches!(value.last()?, b' ' | b':');
            if ends || !visible(value) || means_more(value) {
                return None;
            }
            Style::Plain
        }
        _ => return None,
    };
    let place = |at: usize| u32::try_from(at).ok();
    let (key, value) = (start + indent..start + indent + key, value.len());
    Some(Line {
        key: (place(key.start)?, place(key.end)?),
        value: (place(key.end + 2)?, place(key.end + 2 + value)?),
        style,
    })
}

/// Whether all is ASCII that can be seen, or a blank. Looks at everything, which is faster than stopping.
fn visible(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'))
}

/// Whether something in a text without quotes begins a value or a comment.
fn means_more(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(&bytes[1..]);
    pairs.fold(false, |any, (one, next)| {
        any | ((*one == b':') & (*next == b' ')) | ((*one == b' ') & (*next == b'#'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::node::{Data, Scalar, Stream};
    use super::super::{Limits, Source, build};
    use super::*;

    fn is_simple(line: &str) -> bool {
        simple(line.as_bytes(), 0, line.len()).is_some()
    }

    #[test]
    fn only_lines_of_one_meaning_are_simple() {
        for line in [
            "a: b",
            "  a.b/c-d_1: x y",
            "a: \"b: #c\"",
            "a: 'b'",
            "a: b\r",
            "a: ENC[x,y:z=]",
            "a: 1",
            "a: b:c#d",
        ] {
            assert!(is_simple(line), "{line}");
        }
        let others = [
            "",
            "a:",
            "a: ",
            "a: b ",
            "a: b:",
            "a: b: c",
            "a: b #c",
            "a: |",
            "a: [b]",
            "a: {b: c}",
            "a: &b c",
            "a: *b",
            "a: !!str b",
            "- a: b",
            "? a",
            "# a: b",
            "a : b",
            "a:  b",
            "a: ä",
            "ä: a",
            "a: \"b\\n\"",
            "a: 'b''c'",
            "a: \"b",
            "a: 'b' # c",
            "a: \tb",
            "\ta: b",
            "a: b\tc",
            "\"a\": b",
            "---",
            "--- a: b",
            "a: - b",
            "a: \"",
        ];
        for line in others {
            assert!(!is_simple(line), "{line}");
        }
    }

    #[test]
    fn a_shortened_text_knows_the_way_back() {
        let lines = (0..100).map(|n| format!("  k{n}: v{n}\n")).collect::<String>();
        let text = format!("a:\n{lines}b:\n{lines}c: d\n");
        let short = Shortened::of(&text).unwrap();
        assert_eq!(short.text.as_str(), "a:\n  k0: v0\nb:\n  k0: v0\nc: d\n");
        let found = |wanted: &str| short.whole(short.text.find(wanted).unwrap());
        assert_eq!(
            [found("a:"), found("b:"), found("c:")],
            ["a:", "b:", "c:"].map(|key| text.find(key).unwrap())
        );
        assert_eq!(short.whole(short.text.len()), text.len());
        assert!(Shortened::of("a: b\nc: d\n").is_none());
    }

    /// Everything that a reading says of a text.
    fn said(text: &str, read: impl Fn(&mut Stream<'_>, &str)) -> String {
        let source = Source::new(text.as_bytes());
        let mut stream =
            Stream { source: &source, nodes: vec![], documents: vec![], comments: vec![], errors: vec![] };
        read(&mut stream, text);
        let nodes = stream.nodes.iter().map(|node| {
            let data = match &node.data {
                Data::Scalar(Scalar { value, style, header }) => format!("{value:?} {style:?} {header:?}"),
                Data::Sequence(items) => format!("{items:?}"),
                Data::Mapping(entries) => format!("{entries:?}"),
                Data::Alias(id) => format!("*{id}"),
            };
            let properties = node.properties.as_ref();
            let tag = properties.and_then(|properties| properties.tag.as_ref());
            let anchor = properties.and_then(|properties| properties.anchor.as_ref());
            format!("{data} {:?} {} {tag:?} {anchor:?}\n", node.range, node.flow)
        });
        let nodes = nodes.collect::<String>();
        let documents =
            stream.documents.iter().map(|document| format!("{} {:?}", document.root, document.range));
        let documents = documents.collect::<Vec<_>>();
        format!("{nodes}{documents:?} {:?} {:?}", stream.comments, stream.errors)
    }

    /// What may stand around lines: most of it changes what they are.
    const AROUND: [&str; 24] = [
        "a:\n",
        "b: |\n",
        "  - >-\n",
        "c: \"d\n",
        "e\"\n",
        "f: 'g\n",
        "'\n",
        "h: {\n",
        "}\n",
        "- \n",
        "- i: j\n",
        "# k\n",
        "  # l\n",
        "\n",
        "---\n",
        "...\n",
        "m: &n o\n",
        "  p: *n\n",
        "? q\n",
        ": r\n",
        "    s t\n",
        "  ü: !!str u\n",
        "v: [w,\n",
        "]\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_text_reads_the_same_whether_it_is_shortened_or_not(
            pieces in proptest::collection::vec((0..AROUND.len(), 0..5usize, any::<bool>(), 0..6usize), 1..6),
            carriage in any::<bool>(),
        ) {
            let mut text = String::new();
            for (around, column, many, last) in pieces {
                text.push_str(AROUND[around]);
                let count = if many { LEAST + 1 } else { 2 };
                for n in 0..count {
                    let value = match (n + last) % 6 {
                        0 => "\"x # y: z\"".to_owned(),
                        1 => "'x'".to_owned(),
                        n => format!("v{n} w"),
                    };
                    text.push_str(&format!("{:column$}k{n}: {value}\n", ""));
                }
            }
            let text = if carriage { text.replace('\n', "\r\n") } else { text };
            let limits = Limits::DEFAULT;
            let shortened = said(&text, |stream, text| build::read(stream, text, 0, limits));
            let whole = said(&text, |stream, text| { build::parse(stream, text, 0, limits, None); });
            prop_assert_eq!(shortened, whole, "{}", text);
        }
    }

    #[test]
    fn many_values_are_read_without_the_parser() {
        let lines = (0..100).map(|n| format!("  k{n}: v{n}\n")).collect::<String>();
        let text = format!("a: # b\n{lines}  # c\n{lines}d: e\n");
        let short = Shortened::of(&text).unwrap();
        let whole = said(&text, |stream, _| {
            assert!(build::parse(stream, &short.text, 0, Limits::DEFAULT, Some(&short)));
        });
        assert_eq!(
            whole,
            said(&text, |stream, text| {
                build::parse(stream, text, 0, Limits::DEFAULT, None);
            })
        );
    }
}

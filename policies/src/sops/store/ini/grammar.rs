//! The grammar of INI files as the library of sops reads and writes them (`gopkg.in/ini.v1`: `parser.go`,
//! `file.go`, with its default options).
//!
//! A line is `[section]`, a comment (`;`, `#`), or a key, `=` or `:`, and a value. A value ends at the first
//! `#` or `;`, even within `"…"` and `'…'`, whose quotes are taken off; within backquotes and `"""` it may
//! have anything, line breaks included. A backslash at its end joins the next line.

use std::ops::Range;

/// What stands around a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    None,
    Single,
    Double,
    Back,
    Triple,
}

impl Quotes {
    pub(super) const ALL: [Self; 5] = [Self::None, Self::Double, Self::Back, Self::Triple, Self::Single];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Single => "'",
            Self::Double => "\"",
            Self::Back => "`",
            Self::Triple => "\"\"\"",
        }
    }

    /// What sops writes around a value.
    pub(super) fn of_sops(value: &str) -> Self {
        if value.contains(['\n', '`']) {
            Self::Triple
        } else if value.contains(['#', ';']) {
            Self::Back
        } else if value.trim().len() != value.len() {
            Self::Double
        } else {
            Self::None
        }
    }

    pub(super) fn around(self, value: &str) -> String {
        format!("{0}{value}{0}", self.text())
    }
}

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) quotes: Quotes,
    /// Without the quotes.
    pub(super) range: Range<usize>,
    /// The comment after it, with its sign, without blanks at its end.
    pub(super) comment: Option<Range<usize>>,
    /// Where the next line begins.
    pub(super) next: usize,
    /// What makes it read differently elsewhere.
    pub(super) doubt: Option<&'static str>,
}

/// The end of the line, past its line break.
pub(super) fn line_end(text: &str, from: usize) -> usize {
    text[from..].find('\n').map_or(text.len(), |at| from + at + 1)
}

/// Where `part`, a part of `whole`, begins in it.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

fn range_of(whole: &str, part: &str) -> Range<usize> {
    let start = offset(whole, part);
    start..start + part.len()
}

/// Reads a key at the start of `line`: the key and how many bytes it and the delimiter take.
///
/// # Errors
///
/// What is wrong, in words.
pub(super) fn key(line: &str) -> Result<(&str, usize), &'static str> {
    let quotes = if line.len() > 6 && line.starts_with("\"\"\"") {
        Quotes::Triple
    } else if line.starts_with('"') {
        Quotes::Double
    } else if line.starts_with('`') {
        Quotes::Back
    } else {
        Quotes::None
    };
    let quote = quotes.text();
    let rest = &line[quote.len()..];
    let (key, after) = if quotes == Quotes::None {
        let at = rest.find(['=', ':']).ok_or("a key without `=` or `:`")?;
        (&rest[..at], &rest[at..])
    } else {
        let at = rest.find(quote).ok_or("a key with a quote that does not end")?;
        (&rest[..at], &rest[at + quote.len()..])
    };
    let delimiter = after.find(['=', ':']).ok_or("a key without `=` or `:`")?;
    let key = key.trim();
    if key.is_empty() { Err("an empty key") } else { Ok((key, offset(line, after) + delimiter + 1)) }
}

/// Reads the value that follows a delimiter.
///
/// # Errors
///
/// What is wrong, in words.
pub(super) fn value(text: &str, from: usize) -> Result<Value, &'static str> {
    let end = line_end(text, from);
    let line = text[from..end].trim_start();
    if line.is_empty() {
        let body = text[from..end].trim_end_matches(['\n', '\r']);
        let at = from + body.len();
        return Ok(Value { quotes: Quotes::None, range: at..at, comment: None, next: end, doubt: None });
    }
    if line.len() > 3 && line.starts_with("\"\"\"") {
        quoted(text, end - line.len(), Quotes::Triple)
    } else if line.starts_with('`') {
        quoted(text, end - line.len(), Quotes::Back)
    } else {
        bare(text, line.trim(), end)
    }
}

/// A value in backquotes or `"""`, on one line or more.
fn quoted(text: &str, from: usize, quotes: Quotes) -> Result<Value, &'static str> {
    let quote = quotes.text();
    let start = from + quote.len();
    let mut next = line_end(text, from);
    let mut end = text[start..next].rfind(quote).map(|at| start + at);
    while end.is_none() {
        if next == text.len() {
            return Err("a value with a quote that does not end");
        }
        let line_start = next;
        next = line_end(text, line_start);
        end = text[line_start..next].rfind(quote).map(|at| line_start + at).filter(|at| {
            // A backslash after the quote makes the value go on.
            !text[at + quote.len()..next].trim().ends_with('\\')
        });
    }
    let end = end.unwrap_or(start);
    let after = text[end + quote.len()..next].trim();
    let comment = after.starts_with(['#', ';']).then(|| range_of(text, after));
    let doubt = (comment.is_none() && !after.is_empty()).then_some("text after the quote that ends a value");
    Ok(Value { quotes, range: start..end, comment, next, doubt })
}

/// A value without quotes, or in `"…"` or `'…'`.
fn bare(text: &str, line: &str, next: usize) -> Result<Value, &'static str> {
    if line.ends_with('\\') {
        return Err("a backslash at the end of a value, which joins the next line to it; put it in quotes");
    }
    let sign = line.find(['#', ';']);
    let value = line[..sign.unwrap_or(line.len())].trim();
    let comment = sign.map(|at| range_of(text, &line[at..]));
    let surrounded = |quote: char| {
        value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
            .filter(|inner| !inner.contains(quote))
    };
    let (quotes, inner) = if let Some(inner) = surrounded('\'') {
        (Quotes::Single, inner)
    } else if let Some(inner) = surrounded('"') {
        (Quotes::Double, inner)
    } else {
        (Quotes::None, value)
    };
    let cut_off = sign.is_some_and(|at| {
        let blank_before = line[..at].chars().next_back().is_some_and(char::is_whitespace);
        !blank_before || (quotes == Quotes::None && value.starts_with(['"', '\'']))
    });
    let doubt = cut_off.then_some(
        "`#` or `;` in a value: sops takes what follows for a comment; put the value in backquotes, or a blank \
         before a comment",
    );
    Ok(Value { quotes, range: range_of(text, inner), comment, next, doubt })
}

/// Whether a value is read back where it is written in these quotes at the end of a line.
pub(super) fn holds(quotes: Quotes, plain: &str) -> bool {
    let line = format!(" {}\n", quotes.around(plain));
    value(&line, 0).is_ok_and(|read| {
        read.quotes == quotes
            && &line[read.range] == plain
            && read.comment.is_none()
            && read.doubt.is_none()
            && read.next == line.len()
    })
}

/// Whether sops, where it writes a value, writes what it reads back. It does not for a backslash at the end,
/// and for quotes within quotes.
pub(super) fn value_survives_sops(value: &str) -> bool {
    holds(Quotes::of_sops(value), value)
}

/// The same for a key.
pub(super) fn key_survives_sops(name: &str) -> bool {
    let quotes = if name.contains(['"', '=', ':']) {
        Quotes::Back
    } else if name.contains('`') {
        Quotes::Triple
    } else {
        Quotes::None
    };
    let line = format!("{} = ", quotes.around(name));
    !line.starts_with(['#', ';', '[', '\u{feff}'])
        && key(&line).is_ok_and(|(read, length)| read == name && length == line.len() - 1)
}

/// How many bytes of a comment are its sign: as many of it and of blanks as there are.
pub(super) fn sign_length(comment: &str) -> usize {
    let sign = if comment.starts_with('#') { ['#', ' '] } else { [';', ' '] };
    comment.len() - comment.trim_start_matches(sign).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (String, Quotes, Option<String>, bool) {
        let read = value(line, 0).unwrap();
        let comment = read.comment.map(|range| line[range].to_owned());
        (line[read.range].to_owned(), read.quotes, comment, read.doubt.is_some())
    }

    #[test]
    fn values_are_read_as_sops_reads_them() {
        let comment = |text: &str| Some(text.to_owned());
        let table = [
            (" a b \r\n", "a b", Quotes::None, None, false),
            (" ", "", Quotes::None, None, false),
            (" \"a b\"\n", "a b", Quotes::Double, None, false),
            (" ' a'\n", " a", Quotes::Single, None, false),
            (" \"a\"b\"\n", "\"a\"b\"", Quotes::None, None, false),
            (" 'a\"\n", "'a\"", Quotes::None, None, false),
            (" \"", "\"", Quotes::None, None, false),
            (" \"\"\n", "", Quotes::Double, None, false),
            (" \"\"\"", "\"\"\"", Quotes::None, None, false),
            (" \"\"\"a\"\"\"\n", "a", Quotes::Triple, None, false),
            (" \"\"\"a\n b\r\n\"\"\" ; c\n", "a\n b\r\n", Quotes::Triple, comment("; c"), false),
            (" `a`b`\n", "a`b", Quotes::Back, None, false),
            (" `a;#\"` # c", "a;#\"", Quotes::Back, comment("# c"), false),
            (" `a` b\n", "a", Quotes::Back, None, true),
            (" a ; c # d \n", "a", Quotes::None, comment("; c # d"), false),
            (" a;c\n", "a", Quotes::None, comment(";c"), true),
            (" #fff\n", "", Quotes::None, comment("#fff"), true),
            ("#fff\n", "", Quotes::None, comment("#fff"), true),
            (" \"a ; b\"\n", "\"a", Quotes::None, comment("; b\""), true),
            (" \"a\" ; b\n", "a", Quotes::Double, comment("; b"), false),
            (" `a\nb`\\\nc` \n", "a\nb`\\\nc", Quotes::Back, None, false),
        ];
        for (line, wanted, quotes, comment, doubt) in table {
            assert_eq!(read(line), (wanted.to_owned(), quotes, comment, doubt), "{line:?}");
        }
        assert!(value(" `a\nb", 0).is_err());
        assert!(value(" a\\\nb", 0).is_err());
    }

    #[test]
    fn keys_are_read_as_sops_reads_them() {
        let table = [
            ("a = b", Ok(("a", 3))),
            ("a b : c = d", Ok(("a b", 5))),
            ("\"a=b\" = c", Ok(("a=b", 7))),
            ("`a:\"` = c", Ok(("a:\"", 7))),
            ("\"\"\"a`\"\"\" = c", Ok(("a`", 10))),
            ("= b", Err("an empty key")),
            ("\"\" = b", Err("an empty key")),
            ("\"a = b", Err("a key with a quote that does not end")),
            ("a", Err("a key without `=` or `:`")),
        ];
        for (line, wanted) in table {
            assert_eq!(key(line), wanted, "{line}");
        }
    }

    #[test]
    fn what_sops_breaks_is_known() {
        for value in
            ["a", "", " a", "a;b", "a#", "a\nb", "a\n\"", "it's", "\"a\" b", "a`b", "a\\b", "a\n\"\"\"b", "`"]
        {
            assert!(value_survives_sops(value), "{value}");
        }
        for value in ["a\\", "'a'", "\"a\"", " \"", "'"] {
            assert_eq!(value_survives_sops(value), value == "'", "{value}");
        }
        for (key, survives) in [("a", true), ("a=b", true), ("a\"", true), ("a`", true), ("a`:", false)] {
            assert_eq!(key_survives_sops(key), survives, "{key}");
        }
        for key in ["#a", ";a", "[a", "\u{a0}", "\u{feff}a"] {
            assert!(!key_survives_sops(key), "{key}");
        }
    }
}

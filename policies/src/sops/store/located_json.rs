//! JSON with the place of every token (RFC 8259).
//!
//! sops's own reader lets half an object and text after the end pass; this one does not.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::sops::block::{Block, Meta};
use crate::sops::problem::{Problem, ProblemKind};
use crate::yaml::Source;

/// Deeper nesting is no configuration.
const MOST_DEEP: usize = 128;

/// A value and where it stands.
pub(super) struct Value {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
}

/// What a value is. Texts and numbers are read when they are needed.
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number,
    Text,
    List(Vec<Value>),
    Map(Vec<Member>),
}

/// A member of an object.
pub(super) struct Member {
    /// `None` where the key has half a surrogate pair.
    pub(super) key: Option<String>,
    pub(super) key_range: Range<usize>,
    pub(super) value: Value,
}

/// A number as sops reads it.
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

/// Reads one JSON text.
///
/// # Errors
///
/// The first place that is not JSON, or nesting that is too deep.
pub(super) fn parse(source: &Source<'_>) -> Result<Value, Problem> {
    let mut reader = Reader { text: source.text(), at: 0, depth: 0 };
    let fail = |(at, what): Fault| {
        let kind = match what {
            TOO_DEEP => ProblemKind::Limit(what.to_owned()),
            _ => ProblemKind::Syntax { format: "JSON", what: what.to_owned() },
        };
        Problem::at(kind, source.span(&(at..at + 1)))
    };
    reader.blanks();
    let value = reader.value().map_err(fail)?;
    reader.blanks();
    if reader.peek().is_some() {
        return Err(fail((reader.at, "text after the end")));
    }
    Ok(value)
}

const TOO_DEEP: &str = "nested deeper than 128 levels";

/// Where, and what in words.
type Fault = (usize, &'static str);

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.nested(Self::members)?,
            Some(b'[') => self.nested(Self::items)?,
            Some(b'"') => self.text_token().map(|()| Kind::Text)?,
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number)?,
            Some(b'/') => return Err((start, "JSON has no comments")),
            None => return Err((start, "it ends too early")),
            Some(_) => self.word()?,
        };
        Ok(Value { range: start..self.at, kind })
    }

    fn word(&mut self) -> Result<Kind, Fault> {
        for (word, kind) in [("true", Kind::Bool(true)), ("false", Kind::Bool(false)), ("null", Kind::Null)] {
            if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(kind);
            }
        }
        Err((self.at, "a value is missing"))
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Kind, Fault>) -> Result<Kind, Fault> {
        if self.depth == MOST_DEEP {
            return Err((self.at, TOO_DEEP));
        }
        self.depth += 1;
        self.at += 1;
        let kind = inner(self)?;
        self.depth -= 1;
        Ok(kind)
    }

    fn members(&mut self) -> Result<Kind, Fault> {
        let mut members = Vec::new();
        self.blanks();
        if self.takes(b'}') {
            return Ok(Kind::Map(members));
        }
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err((start, "a key in double quotes is missing"));
            }
            self.text_token()?;
            let key_range = start..self.at;
            self.blanks();
            if !self.takes(b':') {
                return Err((self.at, "`:` is missing"));
            }
            self.blanks();
            let value = self.value()?;
            members.push(Member { key: decode(self.text, &key_range), key_range, value });
            self.blanks();
            if self.takes(b'}') {
                return Ok(Kind::Map(members));
            }
            if !self.takes(b',') {
                return Err((self.at, "`,` or `}` is missing"));
            }
            self.blanks();
        }
    }

    fn items(&mut self) -> Result<Kind, Fault> {
        let mut items = Vec::new();
        self.blanks();
        if self.takes(b']') {
            return Ok(Kind::List(items));
        }
        loop {
            items.push(self.value()?);
            self.blanks();
            if self.takes(b']') {
                return Ok(Kind::List(items));
            }
            if !self.takes(b',') {
                return Err((self.at, "`,` or `]` is missing"));
            }
            self.blanks();
        }
    }

    fn text_token(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return Err((self.at, "a control character in a string")),
                Some(_) => self.at += 1,
                None => return Err((start, "a string without end")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let bytes = self.text.as_bytes();
        let length = match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => 6,
            _ => return Err((self.at, "an escape that JSON does not have")),
        };
        let digits = bytes.get(self.at + 2..self.at + length);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err((self.at, "an escape that JSON does not have"));
        }
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.takes(b'-');
        let whole = self.takes(b'0') || self.digits();
        let fraction = !self.takes(b'.') || self.digits();
        let exponent = !(self.takes(b'e') || self.takes(b'E')) || {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.digits()
        };
        let goes_on = matches!(self.peek(), Some(b'0'..=b'9' | b'.' | b'+' | b'-' | b'_'))
            || self.peek().is_some_and(|byte| byte.is_ascii_alphabetic());
        if whole && fraction && exponent && !goes_on {
            Ok(())
        } else {
            Err((start, "a number that JSON does not have"))
        }
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }
}

/// The text of a string token; `None` where it has half a surrogate pair.
fn decode(text: &str, token: &Range<usize>) -> Option<String> {
    serde_json::from_str(text.get(token.clone())?).ok()
}

impl Value {
    /// The token.
    pub(super) fn token<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.range.clone()).unwrap_or_default()
    }

    /// The text of a string; `None` where it is none, or has half a surrogate pair.
    pub(super) fn text(&self, text: &str) -> Option<Zeroizing<String>> {
        matches!(self.kind, Kind::Text).then(|| decode(text, &self.range).map(Zeroizing::new))?
    }

    /// The number (`stores/json/store.go`, `normalizeJSONNumber`); `None` where it is none, or too large.
    pub(super) fn number(&self, text: &str) -> Option<Number> {
        if !matches!(self.kind, Kind::Number) {
            return None;
        }
        let token = self.token(text);
        token
            .parse()
            .map(Number::Int)
            .ok()
            .or_else(|| token.parse().ok().filter(|float: &f64| float.is_finite()).map(Number::Float))
    }

    /// The members of an object.
    pub(super) fn members(&self) -> Option<&[Member]> {
        match &self.kind {
            Kind::Map(members) => Some(members),
            _ => None,
        }
    }

    /// As metadata: numbers that are no integers are text, as they are written.
    pub(super) fn meta(&self, text: &str) -> Meta {
        match &self.kind {
            Kind::Null => Meta::Null,
            Kind::Bool(bool) => Meta::Bool(*bool),
            Kind::Number => match self.number(text) {
                Some(Number::Int(int)) => Meta::Int(int),
                _ => Meta::Text(self.token(text).to_owned()),
            },
            Kind::Text => Meta::Text(decode(text, &self.range).unwrap_or_default()),
            Kind::List(items) => Meta::List(items.iter().map(|item| item.meta(text)).collect()),
            Kind::Map(members) => Meta::Map(block(members, text)),
        }
    }
}

/// The members of an object as metadata.
pub(super) fn block(members: &[Member], text: &str) -> Block {
    let fields = members.iter().filter_map(|member| Some((member.key.clone()?, member.value.meta(text))));
    Block { fields: fields.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        parse(&Source::new(bytes)).err().map(|problem| problem.to_string())
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let table = [
            ("{\"a\":1} x", "1:9: not valid JSON: text after the end"),
            ("{\"a\": 1", "1:8: not valid JSON: `,` or `}` is missing"),
            ("{\"a\": 1,}", "1:9: not valid JSON: a key in double quotes is missing"),
            ("{\n \"a\" 1}", "2:6: not valid JSON: `:` is missing"),
            ("{\"a\":}", "1:6: not valid JSON: a value is missing"),
            ("{\"a\":", "1:6: not valid JSON: it ends too early"),
            ("[1,]", "1:4: not valid JSON: a value is missing"),
            ("[1 2]", "1:4: not valid JSON: `,` or `]` is missing"),
            ("// c\n{}", "1:1: not valid JSON: JSON has no comments"),
            ("[\"a\nb\"]", "1:4: not valid JSON: a control character in a string"),
            ("[\"\\x\"]", "1:3: not valid JSON: an escape that JSON does not have"),
            ("[\"\\u12g4\"]", "1:3: not valid JSON: an escape that JSON does not have"),
            ("[\"abc", "1:2: not valid JSON: a string without end"),
            ("[01]", "1:2: not valid JSON: a number that JSON does not have"),
            ("[1.]", "1:2: not valid JSON: a number that JSON does not have"),
            ("[.5]", "1:2: not valid JSON: a value is missing"),
            ("[1e]", "1:2: not valid JSON: a number that JSON does not have"),
            ("[-]", "1:2: not valid JSON: a number that JSON does not have"),
            ("[1x]", "1:2: not valid JSON: a number that JSON does not have"),
            ("[nul]", "1:2: not valid JSON: a value is missing"),
        ];
        for (text, wanted) in table {
            assert_eq!(fault(text).as_deref(), Some(wanted), "{text}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(fault(&deep(128)), None);
        assert_eq!(fault(&deep(129)).as_deref(), Some("1:129: nested deeper than 128 levels"));
    }

    #[test]
    fn it_takes_what_serde_json_takes() {
        use proptest::prelude::*;
        let piece = proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\u00e9\"",
            "1",
            "-0",
            "1.5e3",
            "01",
            "true",
            "null",
            " ",
            "\n",
            "\"",
            "\\",
            "e",
            "-",
        ]);
        proptest!(|(pieces in proptest::collection::vec(piece, 0..12))| {
            let text = pieces.concat();
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // Here, a number that is too large is told where its value is asked for.
            let too_large = |error: &serde_json::Error| error.to_string().starts_with("number out of range");
            prop_assume!(!theirs.as_ref().is_err_and(too_large));
            prop_assert_eq!(fault(&text).is_none(), theirs.is_ok(), "{}", text);
        });
    }
}

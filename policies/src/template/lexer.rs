//! The words of an action.

use std::ops::Range;

/// A word, and where it is in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) range: Range<usize>,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A text in quotes, without them.
    Text(String),
    /// A number.
    Number,
    /// A function, a keyword, or a variable of Jinja.
    Word,
    /// A variable or field: `$x.y`, `.Values.x`, `$`, `.`.
    Path,
    Open,
    Close,
    Pipe,
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Other,
}

/// The words of the inside of an action that begins at `start` in the file.
pub(super) fn tokens(inner: &str, start: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = inner.get(at..).and_then(|rest| rest.chars().next()) {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let rest = &inner[at..];
        let (kind, length) = token(rest, c);
        tokens.push(Token { kind, range: start + at..start + at + length });
        at += length;
    }
    tokens
}

fn token(rest: &str, first: char) -> (TokenKind, usize) {
    let while_name = || {
        let is_name = |c: char| c.is_alphanumeric() || "_.$".contains(c);
        rest.find(|c: char| !is_name(c)).unwrap_or(rest.len())
    };
    match first {
        '"' | '\'' | '`' => text(rest, first),
        '(' => (TokenKind::Open, 1),
        ')' => (TokenKind::Close, 1),
        '|' => (TokenKind::Pipe, 1),
        ',' => (TokenKind::Comma, 1),
        ':' if rest.starts_with(":=") => (TokenKind::Declare, 2),
        '=' if !rest.starts_with("==") => (TokenKind::Assign, 1),
        '$' | '.' => (TokenKind::Path, while_name()),
        _ if first.is_ascii_digit() => (TokenKind::Number, while_name()),
        _ if first.is_alphabetic() || first == '_' => (TokenKind::Word, while_name()),
        _ => (TokenKind::Other, first.len_utf8()),
    }
}

fn text(rest: &str, quote: char) -> (TokenKind, usize) {
    let mut made = String::new();
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => {
                made.push(match c {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
                escaped = false;
            }
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return (TokenKind::Text(made), at + 1),
            _ => made.push(c),
        }
    }
    (TokenKind::Other, rest.len())
}

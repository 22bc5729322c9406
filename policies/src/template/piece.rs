//! A template as text and actions.

use std::ops::Range;

/// A stretch of a template.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Where it is, delimiters included.
    pub(super) range: Range<usize>,
    /// What it does; `None` for text and for comments.
    pub(super) action: Option<Action>,
}

impl Piece {
    /// The same in a text in which the template begins at `start`.
    pub(super) fn moved(mut self, start: usize) -> Self {
        let by = |range: &Range<usize>| range.start + start..range.end + start;
        self.range = by(&self.range);
        if let Some(action) = &mut self.action {
            action.inner = by(&action.inner);
        }
        self
    }
}

/// An action.
#[derive(Clone, Debug)]
pub(super) struct Action {
    /// Where its inside is, without the marks that trim.
    pub(super) inner: Range<usize>,
    /// The blanks before it go.
    pub(super) trims_before: bool,
    /// The blanks behind it go.
    pub(super) trims_after: bool,
    /// `{% … %}`: it gives nothing.
    pub(super) is_statement: bool,
}

/// The pieces of a text, in order and without gaps.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some((start, piece)) = next(text, at) {
        if start > at {
            pieces.push(Piece { range: at..start, action: None });
        }
        at = piece.range.end;
        pieces.push(piece);
    }
    if at < text.len() {
        pieces.push(Piece { range: at..text.len(), action: None });
    }
    pieces
}

fn next(text: &str, from: usize) -> Option<(usize, Piece)> {
    let mut from = from;
    loop {
        let start = from + text.get(from..)?.find('{')?;
        let (close, is_statement) = match text.as_bytes().get(start + 1) {
            Some(b'{') => ("}}", false),
            Some(b'%') => ("%}", true),
            _ => {
                from = start + 1;
                continue;
            }
        };
        let inner = &text[start + 2..];
        let Some(length) = end(inner, close) else {
            // What is not closed is text; there may be statements behind it.
            from = start + 2;
            continue;
        };
        let range = start..start + 2 + length + close.len();
        return Some((start, Piece { action: action(text, &range, is_statement), range }));
    }
}

/// Where an action ends that begins here: behind its quotes and comments.
fn end(inner: &str, close: &str) -> Option<usize> {
    let body = inner.trim_start_matches(['-', ' ', '\n', '\t', '\r']);
    if body.starts_with("/*") {
        let comment = inner.find("*/")? + 2;
        return Some(comment + inner[comment..].find(close)?);
    }
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in inner.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some(open) if c == '\\' && open != '`' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if inner[at..].starts_with(close) => return Some(at),
            None => quote = matches!(c, '"' | '\'' | '`').then_some(c),
        }
    }
    // A lone apostrophe is no quote.
    inner.find(close)
}

fn action(text: &str, range: &Range<usize>, is_statement: bool) -> Option<Action> {
    let (mut start, mut end) = (range.start + 2, range.end - 2);
    let trims_before = text[start..end].starts_with('-');
    start += usize::from(trims_before);
    let trims_after = start < end && text[start..end].ends_with('-');
    end -= usize::from(trims_after);
    let is_comment = text[start..end].trim_start().starts_with("/*");
    (!is_comment).then_some(Action { inner: start..end, trims_before, trims_after, is_statement })
}

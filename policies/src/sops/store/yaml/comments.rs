//! Which map or list a comment belongs to: what sops's YAML library says, whose paths authenticate comments.
//!
//! Observed of go.yaml.in/yaml v3, whose rules are those of its token scanner. Where a comment ends up in
//! another place there, it still decrypts here, as every place is tried; sops leaves it encrypted, with a
//! warning.

/// What follows a comment line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// An empty line.
    Blank,
    /// Another comment or content at this column.
    Column(usize),
    /// Nothing.
    End,
}

/// A comment on a line of its own, after some content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) column: usize,
    pub(super) next: Next,
    /// An empty line stands before it.
    pub(super) blank_before: bool,
    /// It is the first after the content, or goes on at the column of the one before.
    pub(super) first: bool,
}

/// The level that the comment belongs to, of the open block collections with these columns, outermost first.
/// `follows` is the level that the next content belongs to.
pub(super) fn level(line: Line, columns: &[usize], follows: usize) -> usize {
    let deepest = columns.len().saturating_sub(1);
    let inner = columns.last().copied().unwrap_or_default();
    let by_column = || {
        let fits = columns.iter().rposition(|column| *column <= line.column).unwrap_or(0);
        // A list may stand at the column of the key that holds it; what follows there decides.
        if columns.get(fits) == columns.get(follows) && follows < fits { follows } else { fits }
    };
    match line.next {
        Next::End if line.blank_before => 0,
        _ if line.column >= inner && columns.get(follows) != Some(&line.column) => deepest,
        Next::Column(column) if column != line.column && column < inner && line.first => deepest,
        _ => by_column(),
    }
}

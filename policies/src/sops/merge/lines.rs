//! Merging texts line by line.
//!
//! Git takes changes of neighbouring lines for a conflict, and what both add at one place. In files of keys
//! and values that is the usual case and no contradiction, so here both are taken, ours first: the caller
//! knows by the values whether the result is right.

use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::ops::Range;
use zeroize::Zeroizing;

/// Lines of the base that one side replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hunk<'t> {
    base: Range<usize>,
    new: Vec<&'t [u8]>,
}

/// Merges two texts that came from a third one. `None` where both changed the same lines in different ways.
pub fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let lines = lines(base);
    let mut hunks = changes(&lines, ours);
    hunks.extend(changes(&lines, theirs));
    // Stable: of insertions at one place ours comes first.
    hunks.sort_by_key(|hunk| (hunk.base.start, hunk.base.end));
    hunks.dedup();
    let mut out = Zeroizing::new(Vec::with_capacity(ours.len() + theirs.len()));
    let mut at = 0;
    for hunk in hunks {
        // The lines up to here are there once; a change that reaches back into them contradicts another one.
        let between = lines.get(at..hunk.base.start)?;
        between.iter().chain(&hunk.new).for_each(|line| out.extend_from_slice(line));
        at = hunk.base.end;
    }
    lines.get(at..)?.iter().for_each(|line| out.extend_from_slice(line));
    Some(out)
}

/// The lines, each with its end.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

fn changes<'t>(base: &[&'t [u8]], text: &'t [u8]) -> Vec<Hunk<'t>> {
    let new = lines(text);
    let operations = capture_diff_slices(Algorithm::Patience, base, &new);
    let mut hunks: Vec<Hunk<'_>> = Vec::new();
    for operation in operations.iter().filter(|operation| operation.tag() != DiffTag::Equal) {
        let added = new.get(operation.new_range()).unwrap_or_default();
        match hunks.last_mut() {
            Some(last) if last.base.end == operation.old_range().start => {
                last.base.end = operation.old_range().end;
                last.new.extend(added);
            }
            _ => hunks.push(Hunk { base: operation.old_range(), new: added.to_vec() }),
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn merge(base: &str, ours: &str, theirs: &str) -> Option<String> {
        let merged = super::merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes())?;
        Some(String::from_utf8(merged.to_vec()).unwrap())
    }

    #[test]
    fn neighbours_and_additions_at_one_place_are_both_taken() {
        let table = [
            ("a\nb\n", "A\nb\n", "a\nB\n", Some("A\nB\n")),
            ("a\n", "a\no\n", "a\nt\n", Some("a\no\nt\n")),
            ("a\nb\nc\n", "b\nc\n", "a\nb\nC\n", Some("b\nC\n")),
            ("a\nb\n", "a\nx\nb\n", "a\nx\nb\n", Some("a\nx\nb\n")),
            ("a\nb\n", "A\nb\n", "X\nb\n", None),
            ("a\nb\nc\n", "c\n", "a\nB\nc\n", None),
            ("", "x\n", "x\n", Some("x\n")),
            ("a\r\nb\r\n", "a\r\nB\r\n", "A\r\nb\r\n", Some("A\r\nB\r\n")),
        ];
        for (base, ours, theirs, wanted) in table {
            assert_eq!(merge(base, ours, theirs).as_deref(), wanted, "{base:?} {ours:?} {theirs:?}");
        }
    }

    proptest! {
        #[test]
        fn one_change_alone_is_taken_as_it_is(base in "[abc\n]{0,24}", changed in "[abc\n]{0,24}") {
            prop_assert_eq!(merge(&base, &changed, &base), Some(changed.clone()));
            prop_assert_eq!(merge(&base, &base, &changed), Some(changed.clone()));
            prop_assert_eq!(merge(&base, &changed, &changed), Some(changed));
        }
    }
}

//! What the stores of text have in common.

use std::ops::Range;

use bstr::ByteSlice as _;

use super::Edit;
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::Site;
use crate::yaml::Source;

/// More bytes than this are no configuration.
const MOST_BYTES: usize = 16 << 20;

/// The byte order mark of UTF-8.
pub(super) const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads bytes as text in UTF-8.
///
/// # Errors
///
/// Too large, UTF-16, not UTF-8, with a NUL, or nothing in it.
pub(super) fn decode(bytes: &[u8]) -> Result<Source<'_>, Vec<Problem>> {
    let fails = |kind| Err(vec![Problem::of_file(kind)]);
    if bytes.len() > MOST_BYTES {
        return fails(ProblemKind::Limit("larger than 16 MiB".to_owned()));
    }
    let utf16 = matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..])
        || matches!(bytes, [low, 0, next, 0, ..] | [0, low, 0, next, ..] if *low != 0 && *next != 0);
    if utf16 {
        return fails(ProblemKind::Utf16);
    }
    let source = Source::new(bytes);
    let skipped = source.original_offset(0);
    let at = |offset: usize| source.span(&(offset - skipped..offset - skipped + 1));
    if let Some(offset) = source.first_invalid() {
        return Err(vec![Problem::at(ProblemKind::NotUtf8, at(offset))]);
    }
    if let Some(offset) = bytes.find_byte(0) {
        return Err(vec![Problem::at(ProblemKind::Nul, at(offset))]);
    }
    if source.text().trim().is_empty() { fails(ProblemKind::Empty) } else { Ok(source) }
}

/// A change of a stretch of the text.
pub(super) fn edit(source: &Source<'_>, range: &Range<usize>, text: impl Into<Vec<u8>>) -> Edit {
    Edit::new(source.original_range(range), text)
}

/// A site for the next entry of a list of places.
pub(super) fn next_site<T>(places: &[T]) -> Site {
    Site(u32::try_from(places.len()).unwrap_or(u32::MAX))
}

/// The place of a site.
///
/// # Errors
///
/// A site of another file: a fault of ours.
pub(super) fn place<T>(places: &[T], site: Site) -> Result<&T, Problem> {
    usize::try_from(site.0)
        .ok()
        .and_then(|at| places.get(at))
        .ok_or_else(|| Problem::of_file(ProblemKind::Unproven("a site of another file")))
}

/// A value as it stands in a format that knows text only.
///
/// Numbers are written out in full, where sops would take an exponent for large ones.
///
/// # Errors
///
/// The text is not UTF-8, or has a NUL.
pub(super) fn only_text(plain: &Plain) -> Result<zeroize::Zeroizing<String>, ProblemKind> {
    let bytes = match plain {
        Plain::Bool(bool) => zeroize::Zeroizing::new(bool.to_string().into_bytes()),
        other => other.canonical(),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| ProblemKind::Unwritable("it is not text in UTF-8"))?;
    if text.contains('\0') {
        return Err(ProblemKind::Unwritable("it has a NUL character"));
    }
    Ok(zeroize::Zeroizing::new(text.to_owned()))
}

/// Whether a text is long enough for, and begins as, an encrypted value, whatever a line end leaves after it.
pub(super) fn without_line_end_if_sealed(text: &str) -> &str {
    if crate::sops::value::claims(text) { text.trim_end_matches('\r') } else { text }
}

/// `\n`, as metadata in dotenv and INI files spells a line break.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\n', "\\n")
}

/// What [`escaped`] does, undone.
pub(super) fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n")
}

/// Whether [`unescaped`] gives back what [`escaped`] takes.
pub(super) fn can_be_escaped(text: &str) -> bool {
    !text.contains("\\n")
}

/// Pairs of metadata by name, where two lists have the same names, each once: the old place with the new value.
///
/// `None` where they have not.
pub(super) fn matched<'o, 'n, T>(
    old: &'o [T],
    name: impl Fn(&T) -> &str,
    new: &'n [(String, String)],
) -> Option<Vec<(&'o T, &'n str)>> {
    if old.len() != new.len() {
        return None;
    }
    old.iter()
        .map(|place| {
            let mut values = new.iter().filter(|(key, _)| key == name(place));
            let (_, value) = values.next()?;
            values.next().is_none().then_some((place, value.as_str()))
        })
        .collect()
}

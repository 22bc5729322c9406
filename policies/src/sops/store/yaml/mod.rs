//! The YAML store.
//!
//! Encrypting changes the values and adds the metadata; decrypting gives the bytes back as they were, but for
//! what `ENC[…]` has no place for: how escapes, folded and multi-line plain texts were spelled, the spelling
//! of numbers, truth values and times, tags other than `!!str`, words that YAML 1.1 takes for truth values,
//! plain against single quotes in flow collections, a comment of a single blank, and a block text at the end of
//! a file without a newline (whose header says so afterwards, encrypted or not).
//!
//! Known where sops itself goes wrong: an empty comment in a list, which sops makes an empty item of, is
//! encrypted as a blank; comments that sops loses (behind a `[` or `{`) are encrypted like others, and select
//! nothing.

mod aliases;
mod comments;
mod documents;
mod layout;
mod metadata;
mod read;
mod scalar;
mod tokens;

pub use aliases::expand_aliases;
use std::ops::Range;

use super::{Parsed, StoreSettings};
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::tree::Branch;
use crate::yaml::{Error, Limits, Reading, Stream, readings};
use layout::YamlLayout;

/// Where a leaf or comment is written, as ranges of the decoded text.
#[derive(Clone, Debug)]
enum Written {
    Scalar(ScalarSite),
    /// The text after the `#`.
    Comment(Range<usize>),
}

#[derive(Clone, Debug)]
struct ScalarSite {
    range: Range<usize>,
    style: crate::yaml::Style,
    /// `|` or `>` with its indicators.
    header: Option<Box<Range<usize>>>,
    /// Inside of brackets or braces.
    flow: bool,
    /// The tag with the blanks after it, and whether it is one that an encrypted text may keep.
    tag: Option<Box<(Range<usize>, bool)>>,
    /// Column of the key or dash that the value belongs to.
    indent: usize,
    /// Spaces before each line of a block text.
    body_indent: usize,
    /// Position of the dash, where it is an item of a block list.
    dash: Option<usize>,
    /// It is the first item of a list that holds nothing but encrypted comments.
    alone: bool,
    /// An alias stands here, or one elsewhere repeats it.
    aliased: bool,
    binary: bool,
}

/// Reads a YAML file, encrypted or not.
///
/// # Errors
///
/// Everything that keeps it from being read as sops reads it, with its place.
pub(super) fn read<'b>(bytes: &'b [u8], settings: StoreSettings) -> Result<Parsed<'b>, Vec<Problem>> {
    let source = super::text::decode(bytes)?;
    if let Some(at) = end_before_start(source.text()) {
        let kind = ProblemKind::Unreadable("an end of a document (`...`) before its beginning");
        return Err(vec![Problem::at(kind, source.span(&(at..at)))]);
    }
    let (documents, sites, places, duplicate_keys) = {
        let mut streams = readings(&source, Limits::DEFAULT);
        streams.retain(|(reading, _)| *reading != Reading::Forgiving);
        if let [(_, one), (_, other)] = streams.as_slice()
            && one.errors().is_empty()
            && let Some(error) = other.errors().first()
        {
            return Err(vec![Problem::at(ProblemKind::Ambiguous(SEPARATORS), error.span.clone())]);
        }
        for (_, stream) in &streams {
            whole(stream)?;
        }
        let Some((_, stream)) = streams.pop() else { return Err(vec![Problem::of_file(ProblemKind::Empty)]) };
        if let Some((_, other)) = streams.pop() {
            same_reading(&stream, &other)?;
        }
        if stream.documents().next().is_none() {
            return Err(vec![Problem::of_file(ProblemKind::Empty)]);
        }
        let places = documents::places(&stream)?;
        let (documents, sites, duplicates) = read::documents(&stream)?;
        (documents, sites, places, duplicates)
    };
    let block = documents::metadata(&source, &places)?;
    let layout = Box::new(YamlLayout { source, sites, places, settings });
    Ok(Parsed { documents, block, duplicate_keys, layout })
}

/// Where a document ends that did not begin.
fn end_before_start(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            let rest = line.strip_prefix("...")?;
            return rest.chars().next().is_none_or(char::is_whitespace).then_some(at);
        }
        at += line.len();
    }
    None
}

fn whole(stream: &Stream<'_>) -> Result<(), Vec<Problem>> {
    let problem = |error: &Error| {
        let kind = match &error.kind {
            crate::yaml::ErrorKind::Syntax(what) => {
                ProblemKind::Syntax { format: "YAML", what: what.clone() }
            }
            limit => ProblemKind::Limit(limit.to_string()),
        };
        Problem::at(kind, error.span.clone())
    };
    let problems = stream.errors().iter().map(problem).collect::<Vec<_>>();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

const SEPARATORS: &str = "a line separator (NEL, U+2028, U+2029) or byte order mark inside, which readers take \
                          differently: write it as an escape in double quotes";

/// Whether two readings of the same text say the same: YAML 1.1 ends lines at more characters.
fn same_reading(one: &Stream<'_>, other: &Stream<'_>) -> Result<(), Vec<Problem>> {
    let leaves = |stream: &Stream<'_>| {
        let mut all = Vec::new();
        for (_, root) in stream.documents() {
            crate::yaml::leaves(root, &mut crate::yaml::KeyPath::root(), &mut |path, node| {
                all.push((path.to_string(), node.raw_text().map(str::to_owned), node.span()));
            });
        }
        all
    };
    let (one, other) = (leaves(one), leaves(other));
    let different = one.iter().zip(&other).find(|(a, b)| a.0 != b.0 || a.1 != b.1);
    let span = match different {
        Some(((_, _, span), _)) => Some(span.clone()),
        None if one.len() == other.len() => return Ok(()),
        None => None,
    };
    let kind = ProblemKind::Ambiguous(SEPARATORS);
    Err(vec![span.map_or_else(|| Problem::of_file(kind.clone()), |span| Problem::at(kind.clone(), span))])
}

/// A value on one line, as the store writes it.
pub(crate) fn inline(plain: &crate::sops::plain::Plain, style: crate::yaml::Style, flow: bool) -> String {
    scalar::inline(plain, style, flow, false)
}

type ReadDocuments = (Vec<Branch>, Vec<Written>, Vec<Problem>);

#[cfg(test)]
mod tests;

//! Templates that belong together, and the files that they read: those of a chart.

use super::Filled;
use super::render::{self, Whole};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a part is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is filled in, and its named templates are called.
    Template,
    /// It is read.
    File,
}

/// Parts, put behind each other in one text: a place in it is one of a part.
#[derive(Default)]
pub(crate) struct Parts {
    text: String,
    parts: Vec<(Range<usize>, Kind)>,
    files: BTreeMap<String, Range<usize>>,
}

impl Parts {
    /// Adds a part, and gives its number.
    pub(crate) fn add(&mut self, path: &str, text: &str, kind: Kind) -> usize {
        let start = self.text.len();
        self.text.push_str(text);
        let range = start..self.text.len();
        if kind == Kind::File {
            self.files.insert(path.to_owned(), range.clone());
        }
        self.parts.push((range, kind));
        self.parts.len() - 1
    }

    /// Fills in the templates, and calls back with the number of each that the others say something of. `base` gives
    /// what stands before the paths that a template names files by.
    pub(crate) fn fill<'b>(&self, base: impl Fn(usize) -> &'b str, mut call: impl FnMut(usize, &Filled)) {
        let numbered = self.parts.iter().enumerate();
        let templates: Vec<_> = numbered.filter(|(_, (_, kind))| *kind == Kind::Template).collect();
        let ranges: Vec<_> = templates.iter().map(|(_, (range, _))| range.clone()).collect();
        let whole = Whole::of(&self.text, &ranges, &self.files);
        for (number, (range, _)) in templates {
            let first = whole.pieces.partition_point(|piece| piece.range.start < range.start);
            let last = whole.pieces.partition_point(|piece| piece.range.start < range.end);
            if let Some(filled) = Filled::made(render::render(&whole, first..last, base(number))) {
                call(number, &filled);
            }
        }
    }

    /// The part other than `own` that a stretch of the text is of, and where it is in that; `None` where all of it is in
    /// its own.
    pub(crate) fn other(&self, own: usize, range: &Range<usize>) -> Option<(usize, Range<usize>)> {
        let last = range.end.max(range.start + 1) - 1;
        let at = |place: usize| self.parts.iter().position(|(part, _)| part.contains(&place));
        let number = [at(range.start), at(last)].into_iter().flatten().find(|number| *number != own)?;
        let (part, _) = self.parts.get(number)?;
        let (start, end) = (range.start.max(part.start), range.end.min(part.end));
        Some((number, start - part.start..end - part.start))
    }

    /// Where a stretch is in a part, as far as it is.
    pub(crate) fn within(&self, number: usize, range: &Range<usize>) -> Range<usize> {
        let Some((part, _)) = self.parts.get(number) else { return 0..0 };
        let inside = |at: usize| at.clamp(part.start, part.end) - part.start;
        inside(range.start)..inside(range.end)
    }
}

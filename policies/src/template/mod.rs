//! Templates of Go and Jinja, filled in as far as a file can be by itself.
//!
//! A value may reach its place through variables, named templates, maps and loops: `{{ $x := "value" }}` above, and
//! `{{ $x }}` below. What a file says of such values is put where it ends up; everything that comes from elsewhere
//! stays an action. So the result is a template again, with the literals of this file in their places, and is judged
//! as any other. The templates of a chart call each other and read its files, so that they are filled in together.

mod call;
mod expression;
mod files;
mod lexer;
mod parts;
mod piece;
mod render;
#[cfg(test)]
mod tests;
mod value;

use render::Whole;
use std::collections::BTreeMap;
use std::ops::Range;

pub(crate) use parts::{Kind, Parts};

/// A template with what it says itself filled in.
pub(crate) struct Filled {
    /// The text.
    pub(crate) text: String,
    /// Whether filling in stopped before the end because it became too much.
    pub(crate) is_cut: bool,
    stretches: Vec<Stretch>,
}

/// A stretch of the text made, and where it is from.
#[derive(Clone, Debug)]
struct Stretch {
    made: Range<usize>,
    from: From,
}

#[derive(Clone, Debug)]
enum From {
    /// It is what stands there.
    Text(usize),
    /// An action gave it.
    Action { site: Range<usize>, origin: Range<usize> },
}

/// Where something in a filled template is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Where it was put.
    pub(crate) site: Range<usize>,
    /// Where it is written: from the first to the last literal of it.
    pub(crate) written: Range<usize>,
}

impl Filled {
    /// Fills in a template; `None` where it says nothing of its own that it does not say in place.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let files = BTreeMap::new();
        let whole = Whole::of(text, std::slice::from_ref(&(0..text.len())), &files);
        let speaks = whole.pieces.iter().any(|piece| piece.action.is_some());
        speaks.then(|| Self::made(render::render(&whole, 0..whole.pieces.len(), "")))?
    }

    fn made(made: render::Made) -> Option<Self> {
        let says = made.is_changed || made.is_cut;
        says.then_some(Self { text: made.text, is_cut: made.is_cut, stretches: made.stretches })
    }

    /// Where a stretch of the text is from: what actions gave of it, else where it stands.
    pub(crate) fn origin(&self, made: &Range<usize>) -> Option<Origin> {
        let mut found: Option<Origin> = None;
        let mut stands: Option<Origin> = None;
        for stretch in &self.stretches {
            let touches = stretch.made.start < made.end.max(made.start + 1) && made.start < stretch.made.end;
            match &stretch.from {
                _ if !touches => {}
                From::Action { site, origin } => {
                    found = Some(match found {
                        None => Origin { site: site.clone(), written: origin.clone() },
                        Some(all) => {
                            Origin { site: hull(&all.site, site), written: hull(&all.written, origin) }
                        }
                    });
                }
                From::Text(start) if stands.is_none() => {
                    let at = start + made.start.saturating_sub(stretch.made.start);
                    let end = at + made.len().min(stretch.made.len());
                    stands = Some(Origin { site: at..end, written: at..end });
                }
                From::Text(_) => {}
            }
        }
        found.or(stands)
    }
}

fn hull(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

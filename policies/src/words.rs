//! Words that are looked for in every file. What searches for them is made once: for a file of a few kilobytes
//! that costs more than the search.

use std::sync::OnceLock;

use bstr::Finder;

/// A few words.
pub(crate) struct Words {
    texts: &'static [&'static str],
    finders: OnceLock<Box<[Finder<'static>]>>,
}

impl Words {
    /// To be a `static`.
    pub(crate) const fn new(texts: &'static [&'static str]) -> Self {
        Self { texts, finders: OnceLock::new() }
    }

    fn finders(&self) -> &[Finder<'static>] {
        self.finders.get_or_init(|| self.texts.iter().map(Finder::new).collect())
    }

    /// Whether one of the words is there.
    pub(crate) fn any_in(&self, bytes: &[u8]) -> bool {
        self.finders().iter().any(|finder| finder.find(bytes).is_some())
    }

    /// Where the words begin, word by word.
    pub(crate) fn places<'b>(&'b self, bytes: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
        self.finders().iter().flat_map(move |finder| {
            let mut from = 0;
            std::iter::from_fn(move || {
                let at = from + finder.find(bytes.get(from..)?)?;
                from = at + finder.needle().len().max(1);
                Some(at)
            })
        })
    }
}

/// Whether a word is in bytes.
macro_rules! has {
    ($bytes:expr, $word:literal) => {{
        static WORD: $crate::words::Words = $crate::words::Words::new(&[$word]);
        WORD.any_in($bytes)
    }};
}
pub(crate) use has;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_they_stand() {
        static PAIR: Words = Words::new(&["ab", "bc"]);
        assert_eq!(PAIR.places(b"abcab").collect::<Vec<_>>(), [0, 3, 1]);
        assert_eq!(PAIR.places(b"aaaa").count(), 0);
        assert!(PAIR.any_in(b"xbc") && !PAIR.any_in(b"") && has!(b"kind: x", "kind"));
    }
}

//! Patterns of paths and names.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// Patterns, of which one must match: `*` is within a folder, `**` any folders, `{a,b}` either.
#[derive(Clone, Debug)]
pub struct Patterns {
    set: GlobSet,
}

impl Patterns {
    /// Takes the patterns.
    ///
    /// # Errors
    /// The number of the first one that is none, and why.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, (usize, String)> {
        let mut set = GlobSetBuilder::new();
        for (number, pattern) in patterns.iter().enumerate() {
            let glob = GlobBuilder::new(pattern.as_ref()).literal_separator(true).build();
            set.add(glob.map_err(|error| (number, error.kind().to_string()))?);
        }
        let set = set.build().map_err(|error| (0, error.kind().to_string()))?;
        Ok(Self { set })
    }

    /// Whether one of them matches the whole path.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.set.is_match(OsStr::from_bytes(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_folder() {
        let patterns = Patterns::new(&["docs/**", "a/*.yaml", "*.md"]).unwrap();
        for (path, wanted) in [
            ("docs/a/b.yaml", true),
            ("a/b.yaml", true),
            ("a/b/c.yaml", false),
            ("README.md", true),
            ("a/README.md", false),
        ] {
            assert_eq!(patterns.matches(path.as_bytes()), wanted, "{path}");
        }
        assert!(patterns.matches(b"docs/\xff"));
        assert_eq!(Patterns::new(&["a", "b["]).unwrap_err().0, 1);
    }
}

//! The variables by which Git tells a hook where its objects are.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// Where objects are: the ones of the push apart from those that were there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectFolders {
    /// `GIT_OBJECT_DIRECTORY`: in a `pre-receive` hook the quarantine, where the push waits.
    pub(crate) own: Option<PathBuf>,
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES`: in a `pre-receive` hook the repository's own objects.
    pub(crate) alternates: Vec<PathBuf>,
    /// Whether `own` is the quarantine of a push.
    pub(crate) quarantined: bool,
}

impl ObjectFolders {
    pub(crate) fn from_env() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            own: path("GIT_OBJECT_DIRECTORY").map(PathBuf::from),
            alternates: path("GIT_ALTERNATE_OBJECT_DIRECTORIES")
                .map(|list| split_paths(list.as_bytes()))
                .unwrap_or_default(),
            quarantined: path("GIT_QUARANTINE_PATH").is_some(),
        }
    }
}

/// Splits at `:`, and undoes the C quotes that Git puts around a path with a `:` in it
/// (`tmp-objdir.c`). libgit2 splits without that and then does not find the objects.
fn split_paths(list: &[u8]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (path, used) = match unquote(rest) {
            Some(quoted) => quoted,
            None => {
                let end = rest.iter().position(|byte| *byte == b':').unwrap_or(rest.len());
                (rest[..end].to_owned(), end)
            }
        };
        if !path.is_empty() {
            paths.push(PathBuf::from(OsString::from_vec(path)));
        }
        rest = rest.get(used + 1..).unwrap_or_default();
    }
    paths
}

/// Reads `"…"` with C escapes at the start; gives what it says and how many bytes it took.
fn unquote(quoted: &[u8]) -> Option<(Vec<u8>, usize)> {
    if quoted.first() != Some(&b'"') {
        return None;
    }
    let mut path = Vec::new();
    let mut at = 1;
    loop {
        match *quoted.get(at)? {
            b'"' => return Some((path, at + 1)),
            b'\\' => {
                let (byte, used) = escape(quoted.get(at + 1..)?)?;
                path.push(byte);
                at += 1 + used;
            }
            byte => {
                path.push(byte);
                at += 1;
            }
        }
    }
}

fn escape(after: &[u8]) -> Option<(u8, usize)> {
    let simple = match *after.first()? {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        byte @ (b'\\' | b'"') => byte,
        b'0'..=b'3' => {
            let digits = std::str::from_utf8(after.get(..3)?).ok()?;
            return Some((u8::from_str_radix(digits, 8).ok()?, 3));
        }
        _ => return None,
    };
    Some((simple, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(list: &str) -> Vec<String> {
        split_paths(list.as_bytes()).iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn quoted_paths_keep_their_colons() {
        assert_eq!(split("/a:/b"), ["/a", "/b"]);
        assert_eq!(split(r#""/a:b/\"q\"/\303\244":/c"#), ["/a:b/\"q\"/ä", "/c"]);
        assert_eq!(split(r#"/x:"/a:b""#), ["/x", "/a:b"]);
        assert_eq!(split("::/a:"), ["/a"]);
        // No end of the quotes: taken as it is, as Git does.
        assert_eq!(split(r#""/a"#), [r#""/a"#]);
    }
}

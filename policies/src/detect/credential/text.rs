//! Credentials in texts: addresses, lines with a key and a value, and whole files at a glance.

use super::{Named, Strictness, is_machine_made, is_name, is_value, named};
use crate::detect::literal::is_literal;
use crate::words::{Words, has};

/// The credentials in the addresses of a text: ranges of `user:password@` in `scheme://user:password@host`.
pub fn in_urls(text: &str, strictness: Strictness) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = &text[start..];
        let end =
            rest.find(|c: char| c.is_whitespace() || "/?#\"'`<>\\,;|)".contains(c)).unwrap_or(rest.len());
        let Some((user, _)) = rest[..end].rsplit_once('@') else { continue };
        let password = match user.split_once(':') {
            Some((_, password)) => password,
            // A token may stand alone.
            None if is_machine_made(user) && user.len() >= 20 => user,
            None => continue,
        };
        let example = |text: &str| {
            ["password", "pass", "passwd", "pwd", "token", "secret", "pw", "p", "xxx"]
                .contains(&text.to_ascii_lowercase().as_str())
        };
        if is_literal(password)
            && !password.is_empty()
            && is_value(password)
            && !password.starts_with('{')
            && (strictness == Strictness::Applied || !example(password))
        {
            found.push(start..start + user.len());
        }
    }
    found
}

/// A key and its value on one line of a text that is no tree: an INI file in a string, a comment.
pub struct Assignment<'t> {
    /// The key.
    pub key: &'t str,
    /// The value without quotes.
    pub value: &'t str,
}

/// Reads `key: value` or `key = value` from a line, where the value is one word or in quotes. A key of several words
/// is taken by its last one.
pub fn assignment(line: &str) -> Option<Assignment<'_>> {
    let line = line.trim().trim_start_matches(['-', '*', '#', ';', '/', '>']).trim();
    let at = line.find([':', '='])?;
    let (key, value) = (line[..at].trim(), line[at + 1..].trim());
    let key = key.trim_matches(['"', '\'', '`', '{', ' ']);
    let key = key.rsplit(char::is_whitespace).next()?;
    let value = value.trim_end_matches([',', ';', '}', ' ']);
    let quoted =
        ['"', '\'', '`'].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let value = match quoted {
        Some(inner) => inner,
        None => value.split(" #").next().unwrap_or(value).trim(),
    };
    let one_word = !value.contains(char::is_whitespace) && !value.contains(['(', '[', '{', '`']);
    (is_name(&key.replace('-', "_")) && one_word && !value.is_empty()).then_some(Assignment { key, value })
}

/// Whether the bytes may hold a key of a credential with something behind it, or an address with one: what a file is
/// read for. Words are looked at as they stand, escapes are not undone.
pub fn may_hold_credential(bytes: &[u8]) -> bool {
    static NEEDLES: Words = Words::new(&[
        "assw",
        "ASSW",
        "assphrase",
        "ASSPHRASE",
        "oken",
        "OKEN",
        "ecret",
        "ECRET",
        "_PASS",
        "pass",
        "Pass",
        "piKey",
        "pi_key",
        "PI_KEY",
        "apikey",
        "APIKEY",
        "ccessKey",
        "_KEY",
        "pwd",
    ]);
    static GROUPS: Words = Words::new(&["fluxcd.io", "argoproj.io", "cattle.io"]);
    static ADDRESS: Words = Words::new(&["://"]);
    // Where values are applied as they are, the word alone is enough: YAML has many ways to put one in its place.
    let applied = GROUPS.any_in(bytes);
    NEEDLES.places(bytes).any(|at| stands_as_key(bytes, at, applied))
        || has!(bytes, "auths")
        || ADDRESS.places(bytes).any(|at| {
            let rest = bytes.get(at + 3..).unwrap_or_default();
            rest.iter()
                .take(256)
                .take_while(|b| !b.is_ascii_whitespace() && !b"/\"'".contains(b))
                .any(|b| *b == b'@')
        })
}

/// Whether the word around `at` names a credential and a value may follow it, or it is the value of a `name`.
fn stands_as_key(bytes: &[u8], at: usize, anywhere: bool) -> bool {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"_-.".contains(b);
    let start = at - bytes[..at].iter().rev().take(120).take_while(|b| part(b)).count();
    let end = at + bytes[at..].iter().take(120).take_while(|b| part(b)).count();
    let Ok(word) = std::str::from_utf8(&bytes[start..end]) else { return false };
    let after = bytes[end..].iter().take(32).find(|b| !b" \t\r\n\"'\\`".contains(b));
    // Lists of them are called `passwords`.
    let one = if anywhere { word.trim_end_matches('s') } else { word };
    (anywhere || matches!(after, Some(b':' | b'=')) || is_value_at(bytes, start)) && named(one) != Named::No
}

/// Whether nothing but quotes, a tag or an anchor is between a colon and `start`.
fn is_value_at(bytes: &[u8], start: usize) -> bool {
    let before = &bytes[start.saturating_sub(48)..start];
    let Some(colon) = before.iter().rposition(|b| *b == b':' || *b == b'\n').filter(|at| before[*at] == b':')
    else {
        return false;
    };
    let between = before[colon + 1..].split(u8::is_ascii_whitespace);
    between.filter(|word| !word.is_empty()).all(|word| matches!(word[0], b'"' | b'\'' | b'!' | b'&' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_passwords_are_found() {
        let found = |text: &str| in_urls(text, Strictness::Anywhere).len();
        assert_eq!(found("https://me:hunter2@example.com/x.git"), 1);
        assert_eq!(found("url = https://ghp_16C7e42F292c6912E7710c838347Ae178B4a@github.com/a/b"), 1);
        for text in [
            "https://example.com/a@b",
            "ssh://git@github.com/a/b",
            "https://${USER}:${PASS}@x",
            "https://user:password@x",
            "postgres://app:{{ .pw }}@db/app",
            "http://a/b:c@d",
            "https://me@example.com",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
        assert_eq!(in_urls("https://user:password@x", Strictness::Applied).len(), 1);
    }

    #[test]
    fn lines_are_read_as_assignments() {
        let read = |line| assignment(line).map(|found| (found.key, found.value));
        assert_eq!(read("# old password: hunter2"), Some(("password", "hunter2")));
        assert_eq!(read("  \"token\": \"abc\","), Some(("token", "abc")));
        assert_eq!(read("password = 'a b' # x"), None, "prose");
        assert_eq!(read("password=hunter2"), Some(("password", "hunter2")));
        assert_eq!(read("password: see the wiki"), None);
        assert_eq!(read("password = os.environ[\"X\"]"), None);
        assert_eq!(read("no assignment"), None);
    }

    #[test]
    fn files_are_read_for_keys_with_something_behind() {
        let may = |text: &str| may_hold_credential(text.as_bytes());
        for text in [
            "password: x",
            "{\"dbPassword\": 1}",
            "DB_TOKEN=x",
            "- name: API_KEY\n  value: x",
            "\\\"token\\\": 1",
            "https://a:b@c",
        ] {
            assert!(may(text), "{text}");
        }
        for text in [
            "secretName: x",
            "see the password page",
            "kinds: [Secret]",
            "secretKeyRef: {}",
            "https://a/b@c",
            "tokens: 5",
        ] {
            assert!(!may(text), "{text}");
        }
    }
}

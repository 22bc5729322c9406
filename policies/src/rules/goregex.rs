//! Go's regular expressions in Rust.
//!
//! sops compiles `path_regex` and the selectors with Go's `regexp` (RE2). The `regex` crate is a close
//! relative with some differences in syntax: this translates them, and names what it cannot.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// A pattern in Go's syntax, compiled.
#[derive(Clone, Debug)]
pub struct GoRegex {
    source: Arc<str>,
    /// Shared by copies: a copy of the regular expression itself would begin anew with what it learns as it
    /// matches, and every file has a copy of its rule's selector.
    regex: Arc<Regex>,
}

thread_local! {
    /// Every encrypted file names the selector of its rule; compiling it anew for each would be most of the
    /// work on a small one. One memory a thread, because a compiled pattern is slow to share.
    static COMPILED: RefCell<HashMap<String, GoRegex>> = RefCell::default();
}

/// How many patterns are remembered.
const MOST_COMPILED: usize = 64;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Neither engine knows look-around.
    #[error("look-around `{0}` is not supported by sops")]
    LookAround(&'static str),
    /// Neither engine knows back references.
    #[error("back references are not supported by sops")]
    BackReference,
    /// A form that only Rust (or Perl) knows.
    #[error("`{0}` is not supported by sops")]
    NotGo(String),
    /// More than 1000 repetitions, RE2's limit.
    #[error("a repetition count above 1000 is not supported by sops")]
    RepeatSize,
    /// Anything else that does not compile.
    #[error("not a regular expression that sops accepts: {0}")]
    Syntax(String),
}

impl GoRegex {
    /// Compiles a pattern as Go would.
    ///
    /// # Errors
    ///
    /// [`Unusable`] where Go refuses the pattern too, or where it cannot be translated.
    pub fn new(pattern: &str) -> Result<Self, Unusable> {
        if let Some(known) = COMPILED.with_borrow(|compiled| compiled.get(pattern).cloned()) {
            return Ok(known);
        }
        let compiled = Self::compile(pattern)?;
        COMPILED.with_borrow_mut(|known| {
            if known.len() >= MOST_COMPILED {
                known.clear();
            }
            known.insert(pattern.to_owned(), compiled.clone());
        });
        Ok(compiled)
    }

    fn compile(pattern: &str) -> Result<Self, Unusable> {
        let translated = Translator::new(pattern).translate()?;
        let regex = RegexBuilder::new(&translated)
            .size_limit(4 << 20)
            .nest_limit(250)
            .build()
            .map_err(|error| Unusable::Syntax(reason(&error)))?;
        Ok(Self { source: pattern.into(), regex: Arc::new(regex) })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether the pattern matches anywhere in the text (Go's `MatchString`: not anchored).
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for GoRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for GoRegex {}

/// The last line of the crate's message, which says what is wrong.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "too large when compiled".to_owned(),
        other => {
            let text = other.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    }
}

struct Translator<'p> {
    rest: &'p str,
    out: String,
    /// Whether the last thing written can be repeated, and whether it is a repetition already.
    last: Last,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom,
    Repeat,
}

impl<'p> Translator<'p> {
    fn new(pattern: &'p str) -> Self {
        Self { rest: pattern, out: String::with_capacity(pattern.len() + 8), last: Last::Nothing }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn translate(mut self) -> Result<String, Unusable> {
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '{' => self.brace()?,
                '*' | '+' | '?' => self.repeat(&c.to_string())?,
                '|' => {
                    self.out.push('|');
                    self.last = Last::Nothing;
                }
                // Literal in both, but Rust wants none of them alone; escaping is safe.
                '}' | ']' => self.atom(&format!("\\{c}")),
                _ => self.atom(c.encode_utf8(&mut [0; 4])),
            }
        }
        Ok(self.out)
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.last = Last::Atom;
    }

    /// A repetition operator; Go refuses a second one (`a**`), Rust would take it.
    fn repeat(&mut self, operator: &str) -> Result<(), Unusable> {
        match self.last {
            Last::Nothing => return Err(Unusable::Syntax(format!("nothing to repeat before `{operator}`"))),
            Last::Repeat => return Err(Unusable::NotGo(format!("repetition of a repetition `{operator}`"))),
            Last::Atom => {}
        }
        self.out.push_str(operator);
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.out.push('?');
            self.rest = rest;
        }
        self.last = Last::Repeat;
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,3}` repeat; any other brace is a literal to Go.
    fn brace(&mut self) -> Result<(), Unusable> {
        let Some((count, length)) = counted(self.rest) else {
            self.atom("\\{");
            return Ok(());
        };
        if count > 1000 {
            return Err(Unusable::RepeatSize);
        }
        let operator = format!("{{{}", &self.rest[..length]);
        self.rest = &self.rest[length..];
        self.repeat(&operator)
    }

    fn group(&mut self) -> Result<(), Unusable> {
        for look in ["?=", "?!", "?<=", "?<!"] {
            if self.rest.starts_with(look) {
                return Err(Unusable::LookAround(look));
            }
        }
        self.out.push('(');
        self.last = Last::Nothing;
        let Some(flags) = self.rest.strip_prefix('?') else { return Ok(()) };
        if flags.starts_with("P<") || flags.starts_with('<') {
            self.head('>');
            return Ok(());
        }
        let end = flags.find([':', ')']).ok_or_else(|| Unusable::Syntax("missing closing )".to_owned()))?;
        if !flags[..end].chars().all(|c| "imsU-".contains(c)) {
            return Err(Unusable::NotGo(format!("(?{}", &flags[..end])));
        }
        self.head(if flags.as_bytes().get(end) == Some(&b':') { ':' } else { ')' });
        Ok(())
    }

    /// Copies up to and with the given end.
    fn head(&mut self, end: char) {
        let length = self.rest.find(end).map_or(self.rest.len(), |at| at + 1);
        self.out.push_str(&self.rest[..length]);
        self.rest = &self.rest[length..];
    }

    fn escape(&mut self) -> Result<(), Unusable> {
        let c = self.next().ok_or_else(|| Unusable::Syntax("trailing backslash".to_owned()))?;
        match c {
            'Q' => self.quoted(),
            'E' => {}
            'A' | 'z' => self.atom(&format!("\\{c}")),
            // Go's are ASCII.
            'b' | 'B' => self.atom(&format!("(?-u:\\{c})")),
            'C' => return Err(Unusable::NotGo("\\C".to_owned())),
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => self.atom(&format!("[{}]", perl(c))),
            _ => {
                let atom = self.shared_escape(c)?;
                self.atom(&atom);
            }
        }
        Ok(())
    }

    /// `\Q` up to `\E` or the end: literal text.
    fn quoted(&mut self) {
        let (literal, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
        for c in literal.chars() {
            self.atom(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
        self.rest = rest;
    }

    /// Escapes that mean the same inside and outside of brackets.
    fn shared_escape(&mut self, c: char) -> Result<String, Unusable> {
        match c {
            'a' | 'f' | 't' | 'n' | 'r' | 'v' => Ok(format!("\\{c}")),
            'x' => {
                let code = if let Some(rest) = self.rest.strip_prefix('{') {
                    let (code, rest) = rest
                        .split_once('}')
                        .ok_or_else(|| Unusable::Syntax("invalid escape \\x".to_owned()))?;
                    self.rest = rest;
                    code
                } else {
                    let code = self
                        .rest
                        .get(..2)
                        .ok_or_else(|| Unusable::Syntax("invalid escape \\x".to_owned()))?;
                    self.rest = &self.rest[2..];
                    code
                };
                if code.is_empty() || !code.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(Unusable::Syntax("invalid escape \\x".to_owned()));
                }
                Ok(format!("\\x{{{code}}}"))
            }
            'p' | 'P' => self.property(c),
            // Octal: `\0` to `\077`, and `\123`; a single digit 1 to 9 would be a back reference.
            '0'..='7' => {
                let more = self.rest.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                if c != '0' && more == 0 {
                    return Err(Unusable::BackReference);
                }
                let digits = format!("{c}{}", &self.rest[..more]);
                self.rest = &self.rest[more..];
                let code = u32::from_str_radix(&digits, 8).map_err(|_| Unusable::BackReference)?;
                Ok(format!("\\x{{{code:x}}}"))
            }
            '8' | '9' => Err(Unusable::BackReference),
            _ if c.is_ascii_punctuation() => {
                // `\<` is a literal to Go and a word boundary to Rust.
                Ok(if "<>".contains(c) { c.to_string() } else { regex::escape(c.encode_utf8(&mut [0; 4])) })
            }
            _ => Err(Unusable::NotGo(format!("\\{c}"))),
        }
    }

    fn property(&mut self, c: char) -> Result<String, Unusable> {
        let error = || Unusable::Syntax("invalid character class".to_owned());
        let length = if self.rest.starts_with('{') {
            self.rest.find('}').map(|at| at + 1)
        } else {
            self.rest.chars().next().map(char::len_utf8)
        }
        .ok_or_else(error)?;
        let name = &self.rest[..length];
        self.rest = &self.rest[length..];
        Ok(format!("\\{c}{name}"))
    }

    /// A class in brackets. To Go, `[`, `&&`, `--` and `~~` inside are plain characters.
    fn class(&mut self) -> Result<(), Unusable> {
        let mut class = String::from("[");
        if let Some(rest) = self.rest.strip_prefix('^') {
            class.push('^');
            self.rest = rest;
        }
        let mut first = true;
        loop {
            let missing = || Unusable::Syntax("missing closing ]".to_owned());
            let c = self.next().ok_or_else(missing)?;
            match c {
                ']' if !first => break,
                '[' if self.rest.starts_with(':') && self.rest.contains(":]") => {
                    let end = self.rest.find(":]").map_or(0, |at| at + 2);
                    class.push('[');
                    class.push_str(&self.rest[..end]);
                    self.rest = &self.rest[end..];
                }
                '\\' => {
                    let escaped = self.next().ok_or_else(missing)?;
                    match escaped {
                        'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                            class.push_str(&perl(escaped));
                            // `[\w-.]`: after a set, a dash is a plain character.
                            if let Some(rest) = self.rest.strip_prefix('-') {
                                class.push_str("\\-");
                                self.rest = rest;
                            }
                        }
                        _ => class.push_str(&self.shared_escape(escaped)?),
                    }
                }
                '-' => self.dash(&mut class, first)?,
                '&' | '~' | '[' | ']' | '^' => {
                    class.push('\\');
                    class.push(c);
                }
                _ => class.push(c),
            }
            first = false;
        }
        class.push(']');
        self.atom(&class);
        Ok(())
    }

    /// A dash in a class: a range between two characters, else plain at either end.
    fn dash(&mut self, class: &mut String, first: bool) -> Result<(), Unusable> {
        let ends = self.rest.starts_with(']');
        if first || ends {
            class.push_str("\\-");
            return Ok(());
        }
        for set in ["\\d", "\\D", "\\w", "\\W", "\\s", "\\S"] {
            if self.rest.starts_with(set) {
                return Err(Unusable::Syntax("invalid character class range".to_owned()));
            }
        }
        class.push('-');
        // The end of the range, which may be a character that Rust wants escaped.
        if self.rest.starts_with(['-', '[', '&', '~']) {
            class.push('\\');
            class.extend(self.next());
        }
        Ok(())
    }
}

/// Go's ASCII Perl classes, written so that they fit inside brackets.
fn perl(c: char) -> String {
    match c {
        'd' => "0-9".to_owned(),
        'w' => "0-9A-Za-z_".to_owned(),
        's' => "\\t\\n\\x0C\\r ".to_owned(),
        'D' => "[^0-9]".to_owned(),
        'W' => "[^0-9A-Za-z_]".to_owned(),
        _ => "[^\\t\\n\\x0C\\r ]".to_owned(),
    }
}

/// The greatest count and the length, with `}`, of what follows a `{` if it is a repetition to RE2.
fn counted(rest: &str) -> Option<(u32, usize)> {
    let end = rest.find('}')?;
    let (low, high) = match rest[..end].split_once(',') {
        Some((low, high)) => (low, Some(high)),
        None => (&rest[..end], None),
    };
    let number = |s: &str| -> Option<u32> {
        (!s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse().unwrap_or(u32::MAX))
    };
    let low = number(low)?;
    let high = match high {
        None | Some("") => low,
        Some(high) => number(high)?,
    };
    Some((low.max(high), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_patterns_match_what_go_matches() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (r"\.yaml$", &["a.yaml", "x/a.yaml"], &["a.yaml\n", "a.yml", "a.yaml.bak"]),
            (r"[\w-.]+@", &["a-b.c@"], &["é@"]),
            (r"^[\w-]+$", &["a-b"], &["a.b"]),
            (r"^\Qa.b(\E$", &["a.b("], &["axb("]),
            (r"^\Qa.b", &["a.bc"], &["axb"]),
            (r"^\101\0$", &["A\0"], &["101"]),
            (r"^a{$", &["a{"], &["a"]),
            (r"^x{,3}$", &["x{,3}"], &["xx"]),
            (r"^x{2,3}$", &["xx", "xxx"], &["x", "xxxx"]),
            (r"^{$", &["{"], &[]),
            (r"^[a&&b]+$", &["a&b"], &["c"]),
            (r"^[a--b]$", &[], &["-"]),
            (r"^[[a]]$", &["[]", "a]"], &["a"]),
            (r"^[]a]+$", &["]a"], &["b"]),
            (r"^[^]a]$", &["b"], &["]"]),
            (r"^[[:alpha:]_-]+$", &["a_-"], &["1"]),
            (r"\<a\>", &["<a>"], &["a"]),
            (r"^\d$", &["5"], &["٥"]),
            (r"^\W$", &["é"], &["e"]),
            (r"\bfoo\b", &["a foo b", "éfoo"], &["afoo"]),
            (r"^\s$", &["\t"], &["\u{a0}", "\u{b}"]),
            (r"^\pL+$", &["é"], &["1"]),
            (r"(?i)^SECRETS/", &["secrets/a"], &["x/secrets/"]),
            (r"^(?P<env>dev|prod)/", &["dev/a"], &["qa/a"]),
            (r"^[a-\]]$", &[], &["a"]),
            (r"", &["", "x"], &[]),
            (r"clusters/(a|b)/.*\.ya?ml", &["clusters/a/x.yml"], &["clusters/c/x.yml"]),
        ];
        for (pattern, good, bad) in table {
            let regex = match GoRegex::new(pattern) {
                Ok(regex) => regex,
                // Go refuses an inverted range as well.
                Err(Unusable::Syntax(_)) if good.is_empty() => continue,
                Err(error) => panic!("{pattern}: {error}"),
            };
            for text in *good {
                assert!(regex.is_match(text.as_bytes()), "{pattern} should match {text:?}");
            }
            for text in *bad {
                assert!(!regex.is_match(text.as_bytes()), "{pattern} should not match {text:?}");
            }
        }
    }

    #[test]
    fn what_go_refuses_is_refused_by_name() {
        assert_eq!(GoRegex::new("a(?!b)").unwrap_err(), Unusable::LookAround("?!"));
        assert_eq!(GoRegex::new("(?<=a)b").unwrap_err(), Unusable::LookAround("?<="));
        assert_eq!(GoRegex::new(r"(a)\1").unwrap_err(), Unusable::BackReference);
        assert_eq!(GoRegex::new("a{1001}").unwrap_err(), Unusable::RepeatSize);
        assert!(matches!(GoRegex::new("a++").unwrap_err(), Unusable::NotGo(_)));
        assert!(matches!(GoRegex::new("a**").unwrap_err(), Unusable::NotGo(_)));
        assert!(matches!(GoRegex::new("*.yaml").unwrap_err(), Unusable::Syntax(_)));
        assert!(matches!(GoRegex::new("(?x)a").unwrap_err(), Unusable::NotGo(_)));
        assert!(matches!(GoRegex::new(r"\h").unwrap_err(), Unusable::NotGo(_)));
        assert!(matches!(GoRegex::new("[a").unwrap_err(), Unusable::Syntax(_)));
        assert!(matches!(GoRegex::new("(a").unwrap_err(), Unusable::Syntax(_)));
        assert!(matches!(GoRegex::new("[a-\\d]").unwrap_err(), Unusable::Syntax(_)));
    }
}

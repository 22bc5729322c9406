//! What is left around placeholders: configuration with holes in the right places, or a value?
//!
//! Judged line by line, as one hole says nothing of the lines beside it. Assignments, sections, comments and lists
//! may stand there unless they give a value to what is named like a credential; bare words may not.

use super::{HOLE, is_credential_key};

/// From this length on a word of mixed characters is one that nobody made up.
const GENERATED: usize = 12;

/// Whether a text, in which every placeholder is a hole, has a value of its own.
pub(super) fn rest_is_literal(rest: &str) -> bool {
    if rest.contains("PRIVATE KEY-----") || rest.split(breaks_address).any(address_has_password) {
        return true;
    }
    let elements = if is_xml(rest) { Some(xml_lines(rest)) } else { None };
    let text = elements.as_deref().unwrap_or(rest);
    let directives = text.lines().count() > 1 && text.lines().any(is_directive_with_hole);
    let mut lines = Lines { directives, key: None, name: None, armored: false };
    text.lines().any(|line| lines.is_literal(line.trim()))
}

/// Elements are closed: tags are no placeholders then.
pub(super) fn is_xml(text: &str) -> bool {
    text.contains("</") || text.contains("/>")
}

fn is_value(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

fn breaks_address(c: char) -> bool {
    c.is_whitespace() || "\"'<>".contains(c)
}

fn address_has_password(url: &str) -> bool {
    let Some((_, after)) = url.split_once("://") else { return false };
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    password.is_some_and(|(_, password)| is_value(password))
}

/// `requirepass ${PASSWORD}`: a word, and a hole as its argument.
fn is_directive_with_hole(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(is_keyword) && words.any(|word| word.contains(HOLE))
}

fn is_keyword(word: &str) -> bool {
    word.starts_with(char::is_alphabetic) && word.chars().all(|c| c.is_ascii_alphabetic() || "_-".contains(c))
}

/// `<name a="b">text</name>` as lines of assignments: `a="b"`, `name: text`.
fn xml_lines(text: &str) -> String {
    let mut lines = String::new();
    let mut pieces = text.split('<');
    lines.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (tag, content) = piece.split_once('>').unwrap_or((piece, ""));
        lines.push('\n');
        let mut words = tag.trim_end_matches('/').split_whitespace();
        let name = words.next().unwrap_or_default();
        if !name.starts_with(['/', '!', '?']) {
            words.for_each(|attribute| lines.extend([attribute, "\n"]));
            lines.extend([name, ": "]);
        }
        lines.push_str(content.trim());
    }
    lines
}

/// What is known from the lines above.
struct Lines {
    /// Lines are a word and its arguments, as a hole shows that is the argument of one.
    directives: bool,
    /// Whether the last key is named like a credential, if there was any key.
    key: Option<bool>,
    /// The value of the last `name`: `value` may follow.
    name: Option<bool>,
    /// Within a block of armor that holds no private key.
    armored: bool,
}

impl Lines {
    fn is_literal(&mut self, line: &str) -> bool {
        if line.starts_with("-----BEGIN ") || line.starts_with("-----END ") {
            self.armored = line.starts_with("-----BEGIN ");
            return false;
        }
        if self.armored || !is_value(line) {
            return false;
        }
        let comment = line.starts_with("#!")
            || ["# ", "## ", "; ", "// ", "-- ", "* ", "/* "].iter().any(|mark| line.starts_with(mark));
        let section = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).is_some_and(|name| {
            name.chars().all(|c| c.is_alphanumeric() || c == HOLE || " ._-[]\"".contains(c))
                && !name.starts_with('"')
        });
        if section {
            return false;
        }
        line.split(|c| ";,&?{}[]".contains(c)).any(|part| self.part_is_literal(part.trim(), line, comment))
    }

    fn part_is_literal(&mut self, part: &str, line: &str, comment: bool) -> bool {
        if !is_value(part) {
            return false;
        }
        if let Some((key, value)) = assigned(part, line.contains(HOLE)) {
            return self.assignment_is_literal(key, value);
        }
        if comment || part.contains("://") {
            self.key = self.key.or(Some(false));
            return false;
        }
        let item = part.strip_prefix("- ").unwrap_or(part);
        let listed = part.starts_with(['-', '"', '\'']) || !line.starts_with(part);
        if let (Some(credential), true) = (self.key, listed) {
            return !item.contains(HOLE) && (credential || is_generated(item));
        }
        let words = part.split_whitespace().collect::<Vec<_>>();
        let first = words.first().copied().unwrap_or_default();
        let gives_value = words.windows(2).any(|pair| match pair {
            [key, value] => is_credential_key(key) && is_value(value) && !value.contains(HOLE),
            _ => false,
        });
        let directive = self.directives && is_keyword(first) && words.len() > 1;
        !directive || gives_value || words.iter().any(|word| is_generated(word))
    }

    fn assignment_is_literal(&mut self, key: &str, value: &str) -> bool {
        let key = key.trim().trim_matches(['"', '\'']);
        let key = key.rsplit(char::is_whitespace).next().unwrap_or(key);
        let value = value.trim();
        let of_name = self.name.take().filter(|_| key.eq_ignore_ascii_case("value"));
        let credential = of_name.unwrap_or_else(|| is_credential_key(key));
        if key.eq_ignore_ascii_case("name") || key.eq_ignore_ascii_case("key") {
            self.name = Some(is_credential_key(value.trim_matches(['"', '\''])));
        }
        self.key = Some(credential);
        let identifier = key.to_ascii_lowercase().ends_with("id");
        is_value(value) && !value.contains(HOLE) && (credential || (is_generated(value) && !identifier))
    }
}

/// Key and value of `key = value`, `key: value`. Without a hole on the line, what holds a colon may be a password.
fn assigned(part: &str, beside_hole: bool) -> Option<(&str, &str)> {
    let at = part.find(['=', ':'])?;
    let (key, value) = (&part[..at], &part[at + 1..]);
    let is_colon = part[at..].starts_with(':');
    let plain = if is_colon {
        let quoted = key.ends_with(['"', '\'']);
        beside_hole || quoted || value.is_empty() || value.starts_with(|c: char| c.is_whitespace())
    } else {
        // What ends in `=` may be base64.
        !value.starts_with('=') && (!value.is_empty() || !is_generated(part))
    };
    (plain && !value.starts_with("//") && (is_value(key) || key.contains(HOLE))).then_some((key, value))
}

/// A long word of capitals, small letters and digits in turn.
fn is_generated(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    let digits = value.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).count();
    value.len() >= GENERATED
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "+/=_-".contains(c))
        && value.contains(|c: char| c.is_ascii_uppercase())
        && value.contains(|c: char| c.is_ascii_lowercase())
        && (digits >= 2 || (digits == 1 && value.len() >= 24))
}

//! Placeholders in a text: where each begins and ends, and whether a value is inside.

use super::rest::is_xml;
use super::{HOLE, literal};

/// Characters of one `${…}`: a longer one is taken for a value.
const LONGEST_VARIABLE: usize = 1024;

/// Functions of templates that give their text arguments back, more or less.
const GIVING: [&str; 17] = [
    "default",
    "dflt",
    "coalesce",
    "ternary",
    "or",
    "b64enc",
    "b64encode",
    "quote",
    "squote",
    "toString",
    "print",
    "println",
    "trim",
    "upper",
    "lower",
    "cat",
    "else",
];

/// The text with every placeholder made into a hole; `None` when one of them has a value inside.
pub(super) fn without_placeholders(text: &str, depth: u8) -> Option<String> {
    let mut rest = String::new();
    let mut at = 0;
    // Where nothing is closed from here on, nothing will be further on.
    let mut closed = true;
    let xml = is_xml(text);
    while let Some(here) = text.get(at..).filter(|here| !here.is_empty()) {
        let opens = closed && is_action(here);
        let found = if opens { action(here, depth) } else { None };
        closed &= !opens || found.is_some();
        // Brackets side by side are tags.
        let bracket = !xml && !text[..at].ends_with('>');
        let phrase = || if bracket { angle(here) } else { None };
        let found = found.or_else(|| variable(here, depth)).or_else(phrase);
        match found {
            Some((_, true)) => return None,
            Some((length, false)) => {
                rest.push(HOLE);
                at += length;
            }
            None => {
                // Up to the next character that a placeholder can begin with.
                let next = here.char_indices().skip(1).find(|(_, c)| matches!(c, '$' | '{' | '#' | '<'));
                let length = next.map_or(here.len(), |(length, _)| length);
                rest.push_str(&here[..length]);
                at += length;
            }
        }
    }
    Some(rest)
}

/// How actions of templates begin and end.
const ACTIONS: [(&str, &str); 7] =
    [("${{", "}}"), ("{{", "}}"), ("{%", "%}"), ("#{", "}#"), ("#%", "%#"), ("<<", ">>"), ("<%", "%>")];

fn is_action(text: &str) -> bool {
    ACTIONS.iter().any(|(open, _)| text.starts_with(open))
}

/// An action at the start: length, and whether a value is inside.
fn action(text: &str, depth: u8) -> Option<(usize, bool)> {
    for (open, close) in ACTIONS {
        let Some(inner) = text.strip_prefix(open) else { continue };
        let end = find_outside_quotes(inner, close)?;
        let gives = !is_expression(&inner[..end]) || action_gives_literal(&inner[..end], depth);
        return Some((open.len() + end + close.len(), gives));
    }
    None
}

/// Words with a meaning of their own in one of the languages of templates.
const KEYWORDS: [&str; 26] = [
    "if", "else", "elif", "end", "endif", "for", "endfor", "in", "is", "not", "and", "or", "with", "range",
    "define", "template", "block", "include", "set", "import", "from", "as", "let", "raw", "defined",
    "filter",
];

/// Whether the inside of an action can be one: fields, variables and calls, not words in a row or marks that no
/// language of templates has.
fn is_expression(action: &str) -> bool {
    let action = action.trim().trim_start_matches('-').trim_start();
    if action.starts_with(['/', '#', '!', '>', '*', '=']) {
        return true;
    }
    let mut quote = None;
    let mut in_a_row = 0;
    let mut escaped = false;
    let mut word = String::new();
    for (at, c) in action.char_indices().chain([(action.len(), ' ')]) {
        match quote {
            _ if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => continue,
            None if c.is_alphanumeric() || "_.$-".contains(c) => word.push(c),
            None => {
                let bare = word.starts_with(char::is_alphabetic) && !KEYWORDS.contains(&word.as_str());
                match (bare, word.is_empty()) {
                    (true, _) => in_a_row += 1,
                    (false, false) => in_a_row = 0,
                    (false, true) => {}
                }
                in_a_row = if c.is_whitespace() { in_a_row } else { 0 };
                word.clear();
                let marks = "!;^\\".contains(c) && !action[at..].starts_with("!=");
                if in_a_row > 2 || marks {
                    return false;
                }
                quote = matches!(c, '"' | '\'' | '`').then_some(c);
            }
        }
    }
    true
}

fn find_outside_quotes(text: &str, wanted: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if text[at..].starts_with(wanted) => return Some(at),
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None => {}
        }
    }
    // A lone apostrophe is no quote.
    text.find(wanted)
}

/// Whether an action gives a text of its own: `"text"` alone, or as argument of `default` and the like.
fn action_gives_literal(action: &str, depth: u8) -> bool {
    let mut function: Option<&str> = None;
    let mut rest = action.trim_start_matches('-').trim_start();
    // Of a map that is the value itself, every second text is one: `dict "password" "x" | toYaml`.
    let mut arguments = rest.starts_with("dict ").then_some(0usize);
    while let Some(c) = rest.chars().next() {
        if matches!(c, '"' | '\'' | '`') {
            let inner = &rest[1..];
            let Some(end) = find_end_of_quote(inner, c) else { return false };
            let text = &inner[..end];
            let in_map = arguments.is_some_and(|count| count % 2 == 1);
            arguments = arguments.map(|count| count + 1);
            let gives = in_map
                || function.is_none_or(|name| GIVING.contains(&name))
                || (function == Some("printf") && !text.contains('%'));
            if gives && !["true", "false", "yes", "no"].contains(&text) && literal(text, depth - 1) {
                return true;
            }
            rest = &inner[end + 1..];
        } else if c.is_alphanumeric() || "._$".contains(c) {
            let length =
                rest.find(|c: char| !c.is_alphanumeric() && !"._$".contains(c)).unwrap_or(rest.len());
            let word = &rest[..length];
            let number = word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            if number && length >= 6 && function.is_none_or(|name| GIVING.contains(&name)) {
                return true;
            }
            if !number && !word.starts_with(['.', '$']) {
                function = Some(word);
            } else if function.is_none() {
                // `.x "text"`: an argument of something that is no function we know.
                function = Some("");
            }
            // The name of the function itself is no argument of it.
            arguments = arguments.map(|count| if word == "dict" { count } else { count + 1 });
            rest = &rest[length..];
        } else {
            if c == '=' {
                function = None;
            }
            if matches!(c, '|' | '(') {
                arguments = None;
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    false
}

fn find_end_of_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// `${NAME}` with the operators of Flux's substitution at the start: length, and whether a value is inside.
fn variable(text: &str, depth: u8) -> Option<(usize, bool)> {
    let (length, name, operation) = parts_of_variable(text)?;
    Some((length, operation_gives_literal(name, operation, depth)))
}

/// `${NAME}` at the start: its length, the name, and what follows the name.
fn parts_of_variable(text: &str) -> Option<(usize, &str, &str)> {
    let inner = text.strip_prefix("${")?;
    let name = inner.find(|c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c)).unwrap_or(inner.len());
    if name == 0 || inner.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut open = 1usize;
    let end = inner.char_indices().take(LONGEST_VARIABLE).find_map(|(at, c)| {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })?;
    Some((2 + end + 1, &inner[..name], inner.get(name..end)?))
}

/// The text with the defaults of variables in their place.
pub(super) fn with_defaults(text: &str, depth: u8) -> String {
    let action = text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
    if let Some(action) = action {
        let given = action.trim_matches(['-', ' ']);
        let quoted =
            ['"', '\'', '`'].into_iter().find_map(|quote| given.strip_prefix(quote)?.strip_suffix(quote));
        return quoted.unwrap_or(text).to_owned();
    }
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${").filter(|_| depth > 0) {
        let (before, here) = rest.split_at(at);
        made.push_str(before);
        let Some((length, _, operation)) = parts_of_variable(here) else {
            rest = here;
            break;
        };
        let default = [":=", ":-", "=", "-"].iter().find_map(|operator| operation.strip_prefix(operator));
        made.push_str(&with_defaults(default.unwrap_or_default(), depth - 1));
        rest = &here[length..];
    }
    made + rest
}

/// What a name is of that is looked up elsewhere, as in `${env:NAME}`.
const PROVIDERS: [&str; 8] = ["env", "sys", "file", "dir", "directory", "vault", "secrets", "configmaps"];

/// Whether what follows the name is a default or a replacement with a value in it, or no operation at all.
fn operation_gives_literal(name: &str, operation: &str, depth: u8) -> bool {
    for operator in [":=", ":-", ":+", "=", "-", "+"] {
        if let Some(value) = operation.strip_prefix(operator) {
            return literal(value, depth - 1);
        }
    }
    // `${a/old/new}`: what is put in.
    if let Some(replace) = operation.strip_prefix('/') {
        let new = replace.trim_start_matches('/').split_once('/');
        return new.is_some_and(|(_, new)| literal(new, depth - 1));
    }
    if let Some(rest) = operation.strip_prefix(':') {
        // A message, a part of the text, or a default as Spring writes it.
        let part = rest.chars().all(|c| c.is_ascii_digit() || ": -".contains(c));
        return !(rest.starts_with('?') || part || PROVIDERS.contains(&name)) && literal(rest, depth - 1);
    }
    // Terraform's indices and calls.
    if operation.starts_with(['[', '(']) {
        return action_gives_literal(operation, depth);
    }
    !(operation.is_empty() || operation.starts_with(['?', '^', ',', '#', '%', '@']))
}

/// Characters of one `<phrase>`.
const LONGEST_PHRASE: usize = 80;

/// `<words>` at the start: one phrase, or the place of a value as Argo CD's plugin for Vault has it.
fn angle(text: &str) -> Option<(usize, bool)> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find(['<', '>', '\n'])?;
    let words = inner.get(..end)?;
    let closed = inner[end..].starts_with('>') && !inner[end + 1..].starts_with('<');
    let fits = closed && words.len() <= LONGEST_PHRASE && (is_place(words) || is_phrase(words));
    fits.then_some((end + 2, false))
}

/// `path:secret/data/app#key`.
fn is_place(text: &str) -> bool {
    let place = text.strip_prefix("path:").and_then(|place| place.split_once('#'));
    place.is_some_and(|(path, key)| path.contains('/') && !key.is_empty() && !text.contains(['"', '=']))
}

/// `your password`, `REPLACE_ME`, `base64 encoded`, `32-char-key`: words that somebody wrote for others to read.
fn is_phrase(text: &str) -> bool {
    let words = text.split(|c: char| " _-|.,/'()".contains(c)).filter(|word| !word.is_empty());
    let words = words.collect::<Vec<_>>();
    let is_word = |word: &&str| word.len() <= 20 && word.chars().all(char::is_alphabetic);
    let is_mixed = |word: &&str| word.len() <= 6 && word.chars().all(char::is_alphanumeric);
    let phrase = match words.as_slice() {
        [word] => is_word(word) || word.eq_ignore_ascii_case("base64"),
        _ => words.iter().any(is_word) && words.iter().all(|word| is_word(word) || is_mixed(word)),
    };
    phrase && text.starts_with(char::is_alphanumeric) && !text.contains('/')
}

//! Is this text a value, or only a place for one?
//!
//! Placeholders and references pass: `${VAR}`, `{{ .Values.x }}`, `<your password>`, nothing. A default
//! inside of one, as in `${VAR:=value}` or `{{ .x | default "value" }}`, is a value.

use crate::yaml::{FILLING, NodeRef, Sort};

/// How deep placeholders inside of placeholders are followed.
const DEPTH: u8 = 8;

/// Characters of one `${…}`: a longer one is taken for a value.
const LONGEST_VARIABLE: usize = 1024;

/// Stands for a placeholder in what is left of a text.
const HOLE: char = '\u{1}';

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

/// The text of a leaf: a scalar, or a template action, which YAML takes for a map in a map: `{{ .x }}`.
pub fn leaf_text(node: NodeRef<'_>) -> Option<String> {
    match node.sort() {
        Sort::Scalar if node.is_empty_scalar() => Some(String::new()),
        // Of a template, what was written.
        Sort::Scalar if node.raw_text().is_some_and(|text| text.contains(FILLING)) => {
            node.source_text().map(|text| text.trim_matches(['"', '\'']).to_owned())
        }
        Sort::Scalar => node.text().map(std::borrow::Cow::into_owned),
        _ if node.is_template_action() => node.source_text().map(str::to_owned),
        _ => None,
    }
}

/// Whether the text holds a value of its own.
pub fn is_literal(text: &str) -> bool {
    literal(text, DEPTH)
}

/// The same for base64, as in a Secret's `data`: what decodes to nothing but placeholders is none.
pub fn is_base64_literal(text: &str) -> bool {
    if !is_literal(text) {
        return false;
    }
    match crate::yaml::decode_base64(text).map(String::from_utf8) {
        Some(Ok(decoded)) => is_literal(&decoded),
        _ => true,
    }
}

/// Whether a key is named like one that holds a credential.
pub fn is_credential_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['-', '_', '.'], "");
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential"]
        .iter()
        .any(|word| key.contains(word))
        || ["pass", "pwd", "auth", "pw"].contains(&key.as_str())
}

fn literal(text: &str, depth: u8) -> bool {
    let text = text.trim();
    if depth == 0 {
        return !text.is_empty();
    }
    if is_shell_variable(text) || is_reference(text) {
        return false;
    }
    let Some(rest) = without_placeholders(text, depth) else { return true };
    if !rest.contains(char::is_alphanumeric) {
        // Without any placeholder, marks alone are a value too.
        return !rest.contains(HOLE) && !rest.is_empty();
    }
    !rest.contains(HOLE) || rest_is_literal(&rest)
}

/// `$NAME` in capitals, as envsubst takes it.
fn is_shell_variable(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// How references begin that a tool replaces by a value from a store of secrets before the file is applied:
/// `op inject` of 1Password; vals, which helmfile uses; Bank-Vaults' webhook; helm-secrets.
const REFERENCES: [&str; 7] = ["op://", "ref+", "secretref+", "vault:", "bao:", ">>vault:", "secrets+"];

/// Whether the text as a whole names a place in a store of secrets: `op://vault/item/field`.
fn is_reference(text: &str) -> bool {
    let Some(place) = REFERENCES.iter().find_map(|start| text.strip_prefix(start)) else { return false };
    // A place has folders; what has none may be a password that happens to begin like this.
    let path = place.split_once("://").map_or(place, |(_, path)| path);
    // vals' provider that gives its own name back.
    let echo = place.starts_with("echo:");
    let named = path.trim_start_matches('/').split('/').filter(|part| !part.is_empty()).count() >= 2;
    let plain = !text.contains(|c: char| c.is_control() || (c.is_whitespace() && c != ' '));
    let credentials = path.split('/').next().is_some_and(|authority| authority.contains('@'));
    named && plain && !credentials && !echo
}

/// What is left around placeholders: configuration with holes in the right places, or a value?
fn rest_is_literal(rest: &str) -> bool {
    let is_value = |text: &str| text.contains(char::is_alphanumeric);
    let mut structured = rest.contains('\n');
    for url in rest.split(|c: char| c.is_whitespace() || "\"'".contains(c)) {
        let Some((_, after)) = url.split_once("://") else { continue };
        structured = true;
        let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
        let password = authority
            .rsplit_once('@')
            .and_then(|(user, _)| user.split_once(':'))
            .map(|(_, password)| password);
        if password.is_some_and(is_value) {
            return true;
        }
    }
    for part in rest.split(|c: char| c == '\n' || ";,&?{}[]".contains(c)) {
        let Some((key, value)) = part.split_once(['=', ':']) else { continue };
        if value.starts_with("//") {
            continue;
        }
        structured = true;
        let key = key.trim().trim_matches(['"', '\'']);
        let key = key.rsplit(char::is_whitespace).next().unwrap_or(key);
        if is_credential_key(key) && is_value(value) && !value.contains(HOLE) {
            return true;
        }
    }
    !structured || rest.contains("PRIVATE KEY-----")
}

/// The text with every placeholder made into a hole; `None` when one of them has a value inside.
fn without_placeholders(text: &str, depth: u8) -> Option<String> {
    let mut rest = String::new();
    let mut at = 0;
    // Where nothing is closed from here on, nothing will be further on.
    let mut closed = true;
    while let Some(here) = text.get(at..).filter(|here| !here.is_empty()) {
        let opens = closed && is_action(here);
        let found = if opens { action(here, depth) } else { None };
        closed &= !opens || found.is_some();
        let found = found.or_else(|| variable(here, depth)).or_else(|| angle(here));
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
const ACTIONS: [(&str, &str); 6] =
    [("${{", "}}"), ("{{", "}}"), ("{%", "%}"), ("#{", "}#"), ("#%", "%#"), ("<<", ">>")];

fn is_action(text: &str) -> bool {
    ACTIONS.iter().any(|(open, _)| text.starts_with(open))
}

/// An action at the start: length, and whether a value is inside.
fn action(text: &str, depth: u8) -> Option<(usize, bool)> {
    for (open, close) in ACTIONS {
        let Some(inner) = text.strip_prefix(open) else { continue };
        let end = find_outside_quotes(inner, close)?;
        return Some((open.len() + end + close.len(), action_gives_literal(&inner[..end], depth)));
    }
    None
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
    while let Some(c) = rest.chars().next() {
        if matches!(c, '"' | '\'' | '`') {
            let inner = &rest[1..];
            let Some(end) = find_end_of_quote(inner, c) else { return false };
            let text = &inner[..end];
            let gives = function.is_none_or(|name| GIVING.contains(&name))
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
            if number && length >= 6 && function.is_some_and(|name| GIVING.contains(&name)) {
                return true;
            }
            if !number && !word.starts_with(['.', '$']) {
                function = Some(word);
            } else if function.is_none() {
                // `.x "text"`: an argument of something that is no function we know.
                function = Some("");
            }
            rest = &rest[length..];
        } else {
            if c == '=' {
                function = None;
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
    let operation = inner.get(name..end)?;
    Some((2 + end + 1, operation_gives_literal(operation, depth)))
}

/// Whether what follows the name is a default or a replacement with a value in it.
fn operation_gives_literal(operation: &str, depth: u8) -> bool {
    for operator in [":=", ":-", ":+", "=", "-", "+"] {
        if let Some(value) = operation.strip_prefix(operator) {
            return literal(value, depth - 1);
        }
    }
    // `${a/old/new}`: what is put in.
    operation.strip_prefix('/').is_some_and(|replace| {
        replace.trim_start_matches('/').split_once('/').is_some_and(|(_, new)| literal(new, depth - 1))
    })
}

/// `<words>` at the start.
fn angle(text: &str) -> Option<(usize, bool)> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find(['<', '>', '\n'])?;
    let words = inner.get(..end)?;
    let fits = inner[end..].starts_with('>')
        && words.len() <= 80
        && words.starts_with(|c: char| c.is_alphabetic() || c == '%');
    fits.then_some((end + 2, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_references_are_no_literals() {
        for text in [
            "",
            "  \n",
            "${VAR}",
            "${VAR:-}",
            "${A:=${B}}",
            "${A}${B}",
            "${USER}:${PASS}",
            "${VAR:0:5}",
            "${VAR^^}",
            "$DB_PASSWORD",
            "{{ .Values.password }}",
            "{{- .Values.password | b64enc | quote -}}",
            "{{ .Values.x | default \"\" }}",
            "{{ include \"chart.fullname\" . }}",
            "{{ required \"a password is needed\" .Values.x }}",
            "{{ randAlphaNum 32 | b64enc }}",
            "{{ printf \"%s:%s\" .a .b | b64enc }}",
            "{{ lookup \"v1\" \"Secret\" .ns .name }}",
            "{{ default .Values.a .Values.b }}",
            "{{ if eq .x \"prod\" }}{{ .y }}{{ end }}",
            "{{ lookup('env', 'TOKEN') }}",
            "${{ secrets.TOKEN }}",
            "#{ cloudflare_token }#",
            "<< bootstrap_cloudflare_token >>",
            "op://kubernetes/1password/OP_CONNECT_TOKEN",
            "op://Private/Wifi at home/password",
            "ref+vault://secret/data/app#/password",
            "ref+sops://secrets.yaml#/db/password",
            "secretref+awsssm://app/db/password",
            "vault:secret/data/app#PASSWORD",
            "<your password>",
            "<user>:<password>",
            "<path:secret/data/x#key>",
            "<%= ENV['X'] %>",
            "postgres://app:${PASS}@db:5432/app",
            "postgres://{{ .user }}:{{ .pass }}@db/app?sslmode=disable",
            "Host=db;User=app;Password=${PASS}",
            "[database]\nuser = app\npassword = ${PASS}\n",
            "{\"auths\":{\"r.io\":{\"auth\":\"{{ .auth }}\"}}}",
        ] {
            assert!(!is_literal(text), "{text}");
        }
    }

    #[test]
    fn values_and_defaults_are_literals() {
        for text in [
            "abc",
            "12345678",
            "true",
            "***",
            "hunter2${EMPTY}",
            "app-${ENV}",
            "${VAR:=hunter2}",
            "${VAR:-hunter2}",
            "${VAR:-${B:-hunter2}}",
            "${VAR/a/hunter2}",
            "$ecret",
            "{{ .Values.x | default \"hunter2\" }}",
            "{{ default \"hunter2\" .Values.x }}",
            "{{ x | default('hunter2') }}",
            "{{ \"hunter2\" | b64enc }}",
            "{{ $p := \"hunter2\" }}{{ $p }}",
            "{{ .x | default 12345678 }}",
            "{{ printf \"hunter2\" }}",
            "{{ coalesce .a .b \"hunter2\" }}",
            "postgres://app:hunter2@${HOST}/app",
            "Host=${HOST};Password=hunter2",
            "user = ${USER}\npassword = hunter2\n",
            "<config>hunter2</config>",
            "<< \"hunter2\" >>",
            "op://hunter2",
            "vault:hunter2",
            "ref+hunter2",
            "ref+echo://hunter2/hunter2",
            "op://user:hunter2@vault/item",
            "op://vault/item/field\nhunter2",
            "<not closed",
            "{{ not closed",
            "${not closed",
            "${}",
        ] {
            assert!(is_literal(text), "{text}");
        }
    }

    #[test]
    fn base64_of_a_placeholder_is_none() {
        assert!(!is_base64_literal("JHtWQVJ9"), "${{VAR}}");
        assert!(!is_base64_literal("PHlvdXIgcGFzc3dvcmQ+"), "<your password>");
        assert!(!is_base64_literal("Cg=="), "a line feed");
        assert!(is_base64_literal("aHVudGVyMg=="));
        assert!(is_base64_literal("not base64!"));
        assert!(is_base64_literal("/9j/"));
    }
}

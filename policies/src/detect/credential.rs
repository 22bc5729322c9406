//! Keys that are named like those of credentials, and values that are none.
//!
//! The name of a key tells by its last word what is under it: `dbPassword` is one, `passwordSecretName` the name of
//! one, `tokenUrl` an address. The words are data; what they mean together is below.

mod text;
mod words;

pub use text::{Assignment, assignment, in_urls, may_hold_credential};

use super::literal::is_literal;
use words::{ENDS, KEYS_OF, NOUNS, PAIRS, PASSES_OF, REFERENCES, REFERRING, SECRETS_OF, WORDS};

/// How sure a key's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// Not like a credential.
    No,
    /// Like a credential or like the name of one: `secret`, `accessKey`. Only a value that looks made by a machine
    /// counts.
    Perhaps,
    /// Like a credential.
    Credential,
}

/// What the name of a key says.
pub fn named(key: &str) -> Named {
    // What has blanks in it is a sentence.
    if key.is_empty() || key.len() > 120 || key.contains(char::is_whitespace) {
        return Named::No;
    }
    let words = words(key);
    let Some((last, before)) = words.split_last() else { return Named::No };
    let before = before.last().map_or("", String::as_str);
    let last = last.trim_end_matches(|c: char| c.is_ascii_digit());
    let sure = NOUNS.contains(&last)
        || ENDS.iter().any(|end| last.len() > end.len() && last.ends_with(end))
        || PAIRS.contains(&(before, last))
        || (last == "secret" && SECRETS_OF.contains(&before))
        || (last == "pass" && (before.is_empty() || PASSES_OF.contains(&before)))
        || (last == "key" && before == "access" && words.iter().any(|word| word == "secret"));
    if sure && (last, before) != ("secretkey", "") {
        return Named::Credential;
    }
    let perhaps = matches!(last, "secret" | "secretkey" | "accesskey" | "privatekey" | "psk" | "pin")
        || (last == "key" && KEYS_OF.contains(&before));
    if perhaps { Named::Perhaps } else { Named::No }
}

/// Whether what is below the key is a name, a place or a description.
pub fn is_referring(key: &str) -> bool {
    words(key).last().is_some_and(|word| REFERRING.contains(&word.as_str()))
}

/// The words of a key, in lower case: `dbPassword`, `DB_PASSWORD`, `db.password`, `APIKey`.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last = ' ';
    let mut chars = key.chars().peekable();
    while let Some(c) = chars.next() {
        let next_is_lower = chars.peek().is_some_and(|c| c.is_lowercase());
        let begins = c.is_uppercase()
            && (last.is_lowercase() || last.is_ascii_digit() || (last.is_uppercase() && next_is_lower));
        if (begins || !c.is_alphanumeric()) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        last = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Where values are applied as they are: what is not plainly a reference is a value.
    Applied,
    /// Anywhere: prose, names and words in other languages pass, too.
    Anywhere,
}

/// Whether a text under a key of that name is a credential, and not the place, name or description of one.
pub fn is_credential(key: &str, value: &str, strictness: Strictness) -> bool {
    let name = named(key);
    let value = value.trim();
    if name == Named::No || !is_literal(value) || !is_value(value) {
        return false;
    }
    // By itself the word is a verb as well: what follows it is then an expression.
    if words(key) == ["pass"] && value.contains(char::is_whitespace) {
        return false;
    }
    match (name, strictness) {
        (Named::Perhaps, _) => is_machine_made(value) && !is_name_in_a_program(value),
        (_, Strictness::Applied) => true,
        _ if is_placeholder_with_value(value) => true,
        (_, Strictness::Anywhere) => {
            !is_prose(value) && !names_itself(key, value) && !is_name_in_a_program(value)
        }
    }
}

/// Whether a text is a value at all: not a path, an address, a reference, a word of configuration, or marks.
pub fn is_value(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    // Of `${…}` and `{{ … }}` only those with a value inside come here.
    if is_placeholder_with_value(value) {
        return true;
    }
    let variable = value.starts_with('$') && !value[1..].starts_with(|c: char| c.is_ascii_digit());
    let mut characters = value.chars();
    let first = characters.next();
    let one_mark = characters.all(|c| Some(c) == first);
    let call = value.ends_with(')') && value.split_once('(').is_some_and(|(name, _)| is_name(name));
    let path = value.contains('/')
        && !value.contains("//")
        && value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "/._-#:".contains(c));
    !(variable
        || is_version(value)
        || one_mark
        || call
        || path
        || WORDS.contains(&lower.as_str())
        || REFERENCES.iter().any(|start| lower.starts_with(&start.to_ascii_lowercase())))
}

/// `^1.2.3`, `>=2.0`, `1.0.0-rc.1`: a package of that name is asked for.
fn is_version(value: &str) -> bool {
    let number = value.trim_start_matches(['^', '~', '<', '>', '=', 'v', ' ']);
    let mut parts = number.split('.');
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    is_number(parts.next())
        && is_number(parts.next())
        && parts.count() <= 3
        && number.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
}

fn is_placeholder_with_value(value: &str) -> bool {
    value.starts_with("${") || value.contains("{{")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_.".contains(c))
}

/// Letters and digits mixed, as nobody names things.
fn is_machine_made(value: &str) -> bool {
    let has = |test: fn(&char) -> bool| value.chars().any(|c| test(&c));
    value.len() >= 12
        && !value.contains(char::is_whitespace)
        && has(char::is_ascii_digit)
        && has(char::is_ascii_alphabetic)
        && (has(char::is_ascii_uppercase) || value.chars().filter(char::is_ascii_digit).count() >= 4)
        && !value.contains("://")
}

/// More than one word, or one with a capital as in a form's label.
fn is_prose(value: &str) -> bool {
    let label =
        value.starts_with(char::is_uppercase) && value.chars().skip(1).all(|c| c.is_lowercase() || c == ':');
    value.contains(char::is_whitespace) || label || !value.is_ascii()
}

/// `password: password`, `token: my-token`: a name, or an example.
fn names_itself(key: &str, value: &str) -> bool {
    let value = words(value);
    let key = words(key);
    !value.is_empty()
        && value.last() == key.last()
        && value.iter().all(|word| word.chars().all(char::is_alphabetic))
}

/// `DB_PASSWORD`, `var.password`, `secrets.token`: a variable's name.
fn is_name_in_a_program(value: &str) -> bool {
    let shouted = value.contains('_')
        && value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let dotted = value.split_once('.').is_some_and(|(first, rest)| {
        first.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && !first.is_empty()
            && rest.chars().all(|c| c.is_ascii_alphabetic() || "_.".contains(c))
            && !rest.is_empty()
    });
    shouted || dotted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_by_their_last_words() {
        for key in [
            "password",
            "dbPassword",
            "DB_PASSWORD",
            "db.password",
            "admin-password",
            "PGPASSWORD",
            "password2",
            "pass",
            "smtp_pass",
            "apiKey",
            "API_KEY",
            "APIKey",
            "apikey",
            "clientSecret",
            "OIDC_CLIENT_SECRET",
            "token",
            "authToken",
            "GITHUB_TOKEN",
            "aws_secret_access_key",
            "passphrase",
            "webhookSecret",
            "spring.datasource.password",
        ] {
            assert_eq!(named(key), Named::Credential, "{key}");
        }
        for key in [
            "secret",
            "secretKey",
            "SECRET_KEY",
            "accessKey",
            "encryption_key",
            "tlsSecret",
            "existingSecret",
        ] {
            assert_eq!(named(key), Named::Perhaps, "{key}");
        }
        for key in [
            "",
            "secretName",
            "passwordSecretRef",
            "tokenRef",
            "keyFile",
            "secretKeyRef",
            "passwordKey",
            "tokenUrl",
            "token_type",
            "AWS_ACCESS_KEY_ID",
            "passwordPolicy",
            "tokens",
            "max_tokens",
            "bypass",
            "compass",
            "key",
            "publicKey",
            "sshKey",
            "authenticate",
            "secrets",
            "passwordFile",
            "tokenTTL",
            "minPasswordLength",
            "credentials",
        ] {
            assert_eq!(named(key), Named::No, "{key}");
        }
    }

    #[test]
    fn references_names_and_words_are_no_values() {
        for (key, value) in [
            ("password", ""),
            ("password", "${PW}"),
            ("password", "{{ .pw }}"),
            ("password", "<your password>"),
            ("password", "$(cat file)"),
            ("password", "/run/secrets/pw"),
            ("token", "true"),
            ("id-token", "write"),
            ("password", "string"),
            ("password", "********"),
            ("token", "https://example.com/token"),
            ("password", "op://vault/item/field"),
            ("password", "vault:secret/data/x#y"),
            ("password", "kv/data/app"),
            ("password", "lookup('env', 'X')"),
            ("secret", "my-app-secret"),
            ("secretKey", "aws-secret-key"),
            ("existingSecret", "grafana-admin-2"),
            ("password", "$DB_PASSWORD"),
            ("token", "env:TOKEN"),
            ("auth-token", "^3.3.2"),
            ("secretKey", "MY_K8S_SECRET_KEY"),
            ("registry-auth-token", "^3.0.1"),
            ("parse-passwd", "1.0.0-rc.1"),
            ("pass", "'.action == \"pass\"'"),
        ] {
            assert!(!is_credential(key, value, Strictness::Applied), "{key}: {value}");
        }
        for (key, value) in [
            ("password", "Passwort"),
            ("password", "Enter your password"),
            ("password", "password"),
            ("token", "my-token"),
            ("token", "secrets.TOKEN"),
            ("password", "var.password"),
            ("password", "DB_PASSWORD"),
        ] {
            assert!(!is_credential(key, value, Strictness::Anywhere), "{key}: {value}");
        }
        for (key, value) in [
            ("password", "hunter2"),
            ("password", "postgres"),
            ("password", "changeme"),
            ("apiKey", "abc123"),
            ("token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
            ("secretKey", "9f8A7c6D5e4B3a2F1g"),
            ("password", "${PW:-hunter2}"),
            ("password", "$2y$10$abcdefghijk"),
            ("PASSWORD", "p/Ssw0rd"),
        ] {
            assert!(is_credential(key, value, Strictness::Anywhere), "{key}: {value}");
        }
    }
}

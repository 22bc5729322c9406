//! Key paths as people write them.

use super::key_path::{KeyPath, Step};

/// Why a text is no key path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// A bracket or quote that does not end.
    #[error("a bracket or quote is not closed")]
    Open,
    /// Two dots, or one at the end.
    #[error("a key is missing beside a dot")]
    NoKey,
    /// Neither a number nor a key in quotes in brackets.
    #[error("in brackets stands a number or a key in quotes")]
    Bracket,
}

/// `stringData.password`, `data["tls.crt"]`, `data.tls\.crt`, `items[2].data.x`, and `["data"]["tls.crt"]` as
/// sops writes it.
impl std::str::FromStr for KeyPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut path = Self::root();
        let mut rest = text.strip_prefix('.').unwrap_or(text);
        if rest.is_empty() {
            return Err(PathError::Empty);
        }
        let mut dotted = true;
        while !rest.is_empty() {
            let step;
            if let Some(inner) = rest.strip_prefix('[') {
                (step, rest) = bracket(inner)?;
            } else if dotted {
                (step, rest) = bare(rest)?;
            } else {
                return Err(PathError::Bracket);
            }
            path.push(step);
            dotted = rest.starts_with('.');
            if let Some(after) = rest.strip_prefix('.') {
                if after.is_empty() {
                    return Err(PathError::NoKey);
                }
                rest = after;
            }
        }
        Ok(path)
    }
}

/// A key up to a dot or bracket; a backslash takes the next character as it is.
fn bare(text: &str) -> Result<(Step, &str), PathError> {
    let mut key = String::new();
    let mut characters = text.char_indices();
    let mut end = text.len();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => key.push(characters.next().ok_or(PathError::Open)?.1),
            '.' | '[' => {
                end = at;
                break;
            }
            other => key.push(other),
        }
    }
    if key.is_empty() { Err(PathError::NoKey) } else { Ok((Step::Key(key), &text[end..])) }
}

fn bracket(text: &str) -> Result<(Step, &str), PathError> {
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        let (number, rest) = text.split_once(']').ok_or(PathError::Open)?;
        return Ok((Step::Index(number.trim().parse().map_err(|_| PathError::Bracket)?), rest));
    };
    let mut key = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next().ok_or(PathError::Open)?.1 {
                'n' => key.push('\n'),
                't' => key.push('\t'),
                'r' => key.push('\r'),
                other => key.push(other),
            },
            _ if character == quote => {
                let rest = text[at + 1..].strip_prefix(']').ok_or(PathError::Bracket)?;
                return Ok((Step::Key(key), rest));
            }
            other => key.push(other),
        }
    }
    Err(PathError::Open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_shown_as_one() {
        let table = [
            ("stringData.password", "stringData.password"),
            (".data.x", "data.x"),
            ("data[\"tls.crt\"]", "data[\"tls.crt\"]"),
            ("data['tls.crt']", "data[\"tls.crt\"]"),
            ("data.tls\\.crt", "data[\"tls.crt\"]"),
            ("[\"data\"][\"tls.crt\"]", "data[\"tls.crt\"]"),
            ("items[2].data.x", "items[2].data.x"),
            ("a[0][1]", "a[0][1]"),
            ("a[\"q\\\"\"]", "a[\"q\\\"\"]"),
        ];
        for (text, wanted) in table {
            let path = text.parse::<KeyPath>().unwrap();
            assert_eq!(path.to_string(), wanted);
            assert_eq!(wanted.parse::<KeyPath>().unwrap(), path);
        }
        for (text, wanted) in [
            ("", PathError::Empty),
            ("a..b", PathError::NoKey),
            ("a.", PathError::NoKey),
            ("a[", PathError::Open),
            ("a[x]", PathError::Bracket),
            ("a[\"x\"", PathError::Bracket),
            ("a[0]b", PathError::Bracket),
            ("a\\", PathError::Open),
        ] {
            assert_eq!(text.parse::<KeyPath>().unwrap_err(), wanted, "{text}");
        }
    }
}

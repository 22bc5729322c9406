//! New parts of a document as text.

use super::{EditError, New};
use crate::sops::plain::Plain;
use crate::sops::store::yaml_inline;
use crate::yaml::Style;

/// How new text is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'l> {
    /// JSON: every text in double quotes.
    pub(super) json: bool,
    /// Keys in double quotes, as those beside them.
    pub(super) quoted: bool,
    /// Spaces for a level.
    pub(super) step: usize,
    /// `\n` or `\r\n`.
    pub(super) line_break: &'l str,
}

/// A key.
pub(super) fn key(key: &str, flow: bool, shape: Shape<'_>) -> String {
    let style = if shape.quoted || shape.json { Style::DoubleQuoted } else { Style::Plain };
    text(&Plain::text(key), style, flow, shape)
}

fn text(plain: &Plain, style: Style, flow: bool, shape: Shape<'_>) -> String {
    match plain.as_text() {
        Some(text) if shape.json => serde_json::Value::from(text).to_string(),
        _ => yaml_inline(plain, style, flow),
    }
}

/// A value on one line.
pub(super) fn inline(value: &New, flow: bool, shape: Shape<'_>) -> Result<String, EditError> {
    let all = |parts: Result<Vec<String>, EditError>| parts.map(|parts| parts.join(", "));
    Ok(match value {
        New::Null => "null".to_owned(),
        New::Scalar(Plain::Float(float)) if shape.json => {
            New::json_number(*float).ok_or(EditError::Unwritable("JSON has no such number"))?
        }
        New::Scalar(plain) => {
            let style = if shape.quoted && flow { Style::DoubleQuoted } else { Style::Plain };
            text(plain, style, flow, shape)
        }
        New::Map(entries) => {
            let entry = |(name, value): &(String, New)| {
                Ok(format!("{}: {}", key(name, true, shape), inline(value, true, shape)?))
            };
            format!("{{{}}}", all(entries.iter().map(entry).collect())?)
        }
        New::List(items) => {
            format!("[{}]", all(items.iter().map(|item| inline(item, true, shape)).collect())?)
        }
    })
}

/// What follows the colon of a key in block style, without the last line break. `column` is that of the key.
pub(super) fn behind_colon(value: &New, column: usize, shape: Shape<'_>) -> Result<String, EditError> {
    let indent = " ".repeat(column + shape.step);
    let lines = match value {
        New::Map(entries) if !entries.is_empty() => {
            let line = |(name, value): &(String, New)| {
                let rest = behind_colon(value, column + shape.step, shape)?;
                Ok(format!("{indent}{}:{rest}", key(name, false, shape)))
            };
            entries.iter().map(line).collect::<Result<Vec<_>, EditError>>()?
        }
        New::List(items) if !items.is_empty() => {
            let line = |item: &New| Ok(format!("{indent}- {}", inline(item, false, shape)?));
            items.iter().map(line).collect::<Result<Vec<_>, EditError>>()?
        }
        _ => return Ok(format!(" {}", inline(value, false, shape)?)),
    };
    let line_break = shape.line_break;
    Ok(format!("{line_break}{}", lines.join(line_break)))
}

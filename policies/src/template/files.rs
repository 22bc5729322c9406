//! What templates read of the files of their chart: `.Files.Get "…"`, `(.Files.Glob "…").AsSecrets`.

use super::hull;
use super::render::Renderer;
use super::value::Value;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use std::ops::Range;

/// What comes before the names of what `.Files` can do, whatever stands before it.
const FILES: &str = "Files";

impl Renderer<'_> {
    /// What a method of `.Files` gives; `None` for other expressions, and for files that are not there.
    pub(super) fn file_method(&self, code: &str, argument: &Value) -> Option<Value> {
        let (object, method) = code.rsplit_once('.')?;
        let is_files = object.rsplit('.').next() == Some(FILES);
        let Value::Text(name, _) = argument else { return None };
        match method {
            "Get" | "GetBytes" if is_files => self.file(name),
            "Lines" if is_files => match self.file(name)? {
                Value::Text(text, origin) => Some(Value::List(
                    text.lines().map(|line| Value::Text(line.to_owned(), origin.clone())).collect(),
                )),
                _ => None,
            },
            "Glob" if is_files => self.files(name),
            _ => None,
        }
    }

    fn file(&self, name: &str) -> Option<Value> {
        let path = [self.base, name.trim_start_matches("./")].concat();
        let range = self.whole.files.get(&path)?.clone();
        Some(Value::Text(self.text.get(range.clone())?.to_owned(), range))
    }

    /// The files whose paths fit.
    fn files(&self, pattern: &str) -> Option<Value> {
        let pattern = expression(pattern)?;
        let fitting = self.whole.files.iter().filter_map(|(path, range)| {
            let name = path.strip_prefix(self.base).filter(|name| pattern.is_match(name))?;
            let text = self.text.get(range.clone())?.to_owned();
            Some((name.to_owned(), Value::Text(text, range.clone())))
        });
        let fitting: Vec<_> = fitting.collect();
        (!fitting.is_empty()).then_some(Value::Map(fitting))
    }
}

/// What files become as the data of a Secret or a ConfigMap: a line for each; `None` for other fields.
pub(super) fn as_data(files: &Value, field: &str) -> Option<Value> {
    let Value::Map(entries) = files else { return None };
    let mut lines = Vec::new();
    let mut written: Option<Range<usize>> = None;
    for (path, content) in entries {
        let Value::Text(text, origin) = content else { return None };
        // Of what is encrypted, nothing is here.
        if text.is_empty() {
            continue;
        }
        written = Some(written.map_or(origin.clone(), |all| hull(&all, origin)));
        let name = path.rsplit('/').next().unwrap_or_default();
        let value = match field {
            "AsSecrets" => STANDARD.encode(text),
            "AsConfig" => serde_json::Value::from(text.as_str()).to_string(),
            _ => return None,
        };
        lines.push(format!("{name}: {value}"));
    }
    Some(Value::Text(lines.join("\n"), written?))
}

/// A pattern of paths: `*` and `?` stay in one folder, `**` does not, and `{a,b}` is a choice.
fn expression(pattern: &str) -> Option<Regex> {
    let mut expression = String::from("^");
    let mut characters = pattern.chars().peekable();
    let mut choices = 0;
    while let Some(c) = characters.next() {
        match c {
            '*' if characters.next_if_eq(&'*').is_some() => expression.push_str(".*"),
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '{' => {
                choices += 1;
                expression.push_str("(?:");
            }
            '}' if choices > 0 => {
                choices -= 1;
                expression.push(')');
            }
            ',' if choices > 0 => expression.push('|'),
            '\\' => expression.push_str(&regex::escape(&characters.next()?.to_string())),
            c => expression.push_str(&regex::escape(&c.to_string())),
        }
    }
    expression.push('$');
    Regex::new(&expression).ok()
}

//! Reading what is no YAML: templates, broken files.
//!
//! Line by line, by indentation, as a person would: finds objects with `kind: Secret` and the values
//! under their `data` and `stringData`. It may miss what is spelled in odd ways, and never fails.

use std::collections::HashMap;
use std::ops::Range;

/// A value under `data` or `stringData` of something that looks like a Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// `data` or `stringData`.
    pub section: &'static str,
    /// The key, without quotes.
    pub key: String,
    /// The value: quotes taken away, lines of a block joined by line feeds.
    pub value: String,
    /// Range of the value in the text.
    pub range: Range<usize>,
}

/// Shows names and place, not the value.
impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}@{:?}", self.section, self.key, self.range)
    }
}

struct Line<'t> {
    /// Offset of the content in the text.
    at: usize,
    /// Column of the content; a list item's dash counts as indentation.
    column: usize,
    /// Whether a list item begins here.
    item: bool,
    /// Content without indentation, line end and trailing blanks.
    text: &'t str,
}

impl<'t> Line<'t> {
    /// Nothing that a reader of objects looks at: blank, comment, or a template action alone.
    fn is_noise(&self) -> bool {
        self.text.is_empty()
            || self.text.starts_with('#')
            || (self.text.starts_with("{{") && self.text.ends_with("}}"))
    }

    /// Key and value of `key: value`, quotes and JSON's comma taken away; offset of the value.
    fn entry(&self) -> Option<(&'t str, &'t str, usize)> {
        let colon = match self.text.as_bytes().first()? {
            quote @ (b'"' | b'\'') => {
                let close = self.text.get(1..)?.find(char::from(*quote))? + 2;
                close
                    + self
                        .text
                        .get(close..)?
                        .find(':')
                        .filter(|gap| self.text[close..close + gap].trim().is_empty())?
            }
            _ => self
                .text
                .find(": ")
                .or_else(|| self.text.find(":\t"))
                .or_else(|| self.text.ends_with(':').then(|| self.text.len() - 1))?,
        };
        let key = unquote(self.text.get(..colon)?.trim());
        let rest = self.text.get(colon + 1..)?;
        let value = rest.trim_start();
        let at = self.at + self.text.len() - value.len();
        Some((key, value, at))
    }
}

fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

/// A value without quotes, comment and JSON's trailing comma.
fn scalar(value: &str) -> &str {
    let value = value.trim();
    if let Some(quote @ ('"' | '\'')) = value.chars().next() {
        // Up to the last such quote: quotes inside of template actions stay.
        if let Some(end) = value.rfind(quote).filter(|end| *end > 0) {
            return &value[1..end];
        }
    }
    let value = if value.starts_with('#') { "" } else { value.find(" #").map_or(value, |at| &value[..at]) };
    value.trim_end().trim_end_matches(',')
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut at = 0;
    for whole in text.split_inclusive(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        let trimmed = whole.trim_end();
        let mut content = trimmed.trim_start();
        let mut item = false;
        while let Some(rest) = content.strip_prefix("- ") {
            content = rest.trim_start();
            item = true;
        }
        let column = trimmed.len() - content.len();
        lines.push(Line { at: at + column, column, item, text: content });
        at += whole.len();
    }
    lines
}

/// The fields of everything that looks like a Secret in the text.
pub fn secret_fields(text: &str) -> Vec<Field> {
    let lines = lines(text);
    let mut fields = Vec::new();
    // For each column, the end of the last object: a second `kind` in it finds nothing new.
    let mut ends = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        let is_secret = line.entry().is_some_and(|(key, value, _)| {
            key == "kind" && scalar(value).trim_start_matches("!!str ") == "Secret"
        });
        if is_secret && ends.get(&line.column).is_none_or(|end| *end <= index) {
            let object = object_around(&lines, index);
            ends.insert(line.column, object.end);
            collect(&lines[object], line.column, &mut fields);
        }
    }
    fields.sort_by_key(|field| field.range.start);
    fields.dedup_by_key(|field| field.range.start);
    fields
}

fn is_marker(line: &Line<'_>) -> bool {
    line.column == 0 && (line.text.starts_with("---") || line.text == "...")
}

/// The lines of the object whose `kind` is at `index`: neighbours that are not less indented, between
/// document markers, from and up to the dash of a list item at the same column.
fn object_around(lines: &[Line<'_>], index: usize) -> Range<usize> {
    let column = lines[index].column;
    let outside = |line: &Line<'_>| is_marker(line) || (!line.is_noise() && line.column < column);
    let mut start = index;
    while start > 0 && !(lines[start].item && lines[start].column == column) && !outside(&lines[start - 1]) {
        start -= 1;
    }
    let mut end = index + 1;
    while end < lines.len() && !outside(&lines[end]) && !(lines[end].item && lines[end].column == column) {
        end += 1;
    }
    start..end
}

/// Gathers the children of `data` and `stringData` at the given column.
fn collect(lines: &[Line<'_>], column: usize, fields: &mut Vec<Field>) {
    let mut section: Option<&'static str> = None;
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        index += 1;
        if line.is_noise() {
            continue;
        }
        if line.column <= column {
            section = None;
            let Some((key, value, at)) = line.entry() else { continue };
            section = ["data", "stringData"].into_iter().find(|name| *name == key);
            if let Some(name) = section {
                flow(name, value, at, fields);
            }
        } else if let (Some(name), Some((key, value, at))) = (section, line.entry()) {
            let open = unclosed(value);
            let at = at + usize::from(value.starts_with(['"', '\'']));
            let mut value = scalar(value).to_owned();
            let mut end = at + value.len();
            if value.starts_with(['|', '>']) || value.is_empty() {
                let block = lines[index..].iter().take_while(|l| l.text.is_empty() || l.column > line.column);
                let inner = block.collect::<Vec<_>>();
                value = inner.iter().map(|l| l.text).collect::<Vec<_>>().join("\n");
                end = inner.last().map_or(end, |last| last.at + last.text.len());
                index += inner.len();
            } else {
                let more = continued(&lines[index..], line.column, open);
                if let Some(last) = more.last() {
                    value = std::iter::once(value.as_str())
                        .chain(more.iter().map(|l| l.text))
                        .collect::<Vec<_>>()
                        .join("\n");
                    end = last.at + last.text.len();
                    index += more.len();
                }
            }
            fields.push(Field { section: name, key: key.to_owned(), value, range: at..end.max(at) });
        }
    }
}

/// The quote that a value begins with and that its line does not close.
fn unclosed(value: &str) -> Option<char> {
    let quote = value.chars().next().filter(|first| ['"', '\''].contains(first))?;
    (!value[1..].contains(quote)).then_some(quote)
}

/// The lines in which a value goes on: up to the one that closes its quote, or what is deeper and no entry.
fn continued<'l, 't>(lines: &'l [Line<'t>], column: usize, open: Option<char>) -> &'l [Line<'t>] {
    let goes_on = |line: &Line<'_>| line.column > column && !line.is_noise() && line.entry().is_none();
    let count = match open {
        Some(quote) => lines.iter().position(|line| line.text.contains(quote)).map(|last| last + 1),
        None => lines.iter().position(|line| !goes_on(line)),
    };
    &lines[..count.unwrap_or(lines.len())]
}

/// The entries of a map in braces that stands on the same line.
fn flow(section: &'static str, value: &str, at: usize, fields: &mut Vec<Field>) {
    let Some(inner) = value.strip_prefix('{').filter(|inner| !inner.starts_with('{')) else { return };
    let inner = inner.trim_end_matches(['}', ',', ' ']);
    // After the brace.
    let mut at = at + 1;
    for part in inner.split(',') {
        if let Some((key, value)) = part.split_once(':') {
            let start = at + part.len() - value.trim_start().len();
            let end = start + value.trim().len();
            let (key, value) = (unquote(key.trim()).to_owned(), scalar(value).to_owned());
            fields.push(Field { section, key, value, range: start..end });
        }
        at += part.len() + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        secret_fields(text).into_iter().map(|f| (format!("{}.{}", f.section, f.key), f.value)).collect()
    }

    #[test]
    fn a_template_gives_its_values() {
        let text = "\
{{- if .Values.on }}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}
stringData:
  {{- range .x }}
  user: \"app\"   # comment
  note: |
    one
    two
  url: {{ .Values.url | quote }}
{{- end }}
";
        assert_eq!(
            found(text),
            [
                ("stringData.user".into(), "app".into()),
                ("stringData.note".into(), "one\ntwo".into()),
                ("stringData.url".into(), "{{ .Values.url | quote }}".into()),
            ]
        );
    }

    #[test]
    fn list_items_and_neighbours_are_told_apart() {
        let text = "items:\n- kind: ConfigMap\n  data:\n    a: b\n- kind: Secret\n  data: {x: eA==}\n- kind: ConfigMap\n  data:\n    c: d\n";
        assert_eq!(found(text), [("data.x".into(), "eA==".into())]);
        assert_eq!(found("kind: ConfigMap\ndata:\n  a: b\n---\nkind: Secret\n"), []);
    }

    #[test]
    fn json_with_actions_is_read() {
        let text =
            "{\n  \"kind\": \"Secret\",\n  \"stringData\": {\n    \"a\": \"b\",\n    {{ .x }}\n  }\n}\n";
        assert_eq!(found(text), [("stringData.a".into(), "b".into())]);
    }
}

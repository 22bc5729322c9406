//! What an expression of a template gives, as far as the file says it.

use std::ops::Range;

use super::hull;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A text of the file, and where it is written.
    Text(String, Range<usize>),
    /// What comes from elsewhere: the expression that gives it. Empty for the dot of the whole template.
    Code(String),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// Nothing that is known.
    pub(super) fn unknown() -> Self {
        Self::Code(String::new())
    }

    /// Whether it is a text, a list or a map of this file.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Code(_))
    }

    /// A text that is not empty.
    pub(super) fn is_given(&self) -> bool {
        match self {
            Self::Text(text, _) => !text.is_empty(),
            Self::Code(_) => false,
            Self::List(_) | Self::Map(_) => true,
        }
    }

    /// What is under a key, or `None`.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(entries) => entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            Self::List(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The value as an operand of an expression; `None` for what can be written in none.
    pub(super) fn code(&self) -> Option<String> {
        match self {
            Self::Text(text, _) if text.contains("{{") || text.contains("}}") => None,
            Self::Text(text, _) if text.parse::<f64>().is_ok() => Some(text.clone()),
            Self::Text(text, _) => Some(serde_json::Value::from(text.as_str()).to_string()),
            Self::Code(code) if code.is_empty() => Some(".".to_owned()),
            Self::Code(code) if code.contains(char::is_whitespace) => Some(format!("({code})")),
            Self::Code(code) => Some(code.clone()),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// Where the texts of the value are written; `None` where there are none.
    pub(super) fn origin(&self) -> Option<Range<usize>> {
        let all = |values: &mut dyn Iterator<Item = &Value>| {
            values.filter_map(Value::origin).reduce(|all, next| hull(&all, &next))
        };
        match self {
            Self::Text(_, origin) => Some(origin.clone()),
            Self::Code(_) => None,
            Self::List(items) => all(&mut items.iter()),
            Self::Map(entries) => all(&mut entries.iter().map(|(_, value)| value)),
        }
    }

    /// The value as JSON, which is YAML. What comes from elsewhere is an action in it.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text, _) => serde_json::Value::from(text.as_str()),
            Self::Code(code) => serde_json::Value::from(format!("{{{{ {code} }}}}")),
            Self::List(items) => items.iter().map(Value::json).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.clone(), value.json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// What an action that gives it puts into the text; `None` for what comes from elsewhere.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Text(text, _) => Some(text.clone()),
            Self::Code(_) => None,
            Self::List(_) | Self::Map(_) => Some(self.json().to_string()),
        }
    }

    /// Puts a value under a key, where it is a map.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        if let Self::Map(entries) = self {
            entries.retain(|(name, _)| name != key);
            entries.push((key.to_owned(), value));
        }
    }
}

//! What is put at a place.

use super::EditError;
use crate::sops::plain::{Plain, float_text};
use crate::yaml::Step;

/// A new value. `Debug` shows types only.
#[derive(Clone, Debug, PartialEq)]
pub enum New {
    /// `null`.
    Null,
    /// A scalar.
    Scalar(Plain),
    /// A map.
    Map(Vec<(String, New)>),
    /// A list.
    List(Vec<New>),
}

impl New {
    /// What JSON says. Numbers beyond 64 bits with sign are floating point numbers.
    pub fn of_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(bool) => Self::Scalar(Plain::Bool(*bool)),
            serde_json::Value::Number(number) => Self::Scalar(match (number.as_i64(), number.as_f64()) {
                (Some(int), _) => Plain::Int(int),
                (None, float) => Plain::Float(float.unwrap_or_default()),
            }),
            serde_json::Value::String(text) => Self::Scalar(Plain::text(text)),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::of_json).collect()),
            serde_json::Value::Object(entries) => {
                Self::Map(entries.iter().map(|(key, value)| (key.clone(), Self::of_json(value))).collect())
            }
        }
    }

    /// The value with maps and lists around it, the outermost for the first step.
    pub(super) fn below(&self, steps: &[Step]) -> Result<Self, EditError> {
        let Some((first, rest)) = steps.split_first() else { return Ok(self.clone()) };
        let inner = self.below(rest)?;
        match first {
            Step::Key(key) => Ok(Self::Map(vec![(key.clone(), inner)])),
            Step::Index(0) => Ok(Self::List(vec![inner])),
            Step::Index(_) => Err(EditError::Unwritable("a new list begins with item 0")),
        }
    }

    /// A number of JSON; `None` where it has none.
    pub(super) fn json_number(float: f64) -> Option<String> {
        float.is_finite().then(|| if float.fract() == 0.0 { float_text(float) } else { format!("{float:?}") })
    }
}

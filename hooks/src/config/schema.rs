//! The JSON schema of a `HookConfig`, made from the types that hold it. What depends on several fields, `config check`
//! alone knows.

use super::{API_VERSION, Config, KIND};
use schemars::JsonSchema;
use serde_json::{Value, json};

/// Bytes: a number, or one with a unit, such as `32MiB`.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "it stands for a form, and holds nothing")]
pub(super) enum Size {
    /// Bytes.
    Number(u64),
    /// With `KiB`, `MiB` or `GiB`.
    Text(String),
}

/// What becomes of a kind of finding.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for a form, and holds nothing")]
pub(super) enum Word {
    /// It refuses.
    Error,
    /// It is told.
    Warning,
    /// It is told where all is told.
    Note,
    /// Nothing is said.
    Off,
}

/// The schema of the fields, and of what tells which document it is.
pub(super) fn of_document() -> Value {
    let mut schema = schemars::schema_for!(Config);
    let properties = schema.ensure_object().entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        properties.insert("apiVersion".to_owned(), json!({"const": API_VERSION}));
        properties.insert("kind".to_owned(), json!({"const": KIND}));
    }
    schema.insert("required".to_owned(), json!(["apiVersion", "kind"]));
    schema.to_value()
}

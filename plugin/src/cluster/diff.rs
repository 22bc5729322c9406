//! What differs between two states of an object, field by field. Data of Secrets only by name.

use super::apply::comparable;
use kube::api::DynamicObject;
use serde::Serialize;
use serde_json::Value;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// Its path, such as `spec.replicas`.
    pub field: String,
    /// What it was; left out where it was not there, and for a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What it will be; left out where it goes, and for a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
}

impl FieldChange {
    /// For people: `spec.replicas: 1 -> 2`.
    #[must_use]
    pub fn line(&self) -> String {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("{}: {from} -> {to}", self.field),
            (None, Some(to)) => format!("{}: added {to}", self.field),
            (Some(from), None) => format!("{}: removed, was {from}", self.field),
            (None, None) => format!("{}: {}", self.field, self.change),
        }
    }
}

/// What would change; who owns which field does not count.
pub(super) fn changes(live: &DynamicObject, wanted: &DynamicObject) -> Vec<FieldChange> {
    let plain = |object: &DynamicObject| {
        let mut object = object.clone();
        object.metadata.managed_fields = None;
        comparable(&object)
    };
    let is_secret = live.types.as_ref().is_some_and(|types| types.kind == "Secret");
    let mut found = Vec::new();
    compare(String::new(), Some(&plain(live)), Some(&plain(wanted)), is_secret, &mut found);
    found
}

/// A value that was taken away by other means than the wanted state.
pub(super) fn removed(field: String) -> FieldChange {
    FieldChange { field, from: None, to: None, change: "removed" }
}

fn compare(
    path: String,
    live: Option<&Value>,
    wanted: Option<&Value>,
    hide: bool,
    found: &mut Vec<FieldChange>,
) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (live, wanted) {
        (live, wanted) if live == wanted => {}
        (Some(Value::Object(live)), Some(Value::Object(wanted))) => {
            for (key, value) in live {
                compare(below(key), Some(value), wanted.get(key), hide, found);
            }
            for (key, value) in wanted.iter().filter(|(key, _)| !live.contains_key(*key)) {
                compare(below(key), None, Some(value), hide, found);
            }
        }
        (Some(Value::Array(live)), Some(Value::Array(wanted))) if live.len() == wanted.len() => {
            for (index, (live, wanted)) in live.iter().zip(wanted).enumerate() {
                compare(format!("{path}[{index}]"), Some(live), Some(wanted), hide, found);
            }
        }
        // The entries of a Secret's data one by one, also where there was none before.
        (None, Some(Value::Object(entries))) if hide && path == "data" => {
            entries.iter().for_each(|(key, value)| compare(below(key), None, Some(value), hide, found));
        }
        (live, wanted) => {
            let change = match (live, wanted) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            };
            let secret = hide && is_secret_field(&path);
            let shown = |value: Option<&Value>| value.filter(|_| !secret).cloned();
            found.push(FieldChange { from: shown(live), to: shown(wanted), change, field: path });
        }
    }
}

/// The data of a Secret, and the annotation in which kubectl keeps a copy of it.
fn is_secret_field(path: &str) -> bool {
    path.starts_with("data") || path.starts_with("stringData") || path.starts_with("metadata.annotations")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: &str, more: &Value) -> DynamicObject {
        let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        crate::cluster::dynamic(value)
    }

    fn lines(kind: &str, live: &Value, wanted: &Value) -> Vec<String> {
        changes(&object(kind, live), &object(kind, wanted)).iter().map(FieldChange::line).collect()
    }

    #[test]
    fn fields_are_named_with_what_they_were_and_will_be() {
        let live = json!({"spec": {"replicas": 1, "args": ["a", "b"], "gone": true}, "status": {"ready": 1}});
        let wanted =
            json!({"spec": {"replicas": 0, "args": ["a", "c"], "new": {"a": 1}}, "status": {"ready": 2}});
        let found = lines("Deployment", &live, &wanted);
        let wanted = [
            "spec.replicas: 1 -> 0",
            r#"spec.args[1]: "b" -> "c""#,
            "spec.gone: removed, was true",
            r#"spec.new: added {"a":1}"#,
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn of_secrets_only_names_are_shown() {
        let live = json!({"data": {"same": "QQ==", "other": "CANARY", "old": "CANARY"},
            "metadata": {"name": "x", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "CANARY"}}});
        let wanted = json!({"data": {"same": "QQ==", "other": "Q", "new": "CANARY"}, "type": "Opaque"});
        let found = lines("Secret", &live, &wanted);
        assert!(!found.join(" ").contains("CANARY"), "{found:?}");
        assert_eq!(
            found.iter().filter(|line| line.starts_with("data.")).collect::<Vec<_>>(),
            ["data.other: changed", "data.old: removed", "data.new: added"]
        );
        assert_eq!(lines("Secret", &json!({}), &json!({"data": {"a": "CANARY"}})), ["data.a: added"]);
    }
}

//! Whether an object is as wanted, by what it says of itself, without a dry run of the API server: all that is wanted is
//! there, and nothing that we applied earlier is left that is not wanted any more.

use super::FIELD_MANAGER;
use super::apply::has_all;
use kube::api::DynamicObject;
use serde_json::Value;

/// Whether to apply the wanted object would change nothing. `false` where that cannot be told.
pub(super) fn is_as_wanted(live: &DynamicObject, wanted: &Value) -> bool {
    let Some(owned) = ours(live) else { return false };
    let live = serde_json::to_value(live).unwrap_or_default();
    only_wanted(owned, wanted) && has_all(&live, wanted)
}

/// The fields that we applied.
fn ours(live: &DynamicObject) -> Option<&Value> {
    let entries = live.metadata.managed_fields.iter().flatten();
    let mut ours = entries.filter(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
    });
    Some(&ours.next()?.fields_v1.as_ref()?.0)
}

/// Whether each of these fields is wanted. Fields are written as in `managedFields`: `f:` a name, `k:` the keys of a list
/// item, `v:` a value of a set, `.` the thing itself.
fn only_wanted(owned: &Value, wanted: &Value) -> bool {
    owned.as_object().is_some_and(|fields| {
        fields.iter().all(|(path, below)| match path.split_once(':') {
            Some(("f", name)) => wanted.get(name).is_some_and(|wanted| only_wanted(below, wanted)),
            Some(("k", keys)) => item(keys, wanted).is_some_and(|wanted| only_wanted(below, wanted)),
            Some(("v", value)) => {
                let value: Value = serde_json::from_str(value).unwrap_or_default();
                wanted.as_array().is_some_and(|all| all.contains(&value))
            }
            _ => path == ".",
        })
    })
}

/// The item of a list that has these keys; a key that the API server fills in need not be in what is wanted.
fn item<'w>(keys: &str, wanted: &'w Value) -> Option<&'w Value> {
    let keys: Value = serde_json::from_str(keys).ok()?;
    let keys = keys.as_object()?;
    wanted.as_array()?.iter().find(|item| {
        keys.iter().all(|(key, value)| item.get(key).is_none_or(|found| found == value))
            && keys.iter().any(|(key, value)| item.get(key) == Some(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(spec: &Value, fields: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": {"name": "x", "managedFields":
                [{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields}]},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_there_and_owned_is_as_wanted_until_something_differs() {
        let wanted = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"},
            "spec": {"a": 1, "ports": [{"port": 80, "name": "http"}], "set": ["one"]}});
        let spec = json!({"a": 1, "default": true, "ports": [{"port": 80, "name": "http", "protocol": "TCP"}], "set": ["one"]});
        let fields = json!({"f:spec": {"f:a": {}, "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}},
            "f:set": {"v:\"one\"": {}}}});
        assert!(is_as_wanted(&live(&spec, &fields), &wanted));
        // Something else in a field, something that is not wanted any more, an item or value too many.
        assert!(!is_as_wanted(
            &live(&json!({"a": 2, "ports": spec["ports"], "set": ["one"]}), &fields),
            &wanted
        ));
        for (path, left) in [
            ("/f:spec/f:old", json!({})),
            ("/f:spec/f:ports/k:{\"port\":81}", json!({".": {}})),
            ("/f:spec/f:set/v:\"two\"", json!({})),
        ] {
            let mut fields = fields.clone();
            let (parent, key) = path.rsplit_once('/').unwrap();
            fields.pointer_mut(parent).unwrap()[key] = left;
            assert!(!is_as_wanted(&live(&spec, &fields), &wanted), "{path}");
        }
        // Never applied by us.
        let mut others = live(&spec, &fields);
        others.metadata.managed_fields.as_mut().unwrap()[0].manager = Some("flux".to_owned());
        assert!(!is_as_wanted(&others, &wanted));
    }
}

//! What is encrypted in one file.

use crate::secrets;
use kubiya_policies::sops::file::Recipe;
use kubiya_policies::sops::store::Format;
use serde::{Deserialize as _, Serialize};
use serde_yaml::Value;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Whose values they are: of an object, or of the file alone where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The kind of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its namespace, if the file says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Origin {
    /// Of an object in a file.
    pub(super) fn of(object: &Value) -> Self {
        let metadata = object.get("metadata");
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let meta = |key: &str| text(metadata.and_then(|metadata| metadata.get(key)));
        Self { kind: text(object.get("kind")), namespace: meta("namespace"), name: meta("name") }
    }

    /// As a person names it: `Secret shop/db`. `None` for a file.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let kind = self.kind.as_ref()?;
        let namespace = self.namespace.as_ref().map(|namespace| format!("{namespace}/"));
        Some(format!("{kind} {}{}", namespace.unwrap_or_default(), self.name.as_deref().unwrap_or("?")))
    }
}

/// Encrypted values that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// Whose they are.
    pub(super) origin: Origin,
    /// Their keys; none for a file that is one value.
    pub(super) keys: Vec<String>,
}

/// What is encrypted in the bytes of a file, an entry for each object. A file of no objects, or one that cannot
/// be told apart, is one entry without a kind.
#[must_use]
pub(super) fn sealed_in(path: &Path, bytes: &[u8]) -> Vec<Sealed> {
    let format = Format::of_path(path.as_os_str().as_bytes());
    let mut found = Vec::new();
    if matches!(format, Format::Yaml | Format::Json) {
        documents(bytes).iter().for_each(|document| of_document(document, &mut found));
    }
    if found.is_empty() {
        found.push(Sealed { origin: Origin::default(), keys: keys_of_file(path, bytes, format) });
    }
    found
}

/// The documents of a file; none where one of them cannot be read.
pub(super) fn documents(bytes: &[u8]) -> Vec<Value> {
    let read = serde_yaml::Deserializer::from_slice(bytes).map(Value::deserialize);
    read.collect::<Result<_, _>>().unwrap_or_default()
}

fn of_document(document: &Value, found: &mut Vec<Sealed>) {
    let lists = document.get("items").and_then(Value::as_sequence).filter(|_| document.get("data").is_none());
    if let Some(items) = lists {
        items.iter().for_each(|item| of_document(item, found));
        return;
    }
    let origin = Origin::of(document);
    let mut keys = Vec::new();
    encrypted_keys(document, &mut Vec::new(), &mut keys);
    if !keys.is_empty() {
        let secret = origin.kind.as_deref() == Some("Secret");
        let within = |key: &str| {
            let own = key.strip_prefix("data.").or_else(|| key.strip_prefix("stringData."));
            own.filter(|_| secret).unwrap_or(key).to_owned()
        };
        found.push(Sealed { keys: keys.iter().map(|key| within(key)).collect(), origin });
    }
}

fn encrypted_keys(value: &Value, path: &mut Vec<String>, keys: &mut Vec<String>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                let Some(key) = key.as_str().filter(|key| !(path.is_empty() && *key == "sops")) else {
                    continue;
                };
                path.push(key.to_owned());
                encrypted_keys(value, path, keys);
                path.pop();
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| encrypted_keys(item, path, keys)),
        Value::Tagged(tagged) => encrypted_keys(&tagged.value, path, keys),
        // In lists sops keeps comments as items.
        Value::String(text) if text.starts_with("ENC[AES256_GCM,") && !text.ends_with(",type:comment]") => {
            let key = path.join(".");
            if keys.last() != Some(&key) {
                keys.push(key);
            }
        }
        _ => {}
    }
}

/// The keys of a file that is no object.
fn keys_of_file(path: &Path, bytes: &[u8], format: Format) -> Vec<String> {
    let Some(secret) =
        (format != Format::Binary).then(|| secrets::read(path, bytes, None, None).ok()).flatten()
    else {
        return Vec::new();
    };
    secret.metadata().map(|metadata| secret.covered(&Recipe::of(metadata))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENC: &str = "\"ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\"";

    fn shown(name: &str, text: &str) -> Vec<String> {
        let sealed = sealed_in(Path::new(name), text.replace("ENC", ENC).as_bytes());
        let line = |sealed: Sealed| format!("{:?} {}", sealed.origin.title(), sealed.keys.join(" "));
        sealed.into_iter().map(line).collect()
    }

    #[test]
    fn each_object_is_told_by_its_name_and_the_keys_that_are_encrypted() {
        let text = "kind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {user: ENC, plain: x}\n\
                    data: {ca.crt: ENC}\nsops: {mac: ENC}\n---\nkind: ConfigMap\nmetadata: {name: c}\n\
                    ---\nkind: HelmRelease\nmetadata: {name: r}\nspec: {values: {users: [ENC, ENC]}}\n";
        assert_eq!(
            shown("a.yaml", text),
            ["Some(\"Secret shop/db\") user ca.crt", "Some(\"HelmRelease r\") spec.values.users"]
        );
        let list = "kind: SecretList\nitems:\n- kind: Secret\n  metadata: {name: one}\n  data: {k: ENC}\n\
                    - kind: Secret\n  metadata: {name: two}\n  data: {k: ENC}\n";
        assert_eq!(shown("a.yaml", list), ["Some(\"Secret one\") k", "Some(\"Secret two\") k"]);
    }

    #[test]
    fn a_file_of_no_objects_is_told_as_a_file() {
        assert_eq!(shown("values.yaml", "db: {password: ENC, list: [ENC]}\n"), ["None db.password db.list"]);
        assert_eq!(shown("a.bin", "{\"data\": ENC}"), ["None "]);
        // Two keys of one name: what a reader takes cannot be told.
        assert_eq!(shown("a.yaml", "kind: Secret\nkind: ConfigMap\ndata: {k: ENC}\n"), ["None "]);
    }
}

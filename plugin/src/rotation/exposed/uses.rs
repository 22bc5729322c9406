//! Where manifests name Secrets.

use super::object::{Origin, documents};
use bstr::ByteSlice as _;
use serde_yaml::{Mapping, Value};

/// A Secret that a manifest names, or a file that a `secretGenerator` makes one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The object that names it, such as `Deployment shop/web`.
    pub(super) object: String,
    /// The keys that lead there, without the places in lists.
    pub(super) field: String,
    /// The key of the Secret, where one is named.
    pub(super) key: Option<String>,
    /// The Secret's namespace: the one beside the name, or that of the object.
    pub(super) namespace: Option<String>,
    /// The Secret's name.
    pub(super) name: String,
    /// The file that the Secret is made of, as the kustomization names it.
    pub(super) generated_from: Option<String>,
}

/// All references to Secrets in the bytes of a manifest; none in what is no YAML or JSON.
///
/// Which fields refer to Secrets is told by their names, so that it holds for every kind of object: a text at a key
/// with `secret` in its name, or `name` below it (`secretKeyRef`, `imagePullSecrets`, `secretName`, `existingSecret`),
/// and `name` beside `kind: Secret` (`valuesFrom` of Flux).
#[must_use]
pub(super) fn references_in(bytes: &[u8]) -> Vec<Reference> {
    // All of these words have it.
    if bytes.len() > 1 << 20 || !bytes.contains_str("ecret") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for document in documents(bytes) {
        of_object(&document, &mut found);
    }
    found
}

fn of_object(object: &Value, found: &mut Vec<Reference>) {
    let Some(mapping) = object.as_mapping() else { return };
    if let Some(items) = object.get("items").and_then(Value::as_sequence) {
        items.iter().for_each(|item| of_object(item, found));
    }
    let origin = Origin::of(object);
    let is_kustomization = generators(mapping).is_some();
    let kustomization = || "kustomization".to_owned();
    let title = origin.title().filter(|_| origin.name.is_some()).unwrap_or_else(kustomization);
    let mut walk = Walk { object: title, namespace: origin.namespace, path: Vec::new(), found };
    if is_kustomization {
        walk.generators(mapping);
        return;
    }
    for (key, value) in mapping.iter().filter_map(|(key, value)| Some((key.as_str()?, value))) {
        // The object itself, its own values, and what sops wrote.
        if !matches!(key, "apiVersion" | "kind" | "metadata" | "data" | "stringData" | "sops" | "items") {
            walk.below(key, value);
        }
    }
}

fn generators(mapping: &Mapping) -> Option<&Vec<Value>> {
    mapping.get("secretGenerator").and_then(Value::as_sequence)
}

fn text(mapping: &Mapping, key: &str) -> Option<String> {
    mapping.get(key).and_then(Value::as_str).map(str::to_owned)
}

struct Walk<'w> {
    object: String,
    namespace: Option<String>,
    path: Vec<String>,
    found: &'w mut Vec<Reference>,
}

impl Walk<'_> {
    fn below(&mut self, key: &str, value: &Value) {
        self.path.push(key.to_owned());
        self.value(value, is_for_secrets(key));
        self.path.pop();
    }

    /// What stands at a key; `inside` where the key is for Secrets.
    fn value(&mut self, value: &Value, inside: bool) {
        match value {
            Value::String(name) if inside => self.add(name, None, None),
            Value::Sequence(items) => items.iter().for_each(|item| self.value(item, inside)),
            Value::Tagged(tagged) => self.value(&tagged.value, inside),
            Value::Mapping(mapping) => self.mapping(mapping, inside),
            _ => {}
        }
    }

    fn mapping(&mut self, mapping: &Mapping, inside: bool) {
        let is_secret = text(mapping, "kind").is_some_and(|kind| kind == "Secret");
        let names_another = mapping.contains_key("kind") && !is_secret;
        if let Some(name) = text(mapping, "name").filter(|_| is_secret || (inside && !names_another)) {
            let key = ["key", "valuesKey"].into_iter().find_map(|key| text(mapping, key));
            self.add(&name, key, text(mapping, "namespace"));
        }
        for (key, value) in mapping.iter().filter_map(|(key, value)| Some((key.as_str()?, value))) {
            if !(is_secret && matches!(key, "data" | "stringData")) {
                self.below(key, value);
            }
        }
    }

    fn add(&mut self, name: &str, key: Option<String>, namespace: Option<String>) {
        self.found.push(Reference {
            object: self.object.clone(),
            field: self.path.join("."),
            key,
            namespace: namespace.or_else(|| self.namespace.clone()),
            name: name.to_owned(),
            generated_from: None,
        });
    }

    /// Files that become Secrets. `files` may say the key before the file.
    fn generators(&mut self, mapping: &Mapping) {
        let namespace = text(mapping, "namespace");
        for generator in generators(mapping).into_iter().flatten().filter_map(Value::as_mapping) {
            let Some(name) = text(generator, "name") else { continue };
            for field in ["files", "envs", "env"] {
                let Some(value) = generator.get(field) else { continue };
                let entries = value.as_sequence().cloned().unwrap_or_else(|| vec![value.clone()]);
                for file in entries.iter().filter_map(Value::as_str) {
                    let file = file.split_once('=').map_or(file, |(_, file)| file);
                    self.found.push(Reference {
                        object: self.object.clone(),
                        field: format!("secretGenerator.{field}"),
                        key: None,
                        namespace: text(generator, "namespace").or_else(|| namespace.clone()),
                        name: name.clone(),
                        generated_from: Some(file.to_owned()),
                    });
                }
            }
        }
    }
}

/// Whether texts at a key name Secrets. A store of External Secrets is named, too, and is none.
fn is_for_secrets(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("secret") && !key.contains("secretstore") && !key.ends_with("secretkey")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let line = |reference: Reference| {
            let Reference { object, field, key, namespace, name, generated_from } = reference;
            let more = key.or(generated_from).unwrap_or_default();
            format!("{object}: {field}: {}/{name} {more}", namespace.unwrap_or_default())
                .trim_end()
                .to_owned()
        };
        references_in(text.as_bytes()).into_iter().map(line).collect()
    }

    #[test]
    fn pods_name_secrets_in_variables_volumes_and_for_pulling() {
        let text = "\
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      imagePullSecrets: [{name: registry}]
      containers:
      - name: web
        env:
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
        - {name: MODE, valueFrom: {configMapKeyRef: {name: db, key: mode}}}
        envFrom: [{secretRef: {name: all}}]
      volumes:
      - {name: tls, secret: {secretName: certificate}}
      - name: both
        projected: {sources: [{secret: {name: token}}, {configMap: {name: db}}]}
";
        let below = "Deployment shop/web: spec.template.spec";
        assert_eq!(
            lines(text),
            [
                format!("{below}.imagePullSecrets: shop/registry"),
                format!("{below}.containers.env.valueFrom.secretKeyRef: shop/db password"),
                format!("{below}.containers.envFrom.secretRef: shop/all"),
                format!("{below}.volumes.secret.secretName: shop/certificate"),
                format!("{below}.volumes.projected.sources.secret: shop/token"),
            ]
        );
    }

    #[test]
    fn other_kinds_name_secrets_too() {
        let text = "\
kind: HelmRelease
metadata: {name: r, namespace: apps}
spec:
  valuesFrom: [{kind: Secret, name: values, valuesKey: v.yaml}, {kind: ConfigMap, name: values}]
  kubeConfig: {secretRef: {name: worker}}
  values: {auth: {existingSecret: db}}
---
kind: Ingress
metadata: {name: i}
spec: {tls: [{hosts: [a], secretName: tls}]}
---
kind: ExternalSecret
metadata: {name: e}
spec: {secretStoreRef: {name: store, kind: ClusterSecretStore}, target: {name: made}}
---
kind: ClusterIssuer
metadata: {name: c}
spec: {acme: {privateKeySecretRef: {name: account, namespace: certs}}}
---
kind: Secret
metadata: {name: own}
stringData: {secretName: hidden}
";
        assert_eq!(
            lines(text),
            [
                "HelmRelease apps/r: spec.valuesFrom: apps/values v.yaml",
                "HelmRelease apps/r: spec.kubeConfig.secretRef: apps/worker",
                "HelmRelease apps/r: spec.values.auth.existingSecret: apps/db",
                "Ingress i: spec.tls.secretName: /tls",
                "ClusterIssuer c: spec.acme.privateKeySecretRef: certs/account",
            ]
        );
    }

    #[test]
    fn a_kustomization_makes_secrets_of_files() {
        let text = "namespace: shop\nsecretGenerator:\n- name: env\n  envs: [db.env]\n\
                    - {name: files, files: [key=../tls.key, ca.crt]}\n";
        assert_eq!(
            lines(text),
            [
                "kustomization: secretGenerator.envs: shop/env db.env",
                "kustomization: secretGenerator.files: shop/files ../tls.key",
                "kustomization: secretGenerator.files: shop/files ca.crt",
            ]
        );
        assert!(references_in(b"no secret: [").is_empty());
    }
}

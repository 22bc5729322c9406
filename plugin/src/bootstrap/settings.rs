//! What controllers get beyond Flux's own manifests: labels and annotations by which a cloud knows them, and the key
//! for Kustomizations that name none. The objects themselves remember it, so that an upgrade does not lose it.

use crate::cluster::dynamic;
use kube::api::DynamicObject;
use kubiya_hook::edge::Failure;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What was added to an object by settings, as a merge patch in JSON.
const ADDED: &str = "kubiya.dev/added";
/// The argument of kustomize-controller that names the Secret of the global key.
const GLOBAL_KEY: &str = "--sops-age-secret=";
/// The controller that decrypts.
const DECRYPTS: &str = "kustomize-controller";

/// Where a setting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An annotation of the ServiceAccount.
    ServiceAccountAnnotation,
    /// An annotation of the pods.
    PodAnnotation,
    /// A label of the pods.
    PodLabel,
}

impl Place {
    fn kind(self) -> &'static str {
        match self {
            Place::ServiceAccountAnnotation => "ServiceAccount",
            Place::PodAnnotation | Place::PodLabel => "Deployment",
        }
    }

    /// The merge patch that sets a value, or takes it away.
    fn patch(self, key: &str, value: Option<&str>) -> Value {
        let one = json!({ key: value });
        match self {
            Place::ServiceAccountAnnotation => json!({"metadata": {"annotations": one}}),
            Place::PodAnnotation => json!({"spec": {"template": {"metadata": {"annotations": one}}}}),
            Place::PodLabel => json!({"spec": {"template": {"metadata": {"labels": one}}}}),
        }
    }
}

/// One value for a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The controller.
    pub controller: String,
    /// Where the value goes.
    pub place: Place,
    /// Its key.
    pub key: String,
    /// The value; `None` takes an earlier one away.
    pub value: Option<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Labels and annotations.
    pub values: Vec<Setting>,
    /// The Secret that kustomize-controller decrypts with where a Kustomization names none.
    pub global_key: Option<String>,
}

/// What objects on the cluster remember, by kind and name.
pub type Remembered = BTreeMap<(String, String), DynamicObject>;

impl Settings {
    /// Whether the controller that decrypts is to be known to a cloud, which then opens files for it.
    #[must_use]
    pub fn give_identity(&self) -> bool {
        self.values.iter().any(|setting| setting.controller == DECRYPTS && setting.value.is_some())
    }

    /// What to write into a repository that the controllers come out of: there they are left alone.
    pub(super) fn for_repository(&self, namespace: &str) -> Option<Failure> {
        let mut patches: BTreeMap<(&str, &str), Value> = BTreeMap::new();
        for setting in &self.values {
            let kind = setting.place.kind();
            let version = if kind == "Deployment" { "apps/v1" } else { "v1" };
            let patch = patches.entry((kind, &setting.controller)).or_insert_with(|| {
                json!({"apiVersion": version, "kind": kind, "metadata": {"name": setting.controller, "namespace": namespace}})
            });
            // Kustomize takes away by null what a merge patch would.
            deep(patch, &setting.place.patch(&setting.key, setting.value.as_deref()));
        }
        let text = |value: &Value| serde_yaml::to_string(value).unwrap_or_default();
        let mut all: Vec<Value> = patches.values().map(|patch| json!({"patch": text(patch)})).collect();
        if let Some(secret) = &self.global_key {
            let argument = format!("{GLOBAL_KEY}{secret}");
            let patch =
                json!([{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": argument}]);
            all.push(json!({"target": {"kind": "Deployment", "name": DECRYPTS}, "patch": text(&patch)}));
        }
        if all.is_empty() {
            return None;
        }
        let text = text(&json!({ "patches": all }));
        let failure = Failure::unverified(
            "the controllers come out of the repository, and get nothing beyond it from here",
        );
        Some(failure.hint(format!(
            "write into the kustomization.yaml beside gotk-components.yaml:\n{}",
            text.trim_end()
        )))
    }

    /// Controllers that are not among the manifests.
    pub(super) fn problems(&self, objects: &[DynamicObject]) -> Vec<Failure> {
        let unknown = self
            .values
            .iter()
            .filter(|setting| !objects.iter().any(|one| is(one, setting.place.kind(), &setting.controller)));
        unknown
            .map(|setting| {
                Failure::usage(format!(
                    "Flux's manifests have no {} `{}`",
                    setting.place.kind(),
                    setting.controller
                ))
                .hint("the controller that decrypts is `kustomize-controller`")
            })
            .collect()
    }

    /// An object of Flux's manifests with what it is to have beyond them: what is said now, and what it remembers.
    #[must_use]
    pub fn applied_to(&self, object: &DynamicObject, remembered: &Remembered) -> DynamicObject {
        let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let live = remembered.get(&(kind.to_owned(), name.to_owned()));
        let before = live.and_then(|live| live.metadata.annotations.as_ref()?.get(ADDED));
        let mut patch = before.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}));
        for setting in self.values.iter().filter(|one| one.place.kind() == kind && one.controller == name) {
            merge(&mut patch, &setting.place.patch(&setting.key, setting.value.as_deref()));
        }
        let global = (kind == "Deployment" && name == DECRYPTS).then(|| self.global_argument(live)).flatten();
        if is_empty(&patch) && global.is_none() {
            return object.clone();
        }
        // An object always has a JSON form, and it is one again after a patch of its maps.
        let mut whole = serde_json::to_value(object).unwrap_or_default();
        merge(&mut whole, &patch);
        if !is_empty(&patch) {
            merge(&mut whole, &json!({"metadata": {"annotations": {ADDED: patch.to_string()}}}));
        }
        if let (Some(argument), Some(Value::Array(arguments))) =
            (global, whole.pointer_mut("/spec/template/spec/containers/0/args"))
        {
            arguments.push(argument.into());
        }
        dynamic(whole)
    }

    fn global_argument(&self, live: Option<&DynamicObject>) -> Option<String> {
        let arguments =
            live.and_then(|live| live.data.pointer("/spec/template/spec/containers/0/args")?.as_array());
        let there = arguments
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|text| text.starts_with(GLOBAL_KEY));
        match &self.global_key {
            Some(secret) => Some(format!("{GLOBAL_KEY}{secret}")),
            None => there.map(str::to_owned),
        }
    }
}

fn is(object: &DynamicObject, kind: &str, name: &str) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == kind)
        && object.metadata.name.as_deref() == Some(name)
}

/// Whether a patch sets nothing.
fn is_empty(patch: &Value) -> bool {
    match patch {
        Value::Object(map) => map.values().all(is_empty),
        value => value.is_null(),
    }
}

/// Lays a patch over a value, and keeps what takes away.
fn deep(into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(patch) => patch.iter().for_each(|(key, value)| deep(&mut into[key], value)),
        value => *into = value.clone(),
    }
}

/// Lays a patch over a value (RFC 7386): maps are merged, `null` takes away, all else replaces.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().map(|map| map.remove(key));
        } else {
            merge(&mut into[key], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> DynamicObject {
        dynamic(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": DECRYPTS, "namespace": "flux-system", "labels": {"a": "b"}},
            "spec": {"template": {"metadata": {"labels": {"app": DECRYPTS}}, "spec": {"containers": [{"args": ["--x"]}]}}},
        }))
    }

    fn account() -> DynamicObject {
        dynamic(
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DECRYPTS, "namespace": "flux-system"}}),
        )
    }

    fn setting(place: Place, key: &str, value: Option<&str>) -> Settings {
        let (controller, key, value) = (DECRYPTS.to_owned(), key.to_owned(), value.map(str::to_owned));
        Settings { values: vec![Setting { controller, place, key, value }], global_key: None }
    }

    fn remember(object: &DynamicObject) -> Remembered {
        let kind = object.types.as_ref().unwrap().kind.clone();
        BTreeMap::from([((kind, DECRYPTS.to_owned()), object.clone())])
    }

    #[test]
    fn an_annotation_stays_in_later_runs_until_it_is_taken_away() {
        let key = "eks.amazonaws.com/role-arn";
        let given = setting(Place::ServiceAccountAnnotation, key, Some("arn:1"));
        let first = given.applied_to(&account(), &Remembered::new());
        let annotation =
            |object: &DynamicObject| object.metadata.annotations.as_ref().and_then(|a| a.get(key).cloned());
        assert_eq!(annotation(&first).as_deref(), Some("arn:1"));
        let later = Settings::default().applied_to(&account(), &remember(&first));
        assert_eq!(serde_json::to_value(&later).unwrap(), serde_json::to_value(&first).unwrap());
        let other = setting(Place::ServiceAccountAnnotation, "b", Some("2"))
            .applied_to(&account(), &remember(&later));
        assert_eq!(annotation(&other).as_deref(), Some("arn:1"));
        let gone =
            setting(Place::ServiceAccountAnnotation, key, None).applied_to(&account(), &remember(&first));
        assert_eq!(gone.metadata.annotations, None);
        assert_eq!(serde_json::to_value(&gone).unwrap(), serde_json::to_value(account()).unwrap());
    }

    #[test]
    fn pods_get_labels_and_annotations_beside_their_own() {
        let labels = setting(Place::PodLabel, "azure.workload.identity/use", Some("true"));
        let object = labels.applied_to(&deployment(), &Remembered::new());
        let found = &object.data["spec"]["template"]["metadata"]["labels"];
        assert_eq!(*found, json!({"app": DECRYPTS, "azure.workload.identity/use": "true"}));
        let role = setting(Place::PodAnnotation, "iam.amazonaws.com/role", Some("r"));
        let object = role.applied_to(&deployment(), &remember(&object));
        let template = &object.data["spec"]["template"]["metadata"];
        assert_eq!(template["labels"]["azure.workload.identity/use"], "true");
        assert_eq!(template["annotations"]["iam.amazonaws.com/role"], "r");
        // Objects of others are left as they are.
        let plain = role.applied_to(&account(), &Remembered::new());
        assert_eq!(serde_json::to_value(&plain).unwrap(), serde_json::to_value(account()).unwrap());
    }

    #[test]
    fn the_global_key_is_an_argument_that_stays() {
        let given = Settings { global_key: Some("sops-age".to_owned()), ..Settings::default() };
        let object = given.applied_to(&deployment(), &Remembered::new());
        let arguments =
            |object: &DynamicObject| object.data["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        assert_eq!(arguments(&object), json!(["--x", "--sops-age-secret=sops-age"]));
        let later = Settings::default().applied_to(&deployment(), &remember(&object));
        assert_eq!(arguments(&later), arguments(&object));
    }

    #[test]
    fn a_repository_is_told_what_to_write() {
        assert!(Settings::default().for_repository("flux-system").is_none());
        let mut settings =
            setting(Place::ServiceAccountAnnotation, "eks.amazonaws.com/role-arn", Some("arn:1"));
        settings.global_key = Some("sops-age".to_owned());
        let failure = settings.for_repository("flux-system").unwrap();
        let hint = failure.hints().join("\n");
        for wanted in [
            "write into the kustomization.yaml",
            "kind: ServiceAccount",
            "eks.amazonaws.com/role-arn:",
            "path: /spec/template/spec/containers/0/args/-",
            "--sops-age-secret=sops-age",
        ] {
            assert!(hint.contains(wanted), "{wanted}\n{hint}");
        }
    }

    #[test]
    fn a_controller_that_is_not_there_is_a_problem() {
        let objects = [deployment()];
        assert!(setting(Place::PodLabel, "a", Some("b")).problems(&objects).is_empty());
        assert_eq!(setting(Place::ServiceAccountAnnotation, "a", Some("b")).problems(&objects).len(), 1);
    }
}

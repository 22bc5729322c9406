//! Server-side apply: what is there, what would change, and the change.

use super::connect::base64;
use super::{ClusterError, Connection, FieldChange, Kinds, conflict, diff, owned};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, TypeMeta};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The field manager of everything we write. It must not begin with `kubectl`: kustomize-controller takes away the fields
/// of every manager that does when it applies the same object (fluxcd/pkg `ssa/patch.go` compares beginnings), and so
/// would undo the decryption of a sync that is in the repository as well.
pub const FIELD_MANAGER: &str = "kubiya";

/// An object from its JSON form.
#[must_use]
pub fn dynamic(mut value: Value) -> DynamicObject {
    let mut take = |key: &str| value.as_object_mut().and_then(|map| map.remove(key)).unwrap_or_default();
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let types = TypeMeta { api_version: text(take("apiVersion")), kind: text(take("kind")) };
    let metadata = serde_json::from_value(take("metadata")).unwrap_or_default();
    DynamicObject { types: Some(types), metadata, data: value }
}

/// An object as we want it to be. The data of a Secret is kept apart, so that the rest can be shown.
#[derive(Clone, Debug)]
pub struct Manifest {
    object: DynamicObject,
    secret_data: BTreeMap<String, SecretString>,
    /// Entries of the data that are not wanted are taken away, whoever wrote them.
    whole: bool,
}

impl Manifest {
    /// An object without secret data.
    #[must_use]
    pub fn new(object: DynamicObject) -> Self {
        Self { object, secret_data: BTreeMap::new(), whole: false }
    }

    /// A Secret: the object without `data`, and its data.
    #[must_use]
    pub fn secret(object: DynamicObject, secret_data: BTreeMap<String, SecretString>) -> Self {
        Self { object, secret_data, whole: false }
    }

    /// A Secret that is to have these entries and no others.
    #[must_use]
    pub fn whole_secret(object: DynamicObject, secret_data: BTreeMap<String, SecretString>) -> Self {
        Self { object, secret_data, whole: true }
    }

    fn applied(&self, action: Action) -> Applied {
        Applied::new(self.kind(), self.name(), action)
    }

    /// The names of entries that are not wanted.
    fn stale<'o>(&self, found: &'o Value) -> Vec<&'o str> {
        let entries = found["data"].as_object().filter(|_| self.whole).into_iter().flatten();
        entries.map(|(key, _)| key.as_str()).filter(|key| !self.secret_data.contains_key(*key)).collect()
    }

    /// The object, without secret data.
    #[must_use]
    pub fn object(&self) -> &DynamicObject {
        &self.object
    }

    /// Whether it has data that must not be shown.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        !self.secret_data.is_empty()
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.object.types.as_ref().map_or("", |types| types.kind.as_str())
    }

    /// `namespace/name`, or the name alone.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.object.metadata.name.as_deref().unwrap_or_default();
        match self.object.metadata.namespace.as_deref() {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }

    /// Kind and name, for messages.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// The whole object with its secret data exposed: for the API server, and for an export that the
    /// user asked to hold private keys.
    #[must_use]
    pub fn expose(&self) -> Value {
        let mut body = self.shown();
        if !self.secret_data.is_empty() {
            // `data` and not `stringData`: server-side apply does not remove keys from the latter.
            let data = self
                .secret_data
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(base64(value.expose_secret().as_bytes()))));
            body["data"] = Value::Object(data.collect());
        }
        body
    }

    /// The object without its secret data.
    #[must_use]
    pub fn shown(&self) -> Value {
        // A map with string keys always has a JSON form.
        serde_json::to_value(&self.object).unwrap_or_default()
    }
}

/// What happened, or would happen, to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was not there.
    Created,
    /// It was there and differed.
    Configured,
    /// It was there as wanted; nothing was written.
    Unchanged,
}

impl Action {
    /// The word for people, as kubectl says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Action::Created => "created",
            Action::Configured => "configured",
            Action::Unchanged => "unchanged",
        }
    }
}

/// An object and what happened to it.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// Kind.
    pub kind: String,
    /// `namespace/name`, or the name alone.
    pub name: String,
    /// What happened.
    pub action: Action,
    /// Whether only the server's dry run was asked, and whether that could be asked at all: before its
    /// namespace exists, an object cannot be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_checkable: Option<&'static str>,
    /// What people must know of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// UID of the object, where it is there.
    #[serde(skip)]
    pub uid: Option<String>,
    /// The fields that differ, where the API server was asked about an object that is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
}

impl Applied {
    /// What happened to an object, without more to say.
    #[must_use]
    pub fn new(kind: &str, name: String, action: Action) -> Self {
        Self {
            kind: kind.to_owned(),
            name,
            action,
            not_checkable: None,
            notes: Vec::new(),
            uid: None,
            changes: Vec::new(),
        }
    }

    /// Whether it is about this object.
    #[must_use]
    pub fn is_of(&self, manifest: &Manifest) -> bool {
        self.kind == manifest.kind() && self.name == manifest.name()
    }
}

/// How far an [`Applier`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write what differs.
    Write,
    /// Let the API server admit and merge, without storing.
    AskServer,
    /// Only read what is there, and compare.
    Compare,
}

/// Applies objects to one cluster.
#[derive(Clone, Debug)]
pub struct Applier {
    /// The cluster.
    pub connection: Connection,
    /// Its kinds.
    pub kinds: Kinds,
    /// Take over fields that another manager set.
    pub force: bool,
    /// How far to go.
    pub mode: Mode,
}

impl Applier {
    /// Brings an object into the wanted state. What is there already as wanted is not written, so a
    /// re-run writes nothing.
    ///
    /// # Errors
    /// Those of the requests; a conflict when somebody else set the same fields to other values, unless they are taken
    /// over in any case.
    pub async fn apply(&self, manifest: &Manifest) -> Result<Applied, ClusterError> {
        let live = self.read(manifest).await?;
        self.apply_to(manifest, live.as_ref()).await
    }

    /// The object as it is; `None` where it, or its kind, is not there.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn read(&self, manifest: &Manifest) -> Result<Option<DynamicObject>, ClusterError> {
        let api = self.kinds.api(&self.connection.client, manifest.object())?;
        let name = manifest.object().metadata.name.as_deref().unwrap_or_default();
        match api.get(name).await {
            Ok(live) => Ok(Some(live)),
            // Also where its kind is not served yet; that 404 comes without a reason.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(ClusterError::of_request("get", manifest.id(), &error)),
        }
    }

    /// As [`Applier::apply`], to an object that was read a moment ago.
    ///
    /// # Errors
    /// As [`Applier::apply`].
    pub async fn apply_to(
        &self,
        manifest: &Manifest,
        live: Option<&DynamicObject>,
    ) -> Result<Applied, ClusterError> {
        let api = self.kinds.api(&self.connection.client, manifest.object())?;
        let uid = live.and_then(|live| live.metadata.uid.clone());
        let applied = match live {
            None => return self.create(manifest, &api).await,
            Some(live) if Self::is_settled(manifest, live) => manifest.applied(Action::Unchanged),
            Some(live) if self.mode == Mode::Compare => {
                let live = serde_json::to_value(live).unwrap_or_default();
                let same = has_all(&live, &manifest.expose()) && manifest.stale(&live).is_empty();
                manifest.applied(if same { Action::Unchanged } else { Action::Configured })
            }
            Some(live) => self.change(manifest, &api, live).await?,
        };
        Ok(Applied { uid, ..applied })
    }

    /// Whether nothing is to be done, by what the object says of itself.
    fn is_settled(manifest: &Manifest, live: &DynamicObject) -> bool {
        let copy = manifest.holds_secret() && live.annotations().contains_key(LAST_APPLIED);
        !copy && manifest.stale(&live.data).is_empty() && owned::is_as_wanted(live, &manifest.expose())
    }

    /// The Lease is in a namespace, so a namespace comes before it.
    async fn claim(&self, manifest: &Manifest) -> Result<(), ClusterError> {
        if manifest.kind() == "Namespace" { Ok(()) } else { self.connection.before_writing().await }
    }

    fn params(&self) -> PatchParams {
        PatchParams { force: self.force, ..PatchParams::apply(FIELD_MANAGER).validation_strict() }
    }

    async fn create(&self, manifest: &Manifest, api: &Api<DynamicObject>) -> Result<Applied, ClusterError> {
        let created = manifest.applied(Action::Created);
        if self.mode == Mode::Compare {
            return Ok(created);
        }
        let params = PatchParams { dry_run: self.mode == Mode::AskServer, ..self.params() };
        if self.mode == Mode::Write {
            self.claim(manifest).await?;
        }
        let name = manifest.object().metadata.name.as_deref().unwrap_or_default();
        match api.patch(name, &params, &Patch::Apply(&manifest.expose())).await {
            Ok(made) => Ok(Applied { uid: made.metadata.uid.filter(|_| !params.dry_run), ..created }),
            Err(kube::Error::Api(status)) if params.dry_run && status.code == 404 => Ok(Applied {
                not_checkable: Some("its namespace or its definition is not there yet"),
                ..created
            }),
            Err(error) => Err(ClusterError::of_request("apply", manifest.id(), &error)),
        }
    }

    async fn change(
        &self,
        manifest: &Manifest,
        api: &Api<DynamicObject>,
        live: &DynamicObject,
    ) -> Result<Applied, ClusterError> {
        let failed = |error: &kube::Error| ClusterError::of_request("apply", manifest.id(), error);
        let name = manifest.object().metadata.name.as_deref().unwrap_or_default();
        let body = manifest.expose();
        let patch = Patch::Apply(&body);
        let mut params = PatchParams { dry_run: true, ..self.params() };
        let mut notes = Vec::new();
        let wanted = match api.patch(name, &params, &patch).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let fields = conflict::fields(&status);
                if !conflict::may_be_taken(&fields) {
                    return Err(conflict_error(manifest, &fields, failed(&kube::Error::Api(status))));
                }
                notes.extend(fields.iter().map(|field| format!("takes over {}", field.text())));
                params.force = true;
                api.patch(name, &params, &patch).await
            }
            answer => answer,
        };
        let wanted = wanted.map_err(|error| failed(&error))?;
        let stale = manifest.stale(&wanted.data);
        let copy = manifest.holds_secret() && live.annotations().contains_key(LAST_APPLIED);
        if comparable(live) == comparable(&wanted) && stale.is_empty() && !copy {
            return Ok(manifest.applied(Action::Unchanged));
        }
        if copy {
            notes.push(format!("takes away the annotation {LAST_APPLIED}, which held the data in clear"));
        }
        let mut changes = diff::changes(live, &wanted);
        changes.extend(stale.iter().map(|entry| diff::removed(format!("data.{entry}"))));
        if self.mode == Mode::Write {
            self.claim(manifest).await?;
            params.dry_run = false;
            api.patch(name, &params, &patch).await.map_err(|error| failed(&error))?;
            take_away(api, name, &stale, copy).await.map_err(|error| failed(&error))?;
        }
        Ok(Applied { notes, changes, ..manifest.applied(Action::Configured) })
    }
}

/// The copy that `kubectl apply` leaves of what it applied, data of Secrets included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A conflict with its fields and their owners; the error as it came where it names none.
fn conflict_error(manifest: &Manifest, fields: &[conflict::Owned], error: ClusterError) -> ClusterError {
    if fields.is_empty() {
        return error;
    }
    let fields = fields.iter().map(conflict::Owned::text).collect();
    ClusterError::Conflict { object: manifest.id(), fields }
}

/// Takes entries out of a Secret: those of other managers, which server-side apply leaves; and kubectl's copy of it.
async fn take_away(
    api: &Api<DynamicObject>,
    name: &str,
    entries: &[&str],
    copy: bool,
) -> Result<(), kube::Error> {
    if entries.is_empty() && !copy {
        return Ok(());
    }
    let mut patch = serde_json::json!({});
    for entry in entries {
        patch["data"][entry] = Value::Null;
    }
    if copy {
        patch["metadata"]["annotations"][LAST_APPLIED] = Value::Null;
    }
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Merge(&patch)).await.map(|_| ())
}

/// Whether an object has everything that is wanted; what it has beyond that (defaults, status, other
/// managers' fields) does not count.
pub(super) fn has_all(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| match live.get(key) {
                Some(found) => has_all(found, value),
                None => {
                    value.is_null()
                        || value.as_object().is_some_and(serde_json::Map::is_empty)
                        || value.as_array().is_some_and(Vec::is_empty)
                }
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(l, w)| has_all(l, w))
        }
        (Value::String(live), Value::String(wanted)) => live == wanted || same_quantity(live, wanted),
        (live, wanted) => live == wanted,
    }
}

/// Whether two strings are one quantity: the API server stores `1000m` as `1` and `1000` as `1k`
/// (apimachinery's resource.Quantity).
fn same_quantity(live: &str, wanted: &str) -> bool {
    let quantity = |text: &str| {
        let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor = match unit {
            "" => 1.0,
            "m" => 1e-3,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "Ki" => 1024.0,
            "Mi" => 1_048_576.0,
            "Gi" => 1_073_741_824.0,
            "Ti" => 1_099_511_627_776.0,
            _ => return None,
        };
        number.parse::<f64>().ok().map(|number| number * factor)
    };
    quantity(live).is_some_and(|live| quantity(wanted) == Some(live))
}

/// What counts when two states of an object are compared: everything but what the server keeps count
/// by. Field ownership counts, its timestamps do not.
pub(super) fn comparable(object: &DynamicObject) -> Value {
    let mut object = object.clone();
    object.metadata.resource_version = None;
    object.metadata.generation = None;
    for entry in object.metadata.managed_fields.iter_mut().flatten() {
        entry.time = None;
    }
    object.data.as_object_mut().map(|data| data.remove("status"));
    serde_json::to_value(&object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Manifest {
        let object: DynamicObject = serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sops-age", "namespace": "flux-system"},
        }))
        .unwrap();
        Manifest::secret(object, BTreeMap::from([("age.agekey".to_owned(), "CANARY".to_owned().into())]))
    }

    #[test]
    fn secret_data_is_shown_only_when_exposed() {
        let secret = secret();
        assert_eq!(secret.id(), "Secret flux-system/sops-age");
        let shown = format!("{secret:?} {}", secret.shown());
        assert!(!shown.contains("CANARY") && !shown.contains("Q0FOQVJZ"), "{shown}");
        assert_eq!(secret.expose()["data"]["age.agekey"], "Q0FOQVJZ");
    }

    #[test]
    fn a_whole_secret_has_no_entries_of_others() {
        let found = serde_json::json!({"data": {"age.agekey": "", "old": ""}});
        let part = secret();
        assert!(part.stale(&found).is_empty());
        let whole = Manifest { whole: true, ..part };
        assert_eq!(whole.stale(&found), ["old"]);
    }

    #[test]
    fn what_others_added_is_no_difference() {
        let live = serde_json::json!({"a": {"b": [1, {"c": 2, "default": true}]}, "status": {}});
        assert!(has_all(&live, &serde_json::json!({"a": {"b": [1, {"c": 2}]}, "empty": {}, "none": []})));
        assert!(has_all(&"1k".into(), &"1000".into()) && has_all(&"1".into(), &"1000m".into()));
        assert!(!has_all(&"1".into(), &"2".into()) && !has_all(&"a".into(), &"b".into()));
        for wanted in [
            serde_json::json!({"a": {"b": [1]}}),
            serde_json::json!({"a": {"b": [1, {"c": 3}]}}),
            serde_json::json!({"new": 1}),
        ] {
            assert!(!has_all(&live, &wanted), "{wanted}");
        }
    }

    #[test]
    fn counters_and_timestamps_do_not_make_a_difference() {
        let object = |version: &str, time: &str, owner: &str| -> DynamicObject {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
                "metadata": {"name": "x", "resourceVersion": version, "managedFields":
                    [{"manager": owner, "operation": "Apply", "time": time, "fieldsV1": {}}]},
            }))
            .unwrap()
        };
        let a = comparable(&object("1", "2026-01-01T00:00:00Z", "m"));
        assert_eq!(a, comparable(&object("2", "2026-01-02T00:00:00Z", "m")));
        assert_ne!(a, comparable(&object("1", "2026-01-01T00:00:00Z", "other")));
    }
}

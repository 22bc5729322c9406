//! When Flux has done what it was asked: read from its objects as Flux's own tests judge them.

use crate::cluster::{ClusterError, Connection, Deadline, FIELD_MANAGER, Kinds};
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// What the status of a Flux object says about its present generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyState {
    /// Ready, at the revision that it names (empty where the kind has none).
    Ready {
        /// Artifact revision of a source, last applied revision of a Kustomization.
        revision: String,
    },
    /// Not yet; with what it says meanwhile.
    Waiting {
        /// Reason and message of the Ready condition, or of Reconciling.
        message: String,
    },
    /// It says that it cannot succeed without a change (Stalled, or a build that failed at the expected revision).
    Failed {
        /// Reason and message.
        message: String,
    },
}

impl ReadyState {
    /// Reads a GitRepository or a Kustomization.
    ///
    /// The predicate is that of kustomize-controller's own test suite: Ready for the observed
    /// generation, and for a Kustomization the last attempted revision applied. A failure counts as
    /// final only when it is Stalled, or when the build of the very revision `attempted` failed:
    /// everything else may heal (a dependency, a webhook, DNS).
    #[must_use]
    pub fn of(object: &DynamicObject, attempted: Option<&str>) -> Self {
        let status = &object.data["status"];
        let generation = object.metadata.generation;
        let current = |value: &Value| value.as_i64() == generation;
        let conditions: Vec<&Value> = status["conditions"].as_array().into_iter().flatten().collect();
        let find = |kind: &str| conditions.iter().copied().find(|c| c["type"] == kind);
        let words = |c: &Value| {
            let text = |key: &str| c[key].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("reason"), text("message"))
        };
        if let Some(stalled) = find("Stalled").filter(|c| c["status"] == "True") {
            return ReadyState::Failed { message: words(stalled) };
        }
        let Some(ready) = find("Ready").filter(|c| current(&c["observedGeneration"])) else {
            let reconciling =
                find("Reconciling").map_or_else(|| "not seen by its controller yet".to_owned(), words);
            return ReadyState::Waiting { message: reconciling };
        };
        let attempted_now = status["lastAttemptedRevision"].as_str();
        if ready["status"] == "True" && current(&status["observedGeneration"]) {
            let applied = status["lastAppliedRevision"].as_str();
            if applied == attempted_now {
                let revision = applied.or(status["artifact"]["revision"].as_str()).unwrap_or_default();
                return ReadyState::Ready { revision: revision.to_owned() };
            }
        }
        let build_failed = ready["status"] == "False" && ready["reason"] == "BuildFailed";
        if build_failed && attempted.is_some() && attempted == attempted_now {
            return ReadyState::Failed { message: words(ready) };
        }
        ReadyState::Waiting { message: words(ready) }
    }
}

/// What is to be seen on the cluster before the sync counts as done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Branch that is followed.
    pub branch: String,
    /// Tip of the branch when we looked; `None` where we could not look.
    pub tip: Option<String>,
}

impl Expected {
    /// The revision as Flux writes it: `main@sha1:<oid>`.
    #[must_use]
    pub fn revision(&self) -> Option<String> {
        let algorithm = |tip: &str| if tip.len() == 64 { "sha256" } else { "sha1" };
        self.tip.as_deref().map(|tip| format!("{}@{}:{tip}", self.branch, algorithm(tip)))
    }

    fn is_met_by(&self, revision: &str) -> bool {
        self.revision().is_none_or(|wanted| wanted == revision)
    }
}

/// The two objects of a sync.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The GitRepository.
    pub source: DynamicObject,
    /// The Kustomization.
    pub kustomization: DynamicObject,
}

/// Waits until source and Kustomization are ready for the expected revision; `say` gets every new
/// message on the way. When the branch moved on meanwhile, `look_again` gives its new tip.
///
/// Returns the revision that was applied.
///
/// # Errors
/// A final failure, and the deadline, both with what the objects themselves say.
pub async fn wait_for_sync(
    connection: &Connection,
    kinds: &Kinds,
    sync: &Sync,
    mut expected: Expected,
    deadline: Deadline,
    mut look_again: impl AsyncFnMut() -> Option<String>,
    mut say: impl FnMut(&str),
) -> Result<String, ClusterError> {
    let mut asked_to_reconcile = false;
    let mut asked_again: Option<(&str, String)> = None;
    loop {
        let mut causes = Vec::new();
        for (object, what) in [(&sync.source, "GitRepository"), (&sync.kustomization, "Kustomization")] {
            let api = kinds.api(&connection.client, object)?;
            let name = object.metadata.name.as_deref().unwrap_or_default();
            let id = format!("{what} {}/{name}", object.metadata.namespace.as_deref().unwrap_or_default());
            let (state, handled) = match api.get(name).await {
                Ok(live) => (state(&live, &expected, causes.is_empty()), handled(&live)),
                Err(error) => {
                    let message = ClusterError::of_get(id.clone(), &error).to_string();
                    (ReadyState::Waiting { message }, None)
                }
            };
            match state {
                // It may be older than what this run wrote: it counts when the controller has looked once more.
                ReadyState::Failed { message } => match &asked_again {
                    Some((kind, token)) if *kind == what => {
                        if handled.as_ref() == Some(token) {
                            return Err(ClusterError::Failed { what: id, causes: vec![message] });
                        }
                        causes.push(format!("{id}: {message}"));
                    }
                    _ => {
                        let token = request_reconcile(connection, kinds, object).await?;
                        asked_again = Some((what, token));
                        causes.push(format!("{id}: {message}"));
                    }
                },
                ReadyState::Waiting { message } => causes.push(format!("{id}: {message}")),
                ReadyState::Ready { revision } if expected.is_met_by(&revision) => {
                    if what == "Kustomization" && causes.is_empty() {
                        return Ok(revision);
                    }
                }
                ReadyState::Ready { revision } => {
                    causes.push(format!("{id}: still at {revision}"));
                    if what == "GitRepository" {
                        expected.tip = look_again().await.or(expected.tip);
                        if !asked_to_reconcile && !expected.is_met_by(&revision) {
                            asked_to_reconcile = true;
                            request_reconcile(connection, kinds, object).await?;
                        }
                    }
                }
            }
        }
        say(causes.first().map_or("", String::as_str));
        if deadline.has_passed() {
            let what = format!("the sync of {}", expected.revision().unwrap_or(expected.branch));
            return Err(ClusterError::TimedOut { what, wanted: "ready", after: deadline.total(), causes });
        }
        deadline.pause().await;
    }
}

/// What an object of the sync says. A folder that is not there is told before the revision is noted as attempted, so it
/// counts when the source is at the expected one.
fn state(live: &DynamicObject, expected: &Expected, source_is_there: bool) -> ReadyState {
    let state = ReadyState::of(live, expected.revision().as_deref());
    match state {
        ReadyState::Waiting { message } if source_is_there && message.starts_with(NO_FOLDER) => {
            ReadyState::Failed { message }
        }
        state => state,
    }
}

/// What kustomize-controller says of a `spec.path` that is not in the artifact.
const NO_FOLDER: &str = "ArtifactFailed: kustomization path not found";

/// The request to reconcile that the controller has answered last.
fn handled(live: &DynamicObject) -> Option<String> {
    live.data["status"]["lastHandledReconcileAt"].as_str().map(str::to_owned)
}

/// Asks a controller to look now instead of at its next interval. Returns what it will have handled then.
///
/// # Errors
/// Those of the request.
pub async fn request_reconcile(
    connection: &Connection,
    kinds: &Kinds,
    object: &DynamicObject,
) -> Result<String, ClusterError> {
    let api = kinds.api(&connection.client, object)?;
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let now = jiff::Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": now}}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Merge(&patch))
        .await
        .map_err(|error| ClusterError::of_get(name.to_owned(), &error))?;
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(status: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "flux-system", "generation": 2}, "status": status,
        }))
        .unwrap()
    }

    fn condition(kind: &str, status: &str, reason: &str, generation: i64) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": "m", "observedGeneration": generation})
    }

    #[test]
    fn ready_counts_for_the_present_generation_and_the_attempted_revision() {
        let mut status = json!({"observedGeneration": 2, "lastAppliedRevision": "main@sha1:a",
            "lastAttemptedRevision": "main@sha1:a", "conditions": [condition("Ready", "True", "ReconciliationSucceeded", 2)]});
        let ready = ReadyState::Ready { revision: "main@sha1:a".to_owned() };
        assert_eq!(ReadyState::of(&object(&status), None), ready);
        status["lastAttemptedRevision"] = "main@sha1:b".into();
        assert!(matches!(ReadyState::of(&object(&status), None), ReadyState::Waiting { .. }));
        status["lastAttemptedRevision"] = "main@sha1:a".into();
        status["observedGeneration"] = 1.into();
        assert!(matches!(ReadyState::of(&object(&status), None), ReadyState::Waiting { .. }));
        status["conditions"] = json!([condition("Ready", "True", "ReconciliationSucceeded", 1)]);
        assert!(matches!(ReadyState::of(&object(&status), None), ReadyState::Waiting { .. }));
        assert!(matches!(ReadyState::of(&object(&Value::Null), None), ReadyState::Waiting { .. }));
    }

    #[test]
    fn a_build_that_failed_at_the_expected_revision_is_final_at_an_older_one_it_is_not() {
        let status = json!({"observedGeneration": -1, "lastAttemptedRevision": "main@sha1:b",
            "conditions": [condition("Ready", "False", "BuildFailed", 2)]});
        let failed = ReadyState::Failed { message: "BuildFailed: m".to_owned() };
        assert_eq!(ReadyState::of(&object(&status), Some("main@sha1:b")), failed);
        assert!(matches!(ReadyState::of(&object(&status), Some("main@sha1:c")), ReadyState::Waiting { .. }));
        assert!(matches!(ReadyState::of(&object(&status), None), ReadyState::Waiting { .. }));
        let stalled = json!({"conditions": [condition("Stalled", "True", "InvalidPath", 2)]});
        let failed = ReadyState::Failed { message: "InvalidPath: m".to_owned() };
        assert_eq!(ReadyState::of(&object(&stalled), None), failed);
    }

    #[test]
    fn a_folder_that_is_missing_counts_when_the_source_is_at_the_expected_revision() {
        let mut said = condition("Ready", "False", "ArtifactFailed", 2);
        said["message"] = "kustomization path not found: stat /tmp/x: no such file or directory".into();
        let live = object(&json!({"lastHandledReconcileAt": "now", "conditions": [said]}));
        let expected = Expected { branch: "main".to_owned(), tip: Some("abc".to_owned()) };
        assert!(matches!(state(&live, &expected, true), ReadyState::Failed { .. }));
        assert!(matches!(state(&live, &expected, false), ReadyState::Waiting { .. }));
        assert_eq!(handled(&live).as_deref(), Some("now"));
        let network = object(&json!({"conditions": [condition("Ready", "False", "ArtifactFailed", 2)]}));
        assert!(matches!(state(&network, &expected, true), ReadyState::Waiting { .. }));
    }

    #[test]
    fn a_source_is_at_its_artifacts_revision() {
        let status = json!({"observedGeneration": 2, "artifact": {"revision": "main@sha1:a"},
            "conditions": [condition("Ready", "True", "Succeeded", 2)]});
        let ready = ReadyState::Ready { revision: "main@sha1:a".to_owned() };
        assert_eq!(ReadyState::of(&object(&status), None), ready);
    }

    #[test]
    fn revisions_are_spelled_as_flux_spells_them() {
        let expected =
            |tip: Option<&str>| Expected { branch: "main".to_owned(), tip: tip.map(str::to_owned) };
        assert_eq!(expected(Some("abc")).revision().as_deref(), Some("main@sha1:abc"));
        let long = "a".repeat(64);
        assert_eq!(expected(Some(&long)).revision(), Some(format!("main@sha256:{long}")));
        assert!(expected(None).is_met_by("anything"));
        assert!(!expected(Some("abc")).is_met_by("main@sha1:abd"));
    }
}

//! What the stand-in says in a GitRepository's status.

use super::Source;
use super::artifacts::Artifact;
use crate::objects::Key;
use anyhow::Result;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// Writes the status of one object, when there is something new to say.
pub(super) struct Reporter {
    api: Api<DynamicObject>,
    name: String,
    said: Option<Value>,
}

impl Reporter {
    pub(super) fn new(client: Client, kind: &ApiResource, (namespace, name): &Key) -> Self {
        Self { api: Api::namespaced_with(client, namespace, kind), name: name.clone(), said: None }
    }

    /// Reports the outcome of a reconciliation.
    pub(super) async fn report(&mut self, source: &Source, outcome: &Result<Artifact>) -> Result<()> {
        let news = status(source, outcome);
        if self.said.as_ref() == Some(&news) {
            return Ok(());
        }
        let before = self.api.get(&self.name).await?;
        let mut patch = news.clone();
        date(&mut patch, before.data.pointer("/status/conditions"));
        let parameters = PatchParams { field_manager: Some(super::NAME.into()), ..PatchParams::default() };
        self.api.patch_status(&self.name, &parameters, &Patch::Merge(json!({"status": patch}))).await?;
        self.said = Some(news);
        Ok(())
    }
}

/// The status for an outcome, without the times at which conditions changed.
fn status(source: &Source, outcome: &Result<Artifact>) -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": source.generation,
        })
    };
    let mut status = match outcome {
        Ok(artifact) => {
            let message = format!("stored artifact for revision '{}'", artifact.revision);
            json!({
                "artifact": artifact,
                "observedGeneration": source.generation,
                "conditions": [
                    condition("Ready", "True", "Succeeded", &message),
                    condition("ArtifactInStorage", "True", "Succeeded", &message),
                ],
            })
        }
        // The last good artifact stays: a merge patch leaves what it does not name.
        Err(error) => {
            let message = format!("{error:#}");
            json!({
                "conditions": [
                    condition("Ready", "False", "GitOperationFailed", &message),
                    condition("FetchFailed", "True", "GitOperationFailed", &message),
                ],
            })
        }
    };
    if let Some(requested) = &source.requested {
        status["lastHandledReconcileAt"] = requested.as_str().into();
    }
    status
}

/// Dates the conditions: those whose status is the same as before keep their time.
fn date(status: &mut Value, before: Option<&Value>) {
    let before = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) else { return };
    for condition in conditions {
        let same = |old: &&Value| old["type"] == condition["type"] && old["status"] == condition["status"];
        let kept = before.iter().find(same).map(|old| old["lastTransitionTime"].clone());
        condition["lastTransitionTime"] = kept.filter(Value::is_string).unwrap_or_else(|| now().into());
    }
}

/// Now, as Kubernetes writes times: whole seconds.
pub(super) fn now() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_is_the_same() {
        let before =
            json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]);
        let mut same = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        date(&mut same, Some(&before));
        assert_eq!(same["conditions"][0]["lastTransitionTime"], "2020-01-01T00:00:00Z");
        let mut other = json!({"conditions": [{"type": "Ready", "status": "False"}]});
        date(&mut other, Some(&before));
        assert_ne!(other["conditions"][0]["lastTransitionTime"], "2020-01-01T00:00:00Z");
    }
}

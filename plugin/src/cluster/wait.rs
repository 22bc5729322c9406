//! Waits: each has a deadline and, when it fails, the cause that the cluster itself gives.

use super::{ClusterError, Connection};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, GroupVersionKind, ListParams};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long a wait may go on. Each phase has its own, so that one slow phase does not starve the next.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    total: Duration,
    end: Instant,
}

impl Deadline {
    /// A deadline from now on.
    #[must_use]
    pub fn after(total: Duration) -> Self {
        Self { total, end: Instant::now() + total }
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        Instant::now() >= self.end
    }

    /// The whole length.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total
    }

    /// Sleeps a short while, longer the longer the wait goes on, and not past the end.
    pub async fn pause(&self) {
        let waited = self.total.saturating_sub(self.end.saturating_duration_since(Instant::now()));
        let pause = (waited / 8).clamp(Duration::from_millis(50), Duration::from_secs(1));
        tokio::time::sleep(pause).await;
    }
}

/// The definitions with a label that are established now: one request for all. None where they cannot be listed.
pub async fn established_now(connection: &Connection, labels: &str) -> BTreeSet<String> {
    let api: Api<CustomResourceDefinition> = Api::all(connection.client.clone());
    let found =
        api.list(&ListParams::default().labels(labels)).await.map(|list| list.items).unwrap_or_default();
    let established = found.into_iter().filter(|crd| {
        let conditions = crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|c| c.type_ == "Established" && c.status == "True")
    });
    established.filter_map(|crd| crd.metadata.name).collect()
}

/// The Deployments of a namespace that are rolled out now: one request for all. None where they cannot be listed.
pub async fn rolled_out_now(connection: &Connection, namespace: &str) -> BTreeSet<String> {
    let api: Api<Deployment> = Api::namespaced(connection.client.clone(), namespace);
    let found = api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    found.into_iter().filter(is_rolled_out).filter_map(|deployment| deployment.metadata.name).collect()
}

/// Waits until a CustomResourceDefinition is established.
///
/// # Errors
/// The deadline, with the definition's own conditions. Errors of single requests are waited out.
pub async fn crd_established(
    connection: &Connection,
    name: &str,
    deadline: Deadline,
) -> Result<(), ClusterError> {
    let api: Api<CustomResourceDefinition> = Api::all(connection.client.clone());
    loop {
        let causes = match api.get_opt(name).await {
            Ok(Some(crd)) => {
                let conditions = crd.status.and_then(|s| s.conditions).unwrap_or_default();
                if conditions.iter().any(|c| c.type_ == "Established" && c.status == "True") {
                    return Ok(());
                }
                conditions
                    .iter()
                    .filter(|c| c.status == "False")
                    .map(|c| format!("{}: {}", c.type_, c.message.as_deref().unwrap_or_default()))
                    .collect()
            }
            Ok(None) => vec!["it is not there".to_owned()],
            Err(error) => vec![ClusterError::of_get(name.to_owned(), &error).to_string()],
        };
        if deadline.has_passed() {
            return Err(ClusterError::TimedOut {
                what: format!("CustomResourceDefinition {name}"),
                wanted: "established",
                after: deadline.total(),
                causes,
            });
        }
        deadline.pause().await;
    }
}

/// Waits until the server serves a kind: it takes a moment longer than the definition's condition says.
///
/// # Errors
/// The deadline.
pub async fn kind_served(
    connection: &Connection,
    gvk: &GroupVersionKind,
    deadline: Deadline,
) -> Result<(), ClusterError> {
    loop {
        let cause = match kube::discovery::pinned_kind(&connection.client, gvk).await {
            Ok(_) => return Ok(()),
            Err(error) => super::error::innermost(&error),
        };
        if deadline.has_passed() {
            return Err(ClusterError::TimedOut {
                what: format!("kind {} of {}", gvk.kind, gvk.api_version()),
                wanted: "served",
                after: deadline.total(),
                causes: vec![cause],
            });
        }
        deadline.pause().await;
    }
}

/// How long a rollout goes without a question to its pods: most are done by then.
const QUIET: Duration = Duration::from_secs(5);

/// Why a pod will not run, however long it is waited for.
const TERMINAL: [&str; 3] = ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"];

/// Waits until a Deployment is rolled out, as `kubectl rollout status` judges it. When it takes longer, `say` gets what
/// pods and events say.
///
/// # Errors
/// A rollout that the cluster gave up or that cannot succeed, and the deadline; with what pods and events say.
pub async fn rolled_out(
    connection: &Connection,
    namespace: &str,
    name: &str,
    deadline: Deadline,
    say: impl Fn(&str),
) -> Result<(), ClusterError> {
    let api: Api<Deployment> = Api::namespaced(connection.client.clone(), namespace);
    let what = || format!("Deployment {namespace}/{name}");
    let mut next_question = Instant::now() + QUIET;
    loop {
        let mut trouble = None;
        match api.get_opt(name).await {
            Ok(Some(deployment)) if is_rolled_out(&deployment) => return Ok(()),
            Ok(Some(deployment)) if gave_up(&deployment) => {
                return Err(ClusterError::Failed {
                    what: what(),
                    causes: pod_causes(connection, &deployment).await,
                });
            }
            Ok(Some(deployment)) if !deadline.has_passed() && Instant::now() >= next_question => {
                let causes = pod_causes(connection, &deployment).await;
                if causes.iter().any(|cause| TERMINAL.iter().any(|reason| cause.contains(reason))) {
                    return Err(ClusterError::Failed { what: what(), causes });
                }
                if let Some(cause) = causes.last() {
                    say(&format!("{}: {cause}", what()));
                }
                next_question = Instant::now() + QUIET;
            }
            Ok(found) => {
                if deadline.has_passed() {
                    trouble = Some(match found {
                        Some(deployment) => pod_causes(connection, &deployment).await,
                        None => vec!["it is not there".to_owned()],
                    });
                }
            }
            Err(error) => {
                if deadline.has_passed() {
                    trouble = Some(vec![ClusterError::of_request("get", what(), &error).to_string()]);
                }
            }
        }
        if let Some(causes) = trouble {
            let after = deadline.total();
            return Err(ClusterError::TimedOut { what: what(), wanted: "rolled out", after, causes });
        }
        deadline.pause().await;
    }
}

fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let Some(status) = &deployment.status else { return false };
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) >= wanted
        && status.replicas.unwrap_or(0) <= status.updated_replicas.unwrap_or(0)
        && status.available_replicas.unwrap_or(0) >= wanted
}

fn gave_up(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    status.observed_generation >= deployment.metadata.generation
        && status.conditions.iter().flatten().any(|c| {
            c.type_.as_deref() == Some("Progressing")
                && c.reason.as_deref() == Some("ProgressDeadlineExceeded")
        })
}

/// Why the pods of a Deployment do not run: its conditions, waiting containers, warning events.
async fn pod_causes(connection: &Connection, deployment: &Deployment) -> Vec<String> {
    let conditions = deployment.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let mut causes: Vec<String> = conditions
        .filter(|c| c.status.as_deref() == Some("False") || c.type_.as_deref() == Some("ReplicaFailure"))
        .map(|c| {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            format!("{}: {}", text(&c.type_), text(&c.message))
        })
        .collect();
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let labels = deployment.spec.selector.match_labels.iter().flatten();
    let selector: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    let pods: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    let found = pods.list(&ListParams::default().labels(&selector.join(",")).limit(5)).await;
    for pod in found.map(|list| list.items).unwrap_or_default() {
        let name = pod.metadata.name.clone().unwrap_or_default();
        causes.extend(waiting_reasons(&pod).into_iter().map(|reason| format!("Pod {name}: {reason}")));
        causes.extend(warnings_of(connection, namespace, &name).await);
    }
    causes.dedup();
    causes
}

fn waiting_reasons(pod: &Pod) -> Vec<String> {
    let Some(status) = &pod.status else { return Vec::new() };
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers.filter_map(|c| c.state.as_ref()?.waiting.as_ref());
    let reasons = waiting.map(|w| {
        let reason = w.reason.as_deref().unwrap_or("waiting");
        w.message.as_ref().map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"))
    });
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.filter(|c| c.type_ == "PodScheduled" && c.status == "False");
    reasons.chain(unscheduled.filter_map(|c| c.message.clone())).collect()
}

async fn warnings_of(connection: &Connection, namespace: &str, pod: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(connection.client.clone(), namespace);
    let selector = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Warning");
    let found = events.list(&ListParams::default().fields(&selector).limit(3)).await;
    let items = found.map(|list| list.items).unwrap_or_default();
    items
        .into_iter()
        .map(|e| format!("Event {}: {}", e.reason.unwrap_or_default(), e.message.unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(status: &serde_json::Value) -> Deployment {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "d", "generation": 2},
            "spec": {"replicas": 1, "selector": {}, "template": {}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_rollout_is_judged_by_the_observed_generation() {
        let good = serde_json::json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        assert!(is_rolled_out(&deployment(&good)));
        for (field, value) in
            [("observedGeneration", 1), ("updatedReplicas", 0), ("availableReplicas", 0), ("replicas", 2)]
        {
            let mut status = good.clone();
            status[field] = value.into();
            assert!(!is_rolled_out(&deployment(&status)), "{field}");
        }
        assert!(!is_rolled_out(&deployment(&serde_json::Value::Null)));
    }

    #[test]
    fn a_waiting_container_says_why() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"status": {"containerStatuses": [
            {"name": "manager", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}}))
        .unwrap();
        assert_eq!(waiting_reasons(&pod), ["ImagePullBackOff: no such image"]);
    }
}

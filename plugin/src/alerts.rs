//! Manifests that tell people when something of Flux fails or is about to: for Flux's own notification-controller, and
//! for Prometheus.

use serde_json::{Value, json};

/// Days before the end of a worker's token at which somebody is told.
const DAYS: u32 = 14;
/// The metric that kube-state-metrics is told to make of the Secrets of workers.
const EXPIRES: &str = "kubiya_worker_credential_expires_seconds";

/// An Alert for everything of Flux in a namespace that fails, to a Provider that is there.
#[must_use]
pub fn flux_alert(namespace: &str, provider: &str) -> Value {
    let kinds =
        ["Kustomization", "GitRepository", "HelmRelease", "HelmRepository", "OCIRepository", "Bucket"];
    let sources: Vec<Value> = kinds.iter().map(|kind| json!({"kind": kind, "name": "*"})).collect();
    json!({
        "apiVersion": "notification.toolkit.fluxcd.io/v1beta3",
        "kind": "Alert",
        "metadata": {"name": "kubiya-failures", "namespace": namespace, "labels": labels()},
        "spec": {
            "eventMetadata": {"summary": "Flux cannot apply what is in Git"},
            "providerRef": {"name": provider},
            "eventSeverity": "error",
            "eventSources": sources,
        },
    })
}

/// Rules for failing objects of Flux and for tokens that end, and what kube-state-metrics needs to see both: a
/// ConfigMap with the configuration of its custom resource metrics.
#[must_use]
pub fn prometheus_rules(namespace: &str) -> [Value; 2] {
    let failing =
        "max by (customresource_kind, exported_namespace, name) (gotk_resource_info{ready=\"False\"}) > 0";
    let ends = format!("min by (exported_namespace, name, worker) ({EXPIRES}) - time() < {DAYS} * 86400");
    let over = format!("min by (exported_namespace, name, worker) ({EXPIRES}) - time() < 0");
    let rule = |name: &str, expression: &str, patience: &str, severity: &str, summary: &str, next: &str| {
        json!({
            "alert": name,
            "expr": expression,
            "for": patience,
            "labels": {"severity": severity},
            "annotations": {"summary": summary, "description": next},
        })
    };
    let worker = "kubectl kubiya worker renew {{ $labels.worker }}";
    let rules = [
        rule(
            "FluxFails",
            failing,
            "10m",
            "warning",
            "{{ $labels.customresource_kind }} {{ $labels.exported_namespace }}/{{ $labels.name }} is not ready",
            "kubectl describe it: the condition Ready says why",
        ),
        rule(
            "WorkerTokenEnds",
            &ends,
            "1h",
            "warning",
            "the token of {{ $labels.worker }} ends soon",
            worker,
        ),
        rule(
            "WorkerTokenIsOver",
            &over,
            "0m",
            "critical",
            "the token of {{ $labels.worker }} is over",
            worker,
        ),
    ];
    [
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "kubiya", "namespace": namespace, "labels": labels()},
            "spec": {"groups": [{"name": "kubiya", "rules": rules}]},
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "kubiya-state-metrics", "namespace": namespace, "labels": labels()},
            // A tree of maps with string keys always renders.
            "data": {"config.yaml": serde_yaml::to_string(&state_metrics()).unwrap_or_default()},
        }),
    ]
}

/// The configuration of kube-state-metrics (`--custom-resource-state-config-file`).
fn state_metrics() -> Value {
    let name = json!({"name": ["metadata", "name"], "exported_namespace": ["metadata", "namespace"]});
    let ready = |group: &str, version: &str, kind: &str| {
        let mut from = name.clone();
        from["ready"] = json!(["status", "conditions", "[type=Ready]", "status"]);
        json!({
            "groupVersionKind": {"group": format!("{group}.toolkit.fluxcd.io"), "version": version, "kind": kind},
            "metricNamePrefix": "gotk",
            "metrics": [{
                "name": "resource_info",
                "help": "The state of an object of Flux",
                "each": {"type": "Info", "info": {"labelsFromPath": from}},
            }],
        })
    };
    let mut tokens = name.clone();
    tokens["worker"] = json!(["metadata", "labels", crate::worker::WORKER_LABEL]);
    json!({
        "kind": "CustomResourceStateMetrics",
        "spec": {"resources": [
            ready("kustomize", "v1", "Kustomization"),
            ready("helm", "v2", "HelmRelease"),
            ready("source", "v1", "GitRepository"),
            {
                "groupVersionKind": {"group": "", "version": "v1", "kind": "Secret"},
                "metricNamePrefix": "",
                "labelsFromPath": tokens,
                "metrics": [{
                    "name": EXPIRES,
                    "help": "When the token ends by which Flux reaches a worker",
                    "each": {"type": "Gauge", "gauge": {
                        "path": ["metadata", "annotations"],
                        "valueFrom": [crate::worker::EXPIRES],
                        "nilIsZero": false,
                    }},
                }],
            },
        ]},
    })
}

fn labels() -> Value {
    json!({"app.kubernetes.io/managed-by": "kubectl-kubiya"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_watched_by_what_is_written_at_their_secrets() {
        let [rule, map] = prometheus_rules("monitoring");
        assert!(rule["spec"]["groups"][0]["rules"][1]["expr"].as_str().unwrap().contains(EXPIRES));
        let text = map["data"]["config.yaml"].as_str().unwrap();
        let config: Value = serde_yaml::from_str(text).unwrap();
        let secrets = &config["spec"]["resources"][3];
        assert_eq!(secrets["labelsFromPath"]["worker"][2], "kubiya.dev/worker");
        assert_eq!(secrets["metrics"][0]["each"]["gauge"]["valueFrom"][0], "kubiya.dev/expires");
        let alert = flux_alert("flux-system", "slack");
        assert_eq!(
            (&alert["spec"]["providerRef"]["name"], &alert["spec"]["eventSeverity"]),
            (&json!("slack"), &json!("error"))
        );
    }
}

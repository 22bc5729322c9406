//! The alerts on a real API server that knows their kinds: by definitions with the fields that the published ones have
//! (notification-controller's Alert v1beta3, prometheus-operator's PrometheusRule v1), told field by field, so that what is
//! misspelt or missing is refused.

use kubiya_testdata::harness::{Cluster, Rig, eventually};
use kubiya_testdata::parts::PartSet;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// The definitions go with the value, whatever the test came to.
struct Defined<'a>(Cluster<'a>);

impl Drop for Defined<'_> {
    fn drop(&mut self) {
        let names = ["alerts.notification.toolkit.fluxcd.io", "prometheusrules.monitoring.coreos.com"];
        let _ = self.0.kubectl([&["delete", "crd", "--ignore-not-found"][..], &names].concat());
    }
}

fn definition(group: &str, version: &str, kind: &str, spec: &Value) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    let text = json!({"type": "string"});
    let schema = json!({"type": "object", "required": ["spec"], "properties": {
        "apiVersion": text, "kind": text, "metadata": {"type": "object"}, "spec": spec,
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{
                "name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
    .to_string()
}

fn alert() -> String {
    let (text, texts) =
        (json!({"type": "string"}), json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let kinds = [
        "Bucket",
        "GitRepository",
        "Kustomization",
        "HelmRelease",
        "HelmChart",
        "HelmRepository",
        "OCIRepository",
    ];
    let source = json!({"type": "object", "required": ["kind", "name"], "properties": {
        "apiVersion": text, "kind": {"type": "string", "enum": kinds}, "matchLabels": texts,
        "name": {"type": "string", "minLength": 1}, "namespace": text,
    }});
    let provider = json!({"type": "object", "required": ["name"], "properties": {"name": text}});
    let list = |items: &Value| json!({"type": "array", "items": items});
    let spec = json!({"type": "object", "required": ["eventSources", "providerRef"], "properties": {
        "eventMetadata": texts, "eventSeverity": {"type": "string", "enum": ["info", "error"]},
        "eventSources": list(&source), "exclusionList": list(&text), "inclusionList": list(&text),
        "providerRef": provider, "suspend": {"type": "boolean"},
    }});
    definition("notification.toolkit.fluxcd.io", "v1beta3", "Alert", &spec)
}

fn prometheus_rule() -> String {
    let (text, texts) =
        (json!({"type": "string"}), json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let duration = json!({"type": "string", "pattern": "^(0|(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?)$"});
    let rule = json!({"type": "object", "required": ["expr"], "properties": {
        "alert": text, "annotations": texts, "expr": {"x-kubernetes-int-or-string": true}, "for": duration,
        "keep_firing_for": duration, "labels": texts, "record": text,
    }});
    let group = json!({"type": "object", "required": ["name"], "properties": {
        "interval": duration, "name": {"type": "string", "minLength": 1}, "rules": {"type": "array", "items": rule},
    }});
    let spec = json!({"type": "object", "properties": {"groups": {"type": "array", "items": group}}});
    definition("monitoring.coreos.com", "v1", "PrometheusRule", &spec)
}

#[test]
fn the_api_server_takes_the_alerts_and_refuses_what_it_does_not_know() {
    let rig = Rig::shared(PartSet::Test);
    // One of the definitions is of Flux, for which others look.
    let _turn = rig.flux_turn().unwrap();
    let hub = rig.hub();
    let namespace = rig.fresh_namespace().unwrap();
    let _defined = Defined(hub);
    hub.apply(&format!("{}\n---\n{}\n", alert(), prometheus_rule())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let taken = |text: &str| {
        let file = folder.path().join("manifests.yaml");
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", &file];
        let output = hub.kubectl(words).unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for words in [&["--print=alert", "--provider", "chat"][..], &["--print=prometheus"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kubiya"));
        let output = command.args(["policies", "-n", &namespace]).args(words).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&namespace), "{text}");
        eventually("it is taken", LONG, || {
            let (is_taken, said) = taken(&text);
            anyhow::ensure!(is_taken, "{said}");
            Ok(true)
        })
        .unwrap();
        // The test can fail: a field of another name is refused.
        for field in ["eventSeverity", "expr"] {
            let misspelt = text.replace(field, "misspelt");
            assert!(misspelt == text || !taken(&misspelt).0, "{misspelt}");
        }
    }
}

//! Contents that hide a value in plain sight, and their like that hold none.

use super::*;

/// The codes of what is refused.
fn refused(path: &str, text: &str) -> Vec<String> {
    refused_as(path, text, Role::File)
}

fn refused_as(path: &str, text: &str, role: Role) -> Vec<String> {
    let report = report(path, text.as_bytes(), None, role);
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.code.to_string()).collect()
}

#[test]
fn a_kind_or_version_with_a_default_is_what_it_becomes() {
    for head in [
        "apiVersion: ${V:=v1}\nkind: Secret",
        "apiVersion: v1\nkind: ${KIND:=Secret}",
        "apiVersion: v1\nkind: Secre${T:-t}",
        "apiVersion: /v1\nkind: Secret",
        "apiVersion: v1\nkind: {{ \"Secret\" }}",
    ] {
        let text = format!("{head}\nmetadata: {{name: a}}\ndata: {{x: aHVudGVyMg==}}\n");
        assert_eq!(refused("a.yaml", &text), ["KBY001"], "{head}");
    }
    for head in ["apiVersion: ${V:=example.com/v1}\nkind: Secret", "apiVersion: v1\nkind: ${K:=ConfigMap}"] {
        assert_eq!(refused("a.yaml", &format!("{head}\ndata: {{x: y}}\n")), [""; 0], "{head}");
    }
}

#[test]
fn what_was_applied_and_says_no_kind_is_taken_for_a_secret() {
    let applied = |body: &str| {
        let name = "kubectl.kubernetes.io/last-applied-configuration";
        refused(
            "a.yaml",
            &format!("apiVersion: v1\nkind: Secret\nmetadata:\n  annotations:\n    {name}: '{body}'\n"),
        )
    };
    assert_eq!(applied(r#"{"stringData":{"x":"hunter2"}}"#), ["KBY010"]);
    assert_eq!(applied(r#"{"metadata":{"name":"a"},"data":{"x":"aHVudGVyMg=="}}"#), ["KBY010"]);
    assert_eq!(applied(r#"{"data":{"x":"${X}"}}"#), [""; 0]);
    assert_eq!(applied(r#"{"kind":"ConfigMap","data":{"x":"y"}}"#), [""; 0]);
}

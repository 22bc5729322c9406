//! Admission policies against secrets in clear where they have no business, for the API server itself to judge: it sees
//! what is written past Git, which the hook cannot. Who writes is judged by `request.userInfo`: a field manager is only
//! the client's own claim.

use serde_json::{Value, json};

/// What the policies are to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySpec {
    /// Refuse, instead of a warning and a line in the audit log.
    pub deny: bool,
    /// Who may write Secrets, besides service accounts and the control plane.
    pub allowed_users: Vec<String>,
    /// Service accounts are judged like everybody; only those that are listed may write.
    pub strict: bool,
    /// The only namespaces that count; all where there is none.
    pub only_namespaces: Vec<String>,
    /// Namespaces that do not count.
    pub exempt_namespaces: Vec<String>,
}

/// Secrets of these types are written by programs as their trade: releases of Helm, tokens.
const BY_TRADE: [&str; 3] =
    ["helm.sh/release.v1", "kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"];

/// Policies and their bindings, in this order.
#[must_use]
pub fn policies(spec: &PolicySpec) -> Vec<Value> {
    let secrets = policy(
        spec,
        "kubiya-secrets-by-hand",
        "secrets",
        &secret_conditions(spec),
        &[(
            "false",
            "'this Secret was written by ' + request.userInfo.username + ', past Git: encrypt it with sops, and let Flux apply it'",
        )],
    );
    // What is in an entry decides, whatever its name is.
    let all = |test: &str| format!("!has(object.data) || object.data.all(key, {test})");
    let age = all("!object.data[key].contains('AGE-SECRET-KEY-')");
    let kubeconfig = all(
        "!(object.data[key].contains('client-key-data:') || (object.data[key].contains('users:') && object.data[key].contains('token:')))",
    );
    let config_maps = policy(
        spec,
        "kubiya-keys-in-configmaps",
        "configmaps",
        &[],
        &[
            (&age, "'a ConfigMap is no place for a private age key: everybody reads ConfigMaps'"),
            (
                &kubeconfig,
                "'a ConfigMap is no place for a kubeconfig with credentials: everybody reads ConfigMaps'",
            ),
        ],
    );
    [secrets, config_maps].into_iter().flatten().collect()
}

/// Who and what the policy on Secrets is not about.
fn secret_conditions(spec: &PolicySpec) -> Vec<Value> {
    let condition = |name: &str, expression: String| json!({"name": name, "expression": expression});
    let mut conditions = vec![
        condition("not-by-trade", format!("!has(object.type) || !(object.type in {})", list(&BY_TRADE))),
        condition(
            "not-the-control-plane",
            "!request.userInfo.username.startsWith('system:kube-')".to_owned(),
        ),
    ];
    if !spec.allowed_users.is_empty() {
        let users = list(&spec.allowed_users);
        conditions.push(condition("not-listed", format!("!(request.userInfo.username in {users})")));
    }
    if !spec.strict {
        let groups =
            "!has(request.userInfo.groups) || !('system:serviceaccounts' in request.userInfo.groups)";
        conditions.push(condition("not-a-service-account", groups.to_owned()));
    }
    conditions
}

/// A list of strings in CEL.
fn list<S: AsRef<str>>(texts: &[S]) -> String {
    let quoted = |text: &S| format!("'{}'", text.as_ref().replace('\\', "\\\\").replace('\'', "\\'"));
    format!("[{}]", texts.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

fn policy(
    spec: &PolicySpec,
    name: &str,
    resource: &str,
    conditions: &[Value],
    validations: &[(&str, &str)],
) -> [Value; 2] {
    let validations: Vec<Value> = validations
        .iter()
        .map(|(expression, message)| json!({"expression": expression, "messageExpression": message}))
        .collect();
    let labels = json!({"app.kubernetes.io/managed-by": "kubectl-kubiya"});
    // A policy that only warns must not stop anybody when it cannot be judged.
    let (failure, actions) =
        if spec.deny { ("Fail", json!(["Deny", "Audit"])) } else { ("Ignore", json!(["Warn", "Audit"])) };
    let mut selector = Vec::new();
    for (operator, names) in [("In", &spec.only_namespaces), ("NotIn", &spec.exempt_namespaces)] {
        if !names.is_empty() {
            selector
                .push(json!({"key": "kubernetes.io/metadata.name", "operator": operator, "values": names}));
        }
    }
    let rules = json!([{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource],
    }]);
    let (api_version, metadata) =
        ("admissionregistration.k8s.io/v1", json!({"name": name, "labels": labels}));
    let mut wanted = json!({
        "failurePolicy": failure,
        "matchConstraints": {"resourceRules": rules},
        "validations": validations,
    });
    // An empty list is not stored, and would be a difference at every look.
    if !conditions.is_empty() {
        wanted["matchConditions"] = conditions.into();
    }
    [
        json!({
            "apiVersion": api_version,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": metadata,
            "spec": wanted,
        }),
        json!({
            "apiVersion": api_version,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {
                "policyName": name,
                "validationActions": actions,
                "matchResources": {"namespaceSelector": {"matchExpressions": selector}},
            },
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_users_stay_texts() {
        assert_eq!(list(&["a", r"it's \ b"]), r"['a', 'it\'s \\ b']");
    }

    #[test]
    fn only_what_is_told_refuses() {
        let actions = |deny| {
            policies(&PolicySpec { deny, ..PolicySpec::default() })[1]["spec"]["validationActions"].clone()
        };
        assert_eq!(actions(false), json!(["Warn", "Audit"]));
        assert_eq!(actions(true), json!(["Deny", "Audit"]));
    }
}

//! What the lockdown for tenants breaks of what is in the repository.

use super::built::Built;
use kubiya_hook::edge::Failure;
use serde_json::Value;

/// Flux's kinds that act with the rights of a ServiceAccount.
const ACTING: [&str; 2] = ["Kustomization", "HelmRelease"];
/// Where Flux's objects refer to others.
const REFERENCES: [&str; 5] = [
    "/spec/sourceRef",
    "/spec/chart/spec/sourceRef",
    "/spec/chartRef",
    "/spec/imageRepositoryRef",
    "/spec/providerRef",
];

/// Why an object will not work any more, each way by itself.
pub(super) fn broken(file: &Built<'_>, document: &Value, sync_name: &str) -> Vec<Failure> {
    let api_version = document["apiVersion"].as_str().unwrap_or_default();
    let kind = document["kind"].as_str().unwrap_or_default();
    let metadata = &document["metadata"];
    let (name, namespace) = (metadata["name"].as_str().unwrap_or_default(), metadata["namespace"].as_str());
    let failure = |what: String| Failure::unverified(format!("{kind} {name}: {what}")).at(file.path.clone());
    let mut found = Vec::new();
    if api_version.contains(".toolkit.fluxcd.io/") {
        let references = REFERENCES.iter().filter_map(|path| document.pointer(path));
        let list = |path: &str| document.pointer(path).and_then(Value::as_array).into_iter().flatten();
        for reference in references.chain(list("/spec/dependsOn")).chain(list("/spec/eventSources")) {
            let there = reference["namespace"].as_str();
            if there.is_some() && there != namespace.or(Some(sync_name)) {
                let what = format!(
                    "it refers to {} in the namespace {}, which --multitenant forbids",
                    reference["name"].as_str().unwrap_or_default(),
                    there.unwrap_or_default()
                );
                found.push(failure(what).hint("give that namespace a source of its own"));
            }
        }
        let is_sync = name == sync_name && namespace.is_none_or(|namespace| namespace == sync_name);
        if ACTING.contains(&kind) && document["spec"]["serviceAccountName"].is_null() && !is_sync {
            let place = if document["spec"]["kubeConfig"].is_null() { "" } else { " on the worker" };
            let what = format!(
                "it names no serviceAccountName: with --multitenant it may do what `default` may{place}"
            );
            found.push(failure(what).hint("spec.serviceAccountName, and a RoleBinding for it"));
        }
    }
    found
}

/// A folder that is built on something outside of the repository.
pub(super) fn remote_base(folder: &str, url: &str) -> Failure {
    Failure::unverified(format!("its kustomization builds on {url}, which --multitenant forbids"))
        .at(folder.to_owned())
        .hint("copy it into the repository, or make it a GitRepository of its own")
}

//! Objects of the repository that are our own sync objects, or a Flux: from the first sync on, theirs count.

use super::built::Built;
use crate::flux::{SyncSpec, git_repository, kustomization};
use kubiya_hook::edge::Failure;
use serde_json::{Value, json};

/// The fields that must be the same in the repository; others are its own business.
const GIT_REPOSITORY: [&str; 6] = [
    "/spec/url",
    "/spec/ref/branch",
    "/spec/secretRef/name",
    "/spec/proxySecretRef/name",
    "/spec/provider",
    "/spec/verify/secretRef/name",
];
const KUSTOMIZATION: [&str; 5] = [
    "/spec/path",
    "/spec/sourceRef/name",
    "/spec/decryption/provider",
    "/spec/decryption/secretRef/name",
    "/spec/serviceAccountName",
];

/// What an object of the repository would change of the sync, with what to write there instead. `true` where it has
/// another value, which the first sync would put in place of ours; where it has none, ours stays.
pub(super) fn fight(file: &Built<'_>, document: &Value, sync: &SyncSpec) -> Option<(bool, Failure)> {
    let is = |kind: &str, group: &str| {
        document["kind"] == kind && document["apiVersion"].as_str().is_some_and(|v| v.starts_with(group))
    };
    let (wanted, fields) = if is("GitRepository", "source.toolkit.fluxcd.io/") {
        (git_repository(sync), &GIT_REPOSITORY[..])
    } else if is("Kustomization", "kustomize.toolkit.fluxcd.io/") {
        (kustomization(sync), &KUSTOMIZATION[..])
    } else {
        return None;
    };
    let metadata = &document["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or(&sync.namespace);
    if metadata["name"] != sync.namespace.as_str() || namespace != sync.namespace {
        return None;
    }
    let (mut differs, mut patch) = (Vec::new(), json!({}));
    let mut missing = Vec::new();
    for field in fields {
        let Some(ours) = wanted.data.pointer(field) else { continue };
        let theirs = document.pointer(field);
        if theirs.is_some_and(|theirs| same(theirs, ours)) {
            continue;
        }
        let name = field.trim_start_matches('/').replace('/', ".");
        if theirs.is_some() {
            differs.push(name);
        } else {
            missing.push(name);
        }
        put(&mut patch, field, ours);
    }
    if differs.is_empty() && missing.is_empty() {
        return None;
    }
    let kind = document["kind"].as_str().unwrap_or_default();
    let is_fight = !differs.is_empty();
    let what = if is_fight {
        format!(
            "{kind} {}: it has another {}, and would win at the first sync",
            sync.namespace,
            differs.join(", ")
        )
    } else {
        format!(
            "{kind} {}: it has no {}; what bootstrap sets stays only as long as nobody applies this file by other means",
            sync.namespace,
            missing.join(", ")
        )
    };
    // A map of strings always renders.
    let patch = serde_yaml::to_string(&patch).unwrap_or_default();
    let failure = Failure::unverified(what).at(file.path.clone());
    Some((is_fight, failure.hint(format!("write into {}:\n{}", file.path, patch.trim_end()))))
}

/// Equal, or the same path written in another way.
fn same(theirs: &Value, ours: &Value) -> bool {
    let path = |value: &Value| {
        value.as_str().map(|text| text.trim_start_matches("./").trim_end_matches('/').to_owned())
    };
    theirs == ours || (theirs.is_string() && path(theirs) == path(ours))
}

/// Sets a value at a JSON pointer, with the maps on the way.
fn put(into: &mut Value, pointer: &str, value: &Value) {
    let mut at = into;
    for key in pointer.trim_start_matches('/').split('/') {
        at = &mut at[key];
    }
    *at = value.clone();
}

/// A controller of Flux in the repository, as `flux bootstrap` puts it there.
pub(super) fn own_flux(file: &Built<'_>, document: &Value, sync: &SyncSpec) -> Option<Failure> {
    let metadata = &document["metadata"];
    let is_flux = document["kind"] == "Deployment"
        && metadata["name"] == "kustomize-controller"
        && metadata["namespace"].as_str().unwrap_or(&sync.namespace) == sync.namespace;
    is_flux.then(|| {
        Failure::unverified("the repository brings a Flux of its own, which counts from the first sync on")
            .at(file.path.clone())
            .hint("keep one of them: give its version by --flux-manifests, or take it out of the repository")
    })
}

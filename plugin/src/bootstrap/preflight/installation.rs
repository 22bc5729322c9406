//! The Flux that is there already: where, which version, who manages it, whether it stands still.

use crate::bootstrap::{Inputs, Live};
use crate::cluster::{ClusterError, Connection};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kubiya_hook::edge::Failure;
use std::collections::{BTreeMap, BTreeSet};

/// Labels of Flux's own manifests.
const FLUX: &str = "app.kubernetes.io/part-of=flux";
const VERSION: &str = "app.kubernetes.io/version";

/// What tells that somebody else keeps an object as it is: the beginning of a label's or annotation's name, who it is,
/// and what to do.
const MANAGERS: [(&str, &str, &str); 4] = [
    ("fluxcd.controlplane.io/", "flux-operator", "change its FluxInstance instead"),
    ("meta.helm.sh/release-name", "Helm", "upgrade its release instead, or: helm uninstall --keep-history …"),
    ("resources.gardener.cloud/", "Gardener", "change the Shoot instead"),
    ("argocd.argoproj.io/", "Argo CD", "change its Application instead"),
];

/// What is there of Flux.
#[derive(Debug, Default)]
pub(super) struct Installed {
    deployments: Vec<Deployment>,
    definitions: Vec<CustomResourceDefinition>,
}

/// Two requests, whatever there is.
///
/// # Errors
/// Those of the requests.
pub(super) async fn installed(hub: &Connection) -> Result<Installed, ClusterError> {
    let params = ListParams::default().labels(FLUX);
    let deployments: Api<Deployment> = Api::all(hub.client.clone());
    let definitions: Api<CustomResourceDefinition> = Api::all(hub.client.clone());
    let (deployments, definitions) = futures::join!(deployments.list(&params), definitions.list(&params));
    let failed = |what: &str, error: &kube::Error| ClusterError::of_request("list", what.to_owned(), error);
    Ok(Installed {
        deployments: deployments.map_err(|error| failed("Deployments of all namespaces", &error))?.items,
        definitions: definitions.map_err(|error| failed("CustomResourceDefinitions", &error))?.items,
    })
}

/// What stops this run, and what should be known. The first are problems unless the user said otherwise.
pub(super) fn judge(
    installed: &Installed,
    inputs: &Inputs,
    live: &Live,
    problems: &mut Vec<Failure>,
    warnings: &mut Vec<Failure>,
) {
    let namespace = &inputs.sync.namespace;
    let others: BTreeSet<&str> = namespaces(installed).filter(|found| found != namespace).collect();
    for other in others {
        problems.push(
            Failure::unverified(format!("Flux is already installed, in the namespace `{other}`"))
                .hint(format!("go on with that one: --namespace {other}"))
                .hint(format!("or remove it first: flux uninstall --namespace {other}")),
        );
    }
    for (manager, hint) in managers(installed) {
        let failure = Failure::unverified(format!(
            "the Flux that is there is managed by {manager}, which would undo this"
        ));
        if inputs.options.take_over {
            warnings.push(failure);
        } else {
            problems.push(failure.hint(hint).hint("--take-over if it no longer does so"));
        }
    }
    for suspended in &live.suspended {
        let failure = Failure::unverified(format!("{suspended} is suspended: Flux applies nothing"));
        problems.push(failure.hint(format!(
            "flux resume source git {namespace} -n {namespace}; flux resume kustomization {namespace} -n {namespace}"
        )));
    }
    versions(installed, inputs, problems, warnings);
    stored(installed, inputs, problems);
}

fn namespaces(installed: &Installed) -> impl Iterator<Item = &str> {
    installed.deployments.iter().filter_map(|found| found.metadata.namespace.as_deref())
}

fn managers(installed: &Installed) -> BTreeMap<&'static str, &'static str> {
    let mut found = BTreeMap::new();
    for deployment in &installed.deployments {
        let metadata = &deployment.metadata;
        let names = metadata.labels.iter().flatten().chain(metadata.annotations.iter().flatten());
        for (name, _) in names {
            let known = MANAGERS.iter().filter(|(prefix, ..)| name.starts_with(prefix));
            found.extend(known.map(|(_, manager, hint)| (*manager, *hint)));
        }
    }
    found
}

/// A downgrade is refused: a newer Flux may have stored what the older one cannot read.
fn versions(
    installed: &Installed,
    inputs: &Inputs,
    problems: &mut Vec<Failure>,
    warnings: &mut Vec<Failure>,
) {
    let Some(wanted) = inputs.flux.version.as_deref() else { return };
    let own = installed
        .deployments
        .iter()
        .filter(|found| found.metadata.namespace.as_deref() == Some(inputs.sync.namespace.as_str()));
    let there: BTreeSet<&str> = own
        .filter_map(|found| found.metadata.labels.as_ref()?.get(VERSION).map(String::as_str))
        .filter(|found| numbers(found) > numbers(wanted))
        .collect();
    for newer in there {
        let failure =
            Failure::unverified(format!("Flux {newer} is installed, and the manifests are of {wanted}"));
        if inputs.options.allow_downgrade {
            warnings.push(failure);
        } else {
            let hint = "give manifests that are as new: --flux-manifests, or --allow-downgrade";
            problems.push(failure.hint(hint));
        }
    }
}

/// The numbers of a version such as `v2.9.5`; a pre-release counts as its release.
fn numbers(version: &str) -> Vec<u64> {
    let release = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Versions in which objects may still be stored: the API server refuses a definition without them.
fn stored(installed: &Installed, inputs: &Inputs, problems: &mut Vec<Failure>) {
    for definition in &installed.definitions {
        let name = definition.metadata.name.as_deref().unwrap_or_default();
        let wanted = inputs.flux.objects.iter().find(|object| {
            object.metadata.name.as_deref() == Some(name)
                && object.types.as_ref().is_some_and(|types| types.kind == "CustomResourceDefinition")
        });
        let Some(wanted) = wanted else { continue };
        let versions: Vec<&str> = wanted.data["spec"]["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|version| version["name"].as_str())
            .collect();
        let stored = definition.status.iter().flat_map(|status| status.stored_versions.iter().flatten());
        let stale: Vec<&str> = stored.map(String::as_str).filter(|v| !versions.contains(v)).collect();
        if !stale.is_empty() {
            problems.push(
                Failure::unverified(format!(
                    "{name}: objects may still be stored as {}, which this Flux does not know",
                    stale.join(", ")
                ))
                .hint("flux migrate   # with the flux CLI that is as new as the manifests"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("v2.10.0") > numbers("v2.9.5"));
        assert!(numbers("v2.9.5") == numbers("2.9.5-rc.1"));
        assert!(numbers("v2.9.5") > numbers("v2.9"));
    }
}

//! What Flux applies to a worker: whether it can, and whether it arrived.

use super::finding::{Finding, State};
use super::said::meaning;
use crate::cluster::{ClusterError, Connection};
use crate::worker::delivered::{Applier, Item};
use crate::worker::hub::Hub;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::Api;

/// How many questions are under way at once.
const CONCURRENCY: usize = 8;

/// The Kustomizations and HelmReleases that are not ready, and what their messages mean.
pub(super) fn states(there: &[&Applier], findings: &mut Vec<Finding>) {
    for applier in there {
        let (ready, message) = applier.ready();
        let forced = applier.spec()["targetNamespace"].as_str();
        if applier.is_suspended() {
            let fix = format!(
                "flux resume {} {} -n {}",
                applier.kind.to_lowercase(),
                applier.name(),
                applier.namespace()
            );
            findings.push(Finding::warning(State::Suspended, applier.id(), "it is suspended", fix));
        } else if !ready {
            findings.push(match meaning(&message) {
                Some(meaning) => {
                    let patched = forced.filter(|name| {
                        meaning.state == State::NamespaceMissing && message.contains(&format!("\"{name}\""))
                    });
                    let fix = patched.map_or(meaning.fix, |name| {
                        format!("`targetNamespace: {name}` puts everything there, whatever the files say: remove it, or create that namespace on the worker")
                    });
                    Finding::error(meaning.state, applier.id(), message, fix)
                }
                None => Finding::error(
                    State::NotReady,
                    applier.id(),
                    message,
                    format!("kubectl -n {} describe {} {}", applier.namespace(), applier.kind.to_lowercase(), applier.name()),
                ),
            });
        } else if let Some(name) = forced {
            findings.push(Finding::warning(
                State::OnlyOnHub,
                applier.id(),
                format!(
                    "`targetNamespace: {name}` puts everything into that namespace, whatever the files say"
                ),
                "remove `spec.targetNamespace` if a patch has brought it in by mistake",
            ));
        }
    }
}

/// Kustomizations whose path or name says that they are for the worker, and that apply to the infra cluster.
pub(super) fn strays(worker: &str, all: &[Applier], findings: &mut Vec<Finding>) {
    for applier in all.iter().filter(|applier| applier.spec()["kubeConfig"].is_null()) {
        let path = applier.spec()["path"].as_str().unwrap_or_default();
        let named =
            path.split('/').any(|part| part == worker) || ends_of(applier.name()).any(|end| end == worker);
        if !named {
            continue;
        }
        // What a folder for a worker rightly puts on the infra cluster are Flux's own objects.
        let here: Vec<Item> =
            applier.inventory().into_iter().filter(|item| !item.group.ends_with(".fluxcd.io")).collect();
        let Some(example) = here.iter().find(|item| item.kind == "Secret").or(here.first()) else { continue };
        let text = format!(
            "it applies {} to the infra cluster ({} objects): it has no `spec.kubeConfig`",
            example.id(),
            here.len()
        );
        let fix = format!(
            "if it is for worker {worker}, add `kubeConfig: {{secretRef: {{name: {worker}-kubeconfig}}}}` to its spec, and delete what it left on the infra cluster"
        );
        findings.push(Finding::error(State::OnlyOnHub, applier.id(), text, fix));
    }
}

/// `apps-worker01` begins with `apps` and ends with `worker01`.
fn ends_of(name: &str) -> impl Iterator<Item = &str> {
    let parts = name.match_indices('-').flat_map(|(at, _)| [&name[..at], &name[at + 1..]]);
    parts.chain(std::iter::once(name))
}

/// Namespaces and Secrets that inventories name and that are not on the worker.
pub(super) async fn delivered(
    hub: &Hub,
    connection: &Connection,
    worker: &str,
    all: &[Applier],
    findings: &mut Vec<Finding>,
) -> Result<(), ClusterError> {
    let items = all.iter().filter(|applier| applier.goes_to(worker)).flat_map(|applier| {
        let looked_at =
            |item: &Item| item.group.is_empty() && matches!(item.kind.as_str(), "Namespace" | "Secret");
        applier.inventory().into_iter().filter(looked_at).map(move |item| (applier, item))
    });
    let found: Vec<Option<Finding>> = futures::stream::iter(items)
        .map(async |(applier, item)| look(hub, connection, applier, &item).await)
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    findings.extend(found.into_iter().flatten());
    Ok(())
}

async fn look(
    hub: &Hub,
    connection: &Connection,
    applier: &Applier,
    item: &Item,
) -> Result<Option<Finding>, ClusterError> {
    if !is_there(connection, item).await? {
        let on_hub = is_there(&hub.connection, item).await?;
        return Ok(Some(lost(&applier.id(), item, on_hub)));
    }
    let decrypts = !applier.spec()["decryption"].is_null();
    if decrypts || item.kind != "Secret" || !is_ciphertext(connection, item).await? {
        return Ok(None);
    }
    let text = format!("it has delivered {} as ciphertext: it has no `spec.decryption`", item.id());
    let fix = "add `decryption: {provider: sops, secretRef: {name: sops-age}}` to its spec";
    Ok(Some(Finding::error(State::Decryption, applier.id(), text, fix)))
}

/// Whether a Secret holds what sops wrote, in place of values. Flux without `spec.decryption` applies that as it
/// is, and calls it well (seen with kustomize-controller 1.9.4).
async fn is_ciphertext(connection: &Connection, item: &Item) -> Result<bool, ClusterError> {
    let api: Api<Secret> = Api::namespaced(connection.client.clone(), &item.namespace);
    let secret = match api.get_opt(&item.name).await {
        Ok(secret) => secret,
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        Err(error) => return Err(ClusterError::of_get(item.id(), &error)),
    };
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    Ok(data.values().any(|value| value.0.starts_with(b"ENC[AES256_GCM,")))
}

fn lost(applier: &str, item: &Item, on_hub: bool) -> Finding {
    let text = format!("it says that it has delivered {}, which is not on the worker", item.id());
    if on_hub {
        let fix = "it is on the infra cluster: was `kubeConfig` added later, or is it patched away? Reconcile, and delete what is left on the infra cluster";
        return Finding::error(State::OnlyOnHub, applier, text, fix);
    }
    Finding::error(
        State::NotDelivered,
        applier,
        text,
        "it was deleted there; Flux puts it back: flux reconcile kustomization NAME",
    )
}

/// Whether an object is there. What we may not see counts as there: it is no finding of ours.
async fn is_there(connection: &Connection, item: &Item) -> Result<bool, ClusterError> {
    let client = connection.client.clone();
    let found = if item.kind == "Namespace" {
        Api::<Namespace>::all(client).get_metadata_opt(&item.name).await.map(|found| found.is_some())
    } else {
        // Its metadata: no value leaves the worker.
        Api::<Secret>::namespaced(client, &item.namespace)
            .get_metadata_opt(&item.name)
            .await
            .map(|found| found.is_some())
    };
    match found {
        Ok(found) => Ok(found),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(true),
        Err(error) => Err(ClusterError::of_get(item.id(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::dynamic;
    use serde_json::{Value, json};

    fn kustomization(name: &str, spec: &Value, entries: &[&str]) -> Applier {
        let entries: Vec<Value> = entries.iter().map(|id| json!({"id": id, "v": "v1"})).collect();
        let object = dynamic(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "flux-system"},
            "spec": spec, "status": {"inventory": {"entries": entries}},
        }));
        Applier { object, kind: "Kustomization" }
    }

    #[test]
    fn what_is_named_for_a_worker_and_stays_on_the_hub_is_found() {
        let secrets = ["default_db__Secret", "default_c__ConfigMap"];
        let found = |applier: Applier| {
            let mut findings = Vec::new();
            strays("worker01", &[applier], &mut findings);
            findings.into_iter().map(|finding| finding.text).collect::<Vec<_>>()
        };
        let by_path = found(kustomization("a", &json!({"path": "./apps/worker01/db"}), &secrets));
        assert!(
            by_path[0].contains("applies Secret default/db to the infra cluster (2 objects)"),
            "{by_path:?}"
        );
        assert_eq!(found(kustomization("apps-worker01", &json!({"path": "./apps"}), &secrets)).len(), 1);
        for fine in [
            kustomization("apps", &json!({"path": "./apps/worker010"}), &secrets),
            kustomization(
                "a",
                &json!({"path": "./worker01", "kubeConfig": {"secretRef": {"name": "x"}}}),
                &secrets,
            ),
            kustomization(
                "a",
                &json!({"path": "./worker01"}),
                &["flux-system_apps_kustomize.toolkit.fluxcd.io_Kustomization"],
            ),
        ] {
            assert_eq!(found(fine), Vec::<String>::new());
        }
    }
}

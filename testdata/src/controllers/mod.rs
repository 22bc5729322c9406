//! Flux's controllers as processes that come and go with their Deployments.
//!
//! kwok plays the pods of these Deployments but runs nothing in them. Here the program that a pod would
//! run is started as a process instead, with the Deployment's own arguments and with no more rights than
//! its ServiceAccount has, so that the order of an installation, its RBAC and its flags are really tested.

mod arguments;
mod guest;

use crate::objects;
use crate::parts::{CONTROLLERS, Toolbox};
use crate::rig::cluster::Cluster;
use crate::rig::kubeconfig;
use crate::rig::process::Processes;
use anyhow::Result;
use guest::{Guest, Host};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Container;
use kube::api::Api;
use std::path::Path;
use std::sync::Arc;

/// Starts and stops controllers for as long as it is polled.
///
/// # Errors
/// When the hub cannot be reached to begin with.
pub(crate) async fn run(hub: &Cluster, toolbox: &Toolbox, processes: &Processes, run: &Path) -> Result<()> {
    let client = kubeconfig::client(&hub.kubeconfig).await?;
    let host = Arc::new(Host {
        client: client.clone(),
        server: hub.server.clone(),
        ca: hub.ca().to_owned(),
        bin: toolbox.bin.clone(),
        processes: processes.clone(),
        dir: run.join("controllers"),
    });
    objects::each(Api::<Deployment>::all(client), wanted, move |key, wanted| {
        guest::keep(host.clone(), key, wanted)
    })
    .await
}

/// The process that a Deployment asks for, if it is one of Flux's that is to run.
fn wanted(deployment: &Deployment) -> Option<Guest> {
    let spec = &deployment.spec;
    if spec.replicas == Some(0) || deployment.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let pod = spec.template.spec.as_ref()?;
    let container =
        pod.containers.iter().find(|container| container.name == "manager").or(pod.containers.first())?;
    Some(Guest {
        program: program(deployment.metadata.name.as_deref()?, container)?,
        arguments: container.args.clone().unwrap_or_default(),
        service_account: pod.service_account_name.clone().unwrap_or_else(|| "default".into()),
        // As a new pod template makes new pods, whatever changed in it.
        template: serde_json::to_value(&spec.template).ok()?,
    })
}

/// Which of Flux's controllers it is: by its image, or by the Deployment's name where the image has
/// been renamed.
fn program(deployment: &str, container: &Container) -> Option<&'static str> {
    let image = container.image.as_deref().unwrap_or_default();
    let base = image.rsplit('/').next().unwrap_or_default();
    let base = base.split(['@', ':']).next().unwrap_or_default();
    CONTROLLERS.iter().copied().find(|name| *name == base || *name == deployment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn deployment(name: &str, image: &str, replicas: &Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "flux-system"},
            "spec": {
                "replicas": replicas,
                "selector": {},
                "template": {"spec": {
                    "serviceAccountName": name,
                    "containers": [
                        {"name": "sidecar", "image": "proxy"},
                        {"name": "manager", "image": image, "args": ["--log-level=info"]},
                    ],
                }},
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_controller_is_known_by_its_image_or_its_name() {
        let of = |name, image| wanted(&deployment(name, image, &json!(1))).map(|guest| guest.program);
        let pinned = "mirror.example.com:5000/fluxcd/kustomize-controller:v1@sha256:00";
        assert_eq!(of("kc", pinned), Some("kustomize-controller"));
        assert_eq!(of("helm-controller", "mirror.example.com/renamed"), Some("helm-controller"));
        assert_eq!(of("podinfo", "mirror.example.com/podinfo:6"), None);
    }

    #[test]
    fn no_replicas_no_process_but_no_number_means_one() {
        let of = |replicas| wanted(&deployment("source-controller", "x", &replicas));
        assert!(of(json!(0)).is_none());
        assert_eq!(of(Value::Null).unwrap().arguments, ["--log-level=info"]);
        assert_eq!(of(json!(1)).unwrap().service_account, "source-controller");
    }
}

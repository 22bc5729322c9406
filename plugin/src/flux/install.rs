//! How Flux is installed where its own manifests do not fit: among tenants, behind a mirror, a proxy or a certificate
//! authority of one's own, on OpenShift. Manifests in, manifests out.

use crate::cluster::dynamic;
use kube::api::DynamicObject;
use serde_json::{Value, json};

/// Where Flux's own images are.
const REGISTRY: &str = "ghcr.io/fluxcd";
/// The ServiceAccount of those who name none, when there are tenants: it may do nothing until somebody lets it.
const TENANT_ACCOUNT: &str = "default";
/// The ConfigMap with certificates for the controllers, and where they see it.
const CERTIFICATES: &str = "kubiya-ca-certificates";
const CERTIFICATES_AT: &str = "/etc/kubiya/ca-certificates";
const CERTIFICATES_ENTRY: &str = "ca.crt";
/// What a proxy cannot reach: the cluster's own services, as Flux's documentation lists them.
const NO_PROXY: &str = ".cluster.local.,.cluster.local,.svc";

/// What is to be different from Flux's own manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstallOptions {
    /// Tenants are kept apart: no references across namespaces, no remote bases, no rights but those of a
    /// ServiceAccount that is named.
    pub multitenant: bool,
    /// Registry and folder with the controllers' images.
    pub registry: Option<String>,
    /// Name of the Secret by which images are pulled.
    pub image_pull_secret: Option<String>,
    /// The proxy of the controllers.
    pub proxy: Option<String>,
    /// What they reach without it, besides the cluster itself.
    pub no_proxy: Option<String>,
    /// Certificates (PEM) that the controllers trust besides those of their images.
    pub certificates: Option<String>,
    /// Leave to OpenShift which user and group the pods have.
    pub openshift: bool,
}

impl InstallOptions {
    /// The ServiceAccount of the sync itself, which brings what the platform's own people wrote.
    #[must_use]
    pub fn sync_account(&self) -> Option<String> {
        self.multitenant.then(|| "kustomize-controller".to_owned())
    }

    /// The objects of an installation as they are to be.
    #[must_use]
    pub fn apply(&self, objects: Vec<DynamicObject>, namespace: &str) -> Vec<DynamicObject> {
        let mut objects: Vec<DynamicObject> =
            objects.into_iter().map(|object| self.adapted(object)).collect();
        if let Some(certificates) = &self.certificates {
            objects.push(dynamic(json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": CERTIFICATES,
                    "namespace": namespace,
                    "labels": {"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/instance": namespace},
                },
                "data": {CERTIFICATES_ENTRY: certificates},
            })));
        }
        objects
    }

    fn adapted(&self, mut object: DynamicObject) -> DynamicObject {
        let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
        if kind != "Deployment" {
            return object;
        }
        let name = object.metadata.name.clone().unwrap_or_default();
        let pod = &mut object.data["spec"]["template"]["spec"];
        if let Some(secret) = &self.image_pull_secret {
            put(pod, "imagePullSecrets", "name", &json!({"name": secret}));
        }
        if self.certificates.is_some() {
            put(pod, "volumes", "name", &json!({"name": CERTIFICATES, "configMap": {"name": CERTIFICATES}}));
        }
        if self.openshift {
            // Its restricted-v2 gives a namespace users and groups of its own, and refuses others.
            for path in ["fsGroup", "runAsUser", "runAsGroup"] {
                remove(&mut pod["securityContext"], path);
            }
        }
        for container in pod["containers"].as_array_mut().into_iter().flatten() {
            self.adapt_container(&name, container);
        }
        object
    }

    fn adapt_container(&self, controller: &str, container: &mut Value) {
        if let (Some(registry), Some(image)) = (&self.registry, container["image"].as_str()) {
            container["image"] = in_registry(image, registry).into();
        }
        if let Some(proxy) = &self.proxy {
            let no_proxy = match &self.no_proxy {
                Some(more) => format!("{NO_PROXY},{more}"),
                None => NO_PROXY.to_owned(),
            };
            for (name, value) in [("HTTPS_PROXY", proxy), ("HTTP_PROXY", proxy), ("NO_PROXY", &no_proxy)] {
                put(container, "env", "name", &json!({"name": name, "value": value}));
            }
        }
        if self.certificates.is_some() {
            // Go reads these folders besides the file of the image.
            put(container, "env", "name", &json!({"name": "SSL_CERT_DIR", "value": CERTIFICATES_AT}));
            let mount = json!({"name": CERTIFICATES, "mountPath": CERTIFICATES_AT, "readOnly": true});
            put(container, "volumeMounts", "name", &mount);
        }
        if self.openshift {
            for path in ["runAsUser", "runAsGroup"] {
                remove(&mut container["securityContext"], path);
            }
        }
        if self.multitenant {
            for argument in lockdown(controller) {
                flag(container, &argument);
            }
        }
    }
}

/// The arguments that keep tenants apart, as Flux's documentation has them for each controller.
fn lockdown(controller: &str) -> Vec<String> {
    let account = |kind: &str| format!("--default-{kind}service-account={TENANT_ACCOUNT}");
    let mut arguments = Vec::new();
    if ["kustomize", "helm", "notification", "image-reflector", "image-automation"]
        .iter()
        .any(|name| controller == format!("{name}-controller"))
    {
        arguments.push("--no-cross-namespace-refs=true".to_owned());
    }
    if controller == "kustomize-controller" {
        arguments.push("--no-remote-bases=true".to_owned());
    }
    if controller == "kustomize-controller" || controller == "helm-controller" {
        arguments.push(account(""));
    }
    arguments
}

/// An image of Flux in another registry; others stay where they are.
fn in_registry(image: &str, registry: &str) -> String {
    match image.strip_prefix(REGISTRY).and_then(|rest| rest.strip_prefix('/')) {
        Some(name) => format!("{}/{name}", registry.trim_end_matches('/')),
        None => image.to_owned(),
    }
}

/// Puts an item into a list, in place of one of the same name.
fn put(parent: &mut Value, list: &str, key: &str, item: &Value) {
    if !parent[list].is_array() {
        parent[list] = json!([]);
    }
    let Some(items) = parent[list].as_array_mut() else { return };
    items.retain(|found| found[key] != item[key]);
    items.push(item.clone());
}

/// Sets an argument, in place of the same one with another value.
fn flag(container: &mut Value, argument: &str) {
    if !container["args"].is_array() {
        container["args"] = json!([]);
    }
    let Some(all) = container["args"].as_array_mut() else { return };
    let name = argument.split('=').next().unwrap_or_default();
    all.retain(|found| found.as_str().is_none_or(|found| found.split('=').next() != Some(name)));
    all.push(argument.into());
}

fn remove(object: &mut Value, key: &str) {
    object.as_object_mut().map(|map| map.remove(key));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(name: &str) -> DynamicObject {
        dynamic(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "flux-system"},
            "spec": {"template": {"spec": {
                "containers": [{"name": "manager", "image": format!("ghcr.io/fluxcd/{name}:v1"),
                    "args": ["--log-level=info", "--no-remote-bases=false"],
                    "securityContext": {"runAsNonRoot": true}}],
                "securityContext": {"fsGroup": 1337},
            }}},
        }))
    }

    fn pod(options: &InstallOptions, name: &str) -> Value {
        options.apply(vec![deployment(name)], "flux-system")[0].data["spec"]["template"]["spec"].clone()
    }

    #[test]
    fn nothing_is_changed_unless_it_is_asked_for() {
        let objects = vec![deployment("kustomize-controller")];
        assert_eq!(InstallOptions::default().apply(objects.clone(), "flux-system"), objects);
    }

    #[test]
    fn tenants_are_kept_apart_by_the_arguments_of_each_controller() {
        let options = InstallOptions { multitenant: true, ..InstallOptions::default() };
        let arguments = |name: &str| pod(&options, name)["containers"][0]["args"].clone();
        assert_eq!(
            arguments("kustomize-controller"),
            json!([
                "--log-level=info",
                "--no-cross-namespace-refs=true",
                "--no-remote-bases=true",
                "--default-service-account=default"
            ])
        );
        let helm = arguments("helm-controller").to_string();
        assert!(
            helm.contains("--default-service-account=default") && helm.contains("--no-remote-bases=false")
        );
        assert!(!arguments("source-controller").to_string().contains("cross-namespace"));
        assert_eq!(options.sync_account().as_deref(), Some("kustomize-controller"));
    }

    #[test]
    fn images_come_from_the_mirror_and_controllers_go_through_the_proxy() {
        let options = InstallOptions {
            registry: Some("mirror.example.com:5000/flux/".to_owned()),
            image_pull_secret: Some("mirror".to_owned()),
            proxy: Some("http://proxy:3128".to_owned()),
            no_proxy: Some("10.0.0.0/8".to_owned()),
            certificates: Some("PEM".to_owned()),
            openshift: true,
            ..InstallOptions::default()
        };
        let pod = pod(&options, "source-controller");
        let container = &pod["containers"][0];
        assert_eq!(container["image"], "mirror.example.com:5000/flux/source-controller:v1");
        assert_eq!(in_registry("docker.io/other:v1", "mirror"), "docker.io/other:v1");
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "mirror"}]));
        let environment = container["env"].to_string();
        assert!(
            environment.contains(r#"{"name":"HTTPS_PROXY","value":"http://proxy:3128"}"#),
            "{environment}"
        );
        assert!(environment.contains(".svc,10.0.0.0/8"), "{environment}");
        assert_eq!(container["volumeMounts"][0]["mountPath"], CERTIFICATES_AT);
        assert_eq!(pod["securityContext"], json!({}));
        assert_eq!(container["securityContext"], json!({"runAsNonRoot": true}));
        let all = options.apply(vec![deployment("source-controller")], "flux-system");
        assert_eq!((all.len(), &all[1].data["data"]["ca.crt"]), (2, &json!("PEM")));
    }
}

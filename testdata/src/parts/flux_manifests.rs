//! Flux's install manifest, rendered from the published sources of its controllers.
//!
//! Flux's command line tool embeds rendered manifests that are not in its module, and then lays one
//! kustomization over them. Both steps are described here as kustomizations of our own over the same
//! files, so that the manifest can be had without building the tool. A test compares the two.

use super::{Cache, go, go::Pin};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of Flux that the manifests are of.
pub const FLUX_VERSION: &str = "v2.9.5";

/// The controllers whose manifests are rendered, in the order in which Flux lists them.
pub const CONTROLLERS: &[&str] = &["source-controller", "kustomize-controller", "helm-controller"];

const NAMESPACE: &str = "flux-system";

const DISTRIBUTION: Pin = Pin {
    module: "github.com/fluxcd/flux2/v2",
    version: FLUX_VERSION,
    sum: "h1:jwCccxvkD+2QnsjN+pl5QqM8KnFUwA8pIoQ1Lf0avkA=",
};

const SOURCES: &[(&str, Pin)] = &[
    (
        "source-controller",
        Pin {
            module: "github.com/fluxcd/source-controller",
            version: "v1.9.6",
            sum: "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
        },
    ),
    (
        "kustomize-controller",
        Pin {
            module: "github.com/fluxcd/kustomize-controller",
            version: "v1.9.4",
            sum: "h1:VBnBMhnemqnE5Zca2AoG2gC4472MoiTmk9rdqvLoMcY=",
        },
    ),
    (
        "helm-controller",
        Pin {
            module: "github.com/fluxcd/helm-controller",
            version: "v1.6.4",
            sum: "h1:u/Ew7LehrwDQaE/NqWdaB3XnNDCxRGDcp1FZl7RKj4g=",
        },
    ),
];

/// All pins of this file, for the key of the cache.
pub(super) fn pins() -> impl Iterator<Item = &'static Pin> {
    std::iter::once(&DISTRIBUTION).chain(SOURCES.iter().map(|(_, pin)| pin))
}

/// Where the rendered parts are that Flux's tool embeds.
pub(super) fn embedded(cache: &Cache) -> PathBuf {
    cache.dir().join("flux/embedded")
}

/// Where the install manifest with these controllers is.
pub(super) fn install_manifest(cache: &Cache, set: &str) -> PathBuf {
    cache.dir().join(format!("flux/flux-manifests-{set}.yaml"))
}

/// Renders what Flux's release bundling renders: one file for each controller, `rbac.yaml` and
/// `policies.yaml`.
pub(super) fn render_embedded(cache: &Cache) -> Result<()> {
    let scratch = cache.scratch()?;
    let distribution = go::download(scratch.path(), &DISTRIBUTION)?.join("manifests");
    let made = scratch.path().join("embedded");
    fs::create_dir(&made)?;
    for (name, pin) in SOURCES {
        let source = go::download(scratch.path(), pin)?;
        let dir = scratch.path().join(name);
        copy_files(&source.join("config/crd"), &dir.join("crd"))?;
        copy_files(&source.join("config/manager"), &dir.join("manager"))?;
        copy_files(&distribution.join("bases").join(name), &dir)?;
        write(&dir.join("kustomization.yaml"), &controller(name))?;
        fs::write(made.join(format!("{name}.yaml")), kustomize(cache, &dir)?)?;
    }
    for part in ["rbac", "policies"] {
        let dir = scratch.path().join(part);
        copy_files(&distribution.join(part), &dir)?;
        fs::write(made.join(format!("{part}.yaml")), kustomize(cache, &dir)?)?;
    }
    let target = embedded(cache);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(&made, &target).with_context(|| format!("cannot put {} in place", target.display()))
}

/// One controller: its CRDs and Deployment, Flux's account, labels and patch.
fn controller(name: &str) -> Value {
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["crd", "manager", "account.yaml"],
        "transformers": ["labels.yaml"],
        "patches": [{"target": deployment(name), "path": "patch.yaml"}],
    })
}

fn deployment(name: &str) -> Value {
    json!({"group": "apps", "version": "v1", "kind": "Deployment", "name": name})
}

/// Assembles the install manifest with these controllers from the rendered parts.
pub(super) fn assemble(cache: &Cache, set: &str, controllers: &[&str]) -> Result<()> {
    let scratch = cache.scratch()?;
    let dir = scratch.path().join("install");
    let parts = embedded(cache);
    fs::create_dir_all(dir.join("roles"))?;
    fs::copy(parts.join("rbac.yaml"), dir.join("roles/rbac.yaml"))?;
    fs::copy(parts.join("policies.yaml"), dir.join("policies.yaml"))?;
    for name in controllers {
        let file = format!("{name}.yaml");
        fs::copy(parts.join(&file), dir.join(&file))?;
    }
    write(&dir.join("roles/kustomization.yaml"), &roles())?;
    write(&dir.join("namespace.yaml"), &namespace())?;
    write(&dir.join("labels.yaml"), &labels())?;
    write(&dir.join("kustomization.yaml"), &install(controllers))?;
    let rendered = kustomize(cache, &dir)?;

    let target = install_manifest(cache, set);
    let whole = scratch.path().join("manifest.yaml");
    let header = format!("---\n# Flux Version: {FLUX_VERSION}\n# Components: {}\n", controllers.join(","));
    fs::write(&whole, [header.as_bytes(), &rendered].concat())?;
    fs::rename(&whole, &target).with_context(|| format!("cannot put {} in place", target.display()))
}

/// The cluster-wide roles carry the namespace in their names, so that two installations can coexist.
fn roles() -> Value {
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "nameSuffix": format!("-{NAMESPACE}"),
        "resources": ["rbac.yaml"],
    })
}

fn namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {
            "pod-security.kubernetes.io/warn": "restricted",
            "pod-security.kubernetes.io/warn-version": "latest",
        }},
    })
}

fn labels() -> Value {
    json!({
        "apiVersion": "builtin",
        "kind": "LabelTransformer",
        "metadata": {"name": "labels"},
        "labels": {
            "app.kubernetes.io/instance": NAMESPACE,
            "app.kubernetes.io/version": FLUX_VERSION,
            "app.kubernetes.io/part-of": "flux",
        },
        "fieldSpecs": [
            {"path": "metadata/labels", "create": true},
            {"kind": "Deployment", "path": "spec/template/metadata/labels", "create": true},
        ],
    })
}

/// What `flux install` does with its default options, but without notification-controller.
fn install(controllers: &[&str]) -> Value {
    let node_selector = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "all"},
        "spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}},
    });
    let mut patches = vec![json!({"target": {"kind": "Deployment"}, "patch": node_selector.to_string()})];
    patches.extend(controllers.iter().map(|name| {
        let mut arguments = vec!["--events-addr=", "--watch-all-namespaces=true", "--log-level=info"]
            .into_iter()
            .enumerate()
            .map(|(index, value)| replace_argument(index, value))
            .collect::<Vec<_>>();
        if *name == "source-controller" {
            let address = format!("--storage-adv-addr={name}.$(RUNTIME_NAMESPACE).svc.cluster.local.");
            arguments.push(replace_argument(6, &address));
        }
        json!({"target": deployment(name), "patch": Value::Array(arguments).to_string()})
    }));
    let mut resources = vec!["namespace.yaml".to_owned(), "policies.yaml".into(), "roles".into()];
    resources.extend(controllers.iter().map(|name| format!("{name}.yaml")));
    let images = controllers
        .iter()
        .map(|name| json!({"name": format!("fluxcd/{name}"), "newName": format!("ghcr.io/fluxcd/{name}")}));
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "transformers": ["labels.yaml"],
        "resources": resources,
        "patches": patches,
        "images": images.collect::<Vec<_>>(),
    })
}

fn replace_argument(index: usize, value: &str) -> Value {
    let path = format!("/spec/template/spec/containers/0/args/{index}");
    json!({"op": "replace", "path": path, "value": value})
}

/// Runs the kustomize inside kubectl on a folder.
fn kustomize(cache: &Cache, dir: &Path) -> Result<Vec<u8>> {
    let output = Command::new(cache.bin().join("kubectl"))
        .args(["kustomize", "--load-restrictor", "LoadRestrictionsNone"])
        .arg(dir)
        .env_clear()
        .env("HOME", dir)
        .output()
        .context("cannot run kubectl")?;
    if !output.status.success() {
        bail!("kubectl kustomize {}: {}", dir.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Copies a folder. The files of Go's module cache are read-only; the copies are not.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else {
            fs::write(target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn write(path: &Path, value: &Value) -> Result<()> {
    fs::write(path, serde_json::to_vec_pretty(value)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

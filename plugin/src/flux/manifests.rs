//! Flux's install manifests: from a file, a folder, a URL or the flux CLI, and proof that they are Flux's.

use kube::api::DynamicObject;
use serde::Deserialize as _;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The most that is read of manifests: Flux's own are under 1 MiB.
const MAX_BYTES: u64 = 16 << 20;

/// Definitions without which it is no Flux that could sync a repository.
const NEEDED_DEFINITIONS: [&str; 2] =
    ["gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"];
/// Controllers without which nothing would be synced.
const NEEDED_CONTROLLERS: [&str; 2] = ["source-controller", "kustomize-controller"];

/// Where the manifests come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestSource {
    /// A file.
    File(PathBuf),
    /// The `.yaml`, `.yml` and `.json` files of a folder, in the order of their names.
    Folder(PathBuf),
    /// A URL; its content must have the given SHA-256.
    Url {
        /// The URL.
        url: String,
        /// Lower-case hex.
        sha256: Option<String>,
    },
    /// `flux install --export` of the flux CLI on `PATH`.
    FluxCli,
}

/// Why manifests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file or folder cannot be read.
    #[error("{}: cannot read Flux's manifests", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder has no manifest.
    #[error("{}: no .yaml, .yml or .json file in this folder", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The download failed.
    #[error("cannot download Flux's manifests from {url}: {reason}")]
    Download {
        /// The URL.
        url: String,
        /// Why.
        reason: String,
    },
    /// The download has no checksum to be compared with.
    #[error("{url}: a download is used only with the checksum it must have")]
    Unpinned {
        /// The URL.
        url: String,
        /// The checksum of what was downloaded now.
        found: String,
    },
    /// The download is not what was asked for.
    #[error("{url}: the checksum is {found}, not {wanted}")]
    WrongChecksum {
        /// The URL.
        url: String,
        /// The checksum found.
        found: String,
        /// The checksum wanted.
        wanted: String,
    },
    /// The flux CLI is not there.
    #[error("no manifests of Flux: --flux-manifests is not given, and the flux CLI is not on PATH")]
    NoFluxCli,
    /// The flux CLI failed.
    #[error("`flux install --export` failed: {reason}")]
    FluxCli {
        /// The last lines of its stderr, or why it could not be run.
        reason: String,
    },
    /// Not YAML, or a document that is no object.
    #[error("{place}: not a Kubernetes manifest: {reason}")]
    NotManifest {
        /// File or URL, and the document.
        place: String,
        /// Why.
        reason: String,
    },
    /// Kubernetes objects, but not Flux.
    #[error("{place}: this is not an install manifest of Flux: {}", missing.join(", "))]
    NotFlux {
        /// File or URL.
        place: String,
        /// What is missing.
        missing: Vec<String>,
    },
    /// Flux for another namespace.
    #[error("{place}: these manifests install Flux into `{found}`, not into `{wanted}`")]
    OtherNamespace {
        /// File or URL.
        place: String,
        /// The namespace in the manifests.
        found: String,
        /// The namespace asked for.
        wanted: String,
    },
}

/// Flux, ready to be applied.
#[derive(Clone, Debug)]
pub struct InstallManifests {
    /// The objects, in the order of the source.
    pub objects: Vec<DynamicObject>,
    /// Flux's version by the objects' own labels.
    pub version: Option<String>,
}

impl ManifestSource {
    /// Reads and checks the manifests.
    ///
    /// # Errors
    /// What cannot be read, what is not YAML, what is not Flux, what is for another namespace.
    pub fn load(&self, namespace: &str) -> Result<InstallManifests, ManifestError> {
        let mut objects = Vec::new();
        for (place, text) in self.read(namespace)? {
            parse(&place, &text, &mut objects)?;
        }
        check(&self.place(), objects, namespace)
    }

    fn place(&self) -> String {
        match self {
            ManifestSource::File(path) | ManifestSource::Folder(path) => path.display().to_string(),
            ManifestSource::Url { url, .. } => url.clone(),
            ManifestSource::FluxCli => "flux install --export".to_owned(),
        }
    }

    fn read(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, ManifestError> {
        match self {
            ManifestSource::File(path) => Ok(vec![(self.place(), read_file(path)?)]),
            ManifestSource::Folder(path) => read_folder(path),
            ManifestSource::Url { url, sha256 } => {
                Ok(vec![(self.place(), download(url, sha256.as_deref())?)])
            }
            ManifestSource::FluxCli => Ok(vec![(self.place(), flux_export(namespace)?)]),
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, ManifestError> {
    std::fs::read(path).map_err(|source| ManifestError::Read { path: path.to_owned(), source })
}

fn read_folder(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, ManifestError> {
    let failed = |source| ManifestError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_manifest = path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if is_manifest && path.file_stem().is_some_and(|stem| stem != "kustomization") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(ManifestError::EmptyFolder { path: folder.to_owned() });
    }
    paths.sort();
    paths.into_iter().map(|path| Ok((path.display().to_string(), read_file(&path)?))).collect()
}

fn download(url: &str, sha256: Option<&str>) -> Result<Vec<u8>, ManifestError> {
    let failed =
        |error: ureq::Error| ManifestError::Download { url: url.to_owned(), reason: error.to_string() };
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).build().into();
    let mut response = agent.get(url).call().map_err(failed)?;
    let bytes = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec().map_err(failed)?;
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    match sha256 {
        None => Err(ManifestError::Unpinned { url: url.to_owned(), found }),
        Some(wanted) if !wanted.eq_ignore_ascii_case(&found) => {
            Err(ManifestError::WrongChecksum { url: url.to_owned(), found, wanted: wanted.to_owned() })
        }
        Some(_) => Ok(bytes),
    }
}

fn flux_export(namespace: &str) -> Result<Vec<u8>, ManifestError> {
    let output = Command::new("flux").args(["install", "--export", "--namespace", namespace]).output();
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ManifestError::NoFluxCli,
        _ => ManifestError::FluxCli { reason: error.to_string() },
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = stderr.trim_end().lines().rev().take(3).collect();
    Err(ManifestError::FluxCli { reason: last.into_iter().rev().collect::<Vec<_>>().join("\n") })
}

/// Reads every document of a stream; the items of a List count as objects of their own.
fn parse(place: &str, bytes: &[u8], objects: &mut Vec<DynamicObject>) -> Result<(), ManifestError> {
    let broken = |document: usize, reason: String| ManifestError::NotManifest {
        place: format!("{place} (document {document})"),
        reason,
    };
    let text = std::str::from_utf8(bytes).map_err(|error| broken(1, error.to_string()))?;
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let value = serde_json::Value::deserialize(document).map_err(|e| broken(index + 1, e.to_string()))?;
        if value.is_null() {
            continue;
        }
        let items = match value["items"].as_array() {
            Some(items) if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.clone(),
            _ => vec![value],
        };
        for item in items {
            objects.push(object(item).map_err(|reason| broken(index + 1, reason))?);
        }
    }
    Ok(())
}

fn object(value: serde_json::Value) -> Result<DynamicObject, String> {
    for field in ["apiVersion", "kind"] {
        if value[field].as_str().is_none_or(str::is_empty) {
            return Err(format!("no {field}"));
        }
    }
    if value["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        return Err("no metadata.name".to_owned());
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn check(
    place: &str,
    objects: Vec<DynamicObject>,
    namespace: &str,
) -> Result<InstallManifests, ManifestError> {
    let has = |kind: &str, name: &str| {
        objects.iter().any(|o| {
            o.types.as_ref().is_some_and(|t| t.kind == kind) && o.metadata.name.as_deref() == Some(name)
        })
    };
    let needed = NEEDED_DEFINITIONS
        .map(|name| ("CustomResourceDefinition", name))
        .into_iter()
        .chain(NEEDED_CONTROLLERS.map(|name| ("Deployment", name)));
    let missing: Vec<String> = needed
        .filter(|(kind, name)| !has(kind, name))
        .map(|(kind, name)| format!("no {kind} {name}"))
        .collect();
    if !missing.is_empty() {
        return Err(ManifestError::NotFlux { place: place.to_owned(), missing });
    }
    if let Some(other) = objects.iter().find_map(|o| other_namespace(o, namespace)) {
        return Err(ManifestError::OtherNamespace {
            place: place.to_owned(),
            found: other,
            wanted: namespace.to_owned(),
        });
    }
    let version = objects.iter().find_map(|o| {
        o.metadata.labels.as_ref()?.get("app.kubernetes.io/version").filter(|v| !v.is_empty()).cloned()
    });
    Ok(InstallManifests { objects, version })
}

/// The namespace of an object, if it is not the wanted one. A Namespace object is its own.
fn other_namespace(object: &DynamicObject, wanted: &str) -> Option<String> {
    let is_namespace = object.types.as_ref().is_some_and(|t| t.kind == "Namespace" && t.api_version == "v1");
    let found = if is_namespace { &object.metadata.name } else { &object.metadata.namespace };
    found.clone().filter(|found| found != wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flux(namespace: &str) -> String {
        let object = |kind: &str, api: &str, name: &str, rest: &str| {
            format!("---\napiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n{rest}")
        };
        let namespaced =
            format!("  namespace: {namespace}\n  labels: {{app.kubernetes.io/version: v2.9.5}}\n");
        let mut text = object("Namespace", "v1", namespace, "");
        for name in NEEDED_DEFINITIONS {
            text += &object("CustomResourceDefinition", "apiextensions.k8s.io/v1", name, "");
        }
        for name in NEEDED_CONTROLLERS {
            text += &object("Deployment", "apps/v1", name, &namespaced);
        }
        text
    }

    fn load(text: &str, namespace: &str) -> Result<InstallManifests, ManifestError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flux.yaml");
        std::fs::write(&path, text).unwrap();
        ManifestSource::File(path).load(namespace)
    }

    #[test]
    fn flux_is_known_by_what_it_needs_to_sync() {
        let manifests = load(&flux("flux-system"), "flux-system").unwrap();
        assert_eq!(manifests.objects.len(), 5);
        assert_eq!(manifests.version.as_deref(), Some("v2.9.5"));
    }

    #[test]
    fn what_is_not_flux_is_refused_with_what_is_missing() {
        let error =
            load("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "flux-system").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("no CustomResourceDefinition gitrepositories"), "{error}");
        assert!(error.contains("no Deployment kustomize-controller"), "{error}");
        for (text, reason) in [
            ("just words\n", "no apiVersion"),
            ("kind: A\napiVersion: v1\n", "no metadata.name"),
            ("a: [\n", "document 1"),
        ] {
            let error = load(text, "flux-system").unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn manifests_for_another_namespace_are_refused() {
        let error = load(&flux("flux-system"), "gitops").unwrap_err();
        assert!(matches!(error, ManifestError::OtherNamespace { .. }), "{error}");
    }

    #[test]
    fn a_folder_is_read_in_the_order_of_names_and_a_list_is_its_items() {
        let dir = tempfile::tempdir().unwrap();
        let items: Vec<serde_json::Value> = serde_yaml::Deserializer::from_str(&flux("flux-system"))
            .map(|d| serde_json::Value::deserialize(d).unwrap())
            .filter(|v| !v.is_null())
            .collect();
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
        std::fs::write(dir.path().join("b.json"), list.to_string()).unwrap();
        std::fs::write(
            dir.path().join("a.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("kustomization.yaml"), "resources: [a.yaml]\n").unwrap();
        let manifests = ManifestSource::Folder(dir.path().to_owned()).load("flux-system").unwrap();
        assert_eq!(manifests.objects[0].metadata.name.as_deref(), Some("first"));
        assert_eq!(manifests.objects.len(), 6);
        let empty = tempfile::tempdir().unwrap();
        let error = ManifestSource::Folder(empty.path().to_owned()).load("flux-system").unwrap_err();
        assert!(matches!(error, ManifestError::EmptyFolder { .. }));
    }
}

//! What is asked for of the installation, read and checked: files, names, a folder of the operator's own.

use crate::cluster::{Manifest, dynamic};
use crate::flux::InstallOptions;
use crate::policies::{PolicySpec, policies};
use crate::worker::is_label;
use base64::Engine as _;
use kubiya_hook::edge::Failure;
use secrecy::SecretString;
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The most that is read of a file that is named here.
const MAX_BYTES: u64 = 1 << 20;

/// What is asked for, unchecked.
#[derive(Clone, Debug, Default)]
pub struct InstallRequest {
    /// Flux's lockdown flags.
    pub multitenant: bool,
    /// Registry and folder of the controllers' images.
    pub registry: Option<String>,
    /// Secret by which they are pulled.
    pub image_pull_secret: Option<String>,
    /// Docker's `config.json` for it.
    pub image_pull_secret_file: Option<PathBuf>,
    /// The controllers' proxy.
    pub proxy: Option<String>,
    /// What they reach without it.
    pub no_proxy: Option<String>,
    /// Certificates that they trust.
    pub ca_file: Option<PathBuf>,
    /// Whether it is OpenShift.
    pub openshift: bool,
    /// A kustomization of the operator's own.
    pub kustomize: Option<PathBuf>,
    /// Admission policies.
    pub policies: Option<PolicySpec>,
}

/// What was asked for, checked.
#[derive(Clone, Debug, Default)]
pub struct Installation {
    /// What is different from Flux's own manifests.
    pub options: InstallOptions,
    /// What images are pulled with, where it is to be written.
    pub pull_secret: Option<SecretString>,
    /// The operator's own objects.
    pub own: Vec<Manifest>,
    /// Admission policies.
    pub policies: Vec<Manifest>,
}

impl InstallRequest {
    /// Reads what is named.
    ///
    /// # Errors
    /// All problems at once.
    pub fn gather(&self) -> Result<Installation, Vec<Failure>> {
        let mut problems = Vec::new();
        let mut kept = |failure: Failure| problems.push(failure);
        if let Some(name) = self.image_pull_secret.as_ref().filter(|name| !is_label(name)) {
            kept(Failure::usage(format!("--image-pull-secret: `{name}` is no name of a Secret")));
        }
        if let Some(registry) =
            self.registry.as_ref().filter(|text| text.contains("://") || text.contains(['@', ' ']))
        {
            kept(Failure::usage(format!(
                "--registry: host and folder are wanted, without a scheme: {registry}"
            )));
        }
        if let Some(failure) = self.proxy.as_deref().and_then(proxy_problem) {
            kept(failure);
        }
        let certificates =
            self.ca_file.as_deref().map(certificates).transpose().map_err(&mut kept).ok().flatten();
        let pull_secret = self.image_pull_secret_file.as_deref().map(docker_config);
        let pull_secret = pull_secret.transpose().map_err(&mut kept).ok().flatten();
        let own = self.kustomize.as_deref().map(built).transpose().map_err(&mut kept).ok().flatten();
        let policies = self.policies.as_ref().map(policies).unwrap_or_default();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Installation {
            options: InstallOptions {
                multitenant: self.multitenant,
                registry: self.registry.clone(),
                image_pull_secret: self.image_pull_secret.clone(),
                proxy: self.proxy.clone(),
                no_proxy: self.no_proxy.clone(),
                certificates,
                openshift: self.openshift,
            },
            pull_secret,
            own: own.unwrap_or_default(),
            policies: policies.into_iter().map(|policy| Manifest::new(dynamic(policy))).collect(),
        })
    }
}

/// The proxy is in the Deployments, which everybody reads.
fn proxy_problem(text: &str) -> Option<Failure> {
    let url = match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https" | "socks5") && url.has_host() => url,
        _ => {
            return Some(
                Failure::usage("--controller-proxy: not the URL of a proxy")
                    .hint("http://proxy.example.com:3128"),
            );
        }
    };
    let has_credentials = url.password().is_some() || !url.username().is_empty();
    has_credentials.then(|| {
        Failure::usage(
            "--controller-proxy: it holds credentials, which everybody could read who may see Deployments",
        )
        .hint("let the proxy know the cluster by its address")
    })
}

fn read(flag: &str, path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| {
        Failure::usage(format!("{flag}: cannot read it")).at(path.display().to_string()).because(&error)
    })
}

fn certificates(path: &Path) -> Result<String, Failure> {
    let text = read("--controller-ca-file", path)?;
    let refused =
        |why: &str| Failure::usage(format!("--controller-ca-file: {why}")).at(path.display().to_string());
    if text.contains("PRIVATE KEY-----") {
        return Err(refused("it holds a private key, and would be in a ConfigMap"));
    }
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(refused("no certificate (PEM) is in it"));
    }
    Ok(text)
}

/// Docker's configuration with credentials; a store of credentials on this machine is no use to a cluster.
fn docker_config(path: &Path) -> Result<SecretString, Failure> {
    let text = read("--image-pull-secret-file", path)?;
    let refused =
        |why: &str| Failure::usage(format!("--image-pull-secret-file: {why}")).at(path.display().to_string());
    let parsed: Value = serde_json::from_str(&text).map_err(|_| refused("it is no JSON"))?;
    let entries = parsed["auths"].as_object().into_iter().flat_map(|auths| auths.values());
    if !entries.into_iter().any(|entry| entry["auth"].is_string() || entry["password"].is_string()) {
        return Err(refused("no credentials are in it").hint(
            "where a credential store keeps them: kubectl create secret docker-registry … --dry-run=client -o jsonpath='{.data.\\.dockerconfigjson}' | base64 -d",
        ));
    }
    Ok(text.into())
}

/// What `kubectl kustomize` makes of a folder.
fn built(folder: &Path) -> Result<Vec<Manifest>, Failure> {
    let place = folder.display().to_string();
    let failed = |what: &str| Failure::usage(format!("--apply-kustomize: {what}")).at(&place);
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output();
    let output = output.map_err(|error| failed("cannot run kubectl").because(&error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().take(3).fold(failed("it cannot be built"), Failure::because_of));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut own = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let value = Value::deserialize(document).map_err(|_| failed("what kubectl made of it is no YAML"))?;
        if !value.is_null() {
            own.push(manifest(value).map_err(|why| failed(&why))?);
        }
    }
    Ok(own)
}

/// An object; the data of a Secret is kept apart.
fn manifest(mut value: Value) -> Result<Manifest, String> {
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if kind.is_empty() || name.is_empty() || value["apiVersion"].as_str().is_none_or(str::is_empty) {
        return Err("an object without apiVersion, kind or name".to_owned());
    }
    if value["sops"].is_object() {
        return Err(format!("{kind} {name} is encrypted: let Flux apply it, which decrypts"));
    }
    if kind != "Secret" || value["apiVersion"] != "v1" {
        return Ok(Manifest::new(dynamic(value)));
    }
    let mut data = BTreeMap::new();
    let mut take = |field: &str| value.as_object_mut().and_then(|map| map.remove(field)).unwrap_or_default();
    for (key, encoded) in take("data").as_object().into_iter().flatten() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.as_str().unwrap_or_default());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        data.insert(key.clone(), text.ok_or_else(|| format!("Secret {name}: `{key}` is no text"))?.into());
    }
    for (key, text) in take("stringData").as_object().into_iter().flatten() {
        data.insert(key.clone(), SecretString::from(text.as_str().unwrap_or_default().to_owned()));
    }
    Ok(Manifest::secret(dynamic(value), data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gathered(change: impl FnOnce(&mut InstallRequest, &Path)) -> Result<Installation, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut request = InstallRequest::default();
        change(&mut request, folder.path());
        request.gather().map_err(|failures| format!("{failures:?}"))
    }

    fn file(folder: &Path, text: &str) -> Option<PathBuf> {
        std::fs::write(folder.join("file"), text).unwrap();
        Some(folder.join("file"))
    }

    #[test]
    fn what_would_be_shown_to_everybody_or_cannot_work_is_refused() {
        let refused = |change: &dyn Fn(&mut InstallRequest, &Path)| gathered(change).unwrap_err();
        let proxy = refused(&|request, _| request.proxy = Some("http://me:CANARY@proxy:1".to_owned()));
        assert!(proxy.contains("it holds credentials") && !proxy.contains("CANARY"), "{proxy}");
        assert!(refused(&|request, _| request.proxy = Some("proxy:3128".to_owned())).contains("not the URL"));
        let key = refused(&|request, folder| request.ca_file = file(folder, "-----BEGIN PRIVATE KEY-----"));
        assert!(key.contains("it holds a private key"), "{key}");
        assert!(
            refused(&|request, folder| request.ca_file = file(folder, "nothing")).contains("no certificate")
        );
        assert!(
            refused(&|request, _| request.registry = Some("https://mirror".to_owned()))
                .contains("without a scheme")
        );
        assert!(
            refused(&|request, _| request.image_pull_secret = Some("a_b".to_owned()))
                .contains("no name of a Secret")
        );
        for config in ["CANARY", r#"{"credsStore": "desktop", "auths": {"mirror": {}}}"#] {
            let said = refused(&|request, folder| request.image_pull_secret_file = file(folder, config));
            assert!(!said.contains("CANARY") && said.contains("--image-pull-secret-file"), "{said}");
        }
    }

    #[test]
    fn the_data_of_own_secrets_is_not_shown() {
        let secret = manifest(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"a": "Q0FOQVJZ"}, "stringData": {"b": "CANARY"}}))
        .unwrap();
        let shown = format!("{secret:?} {}", secret.shown());
        assert!(!shown.contains("CANARY") && !shown.contains("Q0FOQVJZ"), "{shown}");
        assert_eq!(secret.expose()["data"], json!({"a": "Q0FOQVJZ", "b": "Q0FOQVJZ"}));
        let encrypted =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "sops": {"mac": "x"}});
        assert!(manifest(encrypted).unwrap_err().contains("is encrypted"));
    }
}

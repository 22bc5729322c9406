//! A bootstrap as a document: what the flags can say, to be kept in Git. It holds no secret, only where to get one.

mod git;
mod keys;

pub use git::{GitSection, GithubAppSection, ProxySection};
pub use keys::{AgeSection, NamespaceSection, SettingsSection};

use super::WorkerSection;
use kubiya_hook::edge::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most that is read: more is some other file.
const MAX_BYTES: u64 = 1 << 20;

/// What `kubectl kubiya bootstrap -f` reads.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Bootstrap")]
pub struct BootstrapDocument {
    /// The version of this form.
    pub api_version: ApiVersion,
    /// What it is.
    pub kind: DocumentKind,
    /// A name for people; it means nothing.
    #[serde(default)]
    pub metadata: Option<DocumentMetadata>,
    /// What is wanted.
    pub spec: BootstrapSpec,
}

/// The version of the form.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first.
    #[serde(rename = "kubiya.dev/v1alpha1")]
    V1Alpha1,
}

/// The kind of the document.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum DocumentKind {
    /// A bootstrap.
    Bootstrap,
}

/// For people.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DocumentMetadata {
    /// A name.
    #[serde(default)]
    pub name: Option<String>,
}

/// What is wanted. Paths are relative to the folder of the document; a flag of the command line wins over a field.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootstrapSpec {
    /// Context of the infra cluster in the kubeconfig (--context).
    #[serde(default)]
    pub context: Option<String>,
    /// Namespace of Flux (--namespace).
    #[serde(default)]
    pub namespace: Option<String>,
    /// The repository that Flux is to follow.
    #[serde(default)]
    pub git: GitSection,
    /// The keys that Flux decrypts with.
    #[serde(default)]
    pub age: AgeSection,
    /// Flux itself.
    #[serde(default)]
    pub flux: FluxSection,
    /// Worker clusters.
    #[serde(default)]
    pub workers: Vec<WorkerSection>,
    /// Folder of a kustomization to be applied when Flux is there (--apply-kustomize).
    #[serde(default)]
    pub apply_kustomize: Option<PathBuf>,
    /// Admission policies (--policies).
    #[serde(default)]
    pub policies: Option<PoliciesSection>,
    /// Accept addresses that only this machine reaches (--allow-loopback).
    #[serde(default)]
    pub allow_loopback: bool,
    /// How long each wait may take, such as 90s or 5m (--timeout).
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
    /// Wait until the controllers run and the branch is applied (--wait).
    #[serde(default)]
    pub wait: Option<bool>,
}

/// Where Flux's manifests come from.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FluxSection {
    /// File, folder or URL (--flux-manifests).
    #[serde(default)]
    pub manifests: Option<String>,
    /// SHA-256 that downloaded manifests must have (--flux-manifests-sha256).
    #[serde(default)]
    pub sha256: Option<String>,
    /// Keep tenants apart (--multitenant).
    #[serde(default)]
    pub multitenant: bool,
    /// Registry and folder with the controllers' images (--registry).
    #[serde(default)]
    pub registry: Option<String>,
    /// Secret by which they are pulled (--image-pull-secret).
    #[serde(default)]
    pub image_pull_secret: Option<String>,
    /// Docker's config.json for that Secret (--image-pull-secret-file).
    #[serde(default)]
    pub image_pull_secret_file: Option<PathBuf>,
    /// Proxy that the controllers use (--controller-proxy).
    #[serde(default)]
    pub proxy: Option<String>,
    /// What they reach without it (--controller-no-proxy).
    #[serde(default)]
    pub no_proxy: Option<String>,
    /// File with certificates that they trust (--controller-ca-file).
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Leave the pods' user and group to OpenShift (--openshift).
    #[serde(default)]
    pub openshift: bool,
    /// Annotations of the controllers' ServiceAccounts, by controller (--service-account-annotation).
    #[serde(default)]
    pub service_account_annotations: SettingsSection,
    /// Annotations of the controllers' pods, by controller (--pod-annotation).
    #[serde(default)]
    pub pod_annotations: SettingsSection,
    /// Labels of the controllers' pods, by controller (--pod-label).
    #[serde(default)]
    pub pod_labels: SettingsSection,
}

/// Admission policies against secrets in clear.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoliciesSection {
    /// What they do (--policies).
    pub action: PolicyAction,
    /// Users who may write Secrets by hand (--policy-allow-user).
    #[serde(default)]
    pub allow_users: Vec<String>,
}

/// What the policies do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum PolicyAction {
    /// Warn, and note it in the audit log.
    Warn,
    /// Refuse.
    Deny,
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| crate::duration::parse(&text)).transpose().map_err(serde::de::Error::custom)
}

impl BootstrapDocument {
    /// Reads a document; paths in it become relative to the current folder.
    ///
    /// # Errors
    /// What cannot be read, and what is not of this form, with line and column. No text of the file is in the error: it
    /// may hold what it should not.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        use std::io::Read as _;
        let place = path.display().to_string();
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
            .map_err(|error| Failure::usage("cannot read the document").at(&place).because(&error))?;
        let mut document: Self = serde_yaml::from_str(&text).map_err(|error| {
            let at = error.location().map(|at| format!("{place}:{}:{}", at.line(), at.column()));
            Failure::usage(without_values(&error.to_string()))
                .at(at.unwrap_or(place))
                .hint("kubectl kubiya schema   # what can be in it")
        })?;
        document.spec.relocate(path.parent().unwrap_or(Path::new("")));
        Ok(document)
    }

    /// The JSON schema of the form.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(BootstrapDocument).to_value()
    }
}

impl BootstrapSpec {
    /// Makes paths relative to the current folder instead of that of the document.
    fn relocate(&mut self, folder: &Path) {
        let kubeconfigs = self.workers.iter_mut().map(|worker| &mut worker.kubeconfig);
        let flux = [&mut self.flux.image_pull_secret_file, &mut self.flux.ca_file, &mut self.apply_kustomize];
        let kubeconfigs = kubeconfigs.chain(flux).flatten();
        for path in kubeconfigs.chain(self.git.paths()).chain(self.age.paths()) {
            *path = folder.join(&*path);
        }
        // Its default name is a file of the folder, too.
        for namespace in &mut self.age.namespaces {
            namespace.key_file.get_or_insert_with(|| folder.join(super::own_file(&namespace.name)));
        }
        if let Some(manifests) = &mut self.flux.manifests
            && !manifests.contains("://")
        {
            *manifests = folder.join(&*manifests).display().to_string();
        }
    }
}

/// The message of a YAML reader without the values that it quotes.
fn without_values(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    match (message.find('"'), message.rfind('"')) {
        (Some(start), Some(end)) if start < end => format!("{}…{}", &message[..start], &message[end + 1..]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BootstrapDocument, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubiya.yaml");
        std::fs::write(&path, text).unwrap();
        let place = path.display().to_string();
        BootstrapDocument::read(&path)
            .map_err(|failure| failure.lines().join("\n").replace(&place, "kubiya.yaml"))
    }

    const HEAD: &str = "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\n";

    #[test]
    fn what_is_not_of_the_form_is_told_with_its_place_and_without_its_values() {
        let wrong = |text: &str| read(text).unwrap_err();
        assert_eq!(
            wrong(&format!("{HEAD}spec:\n  git:\n    pasword: CANARY\n")),
            "kubiya.yaml:5:5: spec.git: unknown field `pasword`, expected one of `url`, `branch`, `path`, `username`, \
             `passwordFile`, `bearerTokenFile`, `caFile`, `tlsCrtFile`, `tlsKeyFile`, `githubApp`, `proxy`, `privateKeyFile`, \
             `generatePrivateKey`, `knownHostsFile`, `verifyKeys`, `secretName`, `allowInsecureHttp`"
        );
        for text in [
            "spec: {}\n",
            "apiVersion: kubiya.dev/v2\nkind: Bootstrap\nspec: {}\n",
            "apiVersion: kubiya.dev/v1alpha1\nkind: Other\nspec: {}\n",
            "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec: {workers: CANARY}\n",
            "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec: {timeout: soon}\n",
            "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec: {wait: CANARY}\n",
            "a: [\n",
        ] {
            let said = wrong(text);
            assert!(said.starts_with("kubiya.yaml:") && !said.contains("CANARY"), "{text}\n{said}");
        }
    }

    #[test]
    fn paths_are_those_of_the_documents_folder() {
        let text = format!(
            "{HEAD}spec:\n  age: {{keyFile: keys/a}}\n  flux: {{manifests: flux.yaml}}\n  timeout: 90s\n  \
             workers: [{{name: w, kubeconfig: /abs/w}}]\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubiya.yaml");
        std::fs::write(&path, text).unwrap();
        let spec = BootstrapDocument::read(&path).unwrap().spec;
        assert_eq!(spec.age.key_file.unwrap(), folder.path().join("keys/a"));
        assert_eq!(spec.flux.manifests.unwrap(), folder.path().join("flux.yaml").display().to_string());
        assert_eq!(spec.workers[0].kubeconfig.as_deref(), Some(Path::new("/abs/w")));
        assert_eq!(spec.timeout, Some(Duration::from_secs(90)));
    }

    #[test]
    fn the_schema_knows_every_field_and_no_others() {
        let schema = BootstrapDocument::schema();
        assert_eq!(schema["additionalProperties"], false);
        let definitions = schema["$defs"].as_object().unwrap();
        let properties = |name: &str| definitions[name]["properties"].as_object().unwrap();
        assert!(properties("GitSection").contains_key("knownHostsFile"));
        assert_eq!(definitions["GitSection"]["additionalProperties"], false);
        assert!(
            properties("BootstrapSpec")
                .values()
                .all(|property| { property["description"].is_string() || property["$ref"].is_string() })
        );
    }
}

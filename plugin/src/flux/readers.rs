//! Who decrypts on a cluster, with which Secret, and from which source.

use super::ReadyState;
use crate::cluster::{ClusterError, Connection, FIELD_MANAGER};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Objects that are asked for at once.
const PAGE: u32 = 500;
/// kustomize-controller's flag for a key that all Kustomizations fall back to.
const GLOBAL_KEY: &str = "--sops-age-secret=";

/// A Kustomization that decrypts with sops.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The Secret that it names, in its own namespace; `None` where it falls back to the controller's.
    pub secret: Option<String>,
    /// Where its manifests come from.
    pub source: SourceName,
    /// Whether it is suspended.
    pub suspended: bool,
    object: DynamicObject,
}

/// The name of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceName {
    /// `GitRepository`, `OCIRepository`, `Bucket` or `ExternalArtifact`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for SourceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

impl Reader {
    fn of(object: DynamicObject) -> Option<Self> {
        let spec = &object.data["spec"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if spec["decryption"]["provider"].as_str() != Some("sops") {
            return None;
        }
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let source = &spec["sourceRef"];
        Some(Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            secret: text(&spec["decryption"]["secretRef"]["name"]),
            source: SourceName {
                kind: text(&source["kind"]).unwrap_or_default(),
                namespace: text(&source["namespace"]).unwrap_or_else(|| namespace.clone()),
                name: text(&source["name"]).unwrap_or_default(),
            },
            suspended: spec["suspend"].as_bool().unwrap_or_default(),
            namespace,
            object,
        })
    }

    /// `namespace/name`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// What it says of itself; that a build failed is final where it is of the revision that counts.
    #[must_use]
    pub fn state(&self, counts: impl FnOnce(&str) -> bool) -> ReadyState {
        let attempted = self.object.data["status"]["lastAttemptedRevision"].as_str();
        ReadyState::of(&self.object, attempted.filter(|revision| counts(revision)))
    }

    /// Whether its controller is at work on it just now.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        let conditions = self.object.data["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        !self.suspended && conditions.any(|one| one["type"] == "Ready" && one["status"] == "Unknown")
    }

    /// The revision that was applied last, unless it fails at present.
    #[must_use]
    pub fn applied(&self) -> Option<&str> {
        let status = &self.object.data["status"];
        let conditions = status["conditions"].as_array()?;
        let fails = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "False");
        status["lastAppliedRevision"].as_str().filter(|_| !fails)
    }

    /// Whether it has seen a request to reconcile and come to its end.
    #[must_use]
    pub fn has_handled(&self, token: &str) -> bool {
        self.object.data["status"]["lastHandledReconcileAt"].as_str() == Some(token)
    }

    /// What it says if it cannot decrypt at present.
    #[must_use]
    pub fn decryption_failure(&self) -> Option<String> {
        let conditions = self.object.data["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        let message = ready["message"].as_str()?;
        // The words of kustomize-controller's decryptor and of sops.
        let about = ["decrypt", "sops data key", "sops", "did not match any of the recipients"];
        let failed = ready["status"] == "False" && about.iter().any(|word| message.contains(word));
        failed.then(|| message.to_owned())
    }
}

/// What a GitRepository follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// Its URL.
    pub url: String,
    /// The branch; `None` where it follows a tag, a range of versions, a commit or another ref.
    pub branch: Option<String>,
    /// What it follows, for people.
    pub follows: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether commits must be signed.
    pub verified: bool,
    /// The Secret with the keys by which they must be.
    pub signers: Option<String>,
    /// Whether it takes submodules along.
    pub submodules: bool,
    /// The revision that it has, as Flux writes it.
    pub revision: Option<String>,
}

impl GitSource {
    fn of(object: &DynamicObject) -> Self {
        let spec = &object.data["spec"];
        let reference = &spec["ref"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let other = ["commit", "name", "semver", "tag"]
            .into_iter()
            .find_map(|key| Some(format!("{key} {}", reference[key].as_str()?)));
        let branch = match &other {
            Some(_) => None,
            // Flux's own default.
            None => Some(text(&reference["branch"]).unwrap_or_else(|| "master".to_owned())),
        };
        let follows = match (other, &branch) {
            (Some(other), _) => other,
            (None, branch) => format!("branch {}", branch.as_deref().unwrap_or_default()),
        };
        Self {
            url: text(&spec["url"]).unwrap_or_default(),
            branch,
            follows,
            suspended: spec["suspend"].as_bool().unwrap_or_default(),
            verified: spec["verify"].is_object(),
            signers: text(&spec["verify"]["secretRef"]["name"]),
            submodules: spec["recurseSubmodules"].as_bool().unwrap_or_default(),
            revision: text(&object.data["status"]["artifact"]["revision"]),
        }
    }
}

/// The commit in a revision of Flux, such as `main@sha1:<oid>`.
#[must_use]
pub fn commit_of(revision: &str) -> Option<&str> {
    let (_, commit) = revision.rsplit_once(':')?;
    (commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(commit)
}

/// Every Kustomization of a cluster that decrypts, in all namespaces.
///
/// # Errors
/// Those of the requests; no Flux.
pub async fn readers(connection: &Connection) -> Result<Vec<Reader>, ClusterError> {
    let api: Api<DynamicObject> =
        Api::all_with(connection.client.clone(), &resource("kustomize.toolkit.fluxcd.io", "Kustomization"));
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&page).await.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 404 => ClusterError::UnknownKind {
                kind: "Kustomization".to_owned(),
                api_version: "kustomize.toolkit.fluxcd.io/v1".to_owned(),
            },
            _ => ClusterError::of_request("list", "Kustomizations of all namespaces".to_owned(), &error),
        })?;
        let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
        found.extend(list.items.into_iter().filter_map(Reader::of));
        match next {
            Some(token) => page = ListParams::default().limit(PAGE).continue_token(&token),
            None => break,
        }
    }
    found.sort_by_key(Reader::key);
    Ok(found)
}

/// The GitRepositories among the sources of readers. A source that is not there has no entry.
///
/// # Errors
/// Those of the requests.
pub async fn git_sources(
    connection: &Connection,
    readers: &[Reader],
) -> Result<BTreeMap<SourceName, GitSource>, ClusterError> {
    let mut names = readers.iter().map(|reader| &reader.source).collect::<Vec<_>>();
    names.sort();
    names.dedup();
    let mut found = BTreeMap::new();
    for name in names.into_iter().filter(|name| name.kind == "GitRepository") {
        let resource = resource("source.toolkit.fluxcd.io", "GitRepository");
        let api: Api<DynamicObject> =
            Api::namespaced_with(connection.client.clone(), &name.namespace, &resource);
        match api.get(&name.name).await {
            Ok(source) => {
                found.insert(name.clone(), GitSource::of(&source));
            }
            // Also where the kind is not served; that 404 comes without a reason.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(ClusterError::of_get(name.to_string(), &error)),
        }
    }
    Ok(found)
}

/// Asks a controller to look at an object now instead of at its next interval; `token` comes back in the status of
/// the object when it has.
///
/// # Errors
/// Those of the request.
pub async fn request_at(
    connection: &Connection,
    (group, kind): (&str, &str),
    namespace: &str,
    name: &str,
    token: &str,
) -> Result<(), ClusterError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(connection.client.clone(), namespace, &resource(group, kind));
    let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let asked = api.patch(name, &params, &Patch::Merge(&patch)).await;
    asked
        .map(|_| ())
        .map_err(|error| ClusterError::of_request("change", format!("{kind} {namespace}/{name}"), &error))
}

/// The Secret that kustomize-controller falls back to, if it is told one; it is in the namespace of Flux.
///
/// # Errors
/// Those of the request.
pub async fn global_secret(connection: &Connection, namespace: &str) -> Result<Option<String>, ClusterError> {
    let api: Api<Deployment> = Api::namespaced(connection.client.clone(), namespace);
    let name = "kustomize-controller";
    let found = api
        .get_opt(name)
        .await
        .map_err(|error| ClusterError::of_get(format!("Deployment {namespace}/{name}"), &error))?;
    let pod = found.and_then(|deployment| deployment.spec.template.spec);
    let arguments = pod.into_iter().flat_map(|pod| pod.containers).flat_map(|c| c.args.unwrap_or_default());
    let mut secrets = arguments.filter_map(|argument| Some(argument.strip_prefix(GLOBAL_KEY)?.to_owned()));
    Ok(secrets.next())
}

fn resource(group: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::dynamic;

    #[test]
    fn a_reader_names_its_secret_or_falls_back_and_who_does_not_decrypt_is_none() {
        let reader = |decryption: Value| {
            Reader::of(dynamic(json!({
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                "metadata": {"name": "apps", "namespace": "team"},
                "spec": {"decryption": decryption, "sourceRef": {"kind": "GitRepository", "name": "r"}},
            })))
        };
        let named = reader(json!({"provider": "sops", "secretRef": {"name": "key"}})).unwrap();
        assert_eq!(
            (named.secret.as_deref(), named.source.to_string()),
            (Some("key"), "GitRepository/team/r".to_owned())
        );
        assert_eq!(reader(json!({"provider": "sops"})).unwrap().secret, None);
        assert!(reader(Value::Null).is_none());
    }

    #[test]
    fn what_a_source_follows() {
        let follows = |reference: Value| {
            let source = GitSource::of(&dynamic(json!({"spec": {"url": "u", "ref": reference}})));
            (source.branch, source.follows)
        };
        assert_eq!(follows(json!({"branch": "main"})), (Some("main".to_owned()), "branch main".to_owned()));
        assert_eq!(follows(Value::Null), (Some("master".to_owned()), "branch master".to_owned()));
        assert_eq!(follows(json!({"branch": "main", "tag": "v1"})), (None, "tag v1".to_owned()));
    }

    #[test]
    fn the_commit_of_a_revision() {
        let commit = "a".repeat(40);
        assert_eq!(commit_of(&format!("main@sha1:{commit}")), Some(commit.as_str()));
        assert_eq!(commit_of("latest@sha256:short"), None);
        assert_eq!(commit_of(""), None);
    }
}

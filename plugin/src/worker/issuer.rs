//! The issuer of the infra cluster's ServiceAccount tokens, and what a worker must be told to trust it.

use super::error::WorkerError;
use super::hub::Hub;
use crate::cluster::{ClusterError, Manifest, Selection, dynamic};
use base64::Engine as _;
use kube::config::{AuthInfo, Cluster};
use serde_json::{Value, json};

/// What stands before the names of the infra cluster's users on a worker.
pub(super) const PREFIX: &str = "infra-cluster-oidc:";

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The issuer as a worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its URL, the claim `iss` of tokens.
    pub url: String,
    /// The authority of its certificate, PEM; nothing where the public ones do.
    pub authority: Option<String>,
}

/// Whether the issuer can be read as workers read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Readable {
    /// Its description and its keys.
    Yes(Issuer),
    /// It wants to know who asks, which workers cannot tell it.
    NotByStrangers,
}

/// Lets workers read the issuer: on the infra cluster, its description is for ServiceAccounts only by default.
#[must_use]
pub(super) fn discovery_binding() -> Manifest {
    let group = "rbac.authorization.k8s.io";
    Manifest::new(dynamic(json!({
        "apiVersion": format!("{group}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": {
            "name": "kubiya-issuer-discovery",
            "labels": {super::names::MANAGED_BY.0: super::names::MANAGED_BY.1},
        },
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:unauthenticated"}],
    })))
}

/// Asks the infra cluster for its issuer, and the issuer for its description and keys, as a stranger.
///
/// # Errors
/// An issuer that cannot be reached or that describes another one.
pub(super) async fn read(hub: &Hub, hub_cluster: &Cluster) -> Result<Readable, WorkerError> {
    let told = get(&hub.connection.client, DISCOVERY).await;
    let told =
        told.map_err(|error| ClusterError::of_get("the issuer of the infra cluster".to_owned(), &error))?;
    let url = told["issuer"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    let data = hub_cluster.certificate_authority_data.clone();
    let authorities = [data.clone(), None];
    let mut last = None;
    for authority in authorities.iter().take(if data.is_some() { 2 } else { 1 }) {
        match as_stranger(&url, authority.clone()).await {
            Ok(()) => {
                let pem = authority.as_deref().and_then(decoded);
                return Ok(Readable::Yes(Issuer { url, authority: pem }));
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                return Ok(Readable::NotByStrangers);
            }
            Err(error) => last = last.or(Some(error)),
        }
    }
    let error = last.map(|error| ClusterError::of_get(format!("the issuer {url}, as workers will"), &error));
    Err(error.map_or(WorkerError::NoIssuer { url }, WorkerError::Cluster))
}

pub(super) fn decoded(data: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
    String::from_utf8(bytes).ok()
}

/// Reads description and keys without credentials.
async fn as_stranger(url: &str, authority: Option<String>) -> Result<(), kube::Error> {
    let client = |server: &str| {
        let cluster = Cluster {
            server: Some(server.to_owned()),
            certificate_authority_data: authority.clone(),
            ..Cluster::default()
        };
        let selection =
            Selection { context: "issuer".to_owned(), cluster, user: AuthInfo::default(), kubectl: None };
        async move { crate::cluster::anonymous(&selection).await }
    };
    let described = get(&client(url).await?, DISCOVERY).await?;
    let unfit = |what: &str| kube::Error::Service(format!("the issuer {url} {what}").into());
    if described["issuer"].as_str().map(|issuer| issuer.trim_end_matches('/')) != Some(url) {
        return Err(unfit("describes another one"));
    }
    let keys = described["jwks_uri"].as_str().unwrap_or_default();
    let parsed = url::Url::parse(keys).map_err(|_| unfit("does not say where its keys are"))?;
    let origin = keys.strip_suffix(parsed.path()).unwrap_or(keys).to_owned();
    let keys = get(&client(&origin).await?, parsed.path()).await?;
    if keys["keys"].as_array().is_none_or(Vec::is_empty) {
        return Err(unfit("has no keys"));
    }
    Ok(())
}

async fn get(client: &kube::Client, path: &str) -> Result<Value, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request(request).await
}

/// What the API server of a worker is to be started with, to trust the issuer for one audience.
#[must_use]
pub(super) fn authentication_configuration(issuer: &Issuer, audience: &str, version: &str) -> Value {
    let mut described = json!({
        "url": issuer.url,
        "audiences": [audience],
        "audienceMatchPolicy": "MatchAny",
    });
    if let Some(authority) = &issuer.authority {
        described["certificateAuthority"] = authority.clone().into();
    }
    json!({
        "apiVersion": format!("apiserver.config.k8s.io/{}", configuration_version(version)),
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": described,
            "claimMappings": {"username": {"claim": "sub", "prefix": PREFIX}},
        }],
    })
}

/// The version of the format: `v1` from Kubernetes 1.34 on, before that `v1beta1`.
fn configuration_version(version: &str) -> &'static str {
    let minor = version.trim_start_matches('v').split('.').nth(1);
    let minor: Option<u32> = minor.and_then(|minor| minor.trim_end_matches('+').parse().ok());
    if minor.is_some_and(|minor| minor < 34) { "v1beta1" } else { "v1" }
}

/// Name of the ConfigMap in the project of a worker that is a Shoot.
#[must_use]
pub(super) fn gardener_map(worker: &str) -> String {
    format!("{worker}-authentication")
}

/// The same for Gardener: a ConfigMap of the project, and what the Shoot says about it.
#[must_use]
pub fn for_gardener(configuration: &Value, worker: &str, project: &str) -> String {
    let name = gardener_map(worker);
    // A tree of maps with string keys always renders.
    let text = serde_yaml::to_string(configuration).unwrap_or_default();
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": project},
        "data": {"config.yaml": text},
    });
    let shoot = json!({"spec": {"kubernetes": {"kubeAPIServer": {"structuredAuthentication": {"configMapName": name}}}}});
    let comment: String = serde_yaml::to_string(&shoot)
        .unwrap_or_default()
        .lines()
        .map(|line| format!("#   {line}\n"))
        .collect();
    format!(
        "{}# In the Shoot {worker}, in the same namespace:\n{comment}# A Shoot that is there already must be told to look:\n\
         #   kubectl -n {project} annotate shoot {worker} gardener.cloud/operation=reconcile --overwrite\n",
        serde_yaml::to_string(&map).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_is_told() {
        let issuer = Issuer {
            url: "https://issuer.example.com".to_owned(),
            authority: Some("-----BEGIN\n".to_owned()),
        };
        let configuration = authentication_configuration(&issuer, "kubiya-worker-1", "v1.36.3");
        insta::assert_snapshot!(for_gardener(&configuration, "worker01", "garden-kms"));
        assert_eq!(configuration_version("v1.33.9-eks"), "v1beta1");
        assert_eq!(configuration_version("v1.34+"), "v1");
    }
}

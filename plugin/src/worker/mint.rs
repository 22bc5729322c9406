//! Tokens for Flux on a worker, each bound to a Secret of its own: without the Secret no copy of it counts.

use super::access::Tenant;
use super::hub::gone;
use super::names::ACCOUNT;
use crate::cluster::{ClusterError, Connection};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use secrecy::SecretString;
use serde_json::json;
use std::time::Duration;

/// A fresh token.
#[derive(Clone, Debug)]
pub(super) struct Minted {
    /// The token.
    pub token: SecretString,
    /// Name of the Secret that it is bound to.
    pub secret: String,
    /// When it ends, as the server granted it.
    pub expires: Timestamp,
}

fn secrets(worker: &Connection, tenant: &Tenant) -> Api<Secret> {
    Api::namespaced(worker.client.clone(), &tenant.namespace())
}

/// Makes a Secret and a token that is bound to it.
///
/// # Errors
/// Those of the two requests. A Secret without a token stays behind then; [`revoke`] takes it away.
pub(super) async fn mint(
    worker: &Connection,
    tenant: &Tenant,
    lifetime: Duration,
) -> Result<Minted, ClusterError> {
    let object = || format!("a token of ServiceAccount {}/{ACCOUNT}", tenant.namespace());
    let secret = secrets(worker, tenant)
        .create(&PostParams::default(), &bound_secret(tenant))
        .await
        .map_err(|error| ClusterError::of_request("create", "the Secret of a token".to_owned(), &error))?;
    let name = secret.metadata.name.unwrap_or_default();
    let request = TokenRequest {
        // No audience named: those of the API server itself.
        spec: Some(TokenRequestSpec {
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Secret".to_owned()),
                name: Some(name.clone()),
                uid: secret.metadata.uid,
            }),
            expiration_seconds: Some(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(worker.client.clone(), &tenant.namespace());
    let answer = accounts
        .create_token_request(ACCOUNT, &PostParams::default(), &request)
        .await
        .map_err(|error| ClusterError::of_request("create", object(), &error))?;
    let status = answer.status.unwrap_or_default();
    match (status.token, status.expiration_timestamp) {
        (Some(token), Some(expires)) => Ok(Minted { token: token.into(), secret: name, expires: expires.0 }),
        _ => Err(ClusterError::Refused {
            verb: "create",
            object: object(),
            reason: "the answer holds none".to_owned(),
            code: 0,
        }),
    }
}

fn bound_secret(tenant: &Tenant) -> Secret {
    let mut metadata = tenant.labelled();
    metadata["generateName"] = format!("{ACCOUNT}-").into();
    metadata["annotations"] = json!({
        "kubiya.dev/purpose": "Flux's token is bound to this Secret: without it, no copy of the token is accepted",
    });
    // A tree of our own making is a Secret.
    serde_json::from_value(json!({"metadata": metadata, "type": "Opaque"})).unwrap_or_default()
}

/// Takes every token of a tenant back but those that are bound to `keep`. How many Secrets went.
///
/// # Errors
/// Those of the requests.
pub(super) async fn revoke(
    worker: &Connection,
    tenant: &Tenant,
    keep: &[&str],
) -> Result<usize, ClusterError> {
    let api = secrets(worker, tenant);
    let all =
        api.list_metadata(&ListParams::default().labels(&tenant.selector())).await.map_err(|error| {
            ClusterError::of_request("list", format!("Secrets in {}", tenant.namespace()), &error)
        })?;
    let mut revoked = 0;
    for name in all.items.into_iter().filter_map(|secret| secret.metadata.name) {
        if !keep.contains(&name.as_str()) {
            gone(api.delete(&name, &DeleteParams::default()).await, || {
                format!("Secret {}/{name}", tenant.namespace())
            })?;
            revoked += 1;
        }
    }
    Ok(revoked)
}

/// Takes one token back.
///
/// # Errors
/// Those of the request.
pub(super) async fn revoke_one(
    worker: &Connection,
    tenant: &Tenant,
    secret: &str,
) -> Result<(), ClusterError> {
    let outcome = secrets(worker, tenant).delete(secret, &DeleteParams::default()).await;
    gone(outcome, || format!("Secret {}/{secret}", tenant.namespace()))
}

//! From what is stored to a way in: what Flux does each time that it goes there.

use super::error::WorkerError;
use super::hub::Hub;
use super::record::{Issued, Kept, Stored};
use crate::cluster::{ClusterError, RemoteKubeconfig};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::Cluster;
use secrecy::SecretString;

/// The shortest lifetime that API servers grant.
const MOMENT: i64 = 600;

impl Stored {
    /// What Flux would connect with now.
    ///
    /// # Errors
    /// A Secret that holds no kubeconfig, and those of making a token.
    pub async fn way(&self, hub: &Hub) -> Result<RemoteKubeconfig, WorkerError> {
        let worker = &self.record.worker;
        Ok(match &self.kept {
            Kept::Kubeconfig(text) => RemoteKubeconfig::parse(worker, text)?,
            Kept::Issued(issued) => issued.way(hub, worker, &self.namespace, &issued.audiences).await?,
        })
    }
}

impl Issued {
    /// The way in with a token for an audience; for the address where none is named, as Flux does it.
    pub(super) async fn way(
        &self,
        hub: &Hub,
        worker: &str,
        namespace: &str,
        audiences: &[String],
    ) -> Result<RemoteKubeconfig, ClusterError> {
        let audiences = if audiences.is_empty() { std::slice::from_ref(&self.address) } else { audiences };
        let token = token(hub, namespace, &self.account, audiences).await?;
        let cluster = Cluster {
            server: Some(self.address.clone()),
            certificate_authority_data: self
                .authority
                .as_ref()
                .map(|pem| crate::cluster::base64(pem.as_bytes())),
            ..Cluster::default()
        };
        Ok(RemoteKubeconfig::bare(worker, cluster).with_token(&token))
    }
}

/// A token of the infra cluster, for the shortest time.
pub(super) async fn token(
    hub: &Hub,
    namespace: &str,
    account: &str,
    audiences: &[String],
) -> Result<SecretString, ClusterError> {
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(audiences.to_vec()),
            expiration_seconds: Some(MOMENT),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(hub.connection.client.clone(), namespace);
    let object = || format!("a token of ServiceAccount {namespace}/{account}");
    let answer = api
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .map_err(|error| ClusterError::of_request("create", object(), &error))?;
    let token = answer.status.and_then(|status| status.token);
    token.map(SecretString::from).ok_or_else(|| ClusterError::Refused {
        verb: "create",
        object: object(),
        reason: "the answer holds none".to_owned(),
        code: 0,
    })
}

//! The keys that Flux decrypts with, by the user's own kubeconfig.

use super::source::{HeldKey, KeySource};
use crate::cluster::{ClusterError, Connection, ConnectionArgs};
use k8s_openapi::api::core::v1::Secret;
use kubiya_hook::edge::Failure;
use zeroize::Zeroizing;

/// The Secret that bootstrap writes and Flux reads.
const SECRET: &str = "sops-age";
/// Flux takes a data entry for an age key by the end of its name.
const ENTRY: &str = ".agekey";

/// The keys that the Flux of another cluster has, by a context of the same kubeconfig: for a cluster that takes its
/// place. Nothing of what the flags say of the new cluster goes to the old one but the namespace.
///
/// # Errors
/// It cannot be reached, or has no such Secret, or no key in it.
pub async fn keys_of_context(connection: &ConnectionArgs, context: &str) -> Result<Vec<KeySource>, Failure> {
    let old = ConnectionArgs {
        kubeconfig: connection.kubeconfig.clone(),
        context: Some(context.to_owned()),
        namespace: connection.namespace.clone(),
        request_timeout: connection.request_timeout,
        ..ConnectionArgs::default()
    };
    let entries = entries(&old).await?;
    Ok(entries.into_iter().map(|(name, bytes)| KeySource::Held(HeldKey { name, bytes })).collect())
}

/// Reads the entries of the Secret that hold age keys, each with what to call it.
pub(super) async fn entries(
    connection: &ConnectionArgs,
) -> Result<Vec<(String, Zeroizing<Vec<u8>>)>, Failure> {
    let selection = connection.selection()?;
    let hub = Connection::open(&selection, connection.request_timeout).await?;
    let namespace = &connection.namespace;
    let place = format!("Secret {namespace}/{SECRET} of {}", hub.context);
    let api: kube::Api<Secret> = kube::Api::namespaced(hub.client, namespace);
    let secret = api
        .get_opt(SECRET)
        .await
        .map_err(|error| ClusterError::of_get(format!("Secret {namespace}/{SECRET}"), &error))?;
    let Some(secret) = secret else {
        return Err(Failure::unverified("there is no such Secret")
            .at(place)
            .hint("bootstrap writes it; -n names another namespace of Flux, --context another cluster"));
    };
    let keys = secret.data.unwrap_or_default().into_iter().filter(|(entry, _)| entry.ends_with(ENTRY));
    let keys = keys
        .map(|(entry, bytes)| (format!("{entry} in {place}"), Zeroizing::new(bytes.0)))
        .collect::<Vec<_>>();
    if keys.is_empty() {
        return Err(Failure::unverified(format!("no entry of the Secret ends in {ENTRY}")).at(place));
    }
    Ok(keys)
}

//! What a run leaves for others to see: who changed the cluster, when, and who decrypts there now.

use super::plan::AGE_ENTRY;
use super::{Carried, Inputs};
use crate::cluster::{About, ClusterError, Connection};
use crate::rotation::noted;
use kubiya_policies::sops::age::{Identity, IdentityFile};

/// Notes at the Secret with the age keys, and in an event there, that something was changed. Nothing where nothing was.
///
/// # Errors
/// Those of the requests.
pub async fn record(hub: &Connection, inputs: &Inputs, carried: &Carried) -> Result<(), ClusterError> {
    if carried.changed() == 0 {
        return Ok(());
    }
    let sync = &inputs.sync;
    let Some(secret) = hub.secret(&sync.namespace, &sync.decryption_secret).await? else { return Ok(()) };
    let entry = secret.data.get(AGE_ENTRY).map(|bytes| IdentityFile::parse(bytes));
    let identities = entry.and_then(Result::ok).map(IdentityFile::into_identities).unwrap_or_default();
    let recipients: Vec<String> = identities.iter().filter_map(Identity::recipient).collect();
    let changed = hub.change_secret(&secret, &noted(&hub.username, &recipients)).await?;
    let about = About {
        api_version: "v1",
        kind: "Secret",
        namespace: changed.namespace.clone(),
        name: changed.name.clone(),
        uid: changed.uid.clone(),
    };
    let message = format!(
        "{} of {} objects written by {}; {} decrypt here",
        carried.changed(),
        carried.applied.len(),
        hub.username,
        recipients.join(", ")
    );
    hub.report(&about, "Bootstrapped", &message).await
}

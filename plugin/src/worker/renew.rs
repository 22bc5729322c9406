//! A new token in the old one's place, and the old one refused from then on.

use super::access::Tenant;
use super::candidate::is_refusal;
use super::error::{Stop, WorkerError};
use super::hub::{Hub, cluster_uid};
use super::lifetime::{self, Granted};
use super::mint;
use super::obtain::mint_proven;
use super::record::{CredentialKind, Kept, Record, Scope, Stored};
use crate::cluster::{Connection, Deadline, Mode, RemoteKubeconfig, Selection};
use jiff::Timestamp;
use kubiya_hook::edge::Kind;
use std::time::Duration;

/// How long API servers may go on accepting a token that was taken back: they remember one for ten seconds.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How a worker is renewed.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The operator's way to the worker; without it, Flux's own credentials make their successors.
    pub way: Option<Selection>,
    /// How long the new token is to live.
    pub lifetime: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// What is written on the Secret now.
    pub record: Record,
    /// When the old token would have ended.
    pub before: Option<Timestamp>,
    /// What the server granted.
    pub granted: (Granted, Duration),
}

/// Makes a new token, stores it wherever the old one is, takes the old one back, and sees that it is refused.
///
/// # Errors
/// Copied credentials, credentials that have ended and no other way, and those of the requests.
pub async fn renew(hub: &Hub, worker: &str, how: &Renewal) -> Result<Renewed, WorkerError> {
    let stored = hub.known(worker)?;
    let Some(first) = stored.first() else { return Err(unknown(hub, worker)) };
    let record = &first.record;
    match record.kind {
        CredentialKind::Minted => {}
        CredentialKind::Copied => return Err(WorkerError::NotMinted { worker: worker.to_owned() }),
        CredentialKind::Oidc => return Err(WorkerError::NothingToRenew { worker: worker.to_owned() }),
    }
    hub.refuse_from_git(
        worker,
        &format!("kubectl kubiya worker add {worker} --store git --new-token, then commit and push"),
    )?;
    let old = first.way(hub).await?;
    let connection = enter(hub, first, &old, how).await?;
    let tenant = Tenant::new(&hub.uid);
    // Two that renew one worker at once would take back each other's tokens.
    hub.connection.before_writing().await?;
    let fresh =
        mint_proven(&connection, &tenant, &old, how.lifetime, &record.scope, how.request_timeout).await?;
    let new = Record {
        expires: Some(fresh.minted.expires),
        token_secret: Some(fresh.minted.secret.clone()),
        ..record.clone()
    };
    let kept = Kept::Kubeconfig(fresh.remote.text.clone());
    let manifests: Vec<_> = stored.iter().flat_map(|one| new.manifests(&one.namespace, &kept)).collect();
    hub.apply(&manifests, false, Mode::Write).await?;
    // With the new one: the old one must not saw off the branch that it sits on.
    let hand = if how.way.is_some() { &connection } else { &fresh.connection };
    mint::revoke(hand, &tenant, &[&fresh.minted.secret]).await?;
    until_refused(worker, &old, how.request_timeout).await?;
    Ok(Renewed { record: new, before: record.expires, granted: (fresh.granted, fresh.lifetime) })
}

fn unknown(hub: &Hub, worker: &str) -> WorkerError {
    WorkerError::Unknown { name: worker.to_owned(), known: hub.names() }
}

/// The way in: the operator's, or that of the stored credentials.
pub(super) async fn enter(
    hub: &Hub,
    stored: &Stored,
    remote: &RemoteKubeconfig,
    how: &Renewal,
) -> Result<Connection, WorkerError> {
    let worker = &stored.record.worker;
    let connection = match &how.way {
        Some(selection) => Connection::open(selection, how.request_timeout).await?,
        None => {
            with_own_credentials(stored, remote)?;
            remote.prove(how.request_timeout).await.map_err(|error| {
                if is_refusal(&error) {
                    locked_out(worker, "they are no longer accepted")
                } else {
                    error.into()
                }
            })?
        }
    };
    let uid = cluster_uid(&connection).await?;
    if uid.as_deref() == Some(hub.uid.as_str()) {
        return Err(WorkerError::IsHub { context: connection.context });
    }
    if let (Some(was), Some(is)) = (&stored.record.cluster, &uid)
        && was != is
    {
        return Err(WorkerError::OtherCluster { worker: worker.clone(), context: connection.context });
    }
    Ok(connection)
}

/// Whether Flux's own credentials can do it.
fn with_own_credentials(stored: &Stored, remote: &RemoteKubeconfig) -> Result<(), WorkerError> {
    let worker = &stored.record.worker;
    if let Some((_, end)) = lifetime::user_end(&remote.selection.user)
        && end <= Timestamp::now()
    {
        return Err(locked_out(worker, &format!("they ended at {end}")));
    }
    if stored.record.kind != CredentialKind::Copied && stored.record.scope != Scope::Cluster {
        return Err(locked_out(worker, "they reach some namespaces only"));
    }
    Ok(())
}

fn locked_out(worker: &str, why: &str) -> WorkerError {
    WorkerError::Stopped(Box::new(Stop {
        message: format!("Flux's own credentials for worker `{worker}` cannot do this: {why}"),
        causes: Vec::new(),
        hints: vec![format!(
            "name yours: --worker-context NAME   # kubectl kubiya worker add {worker} makes new ones, too"
        )],
        kind: Kind::Unverified,
    }))
}

/// Sees that credentials are refused from now on.
///
/// # Errors
/// They are still accepted after a minute.
pub(super) async fn until_refused(
    worker: &str,
    old: &RemoteKubeconfig,
    request_timeout: Duration,
) -> Result<(), WorkerError> {
    let deadline = Deadline::after(REMEMBERED);
    loop {
        match old.prove(request_timeout).await {
            Err(error) if is_refusal(&error) => return Ok(()),
            _ if deadline.has_passed() => {
                return Err(WorkerError::StillAccepted { worker: worker.to_owned(), after: REMEMBERED });
            }
            _ => deadline.pause().await,
        }
    }
}

//! From a candidate to credentials for Flux, proven before they are stored.

use super::access::{Tenant, Who};
use super::candidate::{Candidate, Terms};
use super::delivered::applied_kinds;
use super::error::{WorkerError, ended};
use super::hub::{self, Hub};
use super::lifetime::{self, Granted, judge};
use super::mint::{self, Minted, mint};
use super::record::{CredentialKind, Kept, Record, Scope, Stored};
use super::rights::{Right, missing};
use crate::cluster::{Action, Applied, ClusterError, Connection, Deadline, Mode, RemoteKubeconfig};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams};
use std::time::Duration;

/// How long a new token and new bindings may take until the API server knows them.
const SETTLING: Duration = Duration::from_secs(15);

/// Credentials of a worker as they are to be stored.
#[derive(Clone, Debug)]
pub struct Obtained {
    /// What is to be written on the Secret.
    pub record: Record,
    /// What Flux is to be left with; nothing in a dry run that made no token.
    pub kept: Option<Kept>,
    /// Who Flux is on the worker; nothing where no new credentials were made to see it.
    pub username: Option<String>,
    /// What happened on the worker.
    pub applied: Vec<Applied>,
    /// What the server granted of what was asked for, if a token was made.
    pub granted: Option<(Granted, Duration)>,
    /// What is no failure but should be known.
    pub warnings: Vec<String>,
}

impl Candidate {
    /// Gets credentials on the agreed terms: those that are stored if they are still good, else new ones.
    /// In a dry run nothing is made.
    ///
    /// # Errors
    /// Rights that are missing on either side, and those of the requests.
    pub async fn obtain(
        &self,
        hub: &Hub,
        namespaces: &[String],
        mode: Mode,
    ) -> Result<Obtained, WorkerError> {
        match self.terms.credential {
            CredentialKind::Minted => self.obtain_minted(hub, mode).await,
            CredentialKind::Copied => self.obtain_copied(hub).await,
            CredentialKind::Oidc => self.obtain_trust(hub, namespaces, mode).await,
        }
    }

    async fn obtain_copied(&self, hub: &Hub) -> Result<Obtained, WorkerError> {
        let user = &self.remote.selection.user;
        ended(&self.connection.context, user)?;
        let proven = self.remote.prove(self.terms.request_timeout).await?;
        let needed = needed_of_copied(&proven, hub, &self.name).await?;
        let mut warnings = Vec::new();
        let lacking = missing(&proven, &needed.rights).await?;
        if needed.certain && !lacking.is_empty() {
            return Err(WorkerError::MayNotUse { user: proven.username, missing: lacking });
        }
        warnings.extend(lacking.iter().map(|right| {
            format!("{} may not {}: a Kustomization that needs it will fail", proven.username, right.words())
        }));
        let end = lifetime::user_end(user);
        if let Some((what, end)) = end
            && lifetime::left(end, Timestamp::now()) < lifetime::LIVABLE
        {
            warnings
                .push(format!("the {what} ends at {end}: Flux is locked out then, and nothing renews it"));
        }
        Ok(Obtained {
            record: self.record(CredentialKind::Copied, end.map(|(_, end)| end), None),
            kept: Some(Kept::Kubeconfig(self.remote.text.clone())),
            username: Some(proven.username),
            applied: Vec::new(),
            granted: None,
            warnings,
        })
    }

    async fn obtain_minted(&self, hub: &Hub, mode: Mode) -> Result<Obtained, WorkerError> {
        let tenant = self.tenant(hub);
        let looked = give(&self.connection, &tenant, &Who::Account, &self.terms, Mode::Compare).await;
        let as_wanted =
            looked.as_ref().is_ok_and(|all| all.iter().all(|one| one.action == Action::Unchanged));
        if as_wanted && let Some(kept) = self.still_good(hub).await? {
            return Ok(Obtained { applied: looked?, ..kept });
        }
        self.refuse_powerless(&tenant).await?;
        let applied = give(&self.connection, &tenant, &Who::Account, &self.terms, mode).await?;
        if mode != Mode::Write {
            let record = self.record(CredentialKind::Minted, None, None);
            return Ok(Obtained {
                record,
                kept: None,
                username: None,
                applied,
                granted: None,
                warnings: Vec::new(),
            });
        }
        narrow(&self.connection, hub, self, &tenant).await?;
        let warnings = other_tenants(&self.connection, &tenant).await?;
        let fresh = mint_proven(
            &self.connection,
            &tenant,
            &self.remote,
            self.terms.lifetime,
            &self.terms.scope,
            self.terms.request_timeout,
        )
        .await?;
        Ok(Obtained {
            record: self.record(
                CredentialKind::Minted,
                Some(fresh.minted.expires),
                Some(fresh.minted.secret),
            ),
            kept: Some(Kept::Kubeconfig(fresh.remote.text)),
            username: Some(fresh.connection.username),
            applied,
            granted: Some((fresh.granted, fresh.lifetime)),
            warnings,
        })
    }

    pub(super) fn record(
        &self,
        kind: CredentialKind,
        expires: Option<Timestamp>,
        token_secret: Option<String>,
    ) -> Record {
        let scope = match kind {
            CredentialKind::Copied => Scope::Cluster,
            _ => self.terms.scope.clone(),
        };
        let server = self.remote.selection.cluster.server.clone().unwrap_or_default();
        Record {
            worker: self.name.clone(),
            kind,
            server,
            cluster: self.uid.clone(),
            expires,
            token_secret,
            scope,
            audience: None,
        }
    }

    /// What is stored, if it was made on these terms, for this cluster as it is reached now, is accepted, and
    /// lives for long enough.
    async fn still_good(&self, hub: &Hub) -> Result<Option<Obtained>, WorkerError> {
        let stored = hub.of(&self.name);
        let Some(first) = stored.first().filter(|_| !self.terms.new_token) else { return Ok(None) };
        let record = &first.record;
        let same_terms = record.kind == CredentialKind::Minted
            && record.scope == self.terms.scope
            && record.token_secret.is_some()
            && record.cluster == self.uid;
        let enough = record.expires.is_some_and(|end| {
            lifetime::left(end, Timestamp::now()) > (self.terms.lifetime / 2).min(lifetime::LIVABLE)
        });
        if !same_terms || !enough {
            return Ok(None);
        }
        let remote = first.way(hub).await?;
        let Some(token) = &remote.selection.user.token else { return Ok(None) };
        // Address and authority may have changed meanwhile; the token has not.
        let remote = self.remote.with_token(token);
        let proven = match remote.prove(self.terms.request_timeout).await {
            Ok(proven) => proven,
            Err(error) if super::candidate::is_refusal(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let record = self.record(CredentialKind::Minted, record.expires, record.token_secret.clone());
        if !missing(&proven, &Tenant::needed_to_use(&self.terms.scope)).await?.is_empty() {
            return Ok(None);
        }
        Ok(Some(Obtained {
            record,
            kept: Some(Kept::Kubeconfig(remote.text)),
            username: Some(proven.username),
            applied: Vec::new(),
            granted: None,
            warnings: Vec::new(),
        }))
    }

    /// Finds out before the first write what would be refused half-way.
    pub(super) async fn refuse_powerless(&self, tenant: &Tenant) -> Result<(), WorkerError> {
        let everything = [Right::cluster("*", "*", &["*"])];
        if missing(&self.connection, &everything).await?.is_empty() {
            return Ok(());
        }
        let missing = missing(&self.connection, &tenant.needed_to_give(&self.terms.scope)).await?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(WorkerError::MayNotGive { user: self.connection.username.clone(), missing })
    }
}

/// Brings the access on a worker into the wanted state.
pub(super) async fn give(
    worker: &Connection,
    tenant: &Tenant,
    who: &Who,
    terms: &Terms,
    mode: Mode,
) -> Result<Vec<Applied>, ClusterError> {
    let force = terms.force;
    let mut objects = tenant.objects(&terms.scope, who, None);
    let first = hub::apply(worker, &objects[..1], force, mode).await?;
    if let Some(uid) = first.iter().find_map(|namespace| namespace.uid.as_deref()) {
        objects = tenant.objects(&terms.scope, who, Some(uid));
    }
    Ok([first, hub::apply(worker, &objects[1..], force, mode).await?].concat())
}

/// What copied credentials must be good for.
struct Needed {
    rights: Vec<Right>,
    /// Whether the worker's Kustomizations say so; otherwise it is what most need.
    certain: bool,
}

async fn needed_of_copied(worker: &Connection, hub: &Hub, name: &str) -> Result<Needed, WorkerError> {
    let everything = [Right::cluster("*", "*", &["*"])];
    if missing(worker, &everything).await?.is_empty() {
        return Ok(Needed { rights: Vec::new(), certain: true });
    }
    let rights = applied_kinds(hub, worker, name).await?;
    if !rights.is_empty() {
        return Ok(Needed { rights, certain: true });
    }
    let verbs = ["get", "create", "patch", "delete"];
    let rights = [("", "namespaces"), ("", "secrets"), ("", "configmaps"), ("apps", "deployments")];
    let rights =
        rights.into_iter().map(|(group, resource)| Right::cluster(group, resource, &verbs)).collect();
    Ok(Needed { rights, certain: false })
}

/// A token that has been proven.
pub(super) struct Fresh {
    pub(super) minted: Minted,
    pub(super) remote: RemoteKubeconfig,
    /// The way in with it.
    pub(super) connection: Connection,
    pub(super) granted: Granted,
    pub(super) lifetime: Duration,
}

/// Makes a token, and proves it with exactly what Flux will be left with. One that is of no use is taken
/// back at once.
///
/// # Errors
/// A lifetime too short to live with, a token that is not accepted, rights that it does not have.
pub(super) async fn mint_proven(
    worker: &Connection,
    tenant: &Tenant,
    way: &RemoteKubeconfig,
    asked: Duration,
    scope: &Scope,
    request_timeout: Duration,
) -> Result<Fresh, WorkerError> {
    let minted = mint(worker, tenant, asked).await?;
    let remote = way.with_token(&minted.token);
    let proof = async {
        let granted = lifetime::left(minted.expires, Timestamp::now());
        let judged = judge(asked, granted);
        if judged == Granted::TooShort {
            return Err(WorkerError::TooShort { asked, granted });
        }
        let proven = settled(&remote, request_timeout).await?;
        let needed = Tenant::needed_to_use(scope);
        let deadline = Deadline::after(SETTLING);
        loop {
            let lacking = missing(&proven, &needed).await?;
            if lacking.is_empty() {
                return Ok((proven, judged, granted));
            }
            if deadline.has_passed() {
                return Err(WorkerError::MayNotUse { user: proven.username, missing: lacking });
            }
            deadline.pause().await;
        }
    };
    match proof.await {
        Ok((connection, granted, lifetime)) => Ok(Fresh { minted, remote, connection, granted, lifetime }),
        Err(error) => {
            // What failed is to be said, not that its traces could not be removed: the next run does that.
            let _ = mint::revoke_one(worker, tenant, &minted.secret).await;
            Err(error)
        }
    }
}

/// Connects with a token that the server may not know yet.
async fn settled(remote: &RemoteKubeconfig, timeout: Duration) -> Result<Connection, ClusterError> {
    let deadline = Deadline::after(SETTLING);
    loop {
        match remote.prove(timeout).await {
            Err(error) if super::candidate::is_refusal(&error) && !deadline.has_passed() => {
                deadline.pause().await;
            }
            other => return other,
        }
    }
}

/// Other infra clusters that have access on a worker: one of them may be the one that this one was rebuilt from.
async fn other_tenants(worker: &Connection, tenant: &Tenant) -> Result<Vec<String>, ClusterError> {
    let api: Api<Namespace> = Api::all(worker.client.clone());
    let others = ListParams::default().labels(&tenant.others());
    let listed = match api.list_metadata(&others).await {
        Ok(listed) => listed.items,
        // Who may give access need not be allowed to see all namespaces.
        Err(kube::Error::Api(status)) if status.code == 403 => Vec::new(),
        Err(error) => return Err(ClusterError::of_request("list", "Namespaces".to_owned(), &error)),
    };
    let names = listed.into_iter().filter_map(|namespace| namespace.metadata.name);
    Ok(names
        .map(|name| {
            format!(
                "another infra cluster has access here, by namespace {name}: if it is gone, or is the one that this one \
                 was built anew from, take that away: kubectl --context {} delete namespace {name}",
                worker.context
            )
        })
        .collect())
}

/// Takes away what earlier terms gave and these do not.
pub(super) async fn narrow(
    worker: &Connection,
    hub: &Hub,
    candidate: &Candidate,
    tenant: &Tenant,
) -> Result<(), ClusterError> {
    let Scope::Namespaces(wanted) = &candidate.terms.scope else {
        return forget_namespaces(worker, tenant, &earlier_namespaces(&hub.of(&candidate.name), &[])).await;
    };
    let bindings: Api<ClusterRoleBinding> = Api::all(worker.client.clone());
    let name = tenant.binding();
    hub::gone(bindings.delete(&name, &DeleteParams::default()).await, || {
        format!("ClusterRoleBinding {name}")
    })?;
    forget_namespaces(worker, tenant, &earlier_namespaces(&hub.of(&candidate.name), wanted)).await
}

fn earlier_namespaces(stored: &[&Stored], wanted: &[String]) -> Vec<String> {
    let mut earlier: Vec<String> = Vec::new();
    for one in stored {
        if let Scope::Namespaces(namespaces) = &one.record.scope {
            earlier.extend(namespaces.iter().filter(|namespace| !wanted.contains(namespace)).cloned());
        }
    }
    earlier.sort();
    earlier.dedup();
    earlier
}

/// Takes away a tenant's roles in namespaces.
pub(super) async fn forget_namespaces(
    worker: &Connection,
    tenant: &Tenant,
    namespaces: &[String],
) -> Result<(), ClusterError> {
    let name = tenant.binding();
    for namespace in namespaces {
        let bindings: Api<RoleBinding> = Api::namespaced(worker.client.clone(), namespace);
        let roles: Api<Role> = Api::namespaced(worker.client.clone(), namespace);
        let delete = DeleteParams::default();
        hub::gone(bindings.delete(&name, &delete).await, || format!("RoleBinding {namespace}/{name}"))?;
        hub::gone(roles.delete(&name, &delete).await, || format!("Role {namespace}/{name}"))?;
    }
    Ok(())
}

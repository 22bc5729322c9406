//! Workers without a credential: they trust the infra cluster's issuer, each for an audience of its own.

use super::access::{Tenant, Who};
use super::candidate::{Candidate, OidcTerms, is_refusal};
use super::error::{Stop, WorkerError};
use super::hub::Hub;
use super::issuer::{Issuer, PREFIX, Readable, authentication_configuration, discovery_binding, read};
use super::lifetime::token_issuer;
use super::obtain::{Obtained, give};
use super::record::{CredentialKind, Issued, Kept, Record};
use super::rights::missing;
use crate::cluster::{Action, Applied, ClusterError, Connection, Deadline, Mode, Selection};
use kubiya_hook::edge::Kind;
use secrecy::ExposeSecret as _;
use std::time::Duration;

/// How long access may take until the API server knows of it.
const SETTLING: Duration = Duration::from_secs(15);

/// The ServiceAccount of the infra cluster that goes to a worker.
fn account(worker: &str) -> String {
    format!("worker-{worker}")
}

/// The audience of a worker where none is named: its cluster, and no other.
fn own_audience(uid: Option<&str>, name: &str) -> String {
    format!("kubiya-worker-{}", uid.unwrap_or(name))
}

impl Candidate {
    fn oidc(&self) -> OidcTerms {
        self.terms.oidc.clone().unwrap_or_default()
    }

    /// For whom tokens for this worker are made.
    #[must_use]
    pub fn audience(&self) -> String {
        self.oidc().audience.unwrap_or_else(|| own_audience(self.uid.as_deref(), &self.name))
    }

    /// What the worker's API server is to be started with.
    ///
    /// # Errors
    /// An issuer that workers could not read.
    pub async fn authentication_configuration(
        &self,
        hub: &Hub,
        selection: &Selection,
    ) -> Result<serde_json::Value, WorkerError> {
        let issuer = self.issuer(hub, selection, Mode::Write).await?.0.ok_or_else(not_by_strangers)?;
        Ok(authentication_configuration(&issuer, &self.audience(), &self.connection.version))
    }

    /// The issuer, once workers can read it; and what had to be written for that.
    async fn issuer(
        &self,
        hub: &Hub,
        selection: &Selection,
        mode: Mode,
    ) -> Result<(Option<Issuer>, Vec<Applied>), WorkerError> {
        if let Readable::Yes(issuer) = read(hub, &selection.cluster).await? {
            return Ok((Some(issuer), Vec::new()));
        }
        let applied = hub.apply(&[discovery_binding()], self.terms.force, mode).await?;
        if mode != Mode::Write {
            return Ok((None, applied));
        }
        let deadline = Deadline::after(SETTLING);
        loop {
            match read(hub, &selection.cluster).await? {
                Readable::Yes(issuer) => return Ok((Some(issuer), applied)),
                Readable::NotByStrangers if deadline.has_passed() => return Err(not_by_strangers()),
                Readable::NotByStrangers => deadline.pause().await,
            }
        }
    }

    pub(super) async fn obtain_trust(
        &self,
        hub: &Hub,
        namespaces: &[String],
        mode: Mode,
    ) -> Result<Obtained, WorkerError> {
        self.refuse_shared(hub)?;
        let tenant = self.tenant(hub);
        let issued = self.issued();
        let record =
            Record { audience: Some(self.audience()), ..self.record(CredentialKind::Oidc, None, None) };
        let who = Who::Users(self.users(namespaces));
        let kept = Kept::Issued(issued.clone());
        if self.is_stored(hub, namespaces, &record, &issued)
            && let Ok(applied) = give(&self.connection, &tenant, &who, &self.terms, Mode::Compare).await
            && applied.iter().all(|one| one.action == Action::Unchanged)
        {
            let username = self.prove_everywhere(hub, namespaces, &issued).await?;
            let warnings = gate_is_shut(hub).await?.into_iter().collect();
            return Ok(Obtained { record, kept: Some(kept), username, applied, granted: None, warnings });
        }
        let (_, mut warnings) = (self.refuse_powerless(&tenant).await?, Vec::new());
        if mode == Mode::Write {
            // The account comes first: a token of it shows whether it is let in, before anything is given to it.
            let accounts: Vec<_> =
                namespaces.iter().flat_map(|one| record.manifests(one, &kept).into_iter().take(1)).collect();
            hub.apply(&accounts, self.terms.force, mode).await?;
            for namespace in namespaces {
                self.refuse_replay(hub, namespace, &issued).await?;
            }
        }
        let applied = give(&self.connection, &tenant, &who, &self.terms, mode).await?;
        let mut username = None;
        if mode == Mode::Write {
            super::obtain::narrow(&self.connection, hub, self, &tenant).await?;
            username = self.prove_everywhere(hub, namespaces, &issued).await?;
            warnings.extend(gate_is_shut(hub).await?);
        }
        Ok(Obtained { record, kept: Some(kept), username, applied, granted: None, warnings })
    }

    /// Whether all that is to be stored is: then the audience was seen to be the worker's alone when it was.
    fn is_stored(&self, hub: &Hub, namespaces: &[String], record: &Record, issued: &Issued) -> bool {
        let stored = hub.of(&self.name);
        let same = |one: &&super::Stored| {
            one.record == *record && matches!(&one.kept, Kept::Issued(kept) if kept == issued)
        };
        let has = |namespace: &String| stored.iter().filter(|one| one.namespace == *namespace).any(same);
        namespaces.iter().all(has)
    }

    async fn prove_everywhere(
        &self,
        hub: &Hub,
        namespaces: &[String],
        issued: &Issued,
    ) -> Result<Option<String>, WorkerError> {
        let mut username = None;
        for namespace in namespaces {
            username = Some(self.prove_trust(hub, namespace, issued).await?);
        }
        Ok(username)
    }

    fn issued(&self) -> Issued {
        let cluster = &self.remote.selection.cluster;
        let authority = cluster.certificate_authority_data.as_deref().and_then(super::issuer::decoded);
        Issued {
            address: cluster.server.clone().unwrap_or_default(),
            authority,
            audiences: vec![self.audience()],
            account: account(&self.name),
        }
    }

    /// What the worker calls the accounts; without the prefix only where that was asked for, because without it
    /// the infra cluster's accounts have the names of the worker's own.
    fn users(&self, namespaces: &[String]) -> Vec<String> {
        let bare = |namespace: &String| format!("system:serviceaccount:{namespace}:{}", account(&self.name));
        let mut users: Vec<String> =
            namespaces.iter().map(|namespace| format!("{PREFIX}{}", bare(namespace))).collect();
        if self.oidc().fallback_bindings {
            users.extend(namespaces.iter().map(bare));
        }
        users
    }

    /// An audience that two clusters accept lets the owner of one use Flux's tokens at the other.
    fn refuse_shared(&self, hub: &Hub) -> Result<(), WorkerError> {
        let audience = self.audience();
        let shares = |stored: &&super::Stored| {
            stored.record.worker != self.name && stored.record.audience.as_deref() == Some(&audience)
        };
        match hub.stored.iter().find(shares) {
            Some(other) if !self.oidc().allow_shared_audience => {
                Err(shared(&audience, &format!("worker `{}`", other.record.worker)))
            }
            _ => Ok(()),
        }
    }

    /// Takes a token for the worker to the infra cluster, which must refuse it.
    async fn refuse_replay(&self, hub: &Hub, namespace: &str, issued: &Issued) -> Result<(), WorkerError> {
        if self.oidc().allow_shared_audience {
            return Ok(());
        }
        let token = super::way::token(hub, namespace, &issued.account, &issued.audiences).await?;
        let Some(selection) = &hub.selection else { return Ok(()) };
        let there =
            crate::cluster::RemoteKubeconfig::without_credentials("infra", selection).with_token(&token);
        match there.prove(self.terms.request_timeout).await {
            Err(error) if is_refusal(&error) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(shared(&self.audience(), "the infra cluster itself")),
        }
    }

    /// Goes to the worker as Flux will.
    async fn prove_trust(&self, hub: &Hub, namespace: &str, issued: &Issued) -> Result<String, WorkerError> {
        let way = issued.way(hub, &self.name, namespace, &issued.audiences).await?;
        let proven = match way.prove(self.terms.request_timeout).await {
            Ok(proven) => proven,
            Err(error) if is_refusal(&error) => {
                let token = way.selection.user.token.as_ref();
                let issuer = token.and_then(|token| token_issuer(token.expose_secret())).unwrap_or_default();
                return Err(untrusted(&self.name, &self.audience(), &issuer, &error));
            }
            Err(error) => return Err(error.into()),
        };
        let expected = self.users(&[namespace.to_owned()]);
        if !expected.contains(&proven.username) {
            return Err(other_name(&proven, &expected));
        }
        let deadline = Deadline::after(SETTLING);
        loop {
            let lacking = missing(&proven, &Tenant::needed_to_use(&self.terms.scope)).await?;
            if lacking.is_empty() {
                return Ok(proven.username);
            }
            if deadline.has_passed() {
                return Err(WorkerError::MayNotUse { user: proven.username, missing: lacking });
            }
            deadline.pause().await;
        }
    }
}

fn stop(message: String, causes: Vec<String>, hints: &[&str]) -> WorkerError {
    let hints = hints.iter().map(|&hint| hint.to_owned()).collect();
    WorkerError::Stopped(Box::new(Stop { message, causes, hints, kind: Kind::Unverified }))
}

fn not_by_strangers() -> WorkerError {
    stop(
        "workers cannot read the infra cluster's issuer: it answers nobody without credentials".to_owned(),
        Vec::new(),
        &[
            "allow anonymous requests to /.well-known/openid-configuration and /openid/v1/jwks on its API server",
        ],
    )
}

fn shared(audience: &str, other: &str) -> WorkerError {
    stop(
        format!("{other} accepts the audience `{audience}`, too"),
        vec!["whoever owns one of them could use Flux's tokens at the other".to_owned()],
        &[
            "leave --audience out: each worker has one of its own",
            "to have it so on purpose: --allow-shared-audience",
        ],
    )
}

fn untrusted(worker: &str, audience: &str, issuer: &str, error: &ClusterError) -> WorkerError {
    stop(
        format!("worker `{worker}` does not accept the infra cluster's tokens for the audience `{audience}`"),
        vec![
            error.to_string(),
            format!(
                "their issuer is {issuer}; a worker of an infra cluster that was built anew still trusts the old one's"
            ),
        ],
        &[
            "what its API server is to be started with (--authentication-config): the same command with --print file",
            "on Gardener: --print gardener, then the same command with --garden-context NAME",
        ],
    )
}

fn other_name(proven: &Connection, expected: &[String]) -> WorkerError {
    stop(
        format!("the worker calls Flux `{}`, not `{}`", proven.username, expected.join("` or `")),
        vec!["access for a name that nobody has is no access".to_owned()],
        &[
            "set the username prefix in its AuthenticationConfiguration: the same command with --print file shows it",
            "where the worker can have no prefix: --fallback-bindings",
        ],
    )
}

/// What is to be said where the gate is shut; asked once in a run.
async fn gate_is_shut(hub: &Hub) -> Result<Option<String>, ClusterError> {
    hub.once.gate.get_or_try_init(|| ask_gate(hub)).await.cloned()
}

/// kustomize-controller makes tokens for accounts that a ConfigMap names only where it was allowed to.
async fn ask_gate(hub: &Hub) -> Result<Option<String>, ClusterError> {
    use k8s_openapi::api::apps::v1::Deployment;
    const GATE: &str = "ObjectLevelWorkloadIdentity=true";
    let api: kube::Api<Deployment> = kube::Api::namespaced(hub.connection.client.clone(), &hub.namespace);
    let name = "kustomize-controller";
    let live = api
        .get_opt(name)
        .await
        .map_err(|error| ClusterError::of_get(format!("Deployment {name}"), &error))?;
    let pod = live.and_then(|live| live.spec.template.spec);
    let open = pod.is_some_and(|pod| {
        pod.containers
            .iter()
            .flat_map(|one| one.args.iter().flatten())
            .any(|argument| argument.contains(GATE))
    });
    Ok((!open).then(|| {
        format!("kustomize-controller makes such tokens only with --feature-gates={GATE}: add it to its Deployment in your Flux manifests")
    }))
}

/// Reads the ConfigMaps of another audience than the worker was proven with.
pub(super) fn wrong_audience(record: &Record, issued: &Issued) -> Option<String> {
    let proven = record.audience.as_ref()?;
    (!issued.audiences.contains(proven)).then(|| {
        let asked =
            if issued.audiences.is_empty() { issued.address.clone() } else { issued.audiences.join(", ") };
        format!("tokens are made for `{asked}`, and the worker accepts `{proven}`")
    })
}

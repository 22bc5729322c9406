//! One change of a cluster at a time: a Lease in Flux's namespace, which whoever changes something takes, renews while at
//! it, and gives back at the end. Who only looks never touches it.

use super::{ClusterError, Connection, Deadline, FIELD_MANAGER};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The name of the Lease.
pub const LEASE: &str = "kubectl-kubiya";
/// How long a Lease counts that nobody renews: as long as those by which Kubernetes' own controllers elect a leader.
const LIFETIME: Duration = Duration::from_secs(15);
const RENEWED_EVERY: Duration = Duration::from_secs(5);
/// A Lease that ended this long ago by our clock is over, however the clocks differ.
const SURELY_OVER: Duration = Duration::from_secs(300);
/// How long a run that is only about to write something waits for another one.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long giving back may take: a Lease that is not given back ends by itself.
const PARTING: Duration = Duration::from_secs(3);

/// The claim of one run to be the only one that changes a cluster. It is made when something is to be written.
#[derive(Clone)]
pub(super) struct Claim {
    api: Api<Lease>,
    id: String,
    /// Which cluster it is on, by the address of its API server.
    server: String,
    holder: String,
    /// Several that write at once take it once.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// How a Lease came to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It had it already.
    Before,
    /// It was taken now; with the version that was there, `None` where there was none.
    Now(Option<String>),
}

/// What this process holds.
static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());
/// Tells that a Lease was lost: the name of who has it is left here.
static LOST: Notify = Notify::const_new();
static LOST_TO: Mutex<Option<String>> = Mutex::new(None);

struct Held {
    claim: Claim,
    lease: Arc<Mutex<Lease>>,
    renewal: tokio::task::JoinHandle<()>,
}

impl Connection {
    /// The same connection, with which changes are made one run at a time.
    #[must_use]
    pub fn guarded(self, namespace: &str, purpose: &str) -> Self {
        let claim = Claim {
            api: Api::namespaced(self.client.clone(), namespace),
            id: format!("Lease {namespace}/{LEASE}"),
            server: self.server.clone(),
            holder: holder(&self.username, purpose),
            turn: Arc::default(),
        };
        Self { claim: Some(claim), ..self }
    }

    /// Which version of the Lease is there; `None` where there is none. Another one later tells that somebody else has
    /// changed something meanwhile.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn lease_version(&self) -> Result<Option<String>, ClusterError> {
        let Some(claim) = &self.claim else { return Ok(None) };
        let found = claim.api.get_opt(LEASE).await;
        let found = found.map_err(|error| ClusterError::of_get(claim.id.clone(), &error))?;
        Ok(found.and_then(|lease| lease.metadata.resource_version))
    }

    /// Takes the Lease, or waits until whoever has it is done; `say` gets who that is.
    ///
    /// # Errors
    /// Those of the requests; somebody else still has it when the deadline comes.
    pub async fn take_lease(&self, deadline: Deadline, say: impl FnMut(&str)) -> Result<Taken, ClusterError> {
        match &self.claim {
            Some(claim) => claim.take(deadline, say).await,
            None => Ok(Taken::Before),
        }
    }

    /// What must be done before the first write: the Lease is taken, where this connection is to have one.
    ///
    /// # Errors
    /// As [`Connection::take_lease`].
    pub async fn before_writing(&self) -> Result<(), ClusterError> {
        match self.take_lease(Deadline::after(PATIENCE), |_| {}).await {
            // In a namespace that is not there nothing of Flux can be changed by two.
            Err(ClusterError::Refused { code: 404, .. }) => Ok(()),
            taken => taken.map(|_| ()),
        }
    }
}

impl Claim {
    async fn take(&self, deadline: Deadline, mut say: impl FnMut(&str)) -> Result<Taken, ClusterError> {
        let _turn = self.turn.lock().await;
        if locked(&HELD).iter().any(|held| (&held.claim.server, &held.claim.id) == (&self.server, &self.id)) {
            return Ok(Taken::Before);
        }
        let mut watched: Option<(String, Instant)> = None;
        loop {
            let found = self.api.get_opt(LEASE).await;
            let found = found.map_err(|error| ClusterError::of_get(self.id.clone(), &error))?;
            let version = found.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
            let other = found.as_ref().and_then(|lease| self.other(lease));
            // Nobody renewed it for its whole life: counted by our own clock, as the others' clock may be wrong.
            let is_over = watched
                .as_ref()
                .is_some_and(|(seen, since)| version.as_ref() == Some(seen) && since.elapsed() > LIFETIME)
                || found.as_ref().is_some_and(is_surely_over)
                || other.as_deref().is_some_and(|other| has_died(other, &processes()));
            match other.filter(|_| !is_over) {
                None => match self.write(found).await {
                    Ok(lease) => {
                        self.keep(lease);
                        return Ok(Taken::Now(version));
                    }
                    // Somebody was faster.
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(error) => return Err(ClusterError::of_request("take", self.id.clone(), &error)),
                },
                Some(other) => {
                    if deadline.has_passed() {
                        return Err(ClusterError::TimedOut {
                            what: self.id.clone(),
                            wanted: "free",
                            after: deadline.total(),
                            causes: vec![format!("{other} is changing this cluster")],
                        });
                    }
                    say(&format!("waiting: {other} is changing this cluster"));
                }
            }
            if watched.as_ref().map(|(seen, _)| seen) != version.as_ref() {
                watched = version.map(|version| (version, Instant::now()));
            }
            deadline.pause().await;
        }
    }

    /// Who else has it.
    fn other(&self, lease: &Lease) -> Option<String> {
        let holder = lease.spec.as_ref()?.holder_identity.clone()?;
        (!holder.is_empty() && holder != self.holder).then_some(holder)
    }

    /// Writes ourselves into it, unless it was changed since it was read.
    async fn write(&self, found: Option<Lease>) -> Result<Lease, kube::Error> {
        let now = MicroTime(jiff::Timestamp::now());
        let transitions =
            found.as_ref().and_then(|lease| lease.spec.as_ref()?.lease_transitions).unwrap_or(0);
        let spec = LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_duration_seconds: i32::try_from(LIFETIME.as_secs()).ok(),
            lease_transitions: Some(transitions.saturating_add(1)),
            ..LeaseSpec::default()
        };
        match found {
            // A spec always has a JSON form.
            Some(lease) => self.change(&lease, &serde_json::to_value(spec).unwrap_or_default()).await,
            None => {
                let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
                let params =
                    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                self.api.create(&params, &Lease { metadata, spec: Some(spec) }).await
            }
        }
    }

    /// Changes fields of the version that was read, and of no other (409). A patch, as everything that we write, so that
    /// no other right is needed for it.
    async fn change(&self, lease: &Lease, spec: &Value) -> Result<Lease, kube::Error> {
        let version = &lease.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": spec});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api.patch(LEASE, &params, &Patch::Merge(&patch)).await
    }

    /// Renews it from now on, until it is given back.
    fn keep(&self, lease: Lease) {
        let lease = Arc::new(Mutex::new(lease));
        let renewal = tokio::spawn(renew(self.clone(), lease.clone()));
        locked(&HELD).push(Held { claim: self.clone(), lease, renewal });
    }

    /// Changes fields of what we hold. Where an answer was lost, the version that is there is taken.
    async fn rewrite(&self, held: &Mutex<Lease>, spec: &Value) -> Result<(), kube::Error> {
        let lease = locked(held).clone();
        let written = match self.change(&lease, spec).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = self.api.get(LEASE).await?;
                match self.other(&found) {
                    Some(other) => {
                        *locked(&LOST_TO) = Some(other);
                        LOST.notify_one();
                        return Ok(());
                    }
                    None => self.change(&found, spec).await?,
                }
            }
            answer => answer?,
        };
        *locked(held) = written;
        Ok(())
    }
}

async fn renew(claim: Claim, held: Arc<Mutex<Lease>>) {
    loop {
        tokio::time::sleep(RENEWED_EVERY).await;
        // What cannot be renewed now may be renewed the next time.
        let now = MicroTime(jiff::Timestamp::now());
        let _ = claim.rewrite(&held, &json!({"renewTime": now})).await;
    }
}

/// Comes when somebody else has taken a Lease that this process held; gives who it is.
pub(crate) async fn lost() -> String {
    LOST.notified().await;
    locked(&LOST_TO).take().unwrap_or_default()
}

/// Gives back all that this process holds: however a command ends, the next one need not wait.
pub(crate) async fn let_go() {
    let held = std::mem::take(&mut *locked(&HELD));
    let all = held.into_iter().map(async |Held { claim, lease, renewal }| {
        renewal.abort();
        let _ = renewal.await;
        let free = json!({"holderIdentity": null, "renewTime": null});
        let given = claim.rewrite(&lease, &free);
        let _ = tokio::time::timeout(PARTING, given).await;
    });
    futures::future::join_all(all).await;
}

/// Takes the Leases away that this process holds: nothing is left that would have to be guarded.
pub(crate) async fn remove() {
    let held = std::mem::take(&mut *locked(&HELD));
    for Held { claim, lease, renewal } in held {
        renewal.abort();
        let _ = renewal.await;
        let resource_version = locked(&lease).metadata.resource_version.clone();
        let params = kube::api::DeleteParams {
            preconditions: Some(Preconditions { resource_version, uid: None }),
            ..kube::api::DeleteParams::default()
        };
        let _ = tokio::time::timeout(PARTING, claim.api.delete(LEASE, &params)).await;
    }
}

/// Whether nobody can be at it any more, by any clock.
fn is_surely_over(lease: &Lease) -> bool {
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
    renewed.is_some_and(|renewed| {
        let age = jiff::Timestamp::now().duration_since(renewed.0);
        Duration::try_from(age).is_ok_and(|age| age > LIFETIME + SURELY_OVER)
    })
}

/// Who we are, for others to read, and nobody else.
fn holder(username: &str, purpose: &str) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    format!("{username} at {host} ({purpose}, process {}{}, since {now})", std::process::id(), processes())
}

/// Which numbers of processes are ours, as it stands behind them: those of one namespace of one boot (Linux alone).
fn processes() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let number = space.to_string_lossy().trim_start_matches("pid:[").trim_end_matches(']').to_owned();
    match (boot.trim().split('-').next_back(), number.as_str()) {
        (Some(boot), number) if !boot.is_empty() && !number.is_empty() => format!(" of {boot}-{number}"),
        _ => String::new(),
    }
}

/// Whether a holder was a process of this machine that is there no more: it was killed, and renews nothing.
fn has_died(holder: &str, ours: &str) -> bool {
    let process = || {
        let number = holder.rsplit_once(", process ")?.1.split_once(&format!("{ours}, since "))?.0;
        number.parse::<i32>().ok().and_then(rustix::process::Pid::from_raw)
    };
    let Some(process) = (if ours.is_empty() { None } else { process() }) else { return false };
    rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_surely_over_when_clocks_cannot_differ_as_much() {
        let renewed = |ago: i64| {
            let then = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(ago);
            Lease {
                spec: Some(LeaseSpec { renew_time: Some(MicroTime(then)), ..LeaseSpec::default() }),
                ..Lease::default()
            }
        };
        assert!(is_surely_over(&renewed(3600)));
        assert!(!is_surely_over(&renewed(20)) && !is_surely_over(&renewed(-3600)));
        assert!(!is_surely_over(&Lease::default()));
    }

    #[test]
    fn the_holder_says_who_it_is_and_what_for() {
        let text = holder("jane", "bootstrap");
        assert!(text.starts_with("jane at ") && text.contains("(bootstrap, process "), "{text}");
    }

    #[test]
    fn a_holder_of_this_machine_that_was_killed_is_known_to_be_gone() {
        let ours = processes();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let held_by = |process: u32| {
            holder("jane", "bootstrap").replace(&std::process::id().to_string(), &process.to_string())
        };
        let text = held_by(child.id());
        assert!(!has_died(&text, &ours), "it runs: {text}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(has_died(&text, &ours), !ours.is_empty(), "{text}");
        // Processes of another machine, and holders that say nothing of theirs.
        assert!(!has_died(&text.replace(&ours, " of 000000000000-1"), &ours));
        assert!(!has_died("somebody", &ours) && !has_died(&text, ""));
    }
}

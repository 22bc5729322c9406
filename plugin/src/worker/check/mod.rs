//! Whether a worker does what it is there for: asked with exactly what Flux has.

mod delivery;
mod finding;
mod said;

use super::delivered::{Applier, applied_kinds};
use super::error::WorkerError;
use super::hub::Hub;
use super::lifetime::{self, certificate_data_end, user_end};
use super::oidc::wrong_audience;
use super::record::{CredentialKind, Kept, Record};
use super::rights::{Right, missing};
use crate::cluster::{ClusterError, Connection, RemoteKubeconfig};
use crate::duration;
use jiff::Timestamp;
use std::time::Duration;

pub use finding::{Finding, Level, State};

/// Credentials that end within this time are told.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Clocks that differ by more make tokens look unborn or dead.
const SKEW: Duration = Duration::from_secs(60);

/// What was seen of a worker.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is written on its Secret.
    pub record: Record,
    /// Version of its API server and who Flux is there; nothing where it did not let us in.
    pub version: Option<(String, String)>,
    /// When the authority of its API server ends.
    pub authority_ends: Option<Timestamp>,
    /// By how many seconds its clock is ahead of ours.
    pub clock_ahead: Option<i64>,
    /// What Flux applies there: which, whether it is ready, and what it says.
    pub appliers: Vec<(String, bool, String)>,
    /// What is not as it should be, the worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether something does not work.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }
}

/// Looks at one worker.
///
/// # Errors
/// A worker that nobody knows, and what the infra cluster refuses. What the worker refuses is a finding.
pub async fn check(hub: &Hub, worker: &str, request_timeout: Duration) -> Result<Report, WorkerError> {
    let stored = hub.known(worker)?;
    let Some(first) = stored.first() else {
        return Err(WorkerError::Unknown { name: worker.to_owned(), known: hub.names() });
    };
    let all = hub.appliers().await?;
    let mut findings = Vec::new();
    let mut report = Report {
        record: first.record.clone(),
        version: None,
        authority_ends: None,
        clock_ahead: None,
        appliers: Vec::new(),
        findings: Vec::new(),
    };
    if let Kept::Issued(issued) = &first.kept {
        findings.extend(
            wrong_audience(&first.record, issued)
                .map(|text| Finding::error(State::Audience, worker, text, renewed(worker))),
        );
    }
    match first.way(hub).await {
        Ok(remote) => {
            report.authority_ends =
                remote.selection.cluster.certificate_authority_data.as_deref().and_then(certificate_data_end);
            ends(&first.record, &remote, report.authority_ends, &mut findings);
            match remote.prove(request_timeout).await {
                Ok(connection) => {
                    report.version = Some((connection.version.clone(), connection.username.clone()));
                    report.clock_ahead = clock(&connection, worker, &mut findings).await;
                    rights(hub, &connection, worker, &mut findings).await?;
                    delivery::delivered(hub, &connection, worker, all, &mut findings).await?;
                }
                // Named already, by its cause.
                Err(_) if findings.iter().any(|finding| finding.state == State::Audience) => {}
                Err(error) => findings.push(no_way_in(worker, &error)),
            }
        }
        Err(error) => {
            findings.push(Finding::error(State::Kubeconfig, worker, error.to_string(), renewed(worker)));
        }
    }
    let there: Vec<&Applier> = all.iter().filter(|applier| applier.goes_to(worker)).collect();
    report.appliers =
        there.iter().map(|applier| (applier.id(), applier.ready().0, applier.ready().1)).collect();
    delivery::states(&there, &mut findings);
    delivery::strays(worker, all, &mut findings);
    findings.sort_by_key(|finding| finding.level);
    report.findings = findings;
    Ok(report)
}

fn renewed(worker: &str) -> String {
    format!("kubectl kubiya worker add {worker}   # makes new credentials")
}

fn ends(
    record: &Record,
    remote: &RemoteKubeconfig,
    authority: Option<Timestamp>,
    findings: &mut Vec<Finding>,
) {
    let (now, worker) = (Timestamp::now(), &record.worker);
    // What was copied has its end from elsewhere, as the authority has.
    let fetched = format!("kubectl kubiya worker add {worker}   # when you have newer ones");
    let renewed_in_time = match record.kind {
        CredentialKind::Copied => {
            format!("kubectl kubiya worker add {worker} --copy-credentials   # when you have newer ones")
        }
        _ => format!("kubectl kubiya worker renew {worker}"),
    };
    let user = user_end(&remote.selection.user).map(|(what, end)| (what, end, renewed_in_time));
    let authority = authority.map(|end| ("authority of the API server", end, fetched));
    for (what, end, fix) in user.into_iter().chain(authority) {
        let left = lifetime::left(end, now);
        if end <= now {
            findings.push(Finding::error(
                State::Expiry,
                worker,
                format!("the {what} ended at {end}"),
                if record.kind == CredentialKind::Copied { fix } else { renewed(worker) },
            ));
        } else if left < SOON {
            let text = format!("the {what} ends in {}, at {end}", duration::long(left));
            findings.push(Finding::warning(State::Expiry, worker, text, fix));
        }
    }
}

fn no_way_in(worker: &str, error: &ClusterError) -> Finding {
    match error {
        ClusterError::Unauthenticated { .. } => {
            Finding::error(State::Refused, worker, error.to_string(), renewed(worker))
        }
        _ => Finding::error(
            State::Unreachable,
            worker,
            error.to_string(),
            "is it up, and is its address the one that the infra cluster reaches? If it is gone for good: kubectl kubiya worker remove NAME --unreachable",
        ),
    }
}

/// By how much the worker's clock is ahead, from the date of one of its answers.
async fn clock(connection: &Connection, worker: &str, findings: &mut Vec<Finding>) -> Option<i64> {
    let request = http::Request::get("/version").body(kube::client::Body::empty()).ok()?;
    let answer = connection.client.send(request).await.ok()?;
    let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
    let there = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let ahead = there.as_second() - Timestamp::now().as_second();
    if ahead.unsigned_abs() > SKEW.as_secs() {
        let text = format!(
            "its clock is {} s {} this machine's",
            ahead.unsigned_abs(),
            if ahead > 0 { "ahead of" } else { "behind" }
        );
        findings.push(Finding::warning(
            State::Clock,
            worker,
            text,
            "let both follow a time server: tokens are judged by the clock",
        ));
    }
    Some(ahead)
}

/// What its Kustomizations need and Flux may not do.
async fn rights(
    hub: &Hub,
    connection: &Connection,
    worker: &str,
    findings: &mut Vec<Finding>,
) -> Result<(), ClusterError> {
    if missing(connection, &[Right::cluster("*", "*", &["*"])]).await?.is_empty() {
        return Ok(());
    }
    // Whoever vouches for users of this name gave access to another one.
    if connection.username.contains(":system:serviceaccount:") {
        let text = format!("Flux is `{}` there, which has no access", connection.username);
        let fix = format!("bind to that user, with its prefix: {}", renewed(worker));
        findings.push(Finding::error(State::SubjectPrefix, worker, text, fix));
        return Ok(());
    }
    let needed = applied_kinds(hub, connection, worker).await?;
    for right in missing(connection, &needed).await? {
        let text = format!("{} may not {}", connection.username, right.words());
        findings.push(Finding::error(State::Rights, worker, text, renewed(worker)));
    }
    Ok(())
}

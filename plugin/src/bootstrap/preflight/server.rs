//! The API server itself: its version, and its clock.

use crate::cluster::Connection;
use kubiya_hook::edge::Failure;

/// The oldest Kubernetes for a Flux: the version of Flux from which it counts, and that of Kubernetes
/// (`flux check --pre` of that Flux).
const MINIMUM: [([u64; 2], [u64; 2]); 1] = [([2, 9], [1, 33])];

/// A server that is too old for this Flux.
pub(super) fn too_old(server: &str, flux: Option<&str>) -> Option<Failure> {
    let flux = first_two(flux?)?;
    let (_, minimum) = MINIMUM.iter().rev().find(|(from, _)| *from <= flux)?;
    let [major, minor] = minimum;
    (first_two(server)? < *minimum).then(|| {
        Failure::unverified(format!(
            "Flux {}.{} needs Kubernetes {major}.{minor} or later, and this is {server}",
            flux[0], flux[1]
        ))
        .hint("upgrade the cluster first, or give manifests of an older Flux: --flux-manifests")
    })
}

/// The first two numbers of a version such as `v1.36.3` or `v1.33+`.
fn first_two(version: &str) -> Option<[u64; 2]> {
    let mut parts = version.trim_start_matches('v').split('.');
    let mut next = || {
        let part = parts.next()?;
        part.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some([next()?, next()?])
}

/// Clocks that differ by more than this make tokens and certificates too new or too old.
const MOST_SECONDS: i64 = 60;

/// How many seconds the API server's clock is ahead of ours, by the date of an answer.
pub(super) async fn seconds_ahead(hub: &Connection) -> Option<i64> {
    let request = http::Request::get("/version").body(kube::client::Body::empty()).ok()?;
    let before = jiff::Timestamp::now();
    let answer = hub.client.send(request).await.ok()?;
    let after = jiff::Timestamp::now();
    let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
    let there = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    // The answer was made at some time between the two.
    let ahead = there.as_second().saturating_sub(after.as_second());
    let behind = there.as_second().saturating_sub(before.as_second());
    Some(if ahead > 0 { ahead } else { behind.min(0) })
}

/// A server whose clock is another than ours.
pub(super) fn other_time(seconds_ahead: i64) -> Option<Failure> {
    let seconds = seconds_ahead;
    (seconds.abs() > MOST_SECONDS).then(|| {
        let direction = if seconds > 0 { "ahead of" } else { "behind" };
        Failure::unverified(format!(
            "the clock of the API server is {} s {direction} this machine's: tokens and certificates may be refused",
            seconds.abs()
        ))
        .hint("timedatectl status   # on both machines")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_worth_a_word_when_it_is_more_than_a_minute_off() {
        assert!(other_time(60).is_none() && other_time(-60).is_none());
        let said = other_time(-3600).unwrap().lines().join("");
        assert!(said.contains("3600 s behind"), "{said}");
    }

    #[test]
    fn a_server_is_too_old_only_for_a_flux_whose_minimum_is_known() {
        assert!(too_old("v1.32.9", Some("v2.9.5")).is_some());
        assert!(too_old("v1.32+", Some("v2.10.0")).is_some());
        assert!(too_old("v1.33.0-rc.1", Some("v2.9.5")).is_none());
        assert!(too_old("v1.20.0", Some("v2.8.9")).is_none());
        assert!(too_old("v1.20.0", None).is_none());
        assert!(too_old("unknown", Some("v2.9.5")).is_none());
    }
}

//! The engine against the real sops, on random documents of every store in every direction.
//!
//! `scripts/test` puts sops on PATH; `scripts/differential` runs the same with more documents.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails in a test fails the test")]

#[path = "differential/mod.rs"]
mod differential;

#[test]
fn our_engine_and_sops_agree_on_random_documents() {
    let report = differential::run(300, 2026);
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    let done = |what: &str| {
        report.counts.iter().filter(|((_, name), _)| name.starts_with(what)).map(|(_, n)| n).sum::<u64>()
    };
    for direction in [
        "(a) ours, decrypted by sops",
        "(b) theirs, decrypted by us",
        "(c) back, byte for byte",
        "(d) one value",
    ] {
        assert!(done(direction) > 100, "{direction}: {:?}", report.counts);
    }
}

#[test]
fn the_same_seed_makes_the_same_documents() {
    let documents = |seed| differential::documents(50, seed).collect::<Vec<_>>();
    assert_eq!(documents(7), documents(7));
    assert_ne!(documents(7), documents(8));
}

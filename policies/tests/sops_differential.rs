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

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, ..Default::default() })]

    #[test]
    fn what_is_encrypted_comes_back_and_a_change_stays_small(seed: u64) {
        let failures = differential::alone(seed);
        proptest::prop_assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    #[test]
    fn damage_neither_panics_nor_hangs(seed: u64) {
        let longest = differential::damaged(seed);
        proptest::prop_assert!(longest < std::time::Duration::from_secs(10), "{longest:?}");
    }
}

#[test]
fn the_same_seed_makes_the_same_documents() {
    let documents = |seed| differential::documents(50, seed).collect::<Vec<_>>();
    assert_eq!(documents(7), documents(7));
    assert_ne!(documents(7), documents(8));
}

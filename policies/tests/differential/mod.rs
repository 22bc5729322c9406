//! The engine for SOPS files against the real sops: random documents, encrypted by one and decrypted by the
//! other.
//!
//! Every document depends on the seed and its number alone, so a failure is repeated by both.

mod check;
mod flat;
mod random;
mod real;
mod recipe;
mod shrink;
mod yaml;

use check::Bench;
use kubiya_policies::sops::store::Format;
use random::Random;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value that every document may have once, and what it is changed to.
const PLACEHOLDER: &str = "changeme";
const CHANGED: &str = "something else";

/// A plain document.
#[derive(Clone, Debug)]
struct Document {
    format: Format,
    bytes: Vec<u8>,
    /// Whether decrypting what was encrypted gives exactly these bytes back.
    exact: bool,
}

impl Document {
    /// The same with one value changed.
    fn changed(&self) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(&self.bytes).ok().filter(|text| text.contains(PLACEHOLDER))?;
        Some(text.replacen(PLACEHOLDER, CHANGED, 1).into_bytes())
    }
}

/// The stores that are compared. YAML is where the work is.
const FORMATS: [Format; 8] = [
    Format::Yaml,
    Format::Yaml,
    Format::Yaml,
    Format::Yaml,
    Format::Json,
    Format::Dotenv,
    Format::Ini,
    Format::Binary,
];

fn document(format: Format, random: &mut Random) -> Document {
    match format {
        Format::Yaml => yaml::document(random),
        Format::Json => flat::json(random),
        Format::Dotenv => flat::dotenv(random),
        Format::Ini => flat::ini(random),
        Format::Binary => flat::binary(random),
    }
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What happened how often, by store.
    pub(crate) counts: BTreeMap<(String, String), u64>,
    /// Each failure with all that repeats it.
    pub(crate) failures: Vec<String>,
}

/// Compares so many documents, on all processors.
pub(crate) fn run(count: u64, seed: u64) -> Report {
    let next = AtomicU64::new(0);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let bench = Bench::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    compare(&bench, seed, number, &report);
                }
            });
        }
    });
    let mut report = report.into_inner().unwrap_or_default();
    report.failures.sort();
    report
}

fn compare(bench: &Bench, seed: u64, number: u64, report: &Mutex<Report>) {
    let mut random = Random::of(seed, number);
    let format = FORMATS[random.below(FORMATS.len())];
    let document = document(format, &mut random);
    let recipe = random.below(recipe::COUNT);
    let verdict = bench.compare(&document, recipe);
    // A few of each kind are enough to look at.
    let known = |what: &str| {
        report.lock().map_or(0, |report| report.failures.iter().filter(|f| f.starts_with(what)).count())
    };
    let failures = verdict.failures.iter().filter(|failure| known(failure.what) < 4).map(|failure| {
        let fails = |bytes: &[u8]| {
            let smaller = Document { bytes: bytes.to_vec(), ..document.clone() };
            bench.compare(&smaller, recipe).failures.iter().any(|other| other.what == failure.what)
        };
        let small = shrink::shrink(&document.bytes, &fails);
        let smaller = Document { bytes: small.clone(), ..document.clone() };
        let again = bench.compare(&smaller, recipe).failures;
        let detail =
            again.into_iter().find(|other| other.what == failure.what).unwrap_or_else(|| failure.clone());
        let mut text = format!("{} seed {seed} number {number} {format:?} recipe {recipe}\n", failure.what);
        let _ = writeln!(
            text,
            "--- document {:?}\n{}",
            recipe::selector(recipe),
            String::from_utf8_lossy(&small)
        );
        let _ = writeln!(text, "--- detail\n{}", detail.detail);
        text
    });
    let failures = failures.collect::<Vec<_>>();
    let Ok(mut report) = report.lock() else { return };
    report.failures.extend(failures);
    for what in verdict.counts {
        *report.counts.entry((format!("{format:?}"), what)).or_default() += 1;
    }
    for failure in verdict.failures {
        *report.counts.entry((format!("{format:?}"), format!("FAILED: {}", failure.what))).or_default() += 1;
    }
}

/// The documents of a run, for a look at them.
pub(crate) fn documents(count: u64, seed: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |number| {
        let mut random = Random::of(seed, number);
        let format = FORMATS[random.below(FORMATS.len())];
        document(format, &mut random).bytes
    })
}

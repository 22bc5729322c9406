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

/// What fails of one document without sops: what was encrypted comes back, and a change stays small.
pub(crate) fn alone(seed: u64) -> Vec<String> {
    let mut random = Random::of(seed, 0);
    let format = FORMATS[random.below(FORMATS.len())];
    let document = document(format, &mut random);
    let verdict = Bench::new().alone(&document, random.below(recipe::COUNT));
    let shown = |failure: check::Failure| {
        format!("{}\n{}\n{}", failure.what, String::from_utf8_lossy(&document.bytes), failure.detail)
    };
    verdict.failures.into_iter().map(shown).collect()
}

/// Does everything with a damaged document, plain and encrypted, and gives how long it took at most.
pub(crate) fn damaged(seed: u64) -> std::time::Duration {
    let mut random = Random::of(seed, 1);
    let format = FORMATS[random.below(FORMATS.len())];
    let document = document(format, &mut random);
    let bench = Bench::new();
    let mut longest = std::time::Duration::ZERO;
    for whole in [Some(document.bytes.clone()), bench.sealed(&document)].into_iter().flatten() {
        let bytes = damage(&whole, &mut random);
        let begin = std::time::Instant::now();
        bench.damaged(format, &bytes);
        longest = longest.max(begin.elapsed());
    }
    longest
}

/// Bytes flipped, cut, taken out, doubled; lines in another order.
fn damage(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.between(1, 4) {
        let at = random.below(bytes.len().max(1));
        match random.below(7) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] ^= 1 << random.below(8),
            1 => {
                let odd =
                    random.one(&["\n", " ", ":", "-", "#", "{", "]", "\"", "&", "*", "|", "\t", "\r", "\0"]);
                bytes[at] = odd.as_bytes()[0];
            }
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + random.below(30)).min(bytes.len()))),
            4 => {
                let end = (at + random.below(60)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 => {
                let inserted = random.one(&[
                    "\n", "  ", ": ", "- ", "sops:", "<<: *a", "\u{85}", "\u{feff}", "---\n", "...\n",
                    "ENC[", "&a ",
                ]);
                bytes.splice(at..at, inserted.bytes());
            }
            _ => {
                let mut lines =
                    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
                let (one, other) = (random.below(lines.len()), random.below(lines.len()));
                lines.swap(one, other);
                bytes = lines.concat();
            }
        }
    }
    bytes
}

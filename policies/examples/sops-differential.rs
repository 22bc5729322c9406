//! Development only: the engine for SOPS files against the real sops, see `scripts/differential`.
//!
//! ```text
//! sops-differential run N SEED     compares N random documents in every direction
//! sops-differential documents N SEED     prints them, with a NUL between
//! sops-differential bench     times of large files
//! ```

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a tool for development")]

#[path = "../tests/differential/bench.rs"]
mod bench;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/differential/mod.rs"]
mod differential;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let number = |at: usize, default: u64| match arguments.get(at) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{text} is not a number")),
        None => default,
    };
    match arguments.first().map(String::as_str) {
        Some("run") => run(number(1, 10_000), number(2, 1)),
        Some("documents") => {
            let mut stdout = std::io::stdout();
            for document in differential::documents(number(1, 10), number(2, 1)) {
                stdout.write_all(&document).unwrap();
                stdout.write_all(&[0]).unwrap();
            }
            ExitCode::SUCCESS
        }
        Some("bench") => {
            bench::run();
            ExitCode::SUCCESS
        }
        _ => panic!("run, documents or bench"),
    }
}

fn run(count: u64, seed: u64) -> ExitCode {
    let report = differential::run(count, seed);
    for failure in &report.failures {
        println!("{failure}================");
    }
    for ((store, what), count) in &report.counts {
        println!("{count:8} {store:7} {what}");
    }
    let failed = report.failures.len();
    println!("{count} documents, seed {seed}: {}", if failed == 0 { "no failure" } else { "FAILED" });
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

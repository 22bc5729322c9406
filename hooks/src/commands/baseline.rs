//! `scan --baseline`: what was there before and is not to be said again.

use crate::edge::{Console, Failure, shown};
use crate::judge::Verdict;
use crate::trust::{Baseline, key_or_new};
use clap::Args;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// A list of findings that were there before.
#[derive(Args, Debug)]
pub(super) struct BaselineArgs {
    /// List of old findings, which are not said again; written with all that is found where it is not there
    ///
    /// It holds paths, keys and keyed hashes of values, no values. To renew it, take the file away.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Key of its hashes; without, one in the Git folder, which is made when it is not there
    #[arg(long, value_name = "FILE", requires = "baseline")]
    baseline_key: Option<PathBuf>,
}

impl BaselineArgs {
    /// Whether there is such a list.
    pub(super) fn is_asked(&self) -> bool {
        self.baseline.is_some()
    }

    /// The list, if one is asked for. Where it is not there yet, it is made of the verdicts.
    pub(super) fn list<'v>(
        &self,
        verdicts: impl Iterator<Item = &'v Verdict>,
        console: &mut Console,
    ) -> Result<Option<Baseline>, Failure> {
        let Some(file) = &self.baseline else { return Ok(None) };
        let place = shown(file.as_os_str().as_bytes());
        let key = key_or_new(self.baseline_key.as_deref()).map_err(|error| {
            Failure::usage("no key for the baseline")
                .because(&error)
                .hint("--baseline-key FILE names one; outside of a repository there is no other")
        })?;
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = Baseline::text(key, verdicts);
                std::fs::write(file, &text).map_err(|error| {
                    Failure::usage("cannot write the baseline").at(place.clone()).because(&error)
                })?;
                let _ = console.err.line(&format!("written: {place}"));
                text
            }
            Err(error) => return Err(Failure::usage("cannot read the baseline").at(place).because(&error)),
        };
        let parsed = Baseline::parse(key, &text);
        parsed.map(Some).map_err(|error| Failure::usage("cannot use the baseline").at(place).because(&error))
    }
}

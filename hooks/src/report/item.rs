//! What the reports for programs have in common: everything that was found, and what could not be judged, as one
//! list by path.

use super::shown;
use crate::judge::{Unverified, Verdict};
use kubiya_policies::builtin;
use kubiya_policies::finding::{Code, Finding, Severity};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// One thing to report.
pub(super) struct Item<'v> {
    /// What kind of finding; `None` for a file that cannot be judged.
    pub(super) code: Option<Code>,
    pub(super) severity: Severity,
    /// As Git stores it.
    pub(super) path: &'v [u8],
    /// From 1.
    pub(super) line: Option<u32>,
    /// In characters, from 1.
    pub(super) column: Option<u32>,
    /// Keys from the root; empty where there are none.
    pub(super) key_path: &'v str,
    /// One line, with nothing in it that would have to be escaped for a terminal.
    pub(super) message: String,
    /// The same after unrelated edits, and made without any value.
    pub(super) fingerprint: String,
}

/// What cannot be judged has no code of its own.
const UNVERIFIED: &str = "unverified";

impl Item<'_> {
    /// The name of the kind of finding.
    pub(super) fn rule(&self) -> String {
        self.code.map_or_else(|| UNVERIFIED.to_owned(), |code| code.to_string())
    }

    /// What kind of finding it is, in a few words.
    pub(super) fn title(&self) -> &'static str {
        self.code.map_or("Cannot be judged", |code| builtin::explain(code).title.as_str())
    }
}

/// Everything in a verdict.
pub(super) fn items(verdict: &Verdict) -> Vec<Item<'_>> {
    let mut again = HashMap::new();
    let mut all: Vec<_> = verdict.found.iter().map(|found| of_finding(&found.finding, &mut again)).collect();
    all.extend(verdict.unverified.iter().map(|unverified| of_unverified(unverified, &mut again)));
    all.sort_by_key(|item| item.path);
    all
}

/// How often the same place had the same finding.
type Again<'v> = HashMap<(Option<Code>, &'v [u8], Option<u32>, &'v str), u32>;

fn of_finding<'v>(finding: &'v Finding, again: &mut Again<'v>) -> Item<'v> {
    let place = &finding.place;
    let key = if place.key_path.is_empty() {
        String::new()
    } else {
        format!("{}: ", shown(place.key_path.as_bytes()))
    };
    Item {
        code: Some(finding.code),
        severity: finding.severity,
        path: &place.path,
        line: place.span.as_ref().map(|span| span.line),
        column: place.span.as_ref().map(|span| span.column),
        key_path: &place.key_path,
        message: format!("{key}{}", shown(finding.message.as_bytes())),
        fingerprint: fingerprint((Some(finding.code), &place.path, place.document, &place.key_path), again),
    }
}

fn of_unverified<'v>(unverified: &'v Unverified, again: &mut Again<'v>) -> Item<'v> {
    let files = match unverified.files.len() {
        0 => String::new(),
        number => format!("; {} below it cannot be judged", super::count(number, "file")),
    };
    Item {
        code: None,
        severity: Severity::Error,
        path: &unverified.path,
        line: unverified.position.map(|(line, _)| line),
        column: unverified.position.map(|(_, column)| column),
        key_path: "",
        message: format!("{}{files}", shown(unverified.reason.as_bytes())),
        fingerprint: fingerprint((None, &unverified.path, None, ""), again),
    }
}

fn fingerprint<'v>(place: (Option<Code>, &'v [u8], Option<u32>, &'v str), again: &mut Again<'v>) -> String {
    let times = again.entry(place).or_default();
    let (code, path, document, key_path) = place;
    let mut hash = Sha256::new();
    // Each part with its length, so that no two places run together.
    for part in [path, key_path.as_bytes()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.update(code.map_or(0, |code| code.0).to_be_bytes());
    hash.update(document.map_or(0, |number| u64::from(number) + 1).to_be_bytes());
    hash.update(times.to_be_bytes());
    *times += 1;
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

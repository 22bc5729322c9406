//! Findings, written for people and for programs.

mod json;
mod text;

pub use json::json;
pub use text::{Occasion, escaped, text};

use kubiya_policies::finding::{Finding, Severity};

/// A finding with where in Git it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// What was found.
    pub finding: Finding,
    /// The commit or tag object that brings it, in hexadecimal; `None` in an index or a work tree.
    pub object: Option<String>,
    /// The reference that brings it, as in `refs/heads/main`.
    pub reference: Option<Vec<u8>>,
}

/// How many of the findings stop a commit or a push.
#[must_use]
pub fn errors(findings: &[Located]) -> usize {
    findings.iter().filter(|found| found.finding.severity == Severity::Error).count()
}

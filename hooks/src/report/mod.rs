//! From findings to text, for people and for programs. None of it can show a value: findings hold none.

mod checkstyle;
pub mod format;
mod github;
mod gitlab;
mod item;
pub mod json;
mod junit;
pub mod push;
mod sarif;
pub mod text;
mod xml;

pub use crate::edge::{in_shell, shown, wrapped};

use kubiya_policies::finding::{Finding, Severity};

/// The word for a severity.
pub(crate) fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

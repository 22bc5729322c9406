//! The code quality report of GitLab: a list of issues with the five fields that it asks for.

use super::item::items;
use super::shown;
use crate::judge::Verdict;
use kubiya_policies::finding::Severity;
use serde_json::json;

/// The report as a JSON list.
///
/// # Errors
/// None that is known: all keys are strings.
pub(super) fn report(verdict: &Verdict) -> serde_json::Result<String> {
    let issues: Vec<_> = items(verdict)
        .iter()
        .map(|item| {
            json!({
                "description": format!("{}: {}", item.title(), item.message),
                "check_name": item.rule(),
                "fingerprint": item.fingerprint,
                "severity": match item.severity {
                    Severity::Note => "info",
                    Severity::Warning => "minor",
                    Severity::Error => "critical",
                },
                "location": {"path": shown(item.path), "lines": {"begin": item.line.unwrap_or(1)}},
            })
        })
        .collect();
    serde_json::to_string_pretty(&issues)
}

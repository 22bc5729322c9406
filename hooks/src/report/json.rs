//! The report for programs. `schema` grows by one when a field changes its meaning or goes; new fields may
//! come at any time.

use super::severity;
use crate::judge::Verdict;
use bstr::ByteSlice as _;
use serde::Serialize;

/// The version of the form.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Report<'v> {
    schema: u32,
    tool: Tool,
    files: usize,
    findings: Vec<Finding<'v>>,
    unverified: Vec<Unverified<'v>>,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Finding<'v> {
    code: String,
    severity: &'static str,
    /// Bytes that are no UTF-8 are replaced; `path_bytes` then has them all, in hexadecimal.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    /// From 1.
    document: Option<u32>,
    key_path: &'v str,
    message: &'v str,
}

#[derive(Serialize)]
struct Unverified<'v> {
    path: String,
    line: Option<u32>,
    column: Option<u32>,
    /// The commit of a push.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    reason: &'v str,
    files: Vec<String>,
}

/// The report as one JSON object on several lines.
///
/// # Errors
/// None that is known: all keys are strings.
pub fn report(verdict: &Verdict, files: usize) -> serde_json::Result<String> {
    let text = |path: &[u8]| path.to_str_lossy().into_owned();
    let findings = verdict.found.iter().map(|found| {
        let finding = &found.finding;
        let span = finding.place.span.as_ref();
        let path = &finding.place.path;
        Finding {
            code: finding.code.to_string(),
            severity: severity(finding),
            path_bytes: path
                .to_str()
                .is_err()
                .then(|| path.iter().map(|byte| format!("{byte:02x}")).collect()),
            path: path.to_str_lossy().into_owned(),
            line: span.map(|span| span.line),
            column: span.map(|span| span.column),
            document: finding.place.document.map(|number| number + 1),
            key_path: &finding.place.key_path,
            message: &finding.message,
        }
    });
    let unverified = verdict.unverified.iter().map(|unverified| Unverified {
        path: text(&unverified.path),
        line: unverified.position.map(|(line, _)| line),
        column: unverified.position.map(|(_, column)| column),
        commit: unverified.commit.map(|id| id.to_string()),
        reason: &unverified.reason,
        files: unverified.files.iter().map(|file| text(file)).collect(),
    });
    serde_json::to_string_pretty(&Report {
        schema: SCHEMA,
        tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
        files,
        findings: findings.collect(),
        unverified: unverified.collect(),
    })
}

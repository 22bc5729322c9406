//! The report for programs. The schema is versioned; values of the file are in no field of it.

use super::{Located, errors};
use kubiya_policies::builtin;
use kubiya_policies::finding::Severity;
use serde::Serialize;

/// Raised when a field changes its meaning or goes; new fields do not raise it.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    errors: usize,
    findings: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    code: String,
    severity: &'static str,
    title: &'static str,
    message: String,
    /// Bytes that are not UTF-8 are replaced; `pathBytes` has them then, in hexadecimal.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    document: Option<u32>,
    key_path: String,
    commit: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

/// The findings as one JSON document with a line end.
#[must_use]
pub fn json(findings: &[Located]) -> String {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        errors: errors(findings),
        findings: findings.iter().map(entry).collect(),
    };
    // Strings, numbers and lists of them always have a JSON form.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn entry(found: &Located) -> Entry {
    let finding = &found.finding;
    let place = &finding.place;
    let is_utf8 = std::str::from_utf8(&place.path).is_ok();
    Entry {
        code: finding.code.to_string(),
        severity: match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        title: &builtin::explain(finding.code).title,
        message: finding.message.clone(),
        path: String::from_utf8_lossy(&place.path).into_owned(),
        path_bytes: (!is_utf8).then(|| place.path.iter().map(|byte| format!("{byte:02x}")).collect()),
        line: place.span.as_ref().map(|span| span.line),
        column: place.span.as_ref().map(|span| span.column),
        document: place.document,
        key_path: place.key_path.clone(),
        commit: found.object.clone(),
        reference: found.reference.as_ref().map(|name| String::from_utf8_lossy(name).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_policies::finding::{Finding, Place};

    #[test]
    fn a_document_for_programs() {
        let found = Located {
            finding: Finding {
                code: builtin::AGE_IDENTITY,
                severity: Severity::Error,
                place: Place { path: b"k\xff".to_vec(), document: None, key_path: String::new(), span: None },
                message: "a private age identity".to_owned(),
            },
            object: None,
            reference: None,
        };
        insta::assert_snapshot!(json(&[found]), @r#"
        {
          "schemaVersion": 1,
          "errors": 1,
          "findings": [
            {
              "code": "KBY011",
              "severity": "error",
              "title": "Private age identity",
              "message": "a private age identity",
              "path": "k�",
              "pathBytes": "6bff",
              "line": null,
              "column": null,
              "document": null,
              "keyPath": "",
              "commit": null,
              "ref": null
            }
          ]
        }
        "#);
    }
}

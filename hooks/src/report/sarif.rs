//! SARIF 2.1.0 (OASIS), with what GitHub's code scanning asks for beside it: help for each rule,
//! `security-severity`, fingerprints that stay.

use super::item::{Item, items};
use super::shown;
use crate::judge::Verdict;
use kubiya_policies::builtin;
use kubiya_policies::finding::Severity;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The report as one JSON object.
///
/// # Errors
/// None that is known: all keys are strings.
pub(super) fn report(verdict: &Verdict) -> serde_json::Result<String> {
    let items = items(verdict);
    let mut rules: BTreeMap<String, &Item<'_>> = BTreeMap::new();
    for item in &items {
        let worst = rules.entry(item.rule()).or_insert(item);
        if item.severity > worst.severity {
            *worst = item;
        }
    }
    let numbers: BTreeMap<&str, usize> =
        rules.keys().enumerate().map(|(number, rule)| (rule.as_str(), number)).collect();
    let results: Vec<_> = items.iter().map(|item| result(item, &numbers)).collect();
    let driver = json!({
        "name": env!("CARGO_PKG_NAME"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules.values().map(|item| rule(item)).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// What GitHub sorts by: 7 and more is high.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "1.0",
        Severity::Warning => "5.0",
        Severity::Error => "8.0",
    }
}

/// A rule, by the worst of its results.
fn rule(worst: &Item<'_>) -> Value {
    let (why, help) = match worst.code {
        Some(code) => {
            let text = builtin::explain(code);
            (text.why.trim().to_owned(), format!("{}\n\n{}", text.why.trim(), text.fix.trim_end()))
        }
        None => {
            let why = "What cannot be read or judged may hold anything.";
            (why.to_owned(), why.to_owned())
        }
    };
    json!({
        "id": worst.rule(),
        "shortDescription": {"text": worst.title()},
        "fullDescription": {"text": why},
        "help": {"text": help},
        "defaultConfiguration": {"level": level(worst.severity)},
        "properties": {
            "security-severity": security_severity(worst.severity),
            "tags": ["security"],
        },
    })
}

fn result(item: &Item<'_>, numbers: &BTreeMap<&str, usize>) -> Value {
    let rule = item.rule();
    let mut place = json!({"artifactLocation": artifact(item.path)});
    if let Some(line) = item.line {
        place["region"] = json!({"startLine": line, "startColumn": item.column.unwrap_or(1)});
    }
    let mut location = json!({"physicalLocation": place});
    if !item.key_path.is_empty() {
        location["logicalLocations"] =
            json!([{"fullyQualifiedName": shown(item.key_path.as_bytes()), "kind": "member"}]);
    }
    json!({
        "ruleIndex": numbers.get(rule.as_str()),
        "ruleId": rule,
        "level": level(item.severity),
        "message": {"text": item.message},
        "locations": [location],
        "partialFingerprints": {"kubiyaFinding/v1": item.fingerprint},
    })
}

/// A path as a URI: below the top of what was judged, or, outside of it, from the root of the file system.
fn artifact(path: &[u8]) -> Value {
    let encoded: String = path.iter().map(|byte| encoded(*byte)).collect();
    if path.starts_with(b"/") {
        json!({"uri": format!("file://{encoded}")})
    } else {
        json!({"uri": encoded, "uriBaseId": "%SRCROOT%"})
    }
}

/// All but what RFC 3986 lets stand anywhere in a path.
fn encoded(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_uris_whatever_is_in_them() {
        let relative = artifact("a b/ü:\u{202e}.yaml".as_bytes());
        assert_eq!(relative, json!({"uri": "a%20b/%C3%BC%3A%E2%80%AE.yaml", "uriBaseId": "%SRCROOT%"}));
        assert_eq!(artifact(b"/tmp/\xff"), json!({"uri": "file:///tmp/%FF"}));
    }
}

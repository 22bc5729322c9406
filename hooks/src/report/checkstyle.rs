//! Checkstyle's XML, which many tools for reviews read.

use super::item::items;
use super::shown;
use super::xml::{document, element, empty};
use crate::judge::Verdict;
use kubiya_policies::finding::Severity;

/// The report as an XML document.
///
/// # Errors
/// None that is known.
pub(super) fn report(verdict: &Verdict) -> std::io::Result<String> {
    let items = items(verdict);
    document(|xml| {
        element(xml, "checkstyle", &[("version", "4.3")], |xml| {
            for file in items.chunk_by(|a, b| a.path == b.path) {
                let Some(first) = file.first() else { continue };
                element(xml, "file", &[("name", &shown(first.path))], |xml| {
                    for item in file {
                        let line = item.line.unwrap_or(1).to_string();
                        let column = item.column.unwrap_or(1).to_string();
                        let severity = match item.severity {
                            Severity::Note => "info",
                            Severity::Warning => "warning",
                            Severity::Error => "error",
                        };
                        let message = format!("{}: {}", item.title(), item.message);
                        empty(
                            xml,
                            "error",
                            &[
                                ("line", &line),
                                ("column", &column),
                                ("severity", severity),
                                ("message", &message),
                                ("source", &format!("kubiya.{}", item.rule())),
                            ],
                        )?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    })
}

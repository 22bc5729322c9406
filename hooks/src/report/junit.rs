//! `JUnit` XML as Jenkins reads it: each finding is a test of its file. What stops a commit has failed, what cannot
//! be judged is an error, everything else has passed with something to say.

use super::item::{Item, items};
use super::shown;
use super::xml::{Xml, document, element, empty, text};
use crate::judge::Verdict;
use kubiya_policies::finding::Severity;

/// The report as an XML document.
///
/// # Errors
/// None that is known.
pub(super) fn report(verdict: &Verdict, files: usize) -> std::io::Result<String> {
    let items = items(verdict);
    let failures = items.iter().filter(|item| is_failure(item)).count().to_string();
    let errors = verdict.unverified.len().to_string();
    // A suite without any test is a fault to some who read it.
    let tests = items.len().max(1).to_string();
    let numbers = [("name", "kubiya-hook"), ("tests", &tests), ("failures", &failures), ("errors", &errors)];
    document(|xml| {
        element(xml, "testsuites", &numbers, |xml| {
            element(xml, "testsuite", &numbers, |xml| {
                if items.is_empty() {
                    let name = format!("{} judged", super::count(files, "file"));
                    return empty(xml, "testcase", &[("classname", "kubiya-hook"), ("name", &name)]);
                }
                items.iter().try_for_each(|item| test(xml, item))
            })
        })
    })
}

fn is_failure(item: &Item<'_>) -> bool {
    item.code.is_some() && item.severity == Severity::Error
}

fn test(xml: &mut Xml, item: &Item<'_>) -> std::io::Result<()> {
    let path = shown(item.path);
    let at = item.line.map(|line| format!(":{line}")).unwrap_or_default();
    let name = format!("{} {path}{at}", item.rule());
    element(xml, "testcase", &[("classname", &path), ("name", &name)], |xml| {
        let said = format!("{path}{at}: {}", item.message);
        let rule = item.rule();
        let why = [("type", rule.as_str()), ("message", item.title())];
        if is_failure(item) {
            element(xml, "failure", &why, |xml| text(xml, &said))
        } else if item.code.is_none() {
            element(xml, "error", &why, |xml| text(xml, &said))
        } else {
            element(xml, "system-out", &[], |xml| text(xml, &format!("{}: {said}", item.title())))
        }
    })
}

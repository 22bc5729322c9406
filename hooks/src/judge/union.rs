//! What several sets of rules want of one file: what any of them wants encrypted must be.

use super::Seen;
use kubiya_policies::builtin;
use kubiya_policies::finding::{Code, Finding, Severity};
use std::sync::Arc;

/// How exactly a file is to be encrypted, and for whom, is the word of the rules of its own commit: after an
/// allowed change, files follow the new rules.
const OWN_WORD: [Code; 1] = [builtin::SOPS_CONFIG];

fn counts(finding: &Finding) -> bool {
    finding.severity == Severity::Error && !OWN_WORD.contains(&finding.code)
}

fn has(seen: &Seen, finding: &Finding) -> bool {
    let same = |other: &Finding| {
        other.severity >= finding.severity && other.code == finding.code && other.place == finding.place
    };
    seen.report.findings.iter().any(same)
}

/// Whether rules ask for more than others did.
pub(super) fn asks_more(seen: &Seen, than: &Seen) -> bool {
    seen.report.findings.iter().any(|finding| counts(finding) && !has(than, finding))
}

/// Adds what elder rules want, where the file's own do not.
pub(super) fn with(own: Arc<Seen>, elder: &Seen) -> Arc<Seen> {
    if !asks_more(elder, &own) {
        return own;
    }
    let mut all = Seen { report: own.report.clone(), subjects: own.subjects.clone(), sealed: own.sealed };
    for (finding, subject) in elder.report.findings.iter().zip(&elder.subjects) {
        if counts(finding) && !has(&own, finding) {
            let mut finding = finding.clone();
            finding.message.push_str(" (by the rules before this change)");
            let lesser = |other: &Finding| other.code == finding.code && other.place == finding.place;
            match all.report.findings.iter_mut().find(|other| lesser(other)) {
                Some(lesser) => *lesser = finding,
                None => {
                    all.report.findings.push(finding);
                    all.subjects.push(subject.clone());
                }
            }
        }
    }
    Arc::new(all)
}

//! What several sets of rules want of one file: what any of them wants encrypted must be.

use super::Seen;
use kubiya_policies::builtin;
use kubiya_policies::finding::{Code, Finding, Severity};
use std::sync::Arc;

/// How exactly a file is to be encrypted, and for whom, is the word of the rules of its own commit: after an
/// allowed change, files follow the new rules.
const OWN_WORD: [Code; 3] = [builtin::SOPS_CONFIG, builtin::RECIPIENTS, builtin::SELECTOR];

/// What an encrypted file leaves plain by its own selector: where rules cannot be used, that is its word.
const OWN_SELECTOR: [Code; 2] = [builtin::PARTLY_ENCRYPTED, builtin::PLAIN_PART];

fn counts(finding: &Finding) -> bool {
    finding.severity == Severity::Error && !OWN_WORD.contains(&finding.code)
}

fn has(seen: &Seen, finding: &Finding) -> bool {
    let same = |other: &Finding| {
        other.severity >= finding.severity && other.code == finding.code && other.place == finding.place
    };
    seen.report.findings.iter().any(same)
}

/// Whether a file would not pass under the strictest rules that there can be, although it does by itself.
pub(super) fn would_not_pass(strictest: &Seen, own: &Seen) -> bool {
    let findings = strictest.report.findings.iter();
    findings.filter(|finding| !OWN_SELECTOR.contains(&finding.code)).any(|f| counts(f) && !has(own, f))
}

/// Adds what elder rules want, where the file's own do not.
pub(super) fn with(own: Arc<Seen>, elder: &Seen) -> Arc<Seen> {
    if !elder.report.findings.iter().any(|finding| counts(finding) && !has(&own, finding)) {
        return own;
    }
    let mut all = Seen {
        report: own.report.clone(),
        subjects: own.subjects.clone(),
        sealed: own.sealed,
        may_be_source: own.may_be_source,
    };
    for (finding, subject) in elder.report.findings.iter().zip(&elder.subjects) {
        if counts(finding) && !has(&own, finding) {
            all.forget_what_is_said_by(finding);
            let mut finding = finding.clone();
            finding.message.push_str(" (by the rules before this change)");
            all.report.findings.push(finding);
            all.subjects.push(subject.clone());
        }
    }
    Arc::new(all)
}

impl Seen {
    /// One fault, one finding: lesser ones at the same place go, and what must be encrypted as a whole needs no
    /// word about its parts.
    fn forget_what_is_said_by(&mut self, greater: &Finding) {
        let whole = [builtin::NOT_ENCRYPTED, builtin::GENERATOR_SOURCE].contains(&greater.code);
        let parts = [builtin::CREDENTIAL, builtin::URL_CREDENTIALS];
        let said = |finding: &Finding| {
            finding.severity < greater.severity
                && (finding.place == greater.place
                    || (whole
                        && parts.contains(&finding.code)
                        && finding.place.document == greater.place.document))
        };
        let findings = std::mem::take(&mut self.report.findings).into_iter();
        let rest = findings.zip(std::mem::take(&mut self.subjects)).filter(|(finding, _)| !said(finding));
        (self.report.findings, self.subjects) = rest.unzip();
    }
}

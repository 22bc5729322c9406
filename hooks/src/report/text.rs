//! The report for people, in the manner of rustc.

use super::{count, severity, shown};
use crate::edge::{Color, Style};
use crate::git::RefUpdate;
use crate::judge::Verdict;
use crate::push::PushVerdict;
use kubiya_policies::builtin;
use kubiya_policies::finding::{Code, Finding, Severity};
use std::collections::BTreeSet;

/// How findings are laid out.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Colours or none.
    pub style: Style,
    /// Whether notes are shown, too.
    pub notes: bool,
}

impl Text {
    /// The lines for a verdict.
    pub fn lines(self, verdict: &Verdict) -> Vec<String> {
        let mut lines = Vec::new();
        let mut told = BTreeSet::new();
        for found in &verdict.found {
            if found.finding.severity > Severity::Note || self.notes {
                lines.extend(self.finding(&found.finding));
                if told.insert(found.finding.code) {
                    self.help(&mut lines, &found.finding);
                }
                lines.push(String::new());
            }
        }
        for unverified in &verdict.unverified {
            let label = self.style.paint("error", Color::Red);
            lines.push(format!("{label}: {}", shown(unverified.reason.as_bytes())));
            let at =
                unverified.position.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
            lines.push(self.arrow(&format!("{}{at}", shown(&unverified.path))));
            if let Some(commit) = &unverified.commit {
                lines.push(self.note("note", &format!("in commit {}", commit.short())));
            }
            if let Some(first) = unverified.files.first() {
                let what =
                    format!("{} below it cannot be judged, such as", count(unverified.files.len(), "file"));
                lines.push(self.note("note", &format!("{what} {}", shown(first))));
            }
            lines.push(String::new());
        }
        lines
    }

    /// The lines for commits: each finding with what brought it.
    pub fn history(self, verdict: &PushVerdict, updates: &[RefUpdate]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut told = BTreeSet::new();
        for pushed in &verdict.pushed {
            let finding = &pushed.found.finding;
            if finding.severity > Severity::Note || self.notes {
                lines.extend(self.finding(finding));
                lines.push(self.note("note", &format!("in {}", super::push::carrier(pushed, updates))));
                if told.insert(finding.code) {
                    self.help(&mut lines, finding);
                }
                lines.push(String::new());
            }
        }
        let unverified = Verdict { unverified: verdict.unverified.clone(), ..Verdict::default() };
        lines.extend(self.lines(&unverified));
        lines
    }

    /// What was found and where.
    pub fn finding(self, finding: &Finding) -> Vec<String> {
        let color = match finding.severity {
            Severity::Error => Color::Red,
            Severity::Warning => Color::Yellow,
            Severity::Note => Color::Green,
        };
        let label = self.style.paint(&format!("{}[{}]", severity(finding), finding.code), color);
        let message = format!("{label}: {}", shown(finding.message.as_bytes()));
        let place = &finding.place;
        let mut at = shown(&place.path);
        if let Some(span) = &place.span {
            at.push_str(&format!(":{}:{}", span.line, span.column));
        }
        let document =
            place.document.filter(|number| *number > 0).map(|number| format!("document {}", number + 1));
        let key = (!place.key_path.is_empty()).then(|| shown(place.key_path.as_bytes()));
        let inside: Vec<_> = document.into_iter().chain(key).collect();
        if !inside.is_empty() {
            at.push_str(&format!(" ({})", inside.join(", ")));
        }
        vec![message, self.arrow(&at)]
    }

    /// What to do, once for each code.
    fn help(self, lines: &mut Vec<String>, finding: &Finding) {
        let file = super::in_shell(&finding.place.path);
        let fix = builtin::explain(finding.code).fix.trim_end().replace("FILE", &file);
        let mut fix = fix.lines();
        lines.push(self.note("help", fix.next().unwrap_or_default()));
        lines.extend(fix.map(|line| format!("           {line}")));
    }

    fn arrow(self, place: &str) -> String {
        format!("  {} {place}", self.style.paint("-->", Color::Blue))
    }

    fn note(self, word: &str, text: &str) -> String {
        format!("   {} {text}", self.style.dim(&format!("= {word}:")))
    }
}

/// The last line: how much was found in how many files.
pub fn summary(verdict: &Verdict, files: usize) -> String {
    found_in(verdict, &count(files, "file"))
}

/// The last line: how much was found in how many commits.
pub fn summary_of_history(verdict: &Verdict, commits: usize) -> String {
    found_in(verdict, &count(commits, "commit"))
}

fn found_in(verdict: &Verdict, judged: &str) -> String {
    let of = |severity| verdict.found.iter().filter(|found| found.finding.severity == severity).count();
    let mut parts = Vec::new();
    for (number, word) in [
        (of(Severity::Error), "error"),
        (of(Severity::Warning), "warning"),
        (verdict.unverified.len(), "unverified file"),
    ] {
        if number > 0 {
            parts.push(count(number, word));
        }
    }
    if parts.is_empty() {
        format!("{judged} judged, nothing found")
    } else {
        format!("{judged} judged: {}", parts.join(", "))
    }
}

/// The lines that explain a code.
pub fn explanation(code: Code, style: Style) -> Vec<String> {
    let text = builtin::explain(code);
    let mut lines = vec![style.paint(&format!("{code}: {}", text.title), Color::Red), String::new()];
    lines.extend(super::wrapped(&text.why, 80, ""));
    lines.push(String::new());
    for line in text.fix.trim_end().lines() {
        match line.strip_prefix("  ") {
            Some(command) => lines.push(format!("  {command}")),
            None => lines.extend(super::wrapped(line, 80, "")),
        }
    }
    lines
}

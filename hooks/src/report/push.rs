//! What a pusher reads: plain lines that fit beside `remote:`, where Git itself colours `error:` and `hint:`.

use super::{count, in_shell, shown, wrapped};
use crate::git::RefUpdate;
use crate::judge::Unverified;
use crate::push::{Carrier, PushVerdict, Pushed};
use kubiya_policies::builtin;
use kubiya_policies::finding::{Code, Severity};
use std::collections::BTreeSet;

/// What `remote: ` leaves of 80 columns.
const WIDTH: usize = 72;

/// Lines of what was found, before the hints: with them about a screen.
const SCREEN: usize = 24;

/// How it is said.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'m> {
    /// Whether the push is refused for what was found.
    pub refused: bool,
    /// Whom the pusher can ask.
    pub contact: Option<&'m str>,
    /// The push option that gets it past what was found.
    pub bypass: Option<&'m str>,
}

/// The lines for a push; none where there is nothing to say.
pub fn lines(verdict: &PushVerdict, updates: &[RefUpdate], manner: &Manner<'_>) -> Vec<String> {
    let mut shown: Vec<&Pushed> =
        verdict.pushed.iter().filter(|pushed| pushed.found.finding.severity > Severity::Note).collect();
    // Errors first; the order of commits stays within.
    shown.sort_by_key(|pushed| std::cmp::Reverse(pushed.found.finding.severity));
    let mut lines = Vec::new();
    if shown.is_empty() && verdict.unverified.is_empty() {
        return lines;
    }
    headline(&mut lines, verdict, manner);
    findings(&mut lines, &shown, updates);
    all_unjudged(&mut lines, &verdict.unverified);
    if manner.bypass.is_some() {
        // What has passed is not to be pushed again.
    } else if verdict.errors() > 0 {
        hints(&mut lines, &shown);
    } else if !verdict.unverified.is_empty() {
        lines.push(String::new());
        hint(&mut lines, "what cannot be judged is refused; mend it in the same commit");
    }
    if manner.refused {
        ask(&mut lines, manner.contact);
    }
    lines
}

fn ask(lines: &mut Vec<String>, contact: Option<&str>) {
    if let Some(contact) = contact {
        hint(lines, &format!("questions: {}", shown(contact.as_bytes())));
    }
}

/// The lines where nothing could be judged, so that all is refused.
pub fn cannot_verify(reason: &str, contact: Option<&str>) -> Vec<String> {
    let mut lines = wrapped(&format!("error: refused, because it cannot be verified: {reason}"), WIDTH, "  ");
    hint(&mut lines, "this is no finding but a fault; ask who runs the hook");
    ask(&mut lines, contact);
    lines
}

/// The line where nothing could be judged and the push passes.
pub fn not_verified(reason: &str) -> Vec<String> {
    wrapped(&format!("warning: the push passes, and it could not be verified: {reason}"), WIDTH, "  ")
}

fn headline(lines: &mut Vec<String>, verdict: &PushVerdict, manner: &Manner<'_>) {
    let errors = verdict.errors();
    let unjudged: usize = verdict.unverified.iter().map(|unverified| unverified.files.len().max(1)).sum();
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push(count(errors, "finding"));
    }
    if unjudged > 0 {
        parts.push(format!("{} that cannot be judged", count(unjudged, "file")));
    }
    if let Some(option) = manner.bypass {
        let by = format!(
            "warning: the push passes by the option `{}`, which is logged:",
            shown(option.as_bytes())
        );
        lines.extend(wrapped(&by, WIDTH, "  "));
    } else if !manner.refused {
        lines.push("warning: the push passes; worth a look:".to_owned());
    } else {
        lines.extend(wrapped(&format!("error: push refused: {}", parts.join(", ")), WIDTH, "  "));
    }
}

/// Groups by what carries the files, and by file within.
fn findings(lines: &mut Vec<String>, shown: &[&Pushed], updates: &[RefUpdate]) {
    let mut last: Option<&Pushed> = None;
    let mut rest = 0;
    for (number, pushed) in shown.iter().enumerate() {
        if lines.len() >= SCREEN {
            rest = shown.len() - number;
            break;
        }
        let path = &pushed.found.finding.place.path;
        let in_same = last.is_some_and(|last| last.carrier == pushed.carrier);
        if !in_same {
            lines.push(String::new());
            lines.extend(wrapped(&carrier(pushed, updates), WIDTH, "  "));
        }
        let is_same_file = in_same && last.is_some_and(|last| last.found.finding.place.path == *path);
        if !path.is_empty() && !is_same_file {
            lines.extend(wrapped(&format!("  {}", self::shown(path)), WIDTH, "    "));
        }
        lines.extend(wrapped(&what_it_is(pushed), WIDTH, "      "));
        last = Some(pushed);
    }
    if rest > 0 {
        lines.push(String::new());
        lines.push(format!("and {} more", count(rest, "finding")));
    }
}

pub(super) fn carrier(pushed: &Pushed, updates: &[RefUpdate]) -> String {
    let update = pushed.update.and_then(|number| updates.get(number));
    let on = update.map(|update| format!(" on {}", shown(&update.name))).unwrap_or_default();
    match pushed.carrier {
        Carrier::Commit { id, .. } => format!("commit {}{on}", id.short()),
        Carrier::Tagged(id) => format!("object {}{on}", id.short()),
        Carrier::Loose(id) => format!("object {}, which no ref of the push reaches", id.short()),
    }
}

fn what_it_is(pushed: &Pushed) -> String {
    let finding = &pushed.found.finding;
    let position = finding.place.span.as_ref().map(|span| format!("{}:{} ", span.line, span.column));
    let key = match finding.place.key_path.as_str() {
        "" => String::new(),
        key => format!("{}: ", shown(key.as_bytes())),
    };
    let again = match pushed.again {
        0 => String::new(),
        times => format!(" (and in {})", count(times, "later commit")),
    };
    let is_message = matches!(pushed.carrier, Carrier::Commit { .. }) && finding.place.path.is_empty();
    let message_of = if is_message { "in its message: " } else { "" };
    let word = if finding.severity == Severity::Error { "" } else { "warning: " };
    let message = shown(finding.message.as_bytes());
    format!("    {word}{message_of}{}{key}{message} [{}]{again}", position.unwrap_or_default(), finding.code)
}

/// One of them has room on any screen, and the first is often the cause of the others.
fn all_unjudged(lines: &mut Vec<String>, all: &[Unverified]) {
    for (number, unverified) in all.iter().enumerate() {
        if number > 0 && lines.len() >= SCREEN {
            lines.push(String::new());
            lines.push(format!("and {} more that cannot be judged", count(all.len() - number, "file")));
            break;
        }
        unjudged(lines, unverified);
    }
}

fn unjudged(lines: &mut Vec<String>, unverified: &Unverified) {
    let what = if unverified.files.is_empty() { "read" } else { "used" };
    let reason = shown(unverified.reason.as_bytes());
    lines.push(String::new());
    let at = unverified.position.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
    let commit = unverified.commit.map(|id| format!(" in commit {}", id.short())).unwrap_or_default();
    let place = format!("{}{at}{commit}", shown(&unverified.path));
    lines.extend(wrapped(&format!("{place} cannot be {what}: {reason}"), WIDTH, "  "));
    if let Some(first) = unverified.files.first() {
        let rest = match unverified.files.len() - 1 {
            0 => String::new(),
            more => format!(" and {}", count(more, "other file")),
        };
        let doubt = format!("  so nobody can say whether {}{rest} must be encrypted", shown(first));
        lines.extend(wrapped(&doubt, WIDTH, "    "));
    }
}

fn hint(lines: &mut Vec<String>, text: &str) {
    // Each line has the word: Git colours line by line.
    lines.extend(wrapped(text, WIDTH - "hint: ".len(), "").iter().map(|line| format!("hint: {line}")));
}

/// What to type: how to mend the files, then how to get it out of the commits.
fn hints(lines: &mut Vec<String>, shown: &[&Pushed]) {
    let errors: Vec<_> =
        shown.iter().filter(|pushed| pushed.found.finding.severity == Severity::Error).copied().collect();
    lines.push(String::new());
    fixes(lines, &errors);
    // What needs somebody else needs no other commit.
    let by_others = [builtin::POLICY_CHANGED, builtin::PROTECTED];
    if errors.iter().any(|pushed| !by_others.contains(&pushed.found.finding.code)) {
        rewriting(lines, &errors);
    }
    let codes: BTreeSet<Code> = errors.iter().map(|pushed| pushed.found.finding.code).collect();
    let codes: Vec<_> = codes.iter().map(ToString::to_string).collect();
    if let Some(code) = codes.first() {
        hint(lines, &format!("more about it: kubiya-hook explain {code}"));
    }
}

/// The remedy of each kind of finding, for the first file that has it.
fn fixes(lines: &mut Vec<String>, errors: &[&Pushed]) {
    let mut told = BTreeSet::new();
    for pushed in errors {
        let finding = &pushed.found.finding;
        if told.len() < 2 && told.insert(finding.code) {
            let file =
                if finding.place.path.is_empty() { "FILE".into() } else { in_shell(&finding.place.path) };
            for line in builtin::explain(finding.code).fix.lines() {
                match line.strip_prefix("  ") {
                    Some(command) => lines.push(format!("hint:   {}", command.replace("FILE", &file))),
                    None => hint(lines, line),
                }
            }
        }
    }
}

fn rewriting(lines: &mut Vec<String>, errors: &[&Pushed]) {
    let earlier = errors.iter().find_map(|pushed| match pushed.carrier {
        Carrier::Commit { id, is_tip: false, is_root } => Some((id, is_root)),
        _ => None,
    });
    let in_commits = errors.iter().any(|pushed| matches!(pushed.carrier, Carrier::Commit { .. }));
    match earlier {
        Some((id, is_root)) => {
            let from = if is_root { "--root".to_owned() } else { format!("{}^", id.short()) };
            hint(
                lines,
                "It is in an earlier commit of the push, and a later one does not take it out of the history. Mark that commit `edit`, mend it, go on:",
            );
            lines.push(format!("hint:   git rebase -i {from}"));
            lines.push("hint:   git commit --all --amend --no-edit && git rebase --continue".to_owned());
        }
        None if in_commits => {
            hint(lines, "Then take it into the commit, and push again:");
            lines.push("hint:   git commit --all --amend --no-edit".to_owned());
        }
        None => {}
    }
}

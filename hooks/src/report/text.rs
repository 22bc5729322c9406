//! The report for people: what, where, and what to type, in the 72 columns that `remote: ` leaves of 80.
//!
//! Git colours lines of a remote that begin with `error:`, `warning:` and `hint:` by itself, so these
//! words are at the beginning of lines and nothing else is coloured in a push.

use super::{Located, errors};
use crate::edge::{Color, Stream};
use kubiya_policies::builtin::{self, Explanation};
use kubiya_policies::finding::{Code, Severity};
use std::collections::BTreeSet;
use std::io;

/// More findings than this are counted, not listed: a report is at most a screen.
const LISTED: usize = 20;

/// What was about to happen; the last lines say what to type then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A push is judged by the server.
    Push,
    /// A commit is judged in the clone.
    Commit,
    /// Files are scanned.
    Scan,
}

/// Writes findings, grouped by file and commit; nothing for none.
///
/// # Errors
/// Those of the stream.
pub fn text(findings: &[Located], occasion: Occasion, stream: &mut Stream) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    headline(findings, occasion, stream)?;
    let mut last = None;
    for found in findings.iter().take(LISTED) {
        let group = (&found.finding.place.path, &found.object, &found.reference);
        if last != Some(group) {
            stream.line("")?;
            stream.line(&format!("  {}", heading(found)))?;
            last = Some(group);
        }
        stream.line(&format!("    {}", entry(found, stream)))?;
    }
    if findings.len() > LISTED {
        stream.line("")?;
        stream.line(&format!("  and {} more", findings.len() - LISTED))?;
    }
    stream.line("")?;
    hints(findings, occasion, stream)
}

fn headline(findings: &[Located], occasion: Occasion, stream: &mut Stream) -> io::Result<()> {
    let errors = errors(findings);
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    let (word, color, text) = match (errors, occasion) {
        (0, _) => ("warning:", Color::Yellow, count(findings.len(), "warning")),
        (_, Occasion::Push) => ("error:", Color::Red, format!("the push is refused: {}", count(errors, "finding"))),
        (_, Occasion::Commit) => ("error:", Color::Red, format!("the commit is stopped: {}", count(errors, "finding"))),
        (_, Occasion::Scan) => ("error:", Color::Red, count(errors, "finding")),
    };
    stream.line(&format!("{} {text}", stream.style().paint(word, color)))
}

/// `path` and, where it is not the work tree, `commit 1a2b3c4d5e on refs/heads/main`.
fn heading(found: &Located) -> String {
    let mut text = escaped(&found.finding.place.path);
    if let Some(object) = &found.object {
        text += &format!("  (commit {}", object.get(..10).unwrap_or(object));
        if let Some(reference) = &found.reference {
            text += &format!(" on {}", escaped(reference));
        }
        text.push(')');
    }
    text
}

/// `6:13 KBY001 stringData.password: what`.
fn entry(found: &Located, stream: &Stream) -> String {
    let finding = &found.finding;
    let place = finding.place.span.as_ref().map(|span| format!("{}:{} ", span.line, span.column));
    let document = finding.place.document.filter(|document| *document > 0);
    let document = document.map(|document| format!(" (document {})", document + 1)).unwrap_or_default();
    let keys = &finding.place.key_path;
    let keys = if keys.is_empty() { String::new() } else { format!("{}: ", escaped(keys.as_bytes())) };
    let color = match finding.severity {
        Severity::Error => Color::Red,
        Severity::Warning => Color::Yellow,
        Severity::Note => Color::Cyan,
    };
    let code = stream.style().paint(&finding.code.to_string(), color);
    let weight = if finding.severity == Severity::Error { "" } else { " (warning)" };
    let what = escaped(finding.message.as_bytes());
    format!("{}{code}{weight} {keys}{what}{document}", place.unwrap_or_default())
}

fn hints(findings: &[Located], occasion: Occasion, stream: &mut Stream) -> io::Result<()> {
    let codes: BTreeSet<Code> = findings.iter().map(|found| found.finding.code).collect();
    let mut said = BTreeSet::new();
    for code in &codes {
        for command in commands(builtin::explain(*code), findings, *code) {
            if said.insert(command.clone()) {
                hint(stream, &command)?;
            }
        }
    }
    if errors(findings) > 0 {
        match occasion {
            Occasion::Push => {
                hint(stream, "then: git commit --all --amend, and push again")?;
                let objects: BTreeSet<&String> = findings.iter().filter_map(|found| found.object.as_ref()).collect();
                if objects.len() > 1 {
                    hint(stream, "for the earlier commits: git rebase --interactive, and edit each")?;
                }
            }
            Occasion::Commit => hint(stream, "then: git add FILE, and commit again")?,
            Occasion::Scan => {}
        }
    }
    let code = codes.iter().next().map(ToString::to_string).unwrap_or_default();
    hint(stream, &format!("why, and more: kubiya-hook explain {code}"))
}

/// The commands of an explanation, with the files that were found in place of `FILE`.
fn commands(explanation: &Explanation, findings: &[Located], code: Code) -> Vec<String> {
    let paths: BTreeSet<String> = findings
        .iter()
        .filter(|found| found.finding.code == code)
        .map(|found| escaped(&found.finding.place.path))
        .collect();
    let mut files = paths.iter().take(3).map(|path| shell_word(path)).collect::<Vec<_>>().join(" ");
    if paths.len() > 3 {
        files += " ...";
    }
    let lines = explanation.fix.lines().filter_map(|line| line.strip_prefix("  "));
    lines.map(|line| line.trim().replace("FILE", &files)).collect()
}

/// A path as it can be pasted into a shell.
fn shell_word(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    if path.chars().all(plain) && !path.starts_with('-') {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

fn hint(stream: &mut Stream, text: &str) -> io::Result<()> {
    let label = stream.style().paint("hint:", Color::Cyan);
    stream.line(&format!("{label} {text}"))
}

/// Bytes of a path or a key as text that cannot disturb a terminal: control and format characters,
/// which could reorder or hide what is shown, and bytes that are not UTF-8 are written as escapes.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_format(c) {
                text.extend(c.escape_unicode());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}

/// Bidirectional controls, zero-width characters and line separators (Unicode categories Cf, Zl, Zp, as
/// far as they move or hide text).
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::Style;
    use kubiya_policies::finding::{Finding, Place, Span};

    fn found(path: &str, line: u32, object: Option<&str>) -> Located {
        Located {
            finding: Finding {
                code: builtin::PLAIN_SECRET,
                severity: Severity::Error,
                place: Place {
                    path: path.into(),
                    document: Some(1),
                    key_path: "stringData.password".to_owned(),
                    span: Some(Span { bytes: 0..1, line, column: 13 }),
                },
                message: "plaintext value in a Secret".to_owned(),
            },
            object: object.map(str::to_owned),
            reference: object.map(|_| b"refs/heads/main".to_vec()),
        }
    }

    fn shown(findings: &[Located], occasion: Occasion) -> String {
        let (mut stream, captured) = Stream::captured(Style::plain());
        text(findings, occasion, &mut stream).unwrap();
        captured.take()
    }

    #[test]
    fn a_push_is_told_what_where_and_what_to_type() {
        let commit = Some("1a2b3c4d5e6f70819203");
        let findings = [found("apps/db.yaml", 6, commit), found("apps/db.yaml", 7, commit)];
        insta::assert_snapshot!(shown(&findings, Occasion::Push), @"
        error: the push is refused: 2 findings

          apps/db.yaml  (commit 1a2b3c4d5e on refs/heads/main)
            6:13 KBY001 stringData.password: plaintext value in a Secret (document 2)
            7:13 KBY001 stringData.password: plaintext value in a Secret (document 2)

        hint: sops encrypt --in-place apps/db.yaml
        hint: then: git commit --all --amend, and push again
        hint: why, and more: kubiya-hook explain KBY001
        ");
    }

    #[test]
    fn more_than_a_screen_is_counted() {
        let findings: Vec<Located> = (1..=30).map(|line| found("a b.yaml", line, None)).collect();
        let said = shown(&findings, Occasion::Scan);
        assert!(said.contains("error: 30 findings") && said.contains("  and 10 more"), "{said}");
        assert!(said.contains("'a b.yaml'"), "{said}");
        assert_eq!(shown(&[], Occasion::Push), "");
    }

    #[test]
    fn names_cannot_disturb_a_terminal() {
        assert_eq!(escaped(b"a\x1b[31m\n\xff"), "a\\u{1b}[31m\\u{a}\\xff");
        assert_eq!(escaped("\u{202e}ü".as_bytes()), "\\u{202e}ü");
    }
}

//! The messages of commits and tags: prose, in which a manifest may be quoted.

use super::{Judge, Seen, Verdict};
use kubiya_policies::check::{Input, Role};

/// How many places of a message are tried as the start of a document.
const MOST_STARTS: usize = 64;

impl Judge {
    /// Judges a message: as a whole, and where that says nothing, what follows a blank line or a fence (three
    /// backticks), to the end of its paragraph and to the end of the message.
    pub fn judge_message(text: &[u8]) -> Verdict {
        let whole = Self::message_part(text, 0);
        if whole.has_errors() {
            return whole;
        }
        for (line, start) in starts(text).take(MOST_STARTS) {
            let rest = &text[start..];
            for part in [rest, &rest[..end(rest)]] {
                let verdict = Self::message_part(part, line);
                if verdict.has_errors() {
                    return verdict;
                }
            }
        }
        whole
    }

    /// Judges a part that begins after so many lines. Nothing of it is remembered: hardly a message comes twice.
    fn message_part(text: &[u8], lines: u32) -> Verdict {
        let mut verdict = Verdict::default();
        verdict.add(b"", None, &Seen::of(&Input { path: b"", bytes: text, rules: None, role: Role::File }));
        for span in verdict.found.iter_mut().filter_map(|found| found.finding.place.span.as_mut()) {
            span.line += lines;
        }
        verdict
    }
}

/// Where a document may begin: how many lines are before it, and its first byte.
fn starts(text: &[u8]) -> impl Iterator<Item = (u32, usize)> {
    let mut at = 0;
    let mut after_break = false;
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    (0..).zip(lines).filter_map(move |(number, line)| {
        let start = at;
        at += line.len();
        let breaks = is_break(line);
        let begins = after_break && !breaks;
        after_break = breaks;
        begins.then_some((number, start))
    })
}

fn is_break(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"```")
}

/// Where the first paragraph ends.
fn end(text: &[u8]) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.take_while(|line| !is_break(line)).map(<[u8]>::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "kind: Secret\nstringData:\n  a: hunter2\n";

    fn line(text: &str) -> Option<u32> {
        let verdict = Judge::judge_message(text.as_bytes());
        verdict.found.first().and_then(|found| found.finding.place.span.as_ref()).map(|span| span.line)
    }

    #[test]
    fn a_manifest_between_prose_is_found_at_its_line() {
        assert_eq!(line(&format!("leak\n\n{SECRET}")), Some(5));
        assert_eq!(line(&format!("a: b: c\n\nand\n```yaml\n{SECRET}```\nmore: of: it\n")), Some(7));
        assert_eq!(line(&format!("x\n\n{SECRET}\nend: of: it\n")), Some(5));
        let indented: String = SECRET.lines().map(|line| format!("    {line}\n")).collect();
        assert_eq!(line(&format!("x: y: z\n\n{indented}\n- and: so: on\n")), Some(5));
    }

    #[test]
    fn talk_of_secrets_is_none() {
        let text = "Encrypt the Secret\n\nIt had `kind: Secret` and a password:\n- rotated\n- encrypted\n";
        assert_eq!(Judge::judge_message(text.as_bytes()).found, []);
    }
}

//! `commit-msg`: the hook of a clone that reads a commit's message before the commit is made.

use crate::edge::{Console, Failure, Kind, Outcome, shown};
use crate::judge::Judge;
use crate::report::count;
use crate::report::text::Text;
use bstr::ByteSlice as _;
use clap::Args;
use kubiya_policies::finding::Severity;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Judge the message of a commit, as the hook of a clone
///
/// A message is part of the history for good, too: Secrets, private keys and the like are refused in it.
#[derive(Args, Debug)]
pub(crate) struct CommitMsgArgs {
    /// File with the message
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What `git commit --verbose` puts between the message and the changes, after the comment character.
const SCISSORS: &[u8] = b" ------------------------ >8 ------------------------";

pub(crate) fn run(args: &CommitMsgArgs, console: &mut Console) -> Outcome {
    let file = shown(args.file.as_os_str().as_bytes());
    let text = std::fs::read(&args.file).map_err(|error| {
        Failure::unverified("the commit is refused: its message cannot be read").at(&file).because(&error)
    })?;
    let verdict = Judge::judge_message(message(&text));
    let mut findings: Vec<_> = verdict.found.into_iter().map(|found| found.finding).collect();
    findings.retain(|finding| finding.severity > Severity::Note);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let text = Text { style: console.err.style(), notes: false };
    for finding in &mut findings {
        finding.place.path = b"the message".to_vec();
        for line in text.finding(finding) {
            let _ = console.err.line(&line);
        }
    }
    if errors == 0 {
        return Ok(0);
    }
    let _ = console.err.line("");
    let _ = console.err.line(&format!("the message of the commit: {}", count(errors, "error")));
    console.hint("git commit again, with a message without it; the one that was refused is in");
    console.hint(&format!("  {file}"));
    Ok(Kind::Findings.exit_code())
}

/// The part of the file that goes into the commit: below Git's mark there are only the changes, for the
/// author to look at.
fn message(text: &[u8]) -> &[u8] {
    let end = text.find_iter(SCISSORS).find(|at| {
        let line = text[..*at].rfind_byte(b'\n').map_or(0, |end| end + 1);
        // The comment character of the configuration, whatever it is.
        let after = &text[at + SCISSORS.len()..];
        *at > line && *at - line <= 8 && after.starts_with(b"\n") && !text[line..*at].contains(&b' ')
    });
    end.map_or(text, |end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_mark_is_no_message() {
        let mark = "# ------------------------ >8 ------------------------\n";
        let text = format!("subject\n\nbody\n{mark}-  password: old\n");
        assert_eq!(message(text.as_bytes()), b"subject\n\nbody\n#");
        let quoted = format!("> it said\n> {mark}below\n");
        assert_eq!(message(quoted.as_bytes()), quoted.as_bytes());
    }
}

//! `pre-receive`: the hook of a server. Refuses a push before a ref moves.

use crate::edge::{Console, Kind, Outcome};
use crate::git::{RefUpdate, Repository};
use crate::judge::Judge;
use crate::push::judge_push;
use crate::report::push;
use clap::Args;
use std::io::Read as _;

/// Judge a push, as the hook of a server
///
/// Git starts it in the repository and gives it one line for each ref on standard input. Everything that
/// the push brings is judged; deletions pass. What cannot be judged is refused.
#[derive(Args, Debug)]
pub(crate) struct PreReceiveArgs {}

pub(crate) fn run(_args: &PreReceiveArgs, console: &mut Console) -> Outcome {
    let mut input = Vec::new();
    if let Err(error) = std::io::stdin().lock().read_to_end(&mut input) {
        return Ok(refuse(console, Kind::Unverified, &format!("cannot read standard input: {error}")));
    }
    let updates = match RefUpdate::parse_all(&input) {
        Ok(updates) => updates,
        Err(error) => return Ok(refuse(console, Kind::Usage, &error.to_string())),
    };
    if updates.iter().all(|update| update.new.is_none()) {
        return Ok(0);
    }
    let verdict =
        Repository::open_from_env().and_then(|repository| judge_push(&repository, &Judge::new(), &updates));
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => return Ok(refuse(console, Kind::Unverified, &error.to_string())),
    };
    say(console, &push::lines(&verdict, &updates));
    Ok(if verdict.errors() > 0 {
        Kind::Findings.exit_code()
    } else if !verdict.unverified.is_empty() {
        Kind::Unverified.exit_code()
    } else {
        0
    })
}

/// Says why the push as a whole is refused, and gives the exit code.
pub(crate) fn refuse(console: &mut Console, kind: Kind, reason: &str) -> u8 {
    say(console, &push::cannot_verify(reason));
    kind.exit_code()
}

/// Writes lines to the pusher. GitLab's pages show only what has its prefix.
fn say(console: &mut Console, lines: &[String]) {
    let prefix = if std::env::var_os("GL_ID").is_some() { "GL-HOOK-ERR: " } else { "" };
    for line in lines {
        // A pusher who is gone changes nothing about the verdict.
        let _ = console.err.line(format!("{prefix}{line}").trim_end());
    }
}

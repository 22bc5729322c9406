//! `pre-push`: the hook of a clone that judges what a remote would get, before it is sent.

use crate::config::{self, ConfigFailure};
use crate::edge::{Console, Kind, Outcome};
use crate::git::{GitError, Known, ObjectId, RefUpdate, Repository, clone};
use crate::judge::Judge;
use crate::push::{PushError, PushVerdict, Terms, Trusted, judge_push};
use crate::report::push::{self, Manner};
use crate::trust::repository_name;
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

/// Judge the commits that a push would send, as the hook of a clone
///
/// Judges exactly what the remote lacks: what its own refs and the remote-tracking refs of the clone do not
/// reach. Git gives one line for each ref on standard input; deletions pass.
#[derive(Args, Debug)]
pub(crate) struct PrePushArgs {
    /// Name of the remote; its URL where it has none
    #[arg(allow_hyphen_values = true)]
    remote: OsString,
    /// URL of the remote
    #[arg(allow_hyphen_values = true)]
    url: Option<OsString>,
}

/// What is to be pushed, and what the remote has.
pub(crate) struct Outgoing {
    updates: Vec<RefUpdate>,
    known: Vec<ObjectId>,
    /// The default branch of the remote, as the clone knows it.
    trusted: Option<ObjectId>,
}

pub(crate) fn run(args: &PrePushArgs, console: &mut Console) -> Outcome {
    let mut input = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut input);
    let outgoing = read.map_err(|error| format!("cannot read standard input: {error}")).and_then(|_| {
        let url = args.url.as_deref().unwrap_or(&args.remote);
        outgoing(&input, &args.remote, url)
    });
    refuse_or_pass(console, outgoing)
}

/// Judges, says what was found and gives the exit code.
pub(crate) fn refuse_or_pass(console: &mut Console, outgoing: Result<Outgoing, String>) -> Outcome {
    let verdict = outgoing.and_then(|outgoing| {
        let verdict = judge(&outgoing).map_err(|error| error.to_string())?;
        Ok((verdict, outgoing.updates))
    });
    match verdict {
        Ok((verdict, updates)) => {
            let refusal = verdict.refusal();
            let manner = Manner { refused: refusal.is_some(), contact: None, bypass: None };
            say(console, &push::lines(&verdict, &updates, &manner));
            Ok(refusal.map_or(0, Kind::exit_code))
        }
        Err(reason) => {
            say(console, &push::cannot_verify(&reason, None));
            Ok(Kind::Unverified.exit_code())
        }
    }
}

fn say(console: &mut Console, lines: &[String]) {
    for line in lines {
        let _ = console.err.line(line);
    }
}

fn judge(outgoing: &Outgoing) -> Result<PushVerdict, Failed> {
    if outgoing.updates.iter().all(|update| update.new.is_none()) {
        return Ok(PushVerdict::default());
    }
    let repository = Repository::open_from_env()?;
    let config = config::load()?;
    let terms = Terms {
        repository: repository_name(&config, repository.git_dir()),
        config,
        known: Known::These(outgoing.known.clone()),
        // HEAD is what is pushed: its word counts for nothing.
        trusted: Trusted::Commit(outgoing.trusted),
        ..Terms::default()
    };
    Ok(judge_push(&repository, &Judge::new(), &outgoing.updates, &terms)?)
}

/// Why what is to be pushed cannot be judged.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Config(#[from] ConfigFailure),
    #[error(transparent)]
    Push(#[from] PushError),
}

/// Reads `<local ref> <local id> <remote ref> <remote id>` lines (githooks(5)).
fn outgoing(input: &[u8], remote: &OsStr, url: &OsStr) -> Result<Outgoing, String> {
    let mut outgoing = Outgoing { updates: Vec::new(), known: Vec::new(), trusted: None };
    for (index, line) in input.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let malformed = || format!("line {} of the input is not of a push", index + 1);
        outgoing.updates.push(update(line).ok_or_else(malformed)?);
    }
    (outgoing.known, outgoing.trusted) = of_remote(remote, url)?;
    outgoing.known.extend(outgoing.updates.iter().filter_map(|update| update.old));
    Ok(outgoing)
}

/// No ref name holds a blank, but what is pushed need not be a ref: from the end, there are no doubts.
fn update(line: &[u8]) -> Option<RefUpdate> {
    let mut words = line.rsplitn(4, |byte| *byte == b' ');
    let old = ObjectId::from_hex(words.next()?)?;
    let name = words.next().filter(|name| !name.is_empty())?.to_owned();
    let new = ObjectId::from_hex(words.next()?)?;
    words.next()?;
    let some = |id: ObjectId| (!id.is_zero()).then_some(id);
    Some(RefUpdate { old: some(old), new: some(new), name })
}

/// What the clone knows of the remote, or of every remote at its URL where it has no name.
fn of_remote(remote: &OsStr, url: &OsStr) -> Result<(Vec<ObjectId>, Option<ObjectId>), String> {
    let mut names = clone::remotes_at(url).map_err(|error| error.to_string())?;
    if remote != url {
        names.push(remote.to_owned());
    }
    let mut known = Vec::new();
    for name in &names {
        known.extend(clone::tracked(name).map_err(|error| error.to_string())?);
    }
    Ok((known, names.iter().find_map(|name| clone::default_branch(name))))
}

/// The push that the pre-commit framework is about, where it runs us before one: it reads the lines of Git
/// itself, and tells of the first alone.
pub(crate) fn of_framework() -> Option<Result<Outgoing, String>> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let (from, to) = (variable("PRE_COMMIT_FROM_REF")?, variable("PRE_COMMIT_TO_REF")?);
    let remote = variable("PRE_COMMIT_REMOTE_NAME");
    let url = variable("PRE_COMMIT_REMOTE_URL").or_else(|| remote.clone());
    let name = variable("PRE_COMMIT_REMOTE_BRANCH").unwrap_or_else(|| to.clone());
    Some((|| {
        let id = |revision: &OsStr| clone::resolve(revision).map_err(|error| error.to_string());
        let (old, new) = (id(&from)?, id(&to)?);
        let (mut known, trusted) = match (&remote, &url) {
            (Some(remote), Some(url)) => of_remote(remote, url)?,
            _ => (Vec::new(), None),
        };
        known.push(old);
        let update = RefUpdate { old: None, new: Some(new), name: name.as_bytes().to_owned() };
        Ok(Outgoing { updates: vec![update], known, trusted: trusted.or(Some(old)) })
    })())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_push_is_read_from_its_end() {
        let (one, zero) = ("1".repeat(40), "0".repeat(40));
        let read = update(format!("HEAD@{{1 day ago}} {one} refs/heads/a {zero}").as_bytes()).unwrap();
        assert_eq!(read.name, b"refs/heads/a");
        assert!(read.new.is_some() && read.old.is_none());
        let deleted = update(format!("(delete) {zero} refs/heads/a {one}").as_bytes()).unwrap();
        assert!(deleted.new.is_none() && deleted.old.is_some());
        assert!(update(format!("{one} refs/heads/a {zero}").as_bytes()).is_none());
    }
}

//! `pre-commit`: the hook of a clone. Refuses a commit before it is made.

use crate::edge::{Console, Failure, Kind, Outcome};
use crate::git::{GitError, IndexEntry, IndexSnapshot, Repository, staged};
use crate::judge::{Entry, File, Judge, Verdict};
use crate::report::text::{Text, summary};
use clap::Args;
use kubiya_policies::finding::Severity;
use std::ffi::OsString;

/// Judge what is about to be committed, as the hook of a clone
///
/// Judges the index that Git names, not the files of the work tree, and only what differs from the last
/// commit, or from all that are being merged.
#[derive(Args, Debug)]
pub(crate) struct PreCommitArgs {
    /// Ignored: hook managers name files, and the index says more
    #[arg(hide = true)]
    _files: Vec<OsString>,
}

pub(crate) fn run(_args: &PreCommitArgs, console: &mut Console) -> Outcome {
    let (verdict, files) = judge().map_err(|error| {
        Failure::unverified("the commit is refused: it cannot be verified")
            .because(&error)
            .hint("git status, git fsck: is the repository whole?")
    })?;
    let stops = verdict.has_errors() || !verdict.unverified.is_empty();
    let shown = verdict.found.iter().any(|found| found.finding.severity > Severity::Note);
    if !stops && !shown {
        return Ok(0);
    }
    let text = Text { style: console.err.style(), notes: false };
    for line in text.lines(&verdict) {
        let _ = console.err.line(&line);
    }
    let _ = console.err.line(&summary(&verdict, files));
    if stops {
        console.hint("mend the files, `git add` them, and commit again: what is staged is judged");
    }
    Ok(if verdict.has_errors() {
        Kind::Findings.exit_code()
    } else if stops {
        Kind::Unverified.exit_code()
    } else {
        0
    })
}

fn judge() -> Result<(Verdict, usize), GitError> {
    let repository = Repository::open_from_env()?;
    let index = repository.index()?;
    let file = |staged: IndexEntry| {
        let entry = Entry { kind: staged.kind, id: Some(staged.id) };
        File { path: staged.path, entry }
    };
    let files: Vec<_> = staged(&repository, &index)?.into_iter().map(file).collect();
    let count = files.len();
    let snapshot = IndexSnapshot::new(&repository, &index.entries);
    Ok((Judge::new().judge(&snapshot, files), count))
}

//! `pre-commit`, `pre-merge-commit`, `pre-applypatch`: the hooks of a clone that Git runs before it makes a commit.

use super::pre_push;
use crate::edge::{Console, Failure, Kind, Outcome};
use crate::git::{EntryKind, GitError, IndexEntry, IndexSnapshot, ObjectId, Repository, TreeSnapshot};
use crate::judge::{Entry, File, Judge, Snapshot as _, Verdict};
use crate::report::text::{Text, summary};
use clap::Args;
use kubiya_policies::finding::Severity;
use std::ffi::OsString;

/// Judge what is about to be committed, as the hook of a clone
///
/// Judges the index that Git names, not the files of the work tree, and only what differs from the last
/// commit, or from all that are being merged. Where the pre-commit framework runs it before a push, the
/// commits of the push are judged.
#[derive(Args, Debug)]
pub(crate) struct PreCommitArgs {
    /// Ignored: hook managers name files, and the index says more
    #[arg(hide = true)]
    _files: Vec<OsString>,
}

/// Judge a merge that is about to be committed, as the hook of a clone
///
/// Git runs it where a merge has no conflicts; otherwise pre-commit is run in the end.
#[derive(Args, Debug)]
pub(crate) struct PreMergeCommitArgs {
    /// Ignored: hook managers name files, and the index says more
    #[arg(hide = true)]
    _files: Vec<OsString>,
}

/// Judge a patch that `git am` has applied, before it is committed
#[derive(Args, Debug)]
pub(crate) struct PreApplypatchArgs {}

pub(crate) fn run(_args: &PreCommitArgs, console: &mut Console) -> Outcome {
    match pre_push::of_framework() {
        Some(push) => pre_push::refuse_or_pass(console, push),
        None => judge_index(console, "commit", &[]),
    }
}

/// Git writes `MERGE_HEAD` only after this hook, and names what it merges in `GITHEAD_<id>` variables
/// (`builtin/merge.c`).
pub(crate) fn run_for_merge(console: &mut Console) -> Outcome {
    let merged = std::env::vars_os()
        .filter_map(|(name, _)| ObjectId::from_hex(name.as_encoded_bytes().strip_prefix(b"GITHEAD_")?));
    judge_index(console, "merge", &merged.collect::<Vec<_>>())
}

pub(crate) fn run_for_patch(console: &mut Console) -> Outcome {
    judge_index(console, "patch", &[])
}

fn judge_index(console: &mut Console, what: &str, merged: &[ObjectId]) -> Outcome {
    let (verdict, files) = judge(merged).map_err(|error| {
        Failure::unverified(format!("the {what} is refused: it cannot be verified"))
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

pub(super) fn judge(merged: &[ObjectId]) -> Result<(Verdict, usize), GitError> {
    let repository = Repository::open_from_env()?;
    let entries = repository.index()?;
    let files = changed(&repository, &entries, merged)?;
    let count = files.len();
    let snapshot = IndexSnapshot::new(&repository, &entries);
    Ok((Judge::new().judge(&snapshot, files), count))
}

/// What differs from HEAD and from everything that is being merged into it. Without HEAD, all is new.
fn changed(
    repository: &Repository,
    entries: &[IndexEntry],
    merged: &[ObjectId],
) -> Result<Vec<File>, GitError> {
    let mut parents = Vec::new();
    for id in repository.head()?.into_iter().chain(repository.merge_heads()).chain(merged.iter().copied()) {
        let commit = repository.commit(id)?.ok_or(GitError::Missing(id))?;
        parents.push(TreeSnapshot::new(repository, commit.tree));
    }
    let mut files = Vec::new();
    for entry in entries.iter().filter(|entry| entry.staged && entry.kind != EntryKind::Gitlink) {
        let now = Entry { kind: entry.kind, id: Some(entry.id) };
        // A parent that cannot be read exempts nothing.
        let was = |parent: &TreeSnapshot<'_>| parent.entry(&entry.path).is_ok_and(|was| was == Some(now));
        if !parents.iter().any(was) {
            files.push(File { path: entry.path.clone(), entry: now });
        }
    }
    Ok(files)
}

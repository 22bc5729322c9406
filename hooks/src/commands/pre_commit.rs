//! `pre-commit`, `pre-merge-commit`, `pre-applypatch`: the hooks of a clone that Git runs before it makes a commit.

use super::pre_push;
use crate::config::{self, ConfigFailure};
use crate::edge::{Console, Failure, Kind, Outcome};
use crate::git::{GitError, IndexEntry, IndexSnapshot, ObjectId, Repository, TreeSnapshot, staged};
use crate::judge::{Entry, File, Judge, Verdict};
use crate::report::text::{Text, summary};
use crate::trust::{Ruling, is_for_gitops, repository_name};
use clap::Args;
use kubiya_policies::finding::Severity;
use kubiya_policies::rules::FILE_NAME;
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
    Ok(verdict.refusal().map_or(0, Kind::exit_code))
}

/// Judges what differs from HEAD and from everything that is being merged into it. Their rules count beside those
/// of the index, and their values are no news.
pub(super) fn judge(merged: &[ObjectId]) -> Result<(Verdict, usize), CommitError> {
    let asked = std::thread::spawn(config::load);
    let repository = Repository::open_from_env()?;
    let index = repository.index()?;
    let file = |staged: IndexEntry| {
        let entry = Entry { kind: staged.kind, id: Some(staged.id) };
        File { path: staged.path, entry }
    };
    let files: Vec<_> = staged(&repository, &index, merged)?.into_iter().map(file).collect();
    let count = files.len();
    let parents = parents(&repository, merged)?;
    let config = asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let snapshot = IndexSnapshot::new(&repository, &index.entries);
    let gitops = || {
        let trees: Vec<_> = parents.iter().map(TreeSnapshot::root).collect();
        index.entries.iter().any(|entry| is_rules(&entry.path)) || is_for_gitops(&repository, &trees)
    };
    let name = repository_name(&config, repository.git_dir());
    let ruling = Ruling::new(&config, &name, gitops);
    let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
    let judge = Judge::new();
    let mut verdict = judge.judge_beside(&snapshot, &parents, files);
    ruling.apply(&judge, &snapshot, &parents, || paths, &mut verdict);
    Ok((verdict, count))
}

fn is_rules(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next() == Some(FILE_NAME.as_bytes())
}

/// What the commit goes on from. Without HEAD there is nothing.
fn parents<'r>(repository: &'r Repository, merged: &[ObjectId]) -> Result<Vec<TreeSnapshot<'r>>, GitError> {
    let mut parents = Vec::new();
    for id in repository.head()?.into_iter().chain(repository.merge_heads()).chain(merged.iter().copied()) {
        let commit = repository.commit(id)?.ok_or(GitError::Missing(id))?;
        parents.push(TreeSnapshot::new(repository, commit.tree));
    }
    Ok(parents)
}

/// Why a commit cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Config(#[from] ConfigFailure),
}

//! Where what is judged comes from: files, an archive, a stream, the index, a revision, a history.

use super::ScanArgs;
use crate::archive::Archive;
use crate::commands::pre_commit;
use crate::continuous::{self, Run};
use crate::edge::{Console, Failure, shown};
use crate::git::{GitError, Known, ObjectId, RefUpdate, Repository, TreeSnapshot, clone, introduced};
use crate::judge::{Entry, File, Judge, Verdict};
use crate::push::{PushVerdict, judge_beyond};
use crate::work_tree::{self, Selection, SelectionError, Which, WithFile};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// What was judged.
pub(super) enum Judged {
    /// Files of one state.
    Files {
        /// What was found.
        verdict: Verdict,
        /// How many there are.
        files: usize,
    },
    /// Commits.
    Commits {
        /// What was found.
        verdict: PushVerdict,
        /// The refs that they were reached by.
        updates: Vec<RefUpdate>,
    },
}

pub(super) fn judge(args: &ScanArgs, console: &mut Console) -> Result<Judged, Failure> {
    if args.staged {
        let (verdict, files) = pre_commit::judge(&[]).map_err(|error| unreadable(&error))?;
        return Ok(Judged::Files { verdict, files });
    }
    if let Some(revision) = &args.rev {
        return named(revision, console);
    }
    if args.all {
        return all();
    }
    if args.ci {
        return of_run(console);
    }
    if let Some(file) = &args.archive {
        return archive(file);
    }
    if args.paths.iter().any(|path| path == Path::new("-")) {
        return stream(args);
    }
    let which = if args.no_ignore { Which::All } else { Which::NotIgnored };
    let paths = if args.stdin_files { paths_of_stream(args.null)? } else { args.paths.clone() };
    Ok(files(select(&paths, which)?))
}

fn unreadable(error: &GitError) -> Failure {
    Failure::unverified("the repository cannot be read").because(error)
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Failure::unverified("cannot read standard input").because(&error))?;
    Ok(bytes)
}

fn paths_of_stream(null: bool) -> Result<Vec<PathBuf>, Failure> {
    let separator = if null { 0 } else { b'\n' };
    let bytes = standard_input()?;
    let paths = bytes.split(|byte| *byte == separator).filter(|path| !path.is_empty());
    Ok(paths.map(|path| PathBuf::from(OsString::from_vec(path.to_owned()))).collect())
}

fn stream(args: &ScanArgs) -> Result<Judged, Failure> {
    if args.paths.len() > 1 {
        return Err(Failure::usage("`-` is standard input, and comes alone"));
    }
    let bytes = standard_input()?;
    let mut judge = Judge::new();
    let verdict = match &args.stdin_filename {
        Some(name) => {
            let snapshot = WithFile::new(name, bytes)?;
            let mut verdict = judge.judge(&snapshot, [snapshot.file()]);
            verdict.rename(|_| name.as_os_str().as_bytes().to_owned());
            verdict
        }
        None => judge.judge_stream(&bytes),
    };
    Ok(Judged::Files { verdict, files: 1 })
}

fn archive(file: &Path) -> Result<Judged, Failure> {
    let name = || shown(file.as_os_str().as_bytes());
    let archive = if file == Path::new("-") {
        Archive::read(io::stdin().lock())
    } else {
        let opened = std::fs::File::open(file);
        let opened =
            opened.map_err(|error| Failure::usage("cannot read the archive").at(name()).because(&error));
        Archive::read(io::BufReader::new(opened?))
    };
    let archive = archive
        .map_err(|error| Failure::unverified("cannot judge the archive").at(name()).because(&error))?;
    let files: Vec<_> = archive.files().collect();
    let count = files.len();
    Ok(Judged::Files { verdict: Judge::new().judge(&archive, files), files: count })
}

fn select(paths: &[PathBuf], which: Which) -> Result<Vec<Selection>, Failure> {
    let (selections, problems): (Vec<_>, Vec<_>) =
        paths.iter().map(|path| work_tree::select(path, which)).partition(Result::is_ok);
    let problems: Vec<_> = problems.into_iter().filter_map(Result::err).map(Failure::from).collect();
    if problems.is_empty() {
        Ok(selections.into_iter().flatten().collect())
    } else {
        Err(Failure::all(format!("{} paths cannot be judged", problems.len()), problems))
    }
}

impl From<SelectionError> for Failure {
    fn from(error: SelectionError) -> Self {
        let failure = Failure::usage("cannot judge the path").at(shown(error.path().as_os_str().as_bytes()));
        match &error {
            SelectionError::Io { source, .. } => failure.because(source),
            SelectionError::NoFile(_) => failure.because_of(error.to_string()),
        }
    }
}

fn files(selections: Vec<Selection>) -> Judged {
    let mut judge = Judge::new();
    let mut all = Verdict::default();
    let mut count = 0;
    let here = std::env::current_dir().unwrap_or_default();
    for selection in work_tree::merged(selections) {
        count += selection.files.len();
        let mut verdict = judge.judge(&selection.tree, selection.files);
        verdict.unverified.extend(selection.unreadable.into_iter().map(Into::into));
        verdict.rename(|path| selection.tree.named_from(&here, path));
        all.append(verdict);
    }
    Judged::Files { verdict: all, files: count }
}

/// A range of commits, or the whole tree of one.
fn named(revision: &OsStr, console: &mut Console) -> Result<Judged, Failure> {
    let range = clone::range(revision)
        .map_err(|error| Failure::usage("no such revision").at(shown(revision.as_bytes())).because(&error))?;
    if range.without.is_empty()
        && let [tip] = range.tips.as_slice()
    {
        return whole(*tip);
    }
    if clone::is_shallow() {
        console.warn("the clone is shallow: what its oldest commits hold counts as new");
    }
    commits(&range.tips, range.without, revision)
}

fn commits(tips: &[ObjectId], without: Vec<ObjectId>, name: &OsStr) -> Result<Judged, Failure> {
    let update = |tip: &ObjectId| RefUpdate { old: None, new: Some(*tip), name: name.as_bytes().to_owned() };
    history(tips.iter().map(update).collect(), without)
}

fn history(updates: Vec<RefUpdate>, without: Vec<ObjectId>) -> Result<Judged, Failure> {
    let repository = Repository::open_from_env().map_err(|error| unreadable(&error))?;
    let known = Known::These(without);
    let verdict = judge_beyond(&repository, &mut Judge::new(), &updates, &known);
    Ok(Judged::Commits { verdict: verdict.map_err(|error| unreadable(&error))?, updates })
}

/// All files of a commit.
fn whole(tip: ObjectId) -> Result<Judged, Failure> {
    let judged = || {
        let repository = Repository::open_from_env()?;
        let commit = repository.peel(tip)?.id;
        let tree = repository.commit(commit)?.ok_or(GitError::Missing(commit))?.tree;
        let files = introduced(&repository, tree, &[])?;
        let count = files.len();
        let file = |file: crate::git::Introduced| File {
            path: file.path,
            entry: Entry { kind: file.kind, id: Some(file.id) },
        };
        let snapshot = TreeSnapshot::new(&repository, tree);
        let verdict = Judge::new().judge(&snapshot, files.into_iter().map(file));
        Ok(Judged::Files { verdict, files: count })
    };
    judged().map_err(|error| unreadable(&error))
}

/// Everything that any ref reaches.
fn all() -> Result<Judged, Failure> {
    let refs = clone::refs().map_err(|error| Failure::unverified("cannot list the refs").because(&error))?;
    let update = |(id, name)| RefUpdate { old: None, new: Some(id), name };
    history(refs.into_iter().map(update).collect(), Vec::new())
}

/// What a run of continuous integration was started for.
fn of_run(console: &mut Console) -> Result<Judged, Failure> {
    let run = continuous::run(|name| std::env::var(name).ok()).ok_or_else(|| {
        Failure::usage("this is no run of GitLab CI or of GitHub Actions")
            .hint("name the commits: --rev A..B")
    })?;
    let name = OsString::from(&run.tip);
    let tip = clone::resolve(&name)
        .map_err(|error| Failure::usage("no such revision").at(shown(run.tip.as_bytes())).because(&error))?;
    if let Some(base) = base(&run) {
        if clone::is_shallow() {
            console.warn("the clone is shallow: what its oldest commits hold counts as new");
        }
        return commits(&[tip], vec![base], &name);
    }
    if run.is_default && !clone::is_shallow() {
        // The first push of all.
        return commits(&[tip], Vec::new(), &name);
    }
    console.warn("this clone does not have what was there before, so the whole tree is judged");
    console.hint(
        "GIT_DEPTH: 0 for GitLab, fetch-depth: 0 for actions/checkout: then only what is new is judged",
    );
    whole(tip)
}

/// What was there before a run, as far as the clone has it: as the service says, or the default branch.
fn base(run: &Run) -> Option<ObjectId> {
    let named = run.base.iter().cloned();
    let branch = run.default_branch.iter().filter(|_| !run.is_default).map(|name| format!("origin/{name}"));
    named.chain(branch).find_map(|name| clone::resolve(OsStr::new(&name)).ok())
}

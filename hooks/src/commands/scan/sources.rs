//! Where what is judged comes from: files, an archive, a stream, the index, a revision, a history.

use super::ScanArgs;
use crate::archive::Archive;
use crate::commands::pre_commit;
use crate::config::{self, Config};
use crate::continuous;
use crate::edge::{Console, Failure, shown};
use crate::git::clone::{self, Range};
use crate::git::{
    GitError, Introduced, Known, ObjectId, ProcessError, RefUpdate, Repository, TreeSnapshot, introduced,
};
use crate::judge::{Entry, File, Judge, Snapshot, Verdict};
use crate::push::{PushVerdict, Terms, Trusted, judge_push};
use crate::trust::{self, Ruling, repository_name, speaks_of_flux};
use crate::work_tree::{self, Selection, SelectionError, Which, WithFile, WorkTree};
use kubiya_policies::rules::FILE_NAME;
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
    let scan = Scan { args, config: config::load()?, judge: Judge::new() };
    let (verdict, files) = if args.staged {
        pre_commit::judge(&[]).map_err(|error| unreadable(&error))?
    } else if let Some(revision) = &args.rev {
        return scan.named(revision, console);
    } else if args.all {
        return scan.all();
    } else if args.ci {
        return scan.of_run(console);
    } else if let Some(file) = &args.archive {
        scan.archive(file)?
    } else if args.paths.iter().any(|path| path == Path::new("-")) {
        scan.stream()?
    } else {
        let which = if args.no_ignore { Which::All } else { Which::NotIgnored };
        let paths = if args.stdin_files { paths_of_stream(args.null)? } else { args.paths.clone() };
        return scan.files(select(&paths, which)?, console);
    };
    scan.known(vec![(verdict, None)], files, console)
}

/// What all kinds of sources need.
struct Scan<'a> {
    args: &'a ScanArgs,
    config: Config,
    judge: Judge,
}

fn unreadable(error: &dyn std::error::Error) -> Failure {
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

impl Scan<'_> {
    fn stream(&self) -> Result<(Verdict, usize), Failure> {
        if self.args.paths.len() > 1 {
            return Err(Failure::usage("`-` is standard input, and comes alone"));
        }
        let bytes = standard_input()?;
        let verdict = match &self.args.stdin_filename {
            Some(name) => {
                let snapshot = WithFile::new(name, bytes)?;
                let mut verdict = self.snapshot(&snapshot, &snapshot.name(), &[snapshot.file()]);
                verdict.rename(|_| name.as_os_str().as_bytes().to_owned());
                verdict
            }
            None => {
                let mut verdict = self.judge.judge_stream(&bytes);
                Ruling::new(&self.config, "-", || false).weigh(&mut verdict);
                verdict
            }
        };
        Ok((verdict, 1))
    }

    fn archive(&self, file: &Path) -> Result<(Verdict, usize), Failure> {
        let name = shown(file.as_os_str().as_bytes());
        let archive = if file == Path::new("-") {
            Archive::read(io::stdin().lock())
        } else {
            let opened = std::fs::File::open(file)
                .map_err(|error| Failure::usage("cannot read the archive").at(&name).because(&error))?;
            Archive::read(io::BufReader::new(opened))
        };
        let archive = archive
            .map_err(|error| Failure::unverified("cannot judge the archive").at(&name).because(&error))?;
        let files: Vec<_> = archive.files().collect();
        let count = files.len();
        Ok((self.snapshot(&archive, &name, &files), count))
    }

    /// Judges files of a state that no other came before.
    fn snapshot<S: Snapshot + Sync>(&self, snapshot: &S, name: &str, files: &[File]) -> Verdict {
        let mut verdict = self.judge.judge_apart(snapshot, files.to_vec());
        Ruling::new(&self.config, name, || is_for_gitops(snapshot, files)).weigh(&mut verdict);
        verdict
    }

    fn files(&self, selections: Vec<Selection>, console: &mut Console) -> Result<Judged, Failure> {
        let mut judged = Vec::new();
        let mut count = 0;
        for selection in work_tree::merged(selections) {
            count += selection.files.len();
            let mut verdict = self.snapshot(&selection.tree, &selection.tree.name(), &selection.files);
            verdict.unverified.extend(selection.unreadable.into_iter().map(Into::into));
            judged.push((verdict, Some(selection.tree)));
        }
        self.known(judged, count, console)
    }

    /// Takes out what is listed as known, and names files as they are named here.
    fn known(
        &self,
        judged: Vec<(Verdict, Option<WorkTree>)>,
        files: usize,
        console: &mut Console,
    ) -> Result<Judged, Failure> {
        let listed = self.args.baseline.list(judged.iter().map(|(verdict, _)| verdict), console)?;
        let here = std::env::current_dir().unwrap_or_default();
        let mut all = Verdict::default();
        for (mut verdict, tree) in judged {
            if let Some(listed) = &listed {
                listed.forgive(&mut verdict);
            }
            if let Some(tree) = tree {
                verdict.rename(|path| tree.named_from(&here, path));
            }
            all.append(verdict);
        }
        Ok(Judged::Files { verdict: all, files })
    }
}

/// Whether there are rules of SOPS or objects of Flux among the files.
fn is_for_gitops<S: Snapshot>(snapshot: &S, files: &[File]) -> bool {
    let is_rules = |file: &File| file.path.rsplit(|byte| *byte == b'/').next() == Some(FILE_NAME.as_bytes());
    let is_yaml = |file: &&File| file.path.ends_with(b".yaml") || file.path.ends_with(b".yml");
    files.iter().any(is_rules)
        || files
            .iter()
            .filter(is_yaml)
            .any(|file| snapshot.read(&file.path, file.entry).is_ok_and(|bytes| speaks_of_flux(&bytes)))
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

impl Scan<'_> {
    /// A range of commits, or the whole tree of one.
    fn named(&self, revision: &OsStr, console: &mut Console) -> Result<Judged, Failure> {
        let range = clone::range(revision).map_err(|error| no_revision(revision, &error))?;
        let default = clone::default_branch(OsStr::new("origin"));
        if range.without.is_empty()
            && let [tip] = range.tips.as_slice()
        {
            return self.whole(*tip, default, console);
        }
        if clone::is_shallow() {
            console.warn("the clone is shallow: what its oldest commits hold counts as new");
        }
        self.commits(&range, revision, default)
    }

    fn commits(&self, range: &Range, name: &OsStr, default: Option<ObjectId>) -> Result<Judged, Failure> {
        let update =
            |tip: &ObjectId| RefUpdate { old: None, new: Some(*tip), name: name.as_bytes().to_owned() };
        let trusted = match range.tips.first() {
            Some(tip) => self.policy(*tip, default, range.without.first().copied())?,
            None => None,
        };
        self.history(range.tips.iter().map(update).collect(), range.without.clone(), trusted)
    }

    /// Whose rules and values were there before: as is said; where the commits left the default branch; or
    /// where they begin.
    fn policy(
        &self,
        tip: ObjectId,
        default: Option<ObjectId>,
        base: Option<ObjectId>,
    ) -> Result<Option<ObjectId>, Failure> {
        if let Some(named) = &self.args.policy_rev {
            return clone::resolve(named).map(Some).map_err(|error| no_revision(named, &error));
        }
        let left = default.and_then(|default| clone::merge_base(default, tip));
        // On the default branch itself, the tip has no word about what came before.
        Ok(left.filter(|left| *left != tip).or(base))
    }

    fn history(
        &self,
        updates: Vec<RefUpdate>,
        without: Vec<ObjectId>,
        trusted: Option<ObjectId>,
    ) -> Result<Judged, Failure> {
        if self.args.baseline.is_asked() {
            return Err(Failure::usage("a list of old findings is for files, not for commits"));
        }
        let repository = Repository::open_from_env().map_err(|error| unreadable(&error))?;
        let terms = Terms {
            repository: repository_name(&self.config, repository.git_dir()),
            config: self.config.clone(),
            known: Known::These(without),
            trusted: Trusted::Commit(trusted),
            ..Terms::default()
        };
        let verdict = judge_push(&repository, &self.judge, &updates, &terms);
        Ok(Judged::Commits { verdict: verdict.map_err(|error| unreadable(&error))?, updates })
    }

    /// All files of a commit.
    fn whole(
        &self,
        tip: ObjectId,
        default: Option<ObjectId>,
        console: &mut Console,
    ) -> Result<Judged, Failure> {
        let policy = self.policy(tip, default, None)?;
        let (verdict, files) = self.tree(tip, policy).map_err(|error| unreadable(&error))?;
        self.known(vec![(verdict, None)], files, console)
    }

    fn tree(&self, tip: ObjectId, policy: Option<ObjectId>) -> Result<(Verdict, usize), GitError> {
        let repository = Repository::open_from_env()?;
        let tree = |id| {
            let commit = repository.peel(id)?.id;
            Ok::<_, GitError>(repository.commit(commit)?.ok_or(GitError::Missing(commit))?.tree)
        };
        let (tree, policy) = (tree(tip)?, policy.map(tree).transpose()?);
        let files = introduced(&repository, tree, &[], &mut |_| {})?;
        let count = files.len();
        let file = |file: Introduced| {
            let entry = Entry { kind: file.kind, id: Some(file.id) };
            File { path: file.path, entry }
        };
        let snapshot = TreeSnapshot::new(&repository, tree);
        let elders: Vec<_> = policy.map(|tree| TreeSnapshot::new(&repository, tree)).into_iter().collect();
        let mut verdict = self.judge.judge_beside(&snapshot, &elders, files.into_iter().map(file));
        let name = repository_name(&self.config, repository.git_dir());
        let folders: Vec<_> = [tree].into_iter().chain(policy).collect();
        Ruling::new(&self.config, &name, || trust::is_for_gitops(&repository, &folders)).weigh(&mut verdict);
        Ok((verdict, count))
    }

    /// Everything that any ref reaches.
    fn all(&self) -> Result<Judged, Failure> {
        let refs =
            clone::refs().map_err(|error| Failure::unverified("cannot list the refs").because(&error))?;
        let update = |(id, name)| RefUpdate { old: None, new: Some(id), name };
        self.history(refs.into_iter().map(update).collect(), Vec::new(), None)
    }

    /// What a run of continuous integration was started for.
    fn of_run(&self, console: &mut Console) -> Result<Judged, Failure> {
        let run = continuous::run(|name| std::env::var(name).ok()).ok_or_else(|| {
            Failure::usage("this is no run of GitLab CI or of GitHub Actions")
                .hint("name the commits: --rev A..B")
        })?;
        let name = OsString::from(&run.tip);
        let tip = clone::resolve(&name).map_err(|error| no_revision(&name, &error))?;
        let default = run.default_branch.iter().find_map(|name| named(&format!("origin/{name}")));
        let default = default.or_else(|| clone::default_branch(OsStr::new("origin")));
        let before = run.base.as_deref().and_then(named);
        let without = match before.or(default.filter(|_| !run.is_default)) {
            Some(base) => vec![base],
            // The first push of all.
            None if run.is_default && !clone::is_shallow() => Vec::new(),
            None => {
                console.warn("this clone does not have what was there before, so the whole tree is judged");
                console.hint(
                    "GIT_DEPTH: 0 for GitLab, fetch-depth: 0 for actions/checkout: then only what is new is judged",
                );
                return self.whole(tip, default, console);
            }
        };
        if clone::is_shallow() {
            console.warn("the clone is shallow: what its oldest commits hold counts as new");
        }
        self.commits(&Range { tips: vec![tip], without }, &name, default)
    }
}

fn named(revision: &str) -> Option<ObjectId> {
    clone::resolve(OsStr::new(revision)).ok()
}

fn no_revision(revision: &OsStr, error: &ProcessError) -> Failure {
    Failure::usage("no such revision").at(shown(revision.as_bytes())).because(error)
}

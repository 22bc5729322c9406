//! `scan`: the files that are there.

use super::baseline::BaselineArgs;
use crate::config;
use crate::edge::{Console, Failure, Kind, Outcome};
use crate::judge::{File, Judge, Snapshot as _, Verdict};
use crate::report::format::Format;
use crate::report::shown;
use crate::report::text::{Text, summary};
use crate::trust::{Ruling, speaks_of_flux};
use crate::work_tree::{self, Selection, SelectionError, WorkTree};
use clap::Args;
use kubiya_policies::rules::FILE_NAME;
use std::path::PathBuf;

/// Judge files and folders of a work tree
///
/// Folders are gone through, without `.git`. The rules are those of the nearest `.sops.yaml` at or above a
/// file. Inside of a repository, paths count from its top.
#[derive(Args, Debug)]
pub(crate) struct ScanArgs {
    /// Files and folders to judge
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Form of the report on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    baseline: BaselineArgs,
}

pub(crate) fn run(args: &ScanArgs, console: &mut Console) -> Outcome {
    let selections = select(&args.paths)?;
    let (verdict, files) = judge(selections, &args.baseline, console)?;
    let report = args
        .format
        .report(&verdict, files)
        .map_err(|error| Failure::unverified("cannot write the report").because(&error))?;
    let written = match report {
        None => {
            let text = Text { style: console.out.style(), notes: true };
            text.lines(&verdict).iter().try_for_each(|line| console.out.line(line))
        }
        Some(report) if report.is_empty() => Ok(()),
        Some(report) => console.out.line(&report),
    };
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Failure::unverified("cannot write the report").because(&error));
        }
        _ => {}
    }
    // What was found comes before what is said about it, also where both go to one terminal.
    let _ = console.out.flush();
    if args.format == Format::Text {
        let _ = console.err.line(&summary(&verdict, files));
    }
    Ok(verdict.refusal().map_or(0, Kind::exit_code))
}

fn select(paths: &[PathBuf]) -> Result<Vec<Selection>, Failure> {
    let (selections, problems): (Vec<_>, Vec<_>) =
        paths.iter().map(|path| work_tree::select(path)).partition(Result::is_ok);
    let problems: Vec<_> = problems.into_iter().filter_map(Result::err).map(Failure::from).collect();
    if problems.is_empty() {
        Ok(selections.into_iter().flatten().collect())
    } else {
        Err(Failure::all(format!("{} paths cannot be judged", problems.len()), problems))
    }
}

impl From<SelectionError> for Failure {
    fn from(error: SelectionError) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let failure = Failure::usage("cannot judge the path").at(shown(error.path().as_os_str().as_bytes()));
        match &error {
            SelectionError::Io { source, .. } => failure.because(source),
            SelectionError::NoFile(_) => failure.because_of(error.to_string()),
        }
    }
}

fn judge(
    selections: Vec<Selection>,
    baseline: &BaselineArgs,
    console: &mut Console,
) -> Result<(Verdict, usize), Failure> {
    let config = config::load()?;
    let here = std::env::current_dir().unwrap_or_default();
    let judge = Judge::new();
    let mut count = 0;
    let mut judged = Vec::new();
    for selection in work_tree::merged(selections) {
        count += selection.files.len();
        let (tree, files) = (selection.tree, selection.files);
        let mut verdict = judge.judge_apart(&tree, files.clone());
        verdict.unverified.extend(selection.unreadable.into_iter().map(Into::into));
        let name = tree.name();
        Ruling::new(&config, &name, || is_for_gitops(&tree, &files)).weigh(&mut verdict);
        judged.push((tree, verdict));
    }
    let listed = baseline.list(judged.iter().map(|(_, verdict)| verdict), console)?;
    let mut all = Verdict::default();
    for (tree, mut verdict) in judged {
        if let Some(listed) = &listed {
            listed.forgive(&mut verdict);
        }
        verdict.rename(|path| tree.named_from(&here, path));
        all.append(verdict);
    }
    Ok((all, count))
}

/// Whether there are rules of SOPS or objects of Flux among the files.
fn is_for_gitops(tree: &WorkTree, files: &[File]) -> bool {
    let named = |file: &File, end: &[u8]| file.path.ends_with(end);
    files.iter().any(|file| tree_rules(&file.path))
        || files
            .iter()
            .filter(|file| named(file, b".yaml") || named(file, b".yml"))
            .any(|file| tree.read(&file.path, file.entry).is_ok_and(|bytes| speaks_of_flux(&bytes)))
}

fn tree_rules(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next() == Some(FILE_NAME.as_bytes())
}

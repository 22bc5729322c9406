//! `scan`: the files that are there.

use crate::edge::{Console, Failure, Kind, Outcome};
use crate::judge::{Judge, Verdict};
use crate::report::format::Format;
use crate::report::shown;
use crate::report::text::{Text, summary};
use crate::work_tree::{self, Selection, SelectionError};
use clap::Args;
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
}

pub(crate) fn run(args: &ScanArgs, console: &mut Console) -> Outcome {
    let selections = select(&args.paths)?;
    let (verdict, files) = judge(selections);
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
    Ok(if verdict.has_errors() {
        Kind::Findings.exit_code()
    } else if !verdict.unverified.is_empty() {
        Kind::Unverified.exit_code()
    } else {
        0
    })
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

fn judge(selections: Vec<Selection>) -> (Verdict, usize) {
    let judge = Judge::new();
    let mut all = Verdict::default();
    let mut count = 0;
    let here = std::env::current_dir().unwrap_or_default();
    for selection in work_tree::merged(selections) {
        count += selection.files.len();
        let mut verdict = judge.judge_apart(&selection.tree, selection.files);
        verdict.unverified.extend(selection.unreadable.into_iter().map(Into::into));
        verdict.rename(|path| selection.tree.named_from(&here, path));
        all.append(verdict);
    }
    (all, count)
}

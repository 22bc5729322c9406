//! `scan`: what is there already, wherever it is.

mod sources;

use super::baseline::BaselineArgs;
use crate::edge::{Console, Failure, Kind, Outcome};
use crate::report::format::Format;
use crate::report::text::{Text, summary, summary_of_history};
use clap::Args;
use sources::Judged;
use std::ffi::OsString;
use std::path::PathBuf;

/// Judge files, an index, a revision, a history, an archive or a stream
///
/// Folders are gone through, without `.git` and without what Git ignores; what Git has is judged in any case.
/// The rules are those of the nearest `.sops.yaml` at or above a file. Inside of a repository, paths count from
/// its top.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("source").multiple(false))]
pub(crate) struct ScanArgs {
    /// Files and folders to judge; `-` is the content of one file on standard input
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Judge what is staged, as pre-commit does
    #[arg(long, group = "source")]
    staged: bool,
    /// Judge the commits of a range (A..B), or the whole tree of one revision
    #[arg(long, value_name = "REV|RANGE", group = "source")]
    rev: Option<OsString>,
    /// Judge everything that any ref reaches
    #[arg(long, group = "source")]
    all: bool,
    /// Judge what this run of GitLab CI or GitHub Actions was started for
    #[arg(long, group = "source")]
    ci: bool,
    /// Judge the files of a tar archive, plain or compressed by gzip; `-` is standard input
    #[arg(long, value_name = "FILE", group = "source")]
    archive: Option<PathBuf>,
    /// Judge the files that standard input names, one on each line
    #[arg(long, group = "source")]
    stdin_files: bool,
    /// With --stdin-files: names end in a zero byte
    #[arg(long, short = 'z', requires = "stdin_files")]
    null: bool,
    /// With `-`: the path that the content is judged as
    #[arg(long, value_name = "PATH")]
    stdin_filename: Option<PathBuf>,
    /// Judge what Git ignores, too
    #[arg(long)]
    no_ignore: bool,
    /// With --rev and --ci: the revision whose rules and values count as what was there before
    ///
    /// Without it, where the commits left the default branch.
    #[arg(long, value_name = "REV")]
    policy_rev: Option<OsString>,
    /// Form of the report on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    baseline: BaselineArgs,
}

pub(crate) fn run(args: &ScanArgs, console: &mut Console) -> Outcome {
    let judged = sources::judge(args, console)?;
    let text = Text { style: console.out.style(), notes: true };
    let (lines, verdict, summary) = match judged {
        Judged::Files { verdict, files } => {
            (text.lines(&verdict), verdict.clone(), (summary(&verdict, files), files))
        }
        Judged::Commits { verdict, updates } => {
            let lines = text.history(&verdict, &updates);
            let commits = verdict.commits;
            let verdict = verdict.into_verdict();
            let summary = summary_of_history(&verdict, commits);
            (lines, verdict, (summary, commits))
        }
    };
    let (summary, count) = summary;
    let report = args
        .format
        .report(&verdict, count)
        .map_err(|error| Failure::unverified("cannot write the report").because(&error))?;
    let written = match report {
        None => lines.iter().try_for_each(|line| console.out.line(line)),
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
        let _ = console.err.line(&summary);
    }
    Ok(verdict.refusal().map_or(0, Kind::exit_code))
}

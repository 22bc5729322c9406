//! `check`: whether every governed file is encrypted as its rule says.

use super::formats::{FileArgs, OutputArgs, gathered};
use crate::cluster::ConnectionArgs;
use crate::files::Version;
use crate::keys::{KeyArgs, KeyRing};
use crate::secrets::{Candidate, Configs, Sought, choose, file_failure, open, read, shown, top_around};
use clap::Args;
use kubiya_hook::edge::{self, Color, Console, Failure, Kind, Outcome};
use kubiya_policies::check::{Input, check_as};
use kubiya_policies::finding::{Finding, Severity};
use kubiya_policies::sops::problem::{Problem, ProblemKind};
use rayon::prelude::*;
use serde::Serialize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Check that files are encrypted as their creation rules say
///
/// Needs no key, and judges as the hook does: every value that the rule covers is encrypted, the metadata is
/// whole, and the recipients are those of the rule. With --decrypt every file is also opened, and its message authentication code verified.
/// Without PATH, the whole repository; a plaintext Secret that no rule is for is found too. What else must not
/// be in Git is the hook's to find: kubiya-hook scan.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Files and folders
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Open every file, and verify its message authentication code
    #[arg(long)]
    decrypt: bool,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

/// What a problem of the message authentication code begins with.
const MAC: &str = "the message authentication code";

/// The result for one file.
#[derive(Serialize)]
struct Checked {
    path: String,
    /// What is wrong; nothing where all is well.
    problems: Vec<String>,
    /// What is odd, and nothing that the hook would refuse.
    warnings: Vec<String>,
}

pub(crate) fn run(args: &CheckArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let top = top_around(&args.paths);
    let configs = Configs::new(args.files.config.clone(), top.clone());
    let keys = args.decrypt.then(|| gathered(&args.keys, connection)).transpose()?;
    let chosen = choose(&args.paths, Sought::Secrets, top.as_deref(), &configs)?;
    let work = |candidate: &Candidate| one(candidate, args, &configs, keys.as_ref());
    let checked = chosen.candidates.par_iter().map(work).collect::<Vec<_>>();
    configs.warnings().iter().for_each(|warning| console.warn(warning));
    let bad = checked.iter().filter(|checked| !checked.problems.is_empty()).count();
    if !args.output.print(console, &checked)? {
        for file in checked.iter().filter(|file| !file.problems.is_empty()) {
            let label = console.out.style().paint("error:", Color::Red);
            for problem in &file.problems {
                let _ = console.out.line(&format!("{label} {problem}"));
            }
        }
        for warning in checked.iter().flat_map(|file| &file.warnings) {
            let label = console.out.style().paint("warning:", Color::Yellow);
            let _ = console.out.line(&format!("{label} {warning}"));
        }
        let _ = console.out.flush();
        let how = if args.decrypt { "opened and verified" } else { "checked without keys" };
        let good = checked.len() - bad;
        let files =
            if chosen.looked_at == 1 { "1 file".to_owned() } else { format!("{} files", chosen.looked_at) };
        let _ = console.err.line(&format!(
            "{files} looked at, {} of them secrets, {how}: {good} as they should be, {bad} not",
            checked.len()
        ));
    }
    if !chosen.failures.is_empty() {
        let count = chosen.failures.len();
        return Err(Failure::all(format!("{count} files could not be read"), chosen.failures)
            .of_kind(Kind::Unverified));
    }
    let mac = |problem: &String| problem.contains(MAC);
    if checked.iter().flat_map(|file| &file.problems).any(|problem| !mac(problem)) {
        console.hint("kubectl kubiya encrypt   # makes them as their rules say");
    }
    if checked.iter().flat_map(|file| &file.problems).any(mac) {
        console.hint("git diff HEAD -- FILE   # what was changed beside the encrypted values");
        console.hint("kubectl kubiya encrypt --ignore-mac FILE   # takes the file as it is, if it is right");
    }
    Ok(if bad > 0 { Kind::Findings.exit_code() } else { 0 })
}

fn one(candidate: &Candidate, args: &CheckArgs, configs: &Configs, keys: Option<&KeyRing>) -> Checked {
    let (problems, warnings) =
        problems(candidate, args, configs, keys).unwrap_or_else(|failure| (failure.lines(), Vec::new()));
    Checked { path: shown(&candidate.path), problems, warnings }
}

fn problems(
    candidate: &Candidate,
    args: &CheckArgs,
    configs: &Configs,
    keys: Option<&KeyRing>,
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let path = &candidate.path;
    let version = Version::found(path.clone()).map_err(|error| file_failure(path, &error))?;
    let governed = configs.governing(path)?;
    let secret = read(path, version.bytes(), args.files.format(), governed.as_deref())?;
    let rules = governed.as_ref().map(|governed| &governed.rules);
    let input =
        Input { path: path.as_os_str().as_bytes(), bytes: version.bytes(), rules, role: candidate.role };
    let name = shown(path);
    let (errors, others): (Vec<_>, Vec<_>) = check_as(&input, args.files.format())
        .findings
        .into_iter()
        .partition(|finding| finding.severity == Severity::Error);
    let mut problems = errors.iter().map(|finding| told(&name, finding)).collect::<Vec<_>>();
    let warnings = others.iter().map(|finding| told(&name, finding)).collect();
    if secret.metadata().is_none() && !problems.is_empty() {
        match rules.and_then(|rules| rules.for_path(input.path)) {
            None => problems.push(format!("{name}: no creation rule is for it")),
            Some((_, rule)) if !secret.covers_any(&rule.recipe()) => {
                problems.push(format!("{name}: its creation rule encrypts nothing of it"));
            }
            Some(_) => {}
        }
    }
    if let (Some(keys), true) = (keys, secret.metadata().is_some()) {
        let opened = open(path, &secret, keys)?;
        if let Err(mismatch) = opened.mac {
            problems.push(format!("{name}: {}", Problem::of_file(ProblemKind::Mac(mismatch))));
        }
    }
    Ok((problems, warnings))
}

/// A finding in a line: where, and what.
fn told(name: &str, finding: &Finding) -> String {
    let place =
        finding.place.span.as_ref().map_or(String::new(), |span| format!(":{}:{}", span.line, span.column));
    let key = match finding.place.key_path.as_str() {
        "" => String::new(),
        key => format!("{}: ", edge::shown(key.as_bytes())),
    };
    format!("{name}{place}: {key}{}", finding.message)
}

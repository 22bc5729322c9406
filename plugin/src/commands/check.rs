//! `check`: whether every governed file is encrypted as its rule says.

use super::formats::{FileArgs, OutputArgs, gathered};
use crate::cluster::ConnectionArgs;
use crate::files::Version;
use crate::keys::{KeyArgs, KeyRing};
use crate::secrets::{Candidate, Configs, Sought, choose, file_failure, open, read, shown, top_around};
use clap::Args;
use kubiya_hook::edge::{Color, Console, Failure, Kind, Outcome};
use kubiya_policies::sops::file::Deviation;
use kubiya_policies::sops::problem::{Problem, ProblemKind};
use rayon::prelude::*;
use serde::Serialize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Check that files are encrypted as their creation rules say
///
/// Needs no key: every value that the rule covers is encrypted, the metadata is whole, and the recipients are
/// those of the rule. With --decrypt every file is also opened, and its message authentication code verified.
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
    let problems = match problems(candidate, args, configs, keys) {
        Ok(problems) => problems,
        Err(failure) => failure.lines(),
    };
    Checked { path: shown(&candidate.path), problems }
}

fn problems(
    candidate: &Candidate,
    args: &CheckArgs,
    configs: &Configs,
    keys: Option<&KeyRing>,
) -> Result<Vec<String>, Failure> {
    let path = &candidate.path;
    let version = Version::found(path.clone()).map_err(|error| file_failure(path, &error))?;
    let governed = configs.governing(path)?;
    let secret = read(path, version.bytes(), args.files.format(), governed.as_deref())?;
    let rule = governed.as_ref().and_then(|governed| {
        governed.rules.for_path(path.as_os_str().as_bytes()).map(|(_, rule)| rule.recipe())
    });
    let name = shown(path);
    let Some(recipe) = rule else {
        return Ok(match secret.metadata() {
            // Encrypted without a rule: nothing to compare with.
            Some(_) => Vec::new(),
            None if candidate.is_plain(version.bytes(), configs) => {
                vec![format!("{name}: holds a plaintext secret, and no creation rule is for it")]
            }
            None => Vec::new(),
        });
    };
    if secret.metadata().is_none() && !secret.covers_any(&recipe) {
        let what = "holds a plaintext secret, and its creation rule encrypts nothing of it";
        let plain = candidate.is_plain(version.bytes(), configs);
        return Ok(if plain { vec![format!("{name}: {what}")] } else { Vec::new() });
    }
    let mut problems = secret
        .deviations(&recipe)
        .iter()
        .map(|found| match found {
            Deviation::Value(problem) => format!("{name}:{problem}"),
            other => format!("{name}: {}", deviation(other)),
        })
        .collect::<Vec<_>>();
    if let (Some(keys), true) = (keys, secret.metadata().is_some()) {
        let opened = open(path, &secret, keys)?;
        if let Err(mismatch) = opened.mac {
            problems.push(format!("{name}: {}", Problem::of_file(ProblemKind::Mac(mismatch))));
        }
    }
    Ok(problems)
}

/// A deviation in words.
pub(super) fn deviation(deviation: &Deviation) -> String {
    match deviation {
        Deviation::NotEncrypted => "it is not encrypted".to_owned(),
        Deviation::Metadata(incomplete) => format!("its metadata is not whole: {incomplete}"),
        Deviation::Value(problem) => problem.to_string(),
        Deviation::Missing(recipient) => format!("{recipient} cannot read it, and the rule says so"),
        Deviation::Extra(recipient) => format!("{recipient} can read it, and the rule does not say so"),
        Deviation::Groups => "its key groups are not those of the rule".to_owned(),
        Deviation::Selector(selector) => {
            format!("it is encrypted by another selector than its rule's ({selector})")
        }
        Deviation::MacOnlyEncrypted => "its `mac_only_encrypted` is not that of the rule".to_owned(),
    }
}

//! `decrypt`: files as they were before they were encrypted.

use super::formats::{FileArgs, gathered};
use crate::cluster::ConnectionArgs;
use crate::files::{Batch, Staged, Version};
use crate::keys::KeyArgs;
use crate::secrets::{
    Candidate, Configs, Keys, Sought, choose, failure_of, file_failure, read, shown, top_around, unlocked,
};
use clap::Args;
use kubiya_hook::edge::{self, Console, Failure, Kind, Outcome};
use kubiya_policies::sops::file::MacCheck;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Decrypt files
///
/// In place, unless --stdout or --output says otherwise. What was encrypted here comes back byte for byte.
/// A file whose message authentication code does not fit is refused.
#[derive(Args, Debug)]
pub(crate) struct DecryptArgs {
    /// Files; in folders, every encrypted file
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Write the one file to standard output
    #[arg(long)]
    stdout: bool,
    /// Write the one file to another, which must not be there yet, readable by you alone
    #[arg(long, value_name = "FILE", conflicts_with = "stdout")]
    output: Option<PathBuf>,
    /// Decrypt although the message authentication code does not fit
    ///
    /// Gives up the proof that nobody changed plain parts, or moved, added or removed values.
    #[arg(long)]
    ignore_mac: bool,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

struct Line {
    path: String,
    /// `decrypted` or `failed`.
    result: &'static str,
}

pub(crate) fn run(args: &DecryptArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let top = top_around(&args.paths);
    let configs = Configs::new(args.files.config.clone(), top.clone());
    let keys = gathered(&args.keys, connection)?;
    let mut chosen = choose(&args.paths, Sought::Encrypted, top.as_deref(), &configs)?;
    chosen.candidates.retain(|candidate| candidate.encrypted || candidate.named);
    if args.stdout || args.output.is_some() {
        return elsewhere(args, &chosen.candidates, &configs, &keys, console);
    }
    let work = |candidate: &Candidate| one(candidate, args, &configs, &keys)?.staged(args.dry_run);
    let results = chosen.candidates.par_iter().map(work).collect::<Vec<_>>();
    let (mut lines, mut failures, mut batch) = (Vec::new(), chosen.failures, Batch::default());
    for (candidate, result) in chosen.candidates.iter().zip(results) {
        let path = shown(&candidate.path);
        match result {
            Ok((staged, closed)) => {
                warn_of_comments(&candidate.path, closed, console);
                batch.add_some(staged);
                lines.push(Line { path, result: "decrypted" });
            }
            Err(failure) => {
                failures.push(failure);
                lines.push(Line { path, result: "failed" });
            }
        }
    }
    for (path, error) in batch.put_in_place() {
        failures.push(file_failure(&path, &error));
        let path = shown(&path);
        lines.iter_mut().filter(|line| line.path == path).for_each(|line| line.result = "failed");
    }
    finish(args, &lines, failures, top.as_deref(), console)
}

struct Worked {
    version: Version,
    bytes: Zeroizing<Vec<u8>>,
    closed_comments: usize,
}

impl Worked {
    fn staged(self, dry_run: bool) -> Result<(Option<Staged>, usize), Failure> {
        if dry_run {
            return Ok((None, self.closed_comments));
        }
        let path = self.version.path().to_owned();
        let staged = Staged::replacing(&self.version, &self.bytes);
        Ok((Some(staged.map_err(|error| file_failure(&path, &error))?), self.closed_comments))
    }
}

fn one(
    candidate: &Candidate,
    args: &DecryptArgs,
    configs: &Configs,
    keys: &dyn Keys,
) -> Result<Worked, Failure> {
    let path = &candidate.path;
    let version = Version::found(path.clone()).map_err(|error| file_failure(path, &error))?;
    // Rules are not needed to open a file; one that cannot be used does not stop it.
    let governed = configs.governing(path).ok().flatten();
    let decrypted = {
        let secret = read(path, version.bytes(), args.files.format(), governed.as_deref())?;
        let key = unlocked(path, &secret, keys)?;
        let check = if args.ignore_mac { MacCheck::Ignored } else { MacCheck::Required };
        secret.decrypt(&key, check).map_err(|problems| failure_of(path, &problems))?
    };
    Ok(Worked { version, bytes: decrypted.bytes, closed_comments: decrypted.closed_comments })
}

fn elsewhere(
    args: &DecryptArgs,
    candidates: &[Candidate],
    configs: &Configs,
    keys: &dyn Keys,
    console: &mut Console,
) -> Outcome {
    let [candidate] = candidates else {
        return Err(Failure::usage(format!("{} files, and only one can be written there", candidates.len()))
            .hint("kubectl kubiya decrypt --stdout FILE"));
    };
    let worked = one(candidate, args, configs, keys)?;
    warn_of_comments(&candidate.path, worked.closed_comments, console);
    if let Some(target) = &args.output {
        if !args.dry_run {
            let mut batch = Batch::default();
            let staged = Staged::new_file(target, &worked.bytes);
            batch.add(staged.map_err(|error| file_failure(target, &error))?);
            if let Some((path, error)) = batch.put_in_place().into_iter().next() {
                return Err(file_failure(&path, &error));
            }
        }
        return Ok(0);
    }
    let written = console.out.bytes(&worked.bytes);
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::unverified("cannot write to stdout").because(&error))
        }
        _ => Ok(0),
    }
}

fn warn_of_comments(path: &Path, count: usize, console: &mut Console) {
    if count > 0 {
        console.warn(&format!(
            "{}: encrypted comments that open nowhere stay as they are: {count}",
            shown(path)
        ));
    }
}

fn finish(
    args: &DecryptArgs,
    lines: &[Line],
    failures: Vec<Failure>,
    top: Option<&Path>,
    console: &mut Console,
) -> Outcome {
    let done = lines.iter().filter(|line| line.result == "decrypted").collect::<Vec<_>>();
    for line in lines {
        let would = if args.dry_run && line.result == "decrypted" { "would be " } else { "" };
        let _ = console.err.line(&format!("{:>11} {}", format!("{would}{}", line.result), line.path));
    }
    if let (Some(first), Some(_), false) = (done.first(), top, args.dry_run) {
        console.warn("the plain files are in a Git work tree; the hook stops a commit of them");
        let path = edge::in_shell(first.path.as_bytes());
        let more = if done.len() > 1 { " …" } else { "" };
        console.hint(&format!("kubectl kubiya encrypt {path}{more}   # before you commit"));
    }
    if failures.is_empty() {
        return Ok(0);
    }
    let failure = Failure::all(format!("{} files could not be decrypted", failures.len()), failures);
    Err(if done.is_empty() || args.dry_run { failure } else { failure.of_kind(Kind::Partial) })
}

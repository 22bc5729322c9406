//! `encrypt`: files by their creation rules.

use super::formats::{FileArgs, OutputArgs, gathered};
use crate::cluster::ConnectionArgs;
use crate::files::{Batch, Staged, Version};
use crate::keys::KeyArgs;
use crate::secrets::{
    Candidate, Configs, Done, Earlier, Keys, Options, Sought, choose, encrypt, file_failure, shown,
    top_around,
};
use clap::Args;
use kubiya_hook::edge::{Console, Failure, Kind, Outcome};
use kubiya_policies::check::Role;
use rayon::prelude::*;
use serde::Serialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Encrypt files by the creation rules of their .sops.yaml
///
/// Without PATH: every file of the repository that holds a plaintext Secret, or that a rule wants encrypted
/// as a whole; and encrypted files that are no longer as their rule says. Kustomizations, Flux objects and
/// files without anything to encrypt are left alone, and an encrypted file that conforms is not touched.
///
/// Comments, quotes, indentation and all else stay byte for byte. A value that did not change since the last
/// commit keeps its ciphertext, if a key at hand opens that version. New files need no private key.
#[derive(Args, Debug)]
pub(crate) struct EncryptArgs {
    /// Files and folders; `-` for a document on stdin, with --filename
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What the document on stdin is called: its rule and its format follow from it
    #[arg(long, value_name = "PATH")]
    filename: Option<PathBuf>,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Make aliases (`*name`) into copies of what they stand for: sops cannot read encrypted ones
    #[arg(long)]
    expand_aliases: bool,
    /// Make encrypted values plain that the rule's selector no longer covers
    #[arg(long)]
    allow_plain: bool,
    /// Take an encrypted file as it is, although its message authentication code does not fit
    ///
    /// Gives up the proof that nobody changed plain parts, or moved, added or removed values.
    #[arg(long)]
    ignore_mac: bool,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

/// One line of the result.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    path: String,
    /// `encrypted`, `updated`, `unchanged`, `nothing`, `noRule` or `failed`.
    result: &'static str,
    /// Keys of values that were plain and are encrypted now.
    newly_encrypted: Vec<String>,
    /// Keys of values that are plain now, because the rule does not cover them.
    released: Vec<String>,
    /// Encrypted values that stayed as they were.
    kept: usize,
}

pub(crate) fn run(args: &EncryptArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let top = top_around(&args.paths);
    let configs = Configs::new(args.files.config.clone(), top.clone());
    let keys = gathered(&args.keys, connection)?;
    let options = Options {
        format: args.files.format(),
        expand_aliases: args.expand_aliases,
        allow_plain: args.allow_plain,
        ignore_mac: args.ignore_mac,
    };
    if args.paths == [Path::new("-")] {
        return from_stdin(args, &configs, &keys, options, console);
    }
    let chosen = choose(&args.paths, Sought::Secrets, top.as_deref(), &configs)?;
    let earlier = Earlier::of(top.as_deref(), &chosen.candidates);
    let work = |candidate: &Candidate| one(candidate, &earlier, &configs, &keys, options, args.dry_run);
    let results = chosen.candidates.par_iter().map(work).collect::<Vec<_>>();
    configs.warnings().iter().for_each(|warning| console.warn(warning));
    let mut report = Report { lines: Vec::new(), failures: chosen.failures, batch: Batch::default() };
    for (candidate, result) in chosen.candidates.iter().zip(results) {
        report.take(candidate, result, console);
    }
    report.finish(args, console)
}

struct Worked {
    line: Line,
    staged: Option<Staged>,
    notes: Vec<String>,
}

fn one(
    candidate: &Candidate,
    earlier: &std::collections::HashMap<PathBuf, Earlier>,
    configs: &Configs,
    keys: &dyn Keys,
    options: Options,
    dry_run: bool,
) -> Result<Worked, Failure> {
    let path = &candidate.path;
    let version = Version::found(path.clone()).map_err(|error| file_failure(path, &error))?;
    let done = encrypt(candidate, version.bytes(), earlier.get(path), configs, keys, options)?;
    let mut worked = Worked { line: Line::of(path, ""), staged: None, notes: vec![] };
    let line = &mut worked.line;
    line.result = match done {
        Done::Unchanged => "unchanged",
        Done::Nothing => "nothing",
        Done::NoRule => "noRule",
        Done::Sealed { bytes, newly, released, kept, notes } => {
            let unchanged = bytes.as_slice() == version.bytes();
            (line.newly_encrypted, line.released, line.kept) = (newly, released, kept);
            worked.notes = notes;
            if !dry_run && !unchanged {
                let staged = Staged::replacing(&version, &bytes);
                worked.staged = Some(staged.map_err(|error| file_failure(path, &error))?);
            }
            match (unchanged, candidate.encrypted) {
                (true, _) => "unchanged",
                (false, true) => "updated",
                (false, false) => "encrypted",
            }
        }
    };
    Ok(worked)
}

struct Report {
    lines: Vec<Line>,
    failures: Vec<Failure>,
    batch: Batch,
}

impl Report {
    fn take(&mut self, candidate: &Candidate, result: Result<Worked, Failure>, console: &mut Console) {
        match result {
            Ok(worked) => {
                worked.notes.iter().for_each(|note| console.warn(note));
                worked.staged.into_iter().for_each(|staged| self.batch.add(staged));
                self.lines.push(worked.line);
            }
            Err(failure) => {
                self.lines.push(Line::of(&candidate.path, "failed"));
                self.failures.push(failure);
            }
        }
    }

    fn finish(mut self, args: &EncryptArgs, console: &mut Console) -> Outcome {
        for (path, error) in std::mem::take(&mut self.batch).put_in_place() {
            self.failures.push(file_failure(&path, &error));
            let path = shown(&path);
            self.lines.iter_mut().filter(|line| line.path == path).for_each(|line| line.result = "failed");
        }
        let changed = self.lines.iter().any(|line| matches!(line.result, "encrypted" | "updated"));
        if !args.output.print(console, &self.lines)? {
            for line in &self.lines {
                let _ = console.err.line(&line.text(args.dry_run));
            }
            if self.lines.is_empty() && self.failures.is_empty() {
                let _ = console.err.line("nothing to encrypt");
            }
        }
        if self.failures.is_empty() {
            return Ok(0);
        }
        let count = self.failures.len();
        let failure = Failure::all(format!("{count} files could not be encrypted"), self.failures);
        Err(if changed && !args.dry_run { failure.of_kind(Kind::Partial) } else { failure })
    }
}

impl Line {
    fn of(path: &Path, result: &'static str) -> Self {
        Self { path: shown(path), result, newly_encrypted: vec![], released: vec![], kept: 0 }
    }

    fn text(&self, dry_run: bool) -> String {
        let values = |count: usize| if count == 1 { "1 value".to_owned() } else { format!("{count} values") };
        let would = if dry_run { "would be " } else { "" };
        let label = |word: &str| format!("{:>11} {}", format!("{would}{word}"), self.path);
        match self.result {
            "encrypted" if self.kept > 0 => {
                let new = values(self.newly_encrypted.len());
                format!("{} ({new}; the rest as it was in Git)", label("encrypted"))
            }
            "encrypted" => format!("{} ({})", label("encrypted"), values(self.newly_encrypted.len())),
            "updated" if self.newly_encrypted.is_empty() => label("updated"),
            "updated" => {
                format!("{} (newly encrypted: {})", label("updated"), self.newly_encrypted.join(", "))
            }
            "nothing" => format!("{:>11} {} (nothing in it is to be encrypted)", "unchanged", self.path),
            "noRule" => format!("{:>11} {} (no creation rule is for it)", "unchanged", self.path),
            word => format!("{word:>11} {}", self.path),
        }
    }
}

/// A whole document from stdin to stdout.
fn from_stdin(
    args: &EncryptArgs,
    configs: &Configs,
    keys: &dyn Keys,
    options: Options,
    console: &mut Console,
) -> Outcome {
    let name = args.filename.as_ref().ok_or_else(|| {
        Failure::usage("what the document on stdin is called is not known")
            .hint("… | kubectl kubiya encrypt --filename apps/db.yaml - > apps/db.yaml")
    })?;
    let path = std::path::absolute(name)
        .map_err(|error| Failure::usage("not a path").at(shown(name)).because(&error))?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let limit = crate::files::MAX_BYTES;
    std::io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage("cannot read stdin").because(&error))?;
    if bytes.len() as u64 > limit {
        return Err(file_failure(&path, &crate::files::FileError::TooLarge));
    }
    let candidate = Candidate { path, named: true, encrypted: false, plain: Some(true), role: Role::File };
    match encrypt(&candidate, &bytes, None, configs, keys, options)? {
        Done::Sealed { bytes, .. } => console.out.bytes(&bytes),
        _ => console.out.bytes(&bytes),
    }
    .map_err(|error| Failure::unverified("cannot write to stdout").because(&error))?;
    Ok(0)
}

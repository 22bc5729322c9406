//! `git-merge`: merges encrypted files by their values, and all others as Git does.

use crate::files::{Batch, FileError, Staged, Version};
use crate::keys::{KeyRing, Surroundings, Terminal};
use crate::merging::{Merged, NotMerged, Versions, merge};
use crate::secrets::{Configs, file_failure, repository_top};
use clap::Args;
use kubiya_hook::edge::{self, Console, Failure, Outcome};
use kubiya_hook::git::clone::{self, MergeFile};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Merge three versions of a file as a merge driver of Git
///
/// The result is written to OURS. Exit code 0 where the file is merged, 1 where it is in conflict: then OURS
/// stays as it is, or for a file that is not encrypted gets Git's conflict markers.
#[derive(Args, Debug)]
pub(crate) struct MergeArgs {
    /// The file with the version both came from (%O)
    base: PathBuf,
    /// The file with our version, which gets the result (%A)
    ours: PathBuf,
    /// The file with their version (%B)
    theirs: PathBuf,
    /// Its path in the repository (%P)
    path: PathBuf,
    /// How long conflict markers are (%L)
    #[arg(default_value = "7")]
    marker_size: String,
    /// What to call the versions in conflict markers: base, ours and theirs (%S %X %Y, from Git 2.44 on)
    #[arg(num_args = 0..=3)]
    labels: Vec<OsString>,
}

/// What Git takes for a conflict. Codes above 128 would end the merge as a whole.
const CONFLICT: u8 = 1;

pub(crate) fn run(args: &MergeArgs, console: &mut Console) -> Outcome {
    let merged = match read(args) {
        Ok(files) if versions(&files).any_encrypted(&args.path) => by_values(args, files, console),
        Ok(files) if files.iter().any(is_binary) => {
            refuse_binary(args, console);
            Ok(false)
        }
        // Nothing that large is encrypted by SOPS.
        Ok(_) | Err((_, FileError::TooLarge)) => as_git(args),
        Err((path, error)) => Err(file_failure(path, &error)),
    };
    Ok(match merged {
        Ok(true) => 0,
        Ok(false) => CONFLICT,
        Err(failure) => {
            // Nobody reads a closed stderr.
            let _ = failure.render(&mut console.err);
            CONFLICT
        }
    })
}

fn read(args: &MergeArgs) -> Result<[Version; 3], (&Path, FileError)> {
    let read = |path| Version::read(path, None).map_err(|error| (path, error));
    Ok([read(&args.base)?, read(&args.ours)?, read(&args.theirs)?])
}

fn versions([base, ours, theirs]: &[Version; 3]) -> Versions<'_> {
    Versions { base: base.bytes(), ours: ours.bytes(), theirs: theirs.bytes() }
}

/// Merges encrypted files; false where they are in conflict, which was told.
fn by_values(args: &MergeArgs, files: [Version; 3], console: &mut Console) -> Result<bool, Failure> {
    // Git runs drivers at the top of the work tree.
    let top = repository_top(Path::new("."));
    let governed = top.as_deref().and_then(|top| {
        // Rules are not needed: they only say how new metadata is laid out.
        Configs::new(None, Some(top.to_owned())).governing(&top.join(&args.path)).ok().flatten()
    });
    let keys = KeyRing::ambient(&Surroundings::of_process(), Arc::new(Terminal));
    match merge(&args.path, versions(&files), governed.as_deref(), &keys) {
        Ok(Merged::Ours) => Ok(true),
        Ok(Merged::Sealed(bytes)) => {
            let [_, ours, _] = files;
            let staged =
                Staged::replacing(&ours, &bytes).map_err(|error| file_failure(&args.ours, &error))?;
            let mut batch = Batch::default();
            batch.add(staged);
            match batch.put_in_place().into_iter().next() {
                Some((path, error)) => Err(file_failure(&path, &error)),
                None => Ok(true),
            }
        }
        Err(not_merged) => {
            tell(&args.path, not_merged, console);
            Ok(false)
        }
    }
}

fn tell(path: &Path, not_merged: NotMerged, console: &mut Console) {
    let path = path.as_os_str().as_bytes();
    match not_merged {
        NotMerged::Conflicts(conflicts) => {
            let name = edge::shown(path);
            let _ = console
                .err
                .line(&format!("{name}: in conflict; the file is ours, and nothing of theirs is in it"));
            for conflict in conflicts {
                let conflict = edge::shown(conflict.to_string().as_bytes());
                let _ = console.err.line(&format!("{}: {conflict}", edge::shown(path)));
            }
        }
        NotMerged::Failure(failure) => {
            let _ = failure.render(&mut console.err);
        }
    }
    let path = edge::in_shell(path);
    console.hint(&format!("ours stays, encrypted; or take theirs: git checkout --theirs -- {path}"));
    console.hint(&format!("then, with the values as they are to be: git add -- {path}"));
}

/// What to call ours, the base and theirs, and whether Git told it.
fn labels(args: &MergeArgs) -> ([OsString; 3], bool) {
    match args.labels.as_slice() {
        [base, ours, theirs] if base != "%S" => ([ours.clone(), base.clone(), theirs.clone()], true),
        // Before 2.44 Git does not know the placeholders.
        _ => (["HEAD".into(), "base".into(), name_of_theirs()], false),
    }
}

fn as_git(args: &MergeArgs) -> Result<bool, Failure> {
    let (labels, told) = labels(args);
    // Merges compare by the histogram of lines; `merge-file` knows it since 2.44 too.
    let algorithm = told.then_some("histogram");
    let labels = labels.each_ref().map(OsString::as_os_str);
    let options = MergeFile { marker_size: &args.marker_size, labels, algorithm };
    clone::merge_file(&args.ours, &args.base, &args.theirs, &options)
        .map_err(|error| Failure::unverified("cannot merge it as Git does").because(&error))
}

/// Whether Git takes a file for binary (`xdiff-interface.c`).
fn is_binary(version: &Version) -> bool {
    version.bytes().iter().take(8000).any(|byte| *byte == 0)
}

/// Says of a binary file what Git says; it is always in conflict, and ours stays.
fn refuse_binary(args: &MergeArgs, console: &mut Console) {
    let ([ours, _, theirs], _) = labels(args);
    let [path, ours, theirs] = [args.path.as_os_str(), &ours, &theirs].map(OsStr::display);
    console.warn(&format!("Cannot merge binary files: {path} ({ours} vs. {theirs})"));
}

/// The name of the branch that is merged: Git tells it by a variable for each (`builtin/merge.c`).
fn name_of_theirs() -> OsString {
    let mut names = std::env::vars_os()
        .filter(|(name, _)| name.as_bytes().starts_with(b"GITHEAD_"))
        .map(|(_, value)| value);
    match (names.next(), names.next()) {
        (Some(name), None) => name,
        _ => "theirs".into(),
    }
}

//! Problems of the format as failures that a person sees: where, what, and what to type.

use crate::files::FileError;
use kubiya_hook::edge::{self, Failure};
use kubiya_policies::sops::problem::{MacMismatch, Problem, ProblemKind};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Problems that are shown of one file: more say nothing new.
const MOST: usize = 20;

/// A path as it is shown: from the current folder where it is below it.
#[must_use]
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let named = path.strip_prefix(&here).unwrap_or(path);
    let named = if named.as_os_str().is_empty() { Path::new(".") } else { named };
    edge::shown(named.as_os_str().as_bytes())
}

/// A failure to read or replace a file.
#[must_use]
pub fn file_failure(path: &Path, error: &FileError) -> Failure {
    let failure = Failure::usage(error.to_string()).at(shown(path));
    let failure = match std::error::Error::source(error) {
        Some(source) => failure.because(source),
        None => failure,
    };
    match error {
        FileError::Read(error) if error.kind() == ErrorKind::PermissionDenied => {
            failure.hint(format!("chmod u+r {}", in_shell(path)))
        }
        FileError::Write(error) if error.kind() == ErrorKind::PermissionDenied => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = in_shell(folder.unwrap_or(Path::new(".")));
            failure.hint(format!("chmod u+w {folder}   # a new version is written beside the old one"))
        }
        FileError::Write(error) if is_full(error.kind()) => {
            failure.hint("make room on the disk, and run the same command again")
        }
        FileError::ReadOnly => failure.hint(format!("chmod u+w {}", in_shell(path))),
        FileError::Changed => failure.hint("run the same command again"),
        _ => failure,
    }
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

fn in_shell(path: &Path) -> String {
    edge::in_shell(shown(path).as_bytes())
}

/// The failure that tells all problems of a file.
#[must_use]
pub fn failure_of(path: &Path, problems: &[Problem]) -> Failure {
    let mut failures = problems.iter().take(MOST).map(|problem| one(path, problem)).collect::<Vec<_>>();
    if problems.len() > MOST {
        failures.push(Failure::usage(format!("{} more problems", problems.len() - MOST)).at(shown(path)));
    }
    let count = problems.len();
    Failure::all(format!("{}: {count} problems; the file stays as it was", shown(path)), failures)
}

fn one(path: &Path, problem: &Problem) -> Failure {
    let place = match &problem.span {
        Some(span) => format!("{}:{}:{}", shown(path), span.line, span.column),
        None => shown(path),
    };
    let key = match problem.key_path.as_str() {
        "" => String::new(),
        key => format!("{}: ", edge::shown(key.as_bytes())),
    };
    let failure = match problem.kind {
        ProblemKind::DoesNotOpen | ProblemKind::Mac(_) | ProblemKind::Unproven(_) => {
            Failure::unverified(format!("{key}{}", problem.kind))
        }
        _ => Failure::usage(format!("{key}{}", problem.kind)),
    };
    let failure = failure.at(place);
    let file = in_shell(path);
    match &problem.kind {
        ProblemKind::Alias(_) => failure.hint(format!("kubectl kubiya encrypt --expand-aliases {file}")),
        ProblemKind::HiddenHeader => {
            failure.hint("in the creation rule of .sops.yaml: encrypted_regex: ^(data|stringData)$")
        }
        ProblemKind::Plain => failure.hint(format!("kubectl kubiya encrypt {file}")),
        ProblemKind::NotEncrypted => failure.hint(format!("kubectl kubiya encrypt {file}")),
        ProblemKind::Orphan | ProblemKind::Metadata(_) => {
            failure.hint(format!("git log -p -- {file}   # the metadata may be in an older version"))
        }
        ProblemKind::Mac(MacMismatch::Values) => failure
            .hint(format!("git diff HEAD -- {file}   # what was changed beside the encrypted values"))
            .hint(format!(
                "kubectl kubiya encrypt --ignore-mac {file}   # takes the file as it is, if it is right"
            )),
        ProblemKind::Mac(_) => failure
            .hint(format!("git log -p -- {file}   # the version before the merge or edit"))
            .hint(format!(
                "kubectl kubiya encrypt --ignore-mac {file}   # takes the file as it is, if it is right"
            )),
        ProblemKind::Unproven(_) => {
            failure.hint("this is a fault of ours: please report it, without the file")
        }
        _ => failure,
    }
}

//! Git's own configuration, of a repository or of the machine, and what follows from it about hooks. All by the
//! `git` command: it alone knows where the files are.

use super::ProcessError;
use super::process::{git, output};
use super::remote::forget_repository;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whose configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of the machine.
    System,
    /// Of the user.
    Global,
    /// Of the repository at a path.
    Repository(PathBuf),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::System => f.write_str("git's configuration of this machine"),
            Scope::Global => f.write_str("git's configuration of this user"),
            Scope::Repository(path) => write!(f, "the configuration of {}", path.display()),
        }
    }
}

impl Scope {
    fn config(&self) -> Command {
        let mut command = match self {
            Scope::System | Scope::Global => elsewhere(Path::new("/")),
            Scope::Repository(path) => elsewhere(path),
        };
        command.arg("config").arg(match self {
            Scope::System => "--system",
            Scope::Global => "--global",
            Scope::Repository(_) => "--local",
        });
        command
    }

    /// A setting's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<OsString> {
        let mut command = self.config();
        command.args(["--get", key]);
        line(command).ok()
    }

    /// Gives a setting one value.
    ///
    /// # Errors
    /// What Git says.
    pub fn set(&self, key: &str, value: &OsStr) -> Result<(), ProcessError> {
        let mut command = self.config();
        command.args(["--replace-all", key]).arg(value);
        output(command, b"").map(drop)
    }

    /// Takes a setting away.
    ///
    /// # Errors
    /// What Git says.
    pub fn unset(&self, key: &str) -> Result<(), ProcessError> {
        let mut command = self.config();
        command.args(["--unset-all", key]);
        output(command, b"").map(drop)
    }

    /// Takes a section away.
    ///
    /// # Errors
    /// What Git says.
    pub fn remove_section(&self, section: &str) -> Result<(), ProcessError> {
        let mut command = self.config();
        command.args(["--remove-section", section]);
        output(command, b"").map(drop)
    }
}

/// `git` about the repository at a path, whatever Git's variables say.
pub(crate) fn elsewhere(path: &Path) -> Command {
    let mut command = git();
    forget_repository(&mut command);
    command.arg("-C").arg(path);
    command
}

/// What a command prints, without the line end.
pub(crate) fn line(command: Command) -> Result<OsString, ProcessError> {
    let mut line = output(command, b"")?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(OsString::from_vec(line))
}

/// A setting that counts for the repository at a path, whoever's configuration it is in.
#[must_use]
pub fn effective(path: &Path, key: &str) -> Option<OsString> {
    let mut command = elsewhere(path);
    command.args(["config", "--get", key]);
    line(command).ok()
}

/// The folder that Git looks for the hooks of a repository in, as `core.hooksPath` has it.
///
/// # Errors
/// There is no repository.
pub fn hooks_folder(repository: &Path) -> Result<PathBuf, ProcessError> {
    let mut command = elsewhere(repository);
    command.args(["rev-parse", "--git-path", "hooks"]);
    Ok(repository.join(line(command)?))
}

/// The version of the `git` command, such as `(2, 47)`.
///
/// # Errors
/// It cannot be run.
pub fn version() -> Result<(u32, u32), ProcessError> {
    let mut command = git();
    command.arg("version");
    let text = line(command)?;
    let text = text.to_string_lossy();
    let mut numbers =
        text.split(|character: char| !character.is_ascii_digit()).filter_map(|word| word.parse().ok());
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}

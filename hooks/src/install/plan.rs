//! What an installation changes: found out first, then shown or done.

use super::InstallError;
use super::script::{BEFORE, is_ours};
use crate::edge::shown;
use crate::git::configuration::Scope;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file gets this content, in place of what is there; its folders are made.
    Write {
        /// The file.
        path: PathBuf,
        /// Its content.
        text: String,
        /// Whether it can be run.
        executable: bool,
    },
    /// A hook that is there gets another name beside, and a script its own.
    Chain {
        /// The hook.
        path: PathBuf,
        /// What it is called from now on.
        before: PathBuf,
        /// The script.
        text: String,
    },
    /// A hook that was there before gets its name back.
    Restore {
        /// What it is called.
        before: PathBuf,
        /// Its own name, at which a script of ours is.
        path: PathBuf,
    },
    /// A file of ours goes.
    Remove(PathBuf),
    /// A setting of Git gets a value.
    Set(Scope, String, OsString),
    /// A section of Git's configuration goes.
    RemoveSection(Scope, String),
    /// A setting of Git goes.
    Unset(Scope, String),
}

/// All changes of an installation, in order, and what a person should know about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The changes.
    pub changes: Vec<Change>,
    /// What is left to be done by hand, and the like.
    pub notes: Vec<String>,
}

impl Plan {
    /// Puts a script where Git, or a server, looks for a hook; keeps a hook of somebody else beside it.
    ///
    /// # Errors
    /// Where there is a hook of somebody else, and another one from before.
    pub(super) fn hook(&mut self, path: &Path, text: String, chains: bool) -> Result<(), InstallError> {
        let before = with_suffix(path, BEFORE);
        match occupant(path)? {
            Occupant::Ours(found) if found == text.as_bytes() && is_executable(path) => {}
            Occupant::Nobody if before.symlink_metadata().is_ok() && chains => {
                return Err(InstallError::TwoBefore { path: path.to_owned(), before });
            }
            Occupant::Nobody | Occupant::Ours(_) | Occupant::Link => {
                self.changes.push(Change::Write { path: path.to_owned(), text, executable: true });
            }
            Occupant::Other if before.symlink_metadata().is_ok() => {
                return Err(InstallError::TwoBefore { path: path.to_owned(), before });
            }
            Occupant::Other if !chains => return Err(InstallError::Occupied(path.to_owned())),
            Occupant::Other => self.changes.push(Change::Chain { path: path.to_owned(), before, text }),
        }
        Ok(())
    }

    /// Takes a script of ours away, and gives the hook that was there before its name back.
    ///
    /// # Errors
    /// Where it cannot be looked at.
    pub(super) fn no_hook(&mut self, path: &Path) -> Result<(), InstallError> {
        let before = with_suffix(path, BEFORE);
        match occupant(path)? {
            Occupant::Ours(_) | Occupant::Link if before.symlink_metadata().is_ok() => {
                self.changes.push(Change::Restore { before, path: path.to_owned() });
            }
            Occupant::Ours(_) | Occupant::Link => self.changes.push(Change::Remove(path.to_owned())),
            Occupant::Nobody | Occupant::Other => {}
        }
        Ok(())
    }

    /// Makes the changes, in order.
    ///
    /// # Errors
    /// The first that cannot be made; those before it are made, and a second run goes on.
    pub fn apply(&self) -> Result<(), InstallError> {
        self.changes.iter().try_for_each(Change::apply)
    }
}

/// Who is where a hook of ours would go.
pub(crate) enum Occupant {
    Nobody,
    /// A script of ours.
    Ours(Vec<u8>),
    /// A link to the program, as one made by hand.
    Link,
    Other,
}

pub(crate) fn occupant(path: &Path) -> Result<Occupant, InstallError> {
    let failed = |source| InstallError::Io { path: path.to_owned(), source };
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Occupant::Nobody);
        }
        Err(error) => return Err(failed(error)),
    };
    if metadata.is_symlink() {
        let target = std::fs::read_link(path).map_err(failed)?;
        let is_program = target.file_name().is_some_and(|name| name == "kubiya-hook");
        return Ok(if is_program { Occupant::Link } else { Occupant::Other });
    }
    let text = std::fs::read(path).map_err(failed)?;
    Ok(if is_ours(&text) { Occupant::Ours(text) } else { Occupant::Other })
}

pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Change {
    fn apply(&self) -> Result<(), InstallError> {
        match self {
            Change::Write { path, text, executable } => write(path, text, *executable),
            Change::Chain { path, before, text } => {
                // A second name first: at no moment is there no hook. A link is linked, not what it leads to.
                std::fs::hard_link(path, before)
                    .or_else(|_| std::fs::rename(path, before))
                    .map_err(|source| InstallError::Io { path: path.clone(), source })?;
                write(path, text, true)
            }
            Change::Restore { before, path } => std::fs::rename(before, path)
                .map_err(|source| InstallError::Io { path: path.clone(), source }),
            Change::Remove(path) => {
                std::fs::remove_file(path).map_err(|source| InstallError::Io { path: path.clone(), source })
            }
            Change::Set(scope, key, value) => Ok(scope.set(key, value)?),
            Change::RemoveSection(scope, section) => Ok(scope.remove_section(section)?),
            Change::Unset(scope, key) => Ok(scope.unset(key)?),
        }
    }

    /// One line that says what it does.
    pub fn line(&self) -> String {
        let path = |path: &Path| shown(path.as_os_str().as_bytes());
        let value = |value: &OsStr| shown(value.as_bytes());
        match self {
            Change::Write { path: file, .. } => format!("write {}", path(file)),
            Change::Chain { path: file, before, .. } => {
                format!("write {}, which also runs what is there now as {}", path(file), path(before))
            }
            Change::Restore { before, path: file } => format!("rename {} to {}", path(before), path(file)),
            Change::Remove(file) => format!("remove {}", path(file)),
            Change::Set(scope, key, to) => format!("set {key} to {} in {scope}", value(to)),
            Change::RemoveSection(scope, section) => format!("remove the section {section} from {scope}"),
            Change::Unset(scope, key) => format!("remove {key} from {scope}"),
        }
    }
}

/// Writes a file beside and renames it: whoever looks finds the old one or the new one, whole.
fn write(path: &Path, text: &str, executable: bool) -> Result<(), InstallError> {
    let failed = |source| InstallError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mode = if executable { 0o755 } else { 0o644 };
    let file = tempfile::Builder::new().prefix(".kubiya-").tempfile_in(folder).map_err(failed)?;
    std::fs::write(file.path(), text).map_err(failed)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error)).map(drop)
}

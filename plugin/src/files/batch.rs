//! Replacing many files: all new versions are written first, made durable together, then put in place.

use super::version::Mark;
use super::{FileError, Version};
use crate::failpoint;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempPath};

/// A new version of a file, written beside it. Dropping it takes it away again.
#[derive(Debug)]
pub struct Staged {
    temporary: TempPath,
    target: PathBuf,
    /// The file system that it is on.
    device: u64,
    /// The version it replaces; its bytes are gone, so that many files cost little memory.
    before: Option<Mark>,
}

impl Staged {
    /// Writes a new version beside the old one, with its permissions and owner.
    ///
    /// # Errors
    /// Read-only, of another owner, or not to be written.
    pub fn replacing(before: &Version, bytes: &[u8]) -> Result<Self, FileError> {
        if before.is_read_only() {
            return Err(FileError::ReadOnly);
        }
        let target = before.path().to_owned();
        let file = written(&target, bytes)?;
        let now = file.as_file().metadata().map_err(FileError::Write)?;
        if (now.uid(), now.gid()) != before.owner {
            let (user, group) = before.owner;
            std::os::unix::fs::fchown(file.as_file(), Some(user), Some(group))
                .map_err(|_| FileError::OtherOwner)?;
        }
        let mode = Permissions::from_mode(before.mode);
        file.as_file().set_permissions(mode).map_err(FileError::Write)?;
        let temporary = file.into_temp_path();
        Ok(Self { temporary, target, device: now.dev(), before: Some(before.mark()) })
    }

    /// Writes a file that must not be there yet, for the owner alone.
    ///
    /// # Errors
    /// It is there, or cannot be written.
    pub fn new_file(target: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        if target.symlink_metadata().is_ok() {
            return Err(FileError::Exists);
        }
        let file = written(target, bytes)?;
        let device = file.as_file().metadata().map_err(FileError::Write)?.dev();
        Ok(Self { temporary: file.into_temp_path(), target: target.to_owned(), device, before: None })
    }

    fn folder(&self) -> &Path {
        folder_of(&self.target)
    }

    /// Puts it in place, unless the old version is no longer the one it was made from.
    fn into_place(self) -> Result<(), FileError> {
        let written = match &self.before {
            Some(before) => {
                before.still_there()?;
                self.temporary.persist(&self.target)
            }
            None => self.temporary.persist_noclobber(&self.target),
        };
        written.map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => FileError::Exists,
            _ => FileError::Write(error.error),
        })
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn written(target: &Path, bytes: &[u8]) -> Result<NamedTempFile, FileError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(super::STAGED).permissions(Permissions::from_mode(0o600));
    // Told of the file that is to be replaced, not of a name that nobody knows.
    let failed = |error: std::io::Error| FileError::Write(error.kind().into());
    let mut file = builder.tempfile_in(folder_of(target)).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    Ok(file)
}

/// New versions of files, to be put in place together.
#[derive(Debug, Default)]
pub struct Batch {
    staged: Vec<Staged>,
}

impl Batch {
    /// Adds a file.
    pub fn add(&mut self, staged: Staged) {
        self.staged.push(staged);
    }

    /// Adds a file, if there is one.
    pub fn add_some(&mut self, staged: Option<Staged>) {
        self.staged.extend(staged);
    }

    /// Makes all new versions durable, then puts each in place; a crash leaves the old or the new version of
    /// each. Returns the files that could not be replaced; the others are.
    #[must_use]
    pub fn put_in_place(self) -> Vec<(PathBuf, FileError)> {
        if let Err(error) = make_durable(&self.staged) {
            let all = self.staged.into_iter().map(|staged| staged.target);
            let kind = error.kind();
            return all.map(|path| (path, FileError::Write(kind.into()))).collect();
        }
        let folders = self.staged.iter().map(|staged| staged.folder().to_owned()).collect::<BTreeSet<_>>();
        // Side by side: what takes time is that the file system lets go of the old versions.
        let placed = self.staged.into_par_iter().map(|staged| {
            failpoint::at("before a file is put in place");
            (staged.target.clone(), staged.into_place())
        });
        let failed = placed.filter_map(|(target, placed)| Some((target, placed.err()?))).collect();
        // The names are durable once their folders are. A folder that cannot be opened was written to anyway.
        for folder in folders {
            let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        }
        failed
    }
}

/// One file is synced by itself; many, with the file systems that hold them.
fn make_durable(staged: &[Staged]) -> std::io::Result<()> {
    if let [one] = staged {
        return std::fs::File::open(&one.temporary)?.sync_all();
    }
    let systems = staged.iter().map(|staged| (staged.device, staged)).collect::<BTreeMap<_, _>>();
    systems.values().try_for_each(|staged| sync_system(&std::fs::File::open(&staged.temporary)?))
}

#[cfg(target_os = "linux")]
fn sync_system(file: &std::fs::File) -> std::io::Result<()> {
    rustix::fs::syncfs(file).map_err(Into::into)
}

/// Elsewhere one call syncs all file systems.
#[cfg(not(target_os = "linux"))]
fn sync_system(_file: &std::fs::File) -> std::io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_mode_and_others_keep_their_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
        for name in ["one", "two", "three"] {
            std::fs::write(path(name), "old").unwrap();
        }
        std::fs::set_permissions(path("one"), Permissions::from_mode(0o640)).unwrap();
        let mut batch = Batch::default();
        for name in ["one", "two", "three"] {
            let version = Version::read(&path(name), None).unwrap();
            batch.add(Staged::replacing(&version, b"new").unwrap());
        }
        std::fs::write(path("two"), "another's").unwrap();
        let failed = batch.put_in_place();
        assert!(matches!(failed.as_slice(), [(path, FileError::Changed)] if path.ends_with("two")));
        assert_eq!(std::fs::read_to_string(path("one")).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(path("two")).unwrap(), "another's");
        assert_eq!(path("one").metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left behind");
    }

    #[test]
    fn what_must_not_be_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let inside = top.join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(top.join("out"), "x").unwrap();
        std::os::unix::fs::symlink("../out", inside.join("link")).unwrap();
        let error = Version::read(&inside.join("link"), Some(&inside)).unwrap_err();
        assert!(matches!(error, FileError::LeadsOutside));
        assert!(matches!(Version::read(&inside, None).unwrap_err(), FileError::NotAFile));
        std::fs::set_permissions(top.join("out"), Permissions::from_mode(0o444)).unwrap();
        let version = Version::read(&top.join("out"), None).unwrap();
        assert!(matches!(Staged::replacing(&version, b"y").unwrap_err(), FileError::ReadOnly));
        assert!(matches!(Staged::new_file(&top.join("out"), b"y").unwrap_err(), FileError::Exists));
    }
}

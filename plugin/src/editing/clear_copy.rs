//! The clear copy that an editor works on.

use super::memory::{folders, is_in_memory};
use kubiya_hook::edge::Failure;
use rustix::fs::{FlockOperation, flock};
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// How the folders of clear copies begin; the number of the process follows.
pub(super) const PREFIX: &str = "kubiya-edit-";

/// A file that is locked as long as its owner lives.
pub(super) const LOCK: &str = ".kubiya-lock";

/// A plain text in a file of its own, in a folder that nobody else can look into. Dropping it wipes all that
/// is in the folder.
#[derive(Debug)]
pub(crate) struct ClearCopy {
    folder: PathBuf,
    file: PathBuf,
    /// Locked; closing it gives it free.
    _lock: File,
}

impl ClearCopy {
    /// Writes a clear copy that is called `name`.
    ///
    /// # Errors
    /// No folder in memory, unless a disk is allowed; none that can be written to.
    pub(crate) fn create(name: &OsStr, text: &[u8], allow_disk: bool) -> Result<Self, Failure> {
        let (memory, disk): (Vec<_>, Vec<_>) = folders().into_iter().partition(|folder| is_in_memory(folder));
        let disk = disk.into_iter().filter(|_| allow_disk);
        let mut last = None;
        for folder in memory.into_iter().chain(disk) {
            match Self::within(&folder, name, text) {
                Ok(copy) => return Ok(copy),
                Err(error) => last = Some((folder, error)),
            }
        }
        let failure = match last {
            Some((folder, error)) => Failure::unverified("cannot write the clear copy for the editor")
                .at(crate::secrets::shown(&folder))
                .because(&error),
            None => {
                Failure::unverified("no folder in memory for the clear copy: it would be written to a disk")
            }
        };
        Err(if allow_disk {
            failure
        } else {
            failure.hint(
                "kubectl kubiya edit --allow-disk …   # wiped afterwards, as far as a disk lets that be",
            )
        })
    }

    fn within(parent: &Path, name: &OsStr, text: &[u8]) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
        let number = u64::from_ne_bytes(random);
        let folder = parent.join(format!("{PREFIX}{}-{number:016x}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let made = locked(&folder).and_then(|lock| {
            let file = folder.join(name);
            let copy = Self { folder: folder.clone(), file: file.clone(), _lock: lock };
            let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
            written.write_all(text)?;
            Ok(copy)
        });
        if made.is_err() {
            wipe(&folder);
        }
        made
    }

    /// The file for the editor.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for ClearCopy {
    fn drop(&mut self) {
        wipe(&self.folder);
    }
}

fn locked(folder: &Path) -> io::Result<File> {
    let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(LOCK))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok(lock)
}

/// Overwrites every file below a folder, backups and swap files of editors too, and removes all of it. Links
/// are not followed. An editor that is still ending may write once more, so it is tried a few times.
pub(super) fn wipe(folder: &Path) {
    for _ in 0..5 {
        overwrite(folder);
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            _ => return,
        }
    }
}

fn overwrite(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            overwrite(&entry.path());
        } else if kind.is_file() {
            // What cannot be overwritten is still removed.
            let _ = zeroes(&entry.path());
        }
    }
}

fn zeroes(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut left = file.metadata()?.len();
    let block = [0; 8192];
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(block.len()).min(block.len());
        file.write_all(&block[..size])?;
        left -= size as u64;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_clear_copy_is_for_its_owner_alone_and_goes_with_all_beside_it() {
        let parent = tempfile::tempdir().unwrap();
        let copy = ClearCopy::within(parent.path(), OsStr::new("db.yaml"), b"hunter2").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&copy.folder), mode(copy.file())), (0o700, 0o600));
        assert_eq!(std::fs::read(copy.file()).unwrap(), b"hunter2");
        std::fs::create_dir(copy.folder.join("backups")).unwrap();
        std::fs::write(copy.folder.join("backups/db.yaml~"), "hunter2").unwrap();
        std::os::unix::fs::symlink(parent.path(), copy.folder.join("link")).unwrap();
        drop(copy);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn overwriting_leaves_nothing_of_the_text() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("x");
        std::fs::write(&path, "hunter2".repeat(3000)).unwrap();
        zeroes(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), vec![0; 21000]);
    }
}

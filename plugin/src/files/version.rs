//! One version of a file, and whether it still is the one on the disk.

use super::{FileError, MAX_BYTES};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroize as _;

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Bytes that are wiped in one go, which takes a fraction of the time that it takes one by one.
struct Wiped(Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

/// Shows the size only.
impl std::fmt::Debug for Wiped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A file as it was when it was read.
#[derive(Debug)]
pub struct Version {
    path: PathBuf,
    bytes: Wiped,
    stamp: Stamp,
    /// Permissions, without the kind of file.
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
}

impl Version {
    /// Whether nobody may write to it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.mode & 0o222 == 0
    }

    /// Reads a file. Symbolic links are followed, within `top` where one is given.
    ///
    /// # Errors
    /// It is missing, unreadable, no file, too large, or leads outside.
    pub fn read(path: &Path, top: Option<&Path>) -> Result<Self, FileError> {
        let resolved = path.canonicalize().map_err(FileError::Read)?;
        if top.is_some_and(|top| !resolved.starts_with(top)) {
            return Err(FileError::LeadsOutside);
        }
        Self::found(resolved)
    }

    /// Reads a file whose path has no links: one that was found in a folder.
    ///
    /// # Errors
    /// It is missing, unreadable, no file (any more), or too large.
    pub fn found(path: PathBuf) -> Result<Self, FileError> {
        let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = std::fs::File::options();
        let mut file = options.read(true).custom_flags(no_link).open(&path).map_err(FileError::Read)?;
        let metadata = file.metadata().map_err(FileError::Read)?;
        if !metadata.is_file() {
            return Err(FileError::NotAFile);
        }
        if metadata.len() > MAX_BYTES {
            return Err(FileError::TooLarge);
        }
        let mut bytes = Wiped(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
        file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes.0).map_err(FileError::Read)?;
        if bytes.0.len() as u64 > MAX_BYTES {
            return Err(FileError::TooLarge);
        }
        let owner = (metadata.uid(), metadata.gid());
        Ok(Self { path, bytes, stamp: stamp(&metadata), mode: metadata.mode() & 0o7777, owner })
    }

    /// Where it is, links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes.0
    }

    /// What tells this version from others, without its bytes.
    pub(super) fn mark(&self) -> Mark {
        Mark { path: self.path.clone(), stamp: self.stamp }
    }
}

/// What tells a version of a file from others.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    stamp: Stamp,
}

impl Mark {
    /// Whether the disk still holds this version.
    ///
    /// # Errors
    /// It does not, or that cannot be told.
    pub(super) fn still_there(&self) -> Result<(), FileError> {
        let metadata = std::fs::metadata(&self.path).map_err(FileError::Read)?;
        if stamp(&metadata) == self.stamp { Ok(()) } else { Err(FileError::Changed) }
    }
}

fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

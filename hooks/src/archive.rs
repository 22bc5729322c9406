//! The files of a tar archive, plain or compressed by gzip.

use crate::git::EntryKind;
use crate::judge::{Entry, File, Snapshot, Unreadable};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::ops::Deref;

/// The files of an archive, in memory: rules and references may be anywhere in it.
#[derive(Default)]
pub struct Archive {
    files: BTreeMap<Vec<u8>, (EntryKind, Vec<u8>)>,
}

impl std::fmt::Debug for Archive {
    /// The number alone: contents may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({} files)", self.files.len())
    }
}

/// Bytes of an archive that are read; more is a mistake, or meant to use up the memory.
const MOST_BYTES: u64 = 2 << 30;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no archive, or breaks off.
    #[error("it cannot be read as a tar archive: {0}")]
    Io(#[from] io::Error),
    /// It is too large.
    #[error("it holds more than {} GiB: unpack it and scan the folder", MOST_BYTES >> 30)]
    TooLarge,
}

impl Archive {
    /// Reads an archive to its end.
    ///
    /// # Errors
    /// Where it is none, breaks off, or is too large.
    pub fn read(mut source: impl BufRead) -> Result<Self, ArchiveError> {
        // The magic number of gzip (RFC 1952); a tar archive begins with a file's name.
        let is_compressed = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        if is_compressed {
            Self::of_tar(flate2::bufread::MultiGzDecoder::new(source))
        } else {
            Self::of_tar(source)
        }
    }

    fn of_tar(source: impl Read) -> Result<Self, ArchiveError> {
        let mut archive = Self::default();
        let mut left = MOST_BYTES;
        for entry in tar::Archive::new(source).entries()? {
            let mut entry = entry?;
            let path = normal(&entry.path_bytes());
            let content = match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                    let mut content = Vec::new();
                    left = left.checked_sub(entry.size()).ok_or(ArchiveError::TooLarge)?;
                    entry.read_to_end(&mut content)?;
                    (EntryKind::File, content)
                }
                tar::EntryType::Symlink => {
                    (EntryKind::Symlink, entry.link_name_bytes().unwrap_or_default().into_owned())
                }
                tar::EntryType::Link => {
                    let target = normal(&entry.link_name_bytes().unwrap_or_default());
                    archive.files.get(&target).cloned().unwrap_or((EntryKind::Symlink, target))
                }
                _ => continue,
            };
            // The last of one name is what unpacking leaves.
            archive.files.insert(path, content);
        }
        Ok(archive)
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = File> + '_ {
        let entry = |kind| Entry { kind, id: None };
        self.files.iter().map(move |(path, (kind, _))| File { path: path.clone(), entry: entry(*kind) })
    }
}

/// The path without what leads nowhere, such as `./`.
fn normal(path: &[u8]) -> Vec<u8> {
    let parts: Vec<_> =
        path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    parts.join(&b'/')
}

impl Snapshot for Archive {
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        Ok(self.files.get(path).map(|(kind, _)| Entry { kind: *kind, id: None }))
    }

    fn below(&self, folder: &[u8]) -> Result<Vec<File>, Unreadable> {
        Ok(self.files().filter(|file| file.path.starts_with(folder)).collect())
    }

    fn read(&self, path: &[u8], _: Entry) -> Result<impl Deref<Target = [u8]>, Unreadable> {
        let found = self.files.get(path).map(|(_, content)| content.as_slice());
        found.ok_or_else(|| Unreadable::in_words(path, "it is not in the archive"))
    }
}

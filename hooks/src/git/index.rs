//! The index: what the next commit will hold.
//!
//! It is read here as it is on the disk (`git help gitformat-index`), because libgit2 does not tell which folders
//! are known to be as they were: with that, a commit of a few files looks at a few folders. What is not in the
//! common form (split, sparse) is left to the other ways of reading.

use super::ObjectId;
use super::object::EntryKind;
use std::collections::HashMap;

/// One entry of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Path from the top of the work tree.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// What it holds.
    pub id: ObjectId,
    /// Whether a commit takes it: not where a merge left it undecided, nor where it is only intended
    /// to be added.
    pub staged: bool,
}

/// The index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Its entries, sorted by path.
    pub entries: Vec<IndexEntry>,
    /// The folders whose trees Git already knows, by paths that end with a slash (empty for the root), with the
    /// number of entries in them.
    pub folders: HashMap<Vec<u8>, (ObjectId, usize)>,
}

impl Index {
    /// Entries in any order, and no word about folders.
    pub(super) fn of_entries(mut entries: Vec<IndexEntry>) -> Self {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Self { entries, folders: HashMap::new() }
    }

    /// Reads the file; `None` where it is in a form that is not read here, or damaged.
    pub(super) fn parse(bytes: &[u8], id_length: usize) -> Option<Self> {
        // A hash of all that comes before it ends the file; Git does not look at it either when it reads.
        let bytes = bytes.get(..bytes.len().checked_sub(id_length)?)?;
        let mut reader = Reader { rest: bytes, id_length };
        if reader.take(4)? != b"DIRC" {
            return None;
        }
        let version = reader.number()?;
        if !(2..=4).contains(&version) {
            return None;
        }
        let count = reader.number()?;
        let mut index = Self::default();
        let mut path = Vec::new();
        for _ in 0..count {
            let entry = reader.entry(version, &mut path)?;
            // Git sorts by the bytes of paths; whoever does not cannot be searched.
            if index.entries.last().is_some_and(|last: &IndexEntry| last.path > entry.path) {
                return None;
            }
            index.entries.push(entry);
        }
        while !reader.rest.is_empty() {
            let name = reader.take(4)?;
            let length = usize::try_from(reader.number()?).ok()?;
            let extension = reader.take(length)?;
            match name {
                b"TREE" => {
                    let mut reader = Reader { rest: extension, id_length };
                    reader.folders(&mut index.folders)?;
                }
                // Small letters: who does not understand it must not read on.
                [b'A'..=b'Z', ..] => {}
                _ => return None,
            }
        }
        Some(index)
    }
}

struct Reader<'b> {
    rest: &'b [u8],
    id_length: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Up to a byte, which is taken, too.
    fn until(&mut self, byte: u8) -> Option<&'b [u8]> {
        let taken = self.take(self.rest.iter().position(|other| *other == byte)?)?;
        self.take(1)?;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn id(&mut self) -> Option<ObjectId> {
        ObjectId::from_bytes(self.take(self.id_length)?)
    }

    /// One entry; `path` has that of the entry before.
    fn entry(&mut self, version: u32, path: &mut Vec<u8>) -> Option<IndexEntry> {
        const EXTENDED: u16 = 0x4000;
        const INTENT_TO_ADD: u16 = 0x2000;
        let before = self.rest.len();
        // Times, device and number of the file.
        self.take(24)?;
        let mode = self.number()?;
        // Owner, group, size.
        self.take(12)?;
        let id = self.id()?;
        let flags = self.short()?;
        let more = if flags & EXTENDED == 0 { 0 } else { self.short()? };
        if version == 4 {
            let cut = self.variable()?;
            path.truncate(path.len().checked_sub(cut)?);
            path.extend_from_slice(self.until(0)?);
        } else {
            path.clear();
            path.extend_from_slice(self.until(0)?);
            // One to eight zeros fill up to a multiple of eight; one is taken.
            let length = before - self.rest.len();
            self.take(length.next_multiple_of(8) - length)?;
        }
        // A folder as an entry: the index is sparse.
        if mode & 0o170_000 == 0o040_000 {
            return None;
        }
        Some(IndexEntry {
            path: path.clone(),
            kind: EntryKind::of_mode(mode),
            id,
            staged: flags >> 12 & 3 == 0 && more & INTENT_TO_ADD == 0,
        })
    }

    /// A number of seven bits a byte, as in the offsets of packs.
    fn variable(&mut self) -> Option<usize> {
        let mut value = 0_usize;
        loop {
            let byte = *self.take(1)?.first()?;
            value = value.checked_mul(128)?.checked_add(usize::from(byte & 127))?;
            if byte & 128 == 0 {
                return Some(value);
            }
            value = value.checked_add(1)?;
        }
    }

    /// The folders: each with its name, the number of its entries (-1: changed), that of the folders right below
    /// it, which follow, and its tree.
    fn folders(&mut self, folders: &mut HashMap<Vec<u8>, (ObjectId, usize)>) -> Option<()> {
        // How long the path was, and how many folders below it are still to come.
        let mut open: Vec<(usize, usize)> = Vec::new();
        let mut path = Vec::new();
        while !self.rest.is_empty() {
            path.extend_from_slice(self.until(0)?);
            if !path.is_empty() {
                path.push(b'/');
            }
            let count: i64 = std::str::from_utf8(self.until(b' ')?).ok()?.parse().ok()?;
            let below: usize = std::str::from_utf8(self.until(b'\n')?).ok()?.parse().ok()?;
            if let Ok(count) = usize::try_from(count) {
                folders.insert(path.clone(), (self.id()?, count));
            }
            open.push((path.len(), below));
            while let Some((_, 0)) = open.last() {
                open.pop();
                if let Some((length, below)) = open.last_mut() {
                    path.truncate(*length);
                    *below = below.checked_sub(1)?;
                }
            }
        }
        Some(())
    }
}

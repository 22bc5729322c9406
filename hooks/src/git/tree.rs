//! Folders as Git stores them. Most are gone through once, beside those of the parents, and searched for a few names;
//! only those that are searched often get a table of their entries.

use super::object::EntryKind;
use super::{GitError, ObjectId};
use bstr::ByteSlice as _;
use std::cmp::Ordering;
use std::sync::OnceLock;
use std::sync::atomic::{self, AtomicU32};

/// Up to this number of searches, going through all entries is quicker than to sort them first.
const FEW: u32 = 16;

/// The entries of a folder.
pub struct Tree {
    id: ObjectId,
    bytes: Box<[u8]>,
    /// How often a name was looked for.
    searched: AtomicU32,
    /// The starts of the entries by the bytes of their names (Git's own order differs for folders).
    by_name: OnceLock<Box<[u32]>>,
}

/// One entry of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeEntry<'t> {
    /// Its name, one component.
    pub name: &'t [u8],
    /// What it is.
    pub kind: EntryKind,
    /// What it holds.
    pub id: ObjectId,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Tree {
    /// Takes the content of a tree object, and makes sure that all of it can be read.
    pub(crate) fn parse(id: ObjectId, bytes: &[u8]) -> Result<Self, GitError> {
        let tree = Self { id, bytes: bytes.into(), searched: AtomicU32::new(0), by_name: OnceLock::new() };
        let mut entries = tree.raw();
        while entries.next().is_some() {}
        if entries.rest.is_empty() && u32::try_from(bytes.len()).is_ok() {
            Ok(tree)
        } else {
            Err(GitError::Malformed { id, what: "tree" })
        }
    }

    /// The entries in the order in which they are stored.
    pub fn iter(&self) -> impl Iterator<Item = TreeEntry<'_>> {
        self.raw().filter_map(RawEntry::read)
    }

    pub(super) fn raw(&self) -> RawEntries<'_> {
        RawEntries { rest: &self.bytes, id_length: self.id.as_bytes().len() }
    }

    /// The entry of a name.
    pub fn find(&self, name: &[u8]) -> Option<TreeEntry<'_>> {
        if self.searched.fetch_add(1, atomic::Ordering::Relaxed) < FEW {
            // No entry without these bytes; but they may also be in the name of an object.
            let sought = [b" ", name, b"\0"].concat();
            self.bytes.find(sought)?;
            return self.raw().find(|entry| entry.name == name)?.read();
        }
        let by_name = self.by_name.get_or_init(|| self.starts_by_name());
        let at = by_name.binary_search_by_key(&Some(name), |start| self.at(*start).map(|entry| entry.name));
        self.at(*by_name.get(at.ok()?)?)?.read()
    }

    fn starts_by_name(&self) -> Box<[u32]> {
        let mut starts: Vec<(&[u8], u32)> = Vec::new();
        let mut start = 0;
        for entry in self.raw() {
            starts.push((entry.name, start));
            // `parse` takes nothing longer.
            start += u32::try_from(entry.bytes.len()).unwrap_or_default();
        }
        starts.sort_unstable();
        starts.into_iter().map(|(_, start)| start).collect()
    }

    fn at(&self, start: u32) -> Option<RawEntry<'_>> {
        let rest = self.bytes.get(usize::try_from(start).ok()?..)?;
        RawEntries { rest, id_length: self.id.as_bytes().len() }.next()
    }

    /// How much memory it takes, about, once it has been searched.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.bytes.len() / 8 + size_of::<Self>()
    }
}

/// Goes through the bytes of a tree (`git help ls-tree`): mode, blank, name, zero, object name in raw bytes.
#[derive(Clone)]
pub(super) struct RawEntries<'t> {
    rest: &'t [u8],
    id_length: usize,
}

/// An entry as it is stored.
#[derive(Clone, Copy)]
pub(super) struct RawEntry<'t> {
    pub(super) bytes: &'t [u8],
    mode: &'t [u8],
    pub(super) name: &'t [u8],
    id: &'t [u8],
}

impl<'t> RawEntries<'t> {
    /// Goes on if the next entry is the same as this one.
    pub(super) fn next_is(&mut self, entry: RawEntry<'_>) -> bool {
        let rest = self.rest.strip_prefix(entry.bytes);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The entry of the same name as this one; goes on until it or what comes after it in Git's order.
    pub(super) fn find_from_here(&mut self, wanted: RawEntry<'_>) -> Option<TreeEntry<'t>> {
        let mut ahead = self.clone();
        while let Some(entry) = ahead.next() {
            if entry.name == wanted.name {
                return entry.read();
            }
            if entry.order(wanted).is_gt() {
                break;
            }
            self.rest = ahead.rest;
        }
        None
    }
}

impl<'t> Iterator for RawEntries<'t> {
    type Item = RawEntry<'t>;

    /// `None` at the end, and where the bytes are no entry.
    fn next(&mut self) -> Option<RawEntry<'t>> {
        let space = self.rest.iter().position(|byte| *byte == b' ')?;
        let zero = space + 1 + self.rest[space + 1..].find_byte(0)?;
        let (bytes, rest) = self.rest.split_at_checked(zero + 1 + self.id_length)?;
        let mode = &bytes[..space];
        mode_number(mode)?;
        self.rest = rest;
        Some(RawEntry { bytes, mode, name: &bytes[space + 1..zero], id: &bytes[zero + 1..] })
    }
}

impl<'t> RawEntry<'t> {
    pub(super) fn read(self) -> Option<TreeEntry<'t>> {
        let kind = EntryKind::of_mode(mode_number(self.mode)?);
        Some(TreeEntry { name: self.name, kind, id: ObjectId::from_bytes(self.id)? })
    }

    /// Git's order: a folder as if its name ended with a slash.
    pub(super) fn order(self, other: Self) -> Ordering {
        let shared = self.name.len().min(other.name.len());
        let after = |entry: Self| match entry.name.get(shared) {
            Some(byte) => *byte,
            None if matches!(entry.mode, b"40000" | b"040000") => b'/',
            None => 0,
        };
        self.name[..shared].cmp(&other.name[..shared]).then_with(|| after(self).cmp(&after(other)))
    }
}

/// An octal number, as Git writes modes: without leading zeros, but that is its own matter.
fn mode_number(digits: &[u8]) -> Option<u32> {
    let digit = |digit: &u8| matches!(digit, b'0'..=b'7').then(|| u32::from(digit - b'0'));
    let add = |sum: u32, next: &u8| sum.checked_mul(8)?.checked_add(digit(next)?);
    digits.iter().try_fold(0, add).filter(|_| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_ordered_as_if_with_a_slash() {
        let one = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let mut bytes = Vec::new();
        for (mode, name) in [("100644", "a-b"), ("40000", "a"), ("100644", "a0"), ("40000", "a00")] {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(one.as_bytes());
        }
        let tree = Tree::parse(one, &bytes).unwrap();
        let entries: Vec<_> = tree.raw().collect();
        assert!(entries.is_sorted_by(|a, b| a.order(*b) == Ordering::Less));
    }

    #[test]
    fn entries_are_found_by_name_whatever_their_order() {
        let one = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let mut bytes = Vec::new();
        for (mode, name) in [("100644", "a.b"), ("40000", "a"), ("120000", "a0"), ("160000", "m")] {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(one.as_bytes());
        }
        let tree = Tree::parse(one, &bytes).unwrap();
        for (name, kind) in [
            (&b"a"[..], EntryKind::Tree),
            (b"a.b", EntryKind::File),
            (b"a0", EntryKind::Symlink),
            (b"m", EntryKind::Gitlink),
        ] {
            // Until there is a table, and then in it.
            for _ in 0..=FEW {
                assert_eq!(tree.find(name), Some(TreeEntry { name, kind, id: one }));
                assert_eq!(tree.find(b"b"), None);
            }
        }
        for short in [1, 21, 30] {
            assert!(Tree::parse(one, &bytes[..bytes.len() - short]).is_err());
        }
        assert!(Tree::parse(one, b"x a\x0012345678901234567890").is_err());
    }
}

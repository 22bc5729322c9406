//! Folders as Git stores them, read without a copy of each entry: most are looked at once, for one name.

use super::object::EntryKind;
use super::{GitError, ObjectId};

/// The entries of a folder, by the bytes of their names (Git's own order differs for folders).
pub struct Tree {
    bytes: Box<[u8]>,
    spots: Box<[Spot]>,
    id_length: usize,
}

/// Where an entry is in the bytes: its name, after which come a zero byte and the object's name.
#[derive(Clone, Copy)]
struct Spot {
    start: u32,
    end: u32,
    kind: EntryKind,
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
    /// Reads the content of a tree object (`git help ls-tree`: mode, name, zero, object name in raw bytes).
    pub(crate) fn parse(id: ObjectId, bytes: &[u8]) -> Result<Self, GitError> {
        let malformed = || GitError::Malformed { id, what: "tree" };
        let id_length = id.as_bytes().len();
        let mut spots = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let mode = mode(&rest[..space]).ok_or_else(malformed)?;
            let length = rest[space + 1..].iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
            let start = at + space + 1;
            let end = start + length;
            at = end + 1 + id_length;
            if at > bytes.len() {
                return Err(malformed());
            }
            let place = |place: usize| u32::try_from(place).map_err(|_| malformed());
            spots.push(Spot { start: place(start)?, end: place(end)?, kind: EntryKind::of_mode(mode) });
        }
        let name = |spot: &Spot| &bytes[spot.start as usize..spot.end as usize];
        spots.sort_by(|a, b| name(a).cmp(name(b)));
        Ok(Self { bytes: bytes.into(), spots: spots.into(), id_length })
    }

    /// The entries, sorted.
    pub fn iter(&self) -> impl Iterator<Item = TreeEntry<'_>> {
        self.spots.iter().filter_map(|spot| self.at(*spot))
    }

    /// The entry of a name.
    pub fn find(&self, name: &[u8]) -> Option<TreeEntry<'_>> {
        let at = self.spots.binary_search_by(|spot| self.name(*spot).cmp(name)).ok()?;
        self.at(*self.spots.get(at)?)
    }

    /// How much memory it takes, about.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.spots) + size_of::<Self>()
    }

    fn name(&self, spot: Spot) -> &[u8] {
        self.bytes.get(spot.start as usize..spot.end as usize).unwrap_or_default()
    }

    fn at(&self, spot: Spot) -> Option<TreeEntry<'_>> {
        let after = spot.end as usize + 1;
        let id = ObjectId::from_bytes(self.bytes.get(after..after + self.id_length)?)?;
        Some(TreeEntry { name: self.name(spot), kind: spot.kind, id })
    }
}

/// An octal number, as Git writes modes: without leading zeros, but that is its own matter.
fn mode(digits: &[u8]) -> Option<u32> {
    let digit = |digit: &u8| matches!(digit, b'0'..=b'7').then(|| u32::from(digit - b'0'));
    let add = |sum: u32, next: &u8| sum.checked_mul(8)?.checked_add(digit(next)?);
    digits.iter().try_fold(0, add).filter(|_| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_sorted_by_name_alone() {
        let one = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let mut bytes = Vec::new();
        for (mode, name) in [("100644", "a.b"), ("40000", "a"), ("120000", "a0"), ("160000", "m")] {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(one.as_bytes());
        }
        let tree = Tree::parse(one, &bytes).unwrap();
        let seen: Vec<_> = tree.iter().map(|entry| (entry.name, entry.kind)).collect();
        assert_eq!(
            seen,
            [
                (&b"a"[..], EntryKind::Tree),
                (b"a.b", EntryKind::File),
                (b"a0", EntryKind::Symlink),
                (b"m", EntryKind::Gitlink)
            ]
        );
        assert_eq!(tree.find(b"a0").map(|entry| entry.id), Some(one));
        assert_eq!(tree.find(b"b"), None);
        for short in [1, 21, 30] {
            assert!(Tree::parse(one, &bytes[..bytes.len() - short]).is_err());
        }
        assert!(Tree::parse(one, b"x a\x0012345678901234567890").is_err());
    }
}

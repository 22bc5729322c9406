//! Zip archives by their central directory (PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16).

use std::io::Read;

use super::Closed;

/// A file of the directory.
pub(super) struct ZipFile<'z> {
    pub(super) name: &'z [u8],
    pub(super) content: Result<Box<dyn Read + 'z>, Closed>,
}

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

/// Of an entry that is larger than what 32 bits count.
const ZIP64: u32 = u32::MAX;

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
    usize::try_from(number).ok().filter(|_| number != ZIP64)
}

/// The files that the archive lists, folders aside.
pub(super) fn files(bytes: &[u8]) -> Result<Vec<ZipFile<'_>>, Closed> {
    listed(bytes).ok_or(Closed::Broken)
}

fn listed(bytes: &[u8]) -> Option<Vec<ZipFile<'_>>> {
    let end = bytes.windows(END.len()).rposition(|window| window == END)?;
    let count = short(bytes, end + 10)?;
    let mut at = long(bytes, end + 16)?;
    let mut files = Vec::new();
    for _ in 0..count {
        let entry = bytes.get(at..).filter(|entry| entry.starts_with(ENTRY))?;
        let name_length = short(entry, 28)?;
        let name = entry.get(46..46 + name_length)?;
        if !name.ends_with(b"/") {
            files.push(ZipFile { name, content: content(bytes, entry) });
        }
        at += 46 + name_length + short(entry, 30)? + short(entry, 32)?;
    }
    Some(files)
}

fn content<'z>(bytes: &'z [u8], entry: &[u8]) -> Result<Box<dyn Read + 'z>, Closed> {
    let packed = packed(bytes, entry).ok_or(Closed::Broken)?;
    let is_locked = short(entry, 8).is_some_and(|flags| flags & 1 == 1);
    match short(entry, 10) {
        Some(0) if !is_locked => Ok(Box::new(packed)),
        Some(8) if !is_locked => Ok(Box::new(flate2::read::DeflateDecoder::new(packed))),
        _ => Err(Closed::Unknown),
    }
}

/// The bytes of a file as they are packed. How many there are, the directory says.
fn packed<'z>(bytes: &'z [u8], entry: &[u8]) -> Option<&'z [u8]> {
    let local = bytes.get(long(entry, 42)?..).filter(|local| local.starts_with(LOCAL))?;
    let start = 30 + short(local, 26)? + short(local, 28)?;
    local.get(start..start + long(entry, 20)?)
}

#[cfg(test)]
mod tests {
    use super::super::{Member, open};

    /// A file `s.yaml` with `kind: Secret`, stored, as Info-ZIP writes it.
    fn stored(content: &[u8], flags: u8) -> Vec<u8> {
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let mut zip = b"PK\x03\x04\x0a\0".to_vec();
        zip.extend([flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        zip.extend(size);
        zip.extend(size);
        zip.extend(b"\x06\0\0\0s.yaml");
        zip.extend(content);
        let directory = u32::try_from(zip.len()).unwrap().to_le_bytes();
        zip.extend(b"PK\x01\x02\x1e\x03\x0a\0");
        zip.extend([flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        zip.extend(size);
        zip.extend(size);
        zip.extend(b"\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0s.yaml");
        zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x34\0\0\0");
        zip.extend(directory);
        zip.extend(b"\0\0");
        zip
    }

    #[test]
    fn files_of_a_zip_are_read_and_locked_ones_are_not() {
        let mut members = Vec::new();
        let mut keep = |member: &Member| members.push((member.path.clone(), member.bytes.clone()));
        assert_eq!(open(&stored(b"kind: Secret", 0), &mut keep), None);
        assert_eq!(members, [(b"s.yaml".to_vec(), b"kind: Secret".to_vec())]);
        assert_eq!(open(&stored(b"x", 1), &mut |_| ()), Some(super::Closed::Unknown));
        for cut in 5..stored(b"x", 0).len() {
            let _ = open(&stored(b"x", 0)[..cut], &mut |_| ());
        }
    }
}

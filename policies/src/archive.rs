//! The files of an archive: tar, gzip, zip, and these in each other.
//!
//! Read from memory and within bounds, whatever the archive claims of itself.

mod zip;

use std::io::Read;

/// A file of an archive.
pub(crate) struct Member {
    /// Its path in the archive, those of archives in archives one behind the other.
    pub(crate) path: Vec<u8>,
    /// Its content.
    pub(crate) bytes: Vec<u8>,
}

/// Why nobody can say what is in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It is packed in a way that is not read here, or locked by a password.
    Unknown,
    /// It breaks off, or is none.
    Broken,
    /// There is more in it than what is read.
    TooMuch,
}

/// Bytes of all files of an archive.
const MOST_BYTES: u64 = 64 << 20;

/// Bytes of one of them.
const MOST_OF_FILE: u64 = 16 << 20;

/// A tar's header is a block of this size.
const TAR_BLOCK: u64 = 512;

/// Files of an archive.
const MOST_FILES: usize = 10_000;

/// How many archives in each other are opened.
const DEPTH: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Tar,
    Gzip,
    Zip,
    Other,
}

/// Whether bytes begin as an archive does. The magic numbers are those of `file(1)`.
pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    form(bytes).is_some()
}

fn form(bytes: &[u8]) -> Option<Form> {
    let others: [&[u8]; 5] =
        [b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"];
    match bytes {
        [0x1f, 0x8b, 8, ..] => Some(Form::Gzip),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(Form::Zip),
        _ if bytes.get(257..262) == Some(b"ustar") => Some(Form::Tar),
        _ if others.iter().any(|magic| bytes.starts_with(magic)) => Some(Form::Other),
        _ => None,
    }
}

/// Goes through the files of an archive. Why those that are missing are.
pub(crate) fn open(bytes: &[u8], visit: &mut dyn FnMut(&Member)) -> Option<Closed> {
    let mut unpacking = Unpacking { bytes: MOST_BYTES, files: MOST_FILES, visit, closed: None };
    let closed = unpacking.archive(bytes, b"", DEPTH).err();
    unpacking.closed.or(closed)
}

struct Unpacking<'v> {
    /// Bytes and files that may still be read.
    bytes: u64,
    files: usize,
    visit: &'v mut dyn FnMut(&Member),
    /// Why an archive in the archive was not read to its end.
    closed: Option<Closed>,
}

impl Unpacking<'_> {
    fn archive(&mut self, bytes: &[u8], path: &[u8], depth: u8) -> Result<(), Closed> {
        let depth = depth.checked_sub(1).ok_or(Closed::TooMuch)?;
        match form(bytes) {
            Some(Form::Gzip) => self.gzip(bytes, path, depth),
            Some(Form::Tar) => self.tar(bytes, path, depth),
            Some(Form::Zip) => {
                for file in zip::files(bytes)? {
                    self.file(below(path, file.name), file.content?, depth)?;
                }
                Ok(())
            }
            Some(Form::Other) | None => Err(Closed::Unknown),
        }
    }

    /// What is packed by gzip is a tar for the most part, and need not be in memory as a whole.
    fn gzip(&mut self, bytes: &[u8], path: &[u8], depth: u8) -> Result<(), Closed> {
        let mut packed = flate2::read::MultiGzDecoder::new(bytes);
        let mut head = Vec::new();
        packed.by_ref().take(TAR_BLOCK).read_to_end(&mut head).map_err(|_| Closed::Broken)?;
        let is_tar = form(&head) == Some(Form::Tar);
        let whole = head.as_slice().chain(packed);
        if is_tar { self.tar(whole, path, depth) } else { self.file(path.to_vec(), whole, depth) }
    }

    fn tar(&mut self, source: impl Read, path: &[u8], depth: u8) -> Result<(), Closed> {
        // Padding between files and sparse ones are not counted where they are read, so that the source is bounded, too.
        let mut archive = tar::Archive::new(source.take(2 * MOST_BYTES));
        for entry in archive.entries().map_err(|_| Closed::Broken)? {
            let entry = entry.map_err(|_| Closed::Broken)?;
            let name = below(path, &entry.path_bytes());
            let kind = entry.header().entry_type();
            if matches!(kind, tar::EntryType::Regular | tar::EntryType::Continuous) {
                self.file(name, entry, depth)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: Vec<u8>, source: impl Read, depth: u8) -> Result<(), Closed> {
        self.files = self.files.checked_sub(1).ok_or(Closed::TooMuch)?;
        let most = self.bytes.min(MOST_OF_FILE);
        let mut bytes = Vec::new();
        source.take(most + 1).read_to_end(&mut bytes).map_err(|_| Closed::Broken)?;
        if bytes.len() as u64 > most {
            return Err(Closed::TooMuch);
        }
        self.bytes -= bytes.len() as u64;
        if is_archive(&bytes) {
            // The others may be good to read.
            let closed = self.archive(&bytes, &path, depth).err();
            self.closed = self.closed.or(closed);
        } else {
            (self.visit)(&Member { path, bytes });
        }
        Ok(())
    }
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut packer = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            packer.append_data(&mut header, path, *bytes).unwrap();
        }
        packer.into_inner().unwrap()
    }

    fn opened(bytes: &[u8]) -> (Vec<(String, Vec<u8>)>, Option<Closed>) {
        let mut members = Vec::new();
        let mut keep = |member: &Member| {
            members.push((String::from_utf8_lossy(&member.path).into_owned(), member.bytes.clone()));
        };
        let closed = open(bytes, &mut keep);
        (members, closed)
    }

    #[test]
    fn archives_in_archives_are_opened_to_a_depth() {
        let inner = tar_of(&[("a.yaml", b"a")]);
        let chart = gzipped(&tar_of(&[("app/Chart.yaml", b"c"), ("app/charts/db.tgz", &gzipped(&inner))]));
        let wanted = vec![
            ("app/Chart.yaml".to_owned(), b"c".to_vec()),
            ("app/charts/db.tgz/a.yaml".to_owned(), b"a".to_vec()),
        ];
        assert_eq!(opened(&chart), (wanted, None));
        assert_eq!(opened(&gzipped(b"text")), (vec![(String::new(), b"text".to_vec())], None));
        let deep = tar_of(&[("x.tar", &tar_of(&[("y.tar", &inner)]))]);
        assert_eq!(opened(&deep), (vec![], Some(Closed::TooMuch)));
    }

    #[test]
    fn what_is_too_much_or_broken_is_said_to_be() {
        let zeros = gzipped(&vec![0; (MOST_OF_FILE + 1) as usize]);
        assert!(zeros.len() < 1 << 20);
        assert_eq!(opened(&zeros).1, Some(Closed::TooMuch));
        let whole = gzipped(b"some text to be cut");
        assert_eq!(opened(&whole[..whole.len() - 9]).1, Some(Closed::Broken));
        assert_eq!(opened(b"BZh91AY&SY").1, Some(Closed::Unknown));
        assert!(!is_archive(b"a: b\n") && !is_archive(b"") && is_archive(&tar_of(&[("a", b"")])));
    }
}

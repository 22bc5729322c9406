//! Findings that were there before, as a list: by path, keys, and a keyed hash of the value, so that the list
//! survives edits elsewhere in a file and tells nobody a value.

use crate::edge::shown;
use crate::git::clone;
use crate::judge::{Found, Verdict};
use hmac::{Hmac, Mac as _};
use kubiya_policies::finding::Severity;
use kubiya_policies::values::Subject;
use sha2::Sha256;
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The first line of the list.
const HEADER: &str = "# kubiya-hook baseline 1: keyed hash, path, keys";

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It is no list of this kind.
    #[error("it does not begin with `{HEADER}`")]
    Header,
    /// A line is none of a list.
    #[error("line {0} is not `<hash> <path> <keys>`")]
    Line(usize),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("the key {} of the baseline: {reason}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    reason: String,
}

/// A list, and the key of its hashes.
pub struct Baseline {
    key: [u8; KEY_BYTES],
    listed: HashSet<String>,
}

impl std::fmt::Debug for Baseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Baseline").field("listed", &self.listed.len()).finish_non_exhaustive()
    }
}

impl Baseline {
    /// Reads a list.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(key: [u8; KEY_BYTES], text: &str) -> Result<Self, BaselineError> {
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, line)| line != HEADER) {
            return Err(BaselineError::Header);
        }
        let mut listed = HashSet::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let hash = line.split(' ').next().unwrap_or_default();
            if hash.len() != 2 * KEY_BYTES || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(BaselineError::Line(number + 1));
            }
            listed.insert(hash.to_owned());
        }
        Ok(Self { key, listed })
    }

    /// Whether a finding is in the list.
    pub fn lists(&self, found: &Found) -> bool {
        hash(&self.key, found).is_some_and(|hash| self.listed.contains(&hash))
    }

    /// Makes the list of what was found. What is about no value cannot be listed: it is to be mended.
    pub fn text(key: [u8; KEY_BYTES], verdict: &Verdict) -> String {
        let weighs = verdict.found.iter().filter(|found| found.finding.severity >= Severity::Warning);
        let line = |found: &Found| {
            let place = &found.finding.place;
            let line = format!("{} {} {}", hash(&key, found)?, shown(&place.path), place.key_path);
            Some((place.path.clone(), line.trim_end().to_owned()))
        };
        let lines: BTreeSet<(Vec<u8>, String)> = weighs.filter_map(line).collect();
        lines.into_iter().fold(format!("{HEADER}\n"), |text, (_, line)| text + &line + "\n")
    }
}

/// The hash of a finding: path and keys are in it, so that equal values cannot be told from the list.
fn hash(key: &[u8; KEY_BYTES], found: &Found) -> Option<String> {
    let value = found.subject.whole()?;
    let place = &found.finding.place;
    // Which value of a whole file is the first says nothing.
    let keys = if matches!(found.subject, Subject::File(_)) { "" } else { &place.key_path };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in [place.path.as_slice(), keys.as_bytes(), value.as_bytes()] {
        mac.update(&part.len().to_be_bytes());
        mac.update(part);
    }
    let mut text = String::new();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

/// The key: from a file that is named, or from the repository's own folder, where it is made when it is not
/// there yet. Nobody but its owner may read it.
///
/// # Errors
/// Where it cannot be read or made.
pub fn key_of(file: Option<&Path>) -> Result<[u8; KEY_BYTES], KeyFileError> {
    let path = match file {
        Some(file) => file.to_owned(),
        None => clone::common_folder()
            .map_err(|error| KeyFileError { path: "kubiya/baseline.key".into(), reason: error.to_string() })?
            .join("kubiya/baseline.key"),
    };
    let failed = |reason: String| KeyFileError { path: path.clone(), reason };
    read_or_make(&path).map_err(|error| failed(error.to_string()))
}

fn read_or_make(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let mode = path.metadata()?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(io::Error::other("others than its owner can read it: chmod 600"));
            }
            <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| io::Error::other("it is not 32 bytes long"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error),
    }
}

/// Makes a key. Who makes it at the same time and is first, wins.
fn make(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let own = folder.join(format!(".baseline.key.{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
    let linked =
        file.write_all(&key).and_then(|()| file.sync_all()).and_then(|()| std::fs::hard_link(&own, path));
    std::fs::remove_file(&own)?;
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_or_make(path),
        Err(error) => Err(error),
    }
}

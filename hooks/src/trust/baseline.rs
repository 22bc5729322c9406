//! Findings that were there before, as a list: by path, keys, and a keyed hash of the value, so that the list
//! survives edits elsewhere in a file and tells nobody a value.

use crate::edge::shown;
use crate::git::clone;
use crate::judge::{Found, Standing, Verdict};
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

    /// Takes the weight of findings that are in the list.
    pub fn forgive(&self, verdict: &mut Verdict) {
        for found in verdict.found.iter_mut().filter(|found| found.finding.severity >= Severity::Warning) {
            if self.lists(found) {
                found.finding.severity = Severity::Note;
                found.finding.message.push_str(", as the baseline lists");
                found.standing = Standing::Baseline;
            }
        }
    }

    /// Makes the list of what was found. What is about no value cannot be listed: it is to be mended.
    pub fn text<'v>(key: [u8; KEY_BYTES], verdicts: impl Iterator<Item = &'v Verdict>) -> String {
        let weighs = verdicts.flat_map(|verdict| &verdict.found);
        let mut lines = BTreeSet::new();
        for found in weighs.filter(|found| found.finding.severity >= Severity::Warning) {
            let Some(hash) = hash(&key, found) else { continue };
            let place = &found.finding.place;
            let line = format!("{hash} {} {}", shown(&place.path), place.key_path);
            lines.insert((place.path.as_slice(), place.key_path.as_str(), line.trim_end().to_owned()));
        }
        lines.into_iter().fold(format!("{HEADER}\n"), |text, (_, _, line)| text + &line + "\n")
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

/// The key: from a file that is named, or from the repository's own folder. Nobody but its owner may read it.
///
/// # Errors
/// Where it is not there or cannot be read.
pub fn key_of(file: Option<&Path>) -> Result<[u8; KEY_BYTES], KeyFileError> {
    with_key_file(file, read)
}

/// The same, made where it is not there yet.
///
/// # Errors
/// Where it cannot be read or made.
pub fn key_or_new(file: Option<&Path>) -> Result<[u8; KEY_BYTES], KeyFileError> {
    with_key_file(file, |path| match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        key => key,
    })
}

fn with_key_file(
    file: Option<&Path>,
    get: impl FnOnce(&Path) -> io::Result<[u8; KEY_BYTES]>,
) -> Result<[u8; KEY_BYTES], KeyFileError> {
    let path = match file {
        Some(file) => file.to_owned(),
        None => clone::common_folder()
            .map_err(|error| KeyFileError { path: "kubiya/baseline.key".into(), reason: error.to_string() })?
            .join("kubiya/baseline.key"),
    };
    get(&path).map_err(|error| KeyFileError { path, reason: error.to_string() })
}

fn read(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let bytes = std::fs::read(path)?;
    if path.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other("others than its owner can read it: chmod 600"));
    }
    <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| io::Error::other("it is not 32 bytes long"))
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
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(error),
    }
}

//! Where a rotation stands in a commit: which of its files the two keys read. No key is needed for it.

use super::Foreign;
use crate::secrets;
use bstr::ByteSlice as _;
use kubiya_hook::edge::Failure;
use kubiya_hook::git::{EntryKind, GitError, ObjectId, Repository};
use kubiya_policies::rules::FILE_NAME;
use kubiya_policies::sops::recipient::Recipient;
use kubiya_policies::sops::store::Format;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Which of the two keys a file or a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The one that goes, alone.
    Old,
    /// Both.
    Both,
    /// The one that comes, alone.
    New,
}

/// What is in a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Encrypted files and rules by path, with which of the keys they are for. What is for neither is not here.
    pub files: BTreeMap<PathBuf, For>,
    /// What else names the key that goes: text, and encrypted files that are not read as such under their names.
    pub naming: Vec<PathBuf>,
    /// Submodules.
    pub submodules: Vec<PathBuf>,
}

impl Standing {
    /// How many files are so.
    #[must_use]
    pub fn count(&self, which: For) -> usize {
        self.paths(which).count()
    }

    /// The files that are so.
    pub fn paths(&self, which: For) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(move |(_, one)| **one == which).map(|(path, _)| path.as_path())
    }

    /// Whether the new key reads all that the old one does.
    #[must_use]
    pub fn has_overlap(&self) -> bool {
        self.count(For::Old) == 0
    }

    /// Whether nothing is for the old key.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.has_overlap() && self.count(For::Both) == 0
    }
}

/// How a file is read, which its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ReadAs {
    /// As a `.sops.yaml`.
    Rules,
    /// As sops reads it.
    Encrypted(Format),
}

impl ReadAs {
    fn of(path: &Path) -> Self {
        if path.file_name().is_some_and(|name| name.as_bytes() == FILE_NAME.as_bytes()) {
            return Self::Rules;
        }
        Self::Encrypted(Format::of_path(path.as_os_str().as_bytes()))
    }
}

/// What was seen in a file.
#[derive(Clone, Copy, Debug)]
struct Seen {
    which: Option<For>,
    /// Whether the key that goes is named in it, whatever it is.
    names_old: bool,
}

/// Looks into commits; what a blob holds is remembered, because commits share most of theirs.
pub struct Commits {
    repository: Repository,
    old: String,
    new: String,
    foreign: Foreign,
    /// By how the name says that a file is read, too: a copy under another name is another file.
    known: HashMap<(ObjectId, ReadAs), Seen>,
}

impl std::fmt::Debug for Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commits").field("old", &self.old).field("new", &self.new).finish_non_exhaustive()
    }
}

impl Commits {
    /// For two recipients, in the repository around a folder. Files that are left as they are because of other
    /// kinds of keys count as done.
    ///
    /// # Errors
    /// The repository cannot be opened.
    pub fn of(top: &Path, old: &str, new: &str, foreign: Foreign) -> Result<Self, Failure> {
        let repository = Repository::open_at(top).map_err(|error| failure(&error))?;
        Ok(Self { repository, old: old.to_owned(), new: new.to_owned(), foreign, known: HashMap::new() })
    }

    /// What is in a commit.
    ///
    /// # Errors
    /// An object that cannot be read.
    pub fn standing(&mut self, commit: ObjectId) -> Result<Standing, Failure> {
        let mut standing = Standing::default();
        let found = self.repository.commit(commit).map_err(|error| failure(&error))?;
        let tree = found.ok_or_else(|| failure(&GitError::Missing(commit)))?.tree;
        self.folder(tree, Path::new(""), &mut standing).map_err(|error| failure(&error))?;
        Ok(standing)
    }

    fn folder(&mut self, tree: ObjectId, path: &Path, standing: &mut Standing) -> Result<(), GitError> {
        let tree = self.repository.tree(tree)?;
        for entry in tree.iter() {
            let path = path.join(OsStr::from_bytes(entry.name));
            match entry.kind {
                EntryKind::Tree => self.folder(entry.id, &path, standing)?,
                EntryKind::Gitlink => standing.submodules.push(path),
                EntryKind::Symlink => {}
                EntryKind::File => {
                    let seen = self.file(entry.id, &path)?;
                    match seen.which {
                        Some(which) => {
                            standing.files.insert(path, which);
                        }
                        None if seen.names_old => standing.naming.push(path),
                        None => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, blob: ObjectId, path: &Path) -> Result<Seen, GitError> {
        let read_as = ReadAs::of(path);
        if let Some(known) = self.known.get(&(blob, read_as)) {
            return Ok(*known);
        }
        let content = self.repository.blob(blob)?;
        let bytes: &[u8] = &content;
        // Most files name neither, and are not read any further.
        let named = |recipient: &str| bytes.find(recipient.as_bytes()).is_some();
        let names_old = named(&self.old);
        let which = if names_old || named(&self.new) { self.which(path, bytes) } else { None };
        let seen = Seen { which, names_old };
        self.known.insert((blob, read_as), seen);
        Ok(seen)
    }

    fn which(&self, path: &Path, bytes: &[u8]) -> Option<For> {
        if ReadAs::of(path) == ReadAs::Rules {
            let rules = kubiya_policies::rules::Rules::parse(FILE_NAME.as_bytes(), bytes).ok()?;
            let each = rules.rules().iter().filter_map(|rule| {
                let recipients = rule.groups.iter().flat_map(|group| &group.recipients);
                self.for_which(recipients.collect::<Vec<_>>().as_slice())
            });
            return each.reduce(the_one_behind);
        }
        let secret = secrets::read(path, bytes, None, None).ok()?;
        let wrapped = secret.metadata()?.wrapped.iter().flatten().map(|key| &key.recipient);
        let recipients = wrapped.collect::<Vec<_>>();
        let foreign = recipients.iter().any(|recipient| !matches!(recipient, Recipient::Age(_)));
        if foreign && self.foreign == Foreign::Skip { None } else { self.for_which(&recipients) }
    }

    fn for_which(&self, recipients: &[&Recipient]) -> Option<For> {
        let has = |wanted: &str| {
            recipients
                .iter()
                .any(|recipient| matches!(recipient, Recipient::Age(age) if age.trim() == wanted))
        };
        match (has(&self.old), has(&self.new)) {
            (true, false) => Some(For::Old),
            (true, true) => Some(For::Both),
            (false, true) => Some(For::New),
            (false, false) => None,
        }
    }
}

/// Of two rules of a file, what is behind counts.
fn the_one_behind(one: For, other: For) -> For {
    match (one, other) {
        (For::Old, _) | (_, For::Old) => For::Old,
        (For::Both, _) | (_, For::Both) => For::Both,
        (For::New, For::New) => For::New,
    }
}

fn failure(error: &GitError) -> Failure {
    Failure::unverified("cannot look into the repository").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_testdata::env::TestEnv;
    use kubiya_testdata::git::GitRepo;

    fn standing(files: &[(&str, &str)]) -> Standing {
        let env = TestEnv::new();
        let repository = GitRepo::init(&env, "repo");
        for (path, text) in files {
            repository.write(path, text);
        }
        repository.commit_all("files");
        let head = ObjectId::from_hex(repository.ok(["rev-parse", "HEAD"]).trim().as_bytes()).unwrap();
        let mut commits = Commits::of(repository.path(), "age1old", "age1new", Foreign::Stop).unwrap();
        commits.standing(head).unwrap()
    }

    #[test]
    fn a_copy_that_is_read_otherwise_hides_no_file() {
        let text = "a: ENC[AES256_GCM,data:YQ==,iv:YQ==,tag:YQ==,type:str]\nsops:\n  age:\n    - recipient: age1old\n      enc: x\n  \
                    lastmodified: \"2026-01-01T00:00:00Z\"\n  mac: ENC[AES256_GCM,data:YQ==,iv:YQ==,tag:YQ==,type:str]\n  version: 3.13.3\n";
        let standing = standing(&[("a/db.bak", text), ("a/db.yaml", text), ("b/.sops.yaml", text)]);
        assert_eq!(standing.naming, [PathBuf::from("a/db.bak"), PathBuf::from("b/.sops.yaml")]);
        let files = standing.files.into_iter().collect::<Vec<_>>();
        assert_eq!(files, [(PathBuf::from("a/db.yaml"), For::Old)]);
    }
}

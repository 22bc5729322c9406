//! Reading through the `git` command, for repositories that libgit2 does not know: SHA-256, reftable,
//! extensions of later versions.

use super::environment::ObjectFolders;
use super::index::{Index, IndexEntry};
use super::object::{Content, EntryKind, Kind};
use super::repository::Backend;
use super::{GitError, ObjectId, ProcessError, process};
use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(super) struct CommandLine {
    /// `None`: where Git's variables say.
    at: Option<PathBuf>,
    git_dir: PathBuf,
    work_tree: Option<PathBuf>,
    folders: ObjectFolders,
    /// Whether another repository has promised objects that are not here (a partial clone).
    promised: bool,
    contents: RefCell<Option<Batch>>,
    fetched: RefCell<Option<Batch>>,
    before: RefCell<Option<Batch>>,
}

impl CommandLine {
    pub(super) fn open_from_env() -> Result<Self, ProcessError> {
        Self::open(None, ObjectFolders::from_env())
    }

    pub(super) fn open_at(path: &Path) -> Result<Self, ProcessError> {
        Self::open(Some(path.to_owned()), ObjectFolders::default())
    }

    fn open(at: Option<PathBuf>, folders: ObjectFolders) -> Result<Self, ProcessError> {
        let git_dir = path_line(git(at.as_deref(), &["rev-parse", "--absolute-git-dir"]))?;
        let work_tree = path_line(git(at.as_deref(), &["rev-parse", "--show-toplevel"])).ok();
        let promises = git(at.as_deref(), &["config", "--get-regexp", r"^remote\..*\.promisor$"]);
        let promised = process::output(promises, b"").is_ok_and(|lines| !lines.is_empty());
        Ok(Self {
            at,
            git_dir,
            work_tree,
            folders,
            promised,
            contents: RefCell::default(),
            fetched: RefCell::default(),
            before: RefCell::default(),
        })
    }

    fn git(&self, arguments: &[&str]) -> Command {
        git(self.at.as_deref(), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        Ok(process::output(self.git(arguments), b"")?)
    }
}

fn git(at: Option<&Path>, arguments: &[&str]) -> Command {
    let mut command = process::git();
    if let Some(path) = at {
        command.arg("-C").arg(path);
        super::remote::forget_repository(&mut command);
    }
    command.args(arguments);
    command
}

fn path_line(command: Command) -> Result<PathBuf, ProcessError> {
    let mut line = process::output(command, b"")?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(PathBuf::from(OsString::from_vec(line)))
}

fn ids(lines: &[u8]) -> Vec<ObjectId> {
    lines.split(|byte| *byte == b'\n').filter_map(ObjectId::from_hex).collect()
}

impl Backend for CommandLine {
    fn another(&self) -> Result<Box<dyn Backend>, GitError> {
        Ok(Box::new(Self {
            at: self.at.clone(),
            git_dir: self.git_dir.clone(),
            work_tree: self.work_tree.clone(),
            folders: self.folders.clone(),
            promised: self.promised,
            fetched: RefCell::default(),
            contents: RefCell::default(),
            before: RefCell::default(),
        }))
    }

    fn read(&self, id: ObjectId) -> Result<Option<(Kind, Content<'_>)>, GitError> {
        let here = Batch::read(&self.contents, id, || {
            let mut command = self.git(&["cat-file", "--batch"]);
            command.env("GIT_NO_LAZY_FETCH", "1");
            command
        });
        match here {
            Ok(None) if self.promised => {}
            // Git before 2.45 does not know the variable, tries to fetch into the quarantine, and ends.
            Err(_) if self.promised => *self.contents.borrow_mut() = None,
            here => return here,
        }
        // Git fetches what was promised, but not into a quarantine.
        Batch::read(&self.fetched, id, || {
            let mut command = self.git(&["cat-file", "--batch"]);
            for variable in
                ["GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"]
            {
                command.env_remove(variable);
            }
            command
        })
    }

    fn kind(&self, id: ObjectId) -> Result<Option<Kind>, GitError> {
        Ok(self.read(id)?.map(|(kind, _)| kind))
    }

    fn ref_tips(&self) -> Result<Vec<ObjectId>, GitError> {
        let mut tips = ids(&self.run(&["for-each-ref", "--format=%(objectname)"])?);
        tips.extend(self.head()?);
        Ok(tips)
    }

    fn branches(&self) -> Result<Vec<ObjectId>, GitError> {
        Ok(ids(&self.run(&["for-each-ref", "--format=%(objectname)", "refs/heads/"])?))
    }

    fn head(&self) -> Result<Option<ObjectId>, GitError> {
        // Unborn, it is no revision, which is the one expected way to fail.
        let line = self.run(&["rev-parse", "--verify", "--quiet", "HEAD"]).unwrap_or_default();
        Ok(ids(&line).first().copied())
    }

    fn reference(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        // A name that is none fails as one that is not there.
        let line = self.run(&["show-ref", "--verify", "--hash", "--", name]).unwrap_or_default();
        Ok(ids(&line).first().copied())
    }

    fn was_there(&self, id: ObjectId) -> Result<bool, GitError> {
        if !self.folders.quarantined {
            return Ok(true);
        }
        let Some(folder) = self.folders.alternates.first() else { return Ok(false) };
        let mut slot = self.before.borrow_mut();
        let start = || {
            // The others of the list stay; what the push brought is in none of them.
            let mut command = self.git(&["cat-file", "--batch-check"]);
            command.env("GIT_OBJECT_DIRECTORY", folder).env("GIT_NO_LAZY_FETCH", "1");
            command
        };
        Ok(Batch::in_slot(&mut slot, start)?.header(id)?.is_some())
    }

    fn brought(&self) -> Result<Vec<ObjectId>, GitError> {
        if !self.folders.quarantined {
            return Ok(Vec::new());
        }
        let mut command =
            self.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered"]);
        command.env_remove("GIT_ALTERNATE_OBJECT_DIRECTORIES");
        Ok(ids(&process::output(command, b"")?))
    }

    fn index(&self) -> Result<Index, GitError> {
        let listed = self.run(&["ls-files", "--stage", "-z"])?;
        let lines = listed.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        let entries: Result<_, _> = lines.map(|line| staged(line).ok_or(GitError::Listing)).collect();
        Ok(Index::of_entries(entries?))
    }

    fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    fn work_tree(&self) -> Option<&Path> {
        self.work_tree.as_deref()
    }
}

/// Reads `100644 <id> 0<TAB>path`. An intent to add shows as an empty file here, which is no finding.
fn staged(line: &[u8]) -> Option<IndexEntry> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let mut words = line[..tab].split(|byte| *byte == b' ');
    let mode = u32::from_str_radix(std::str::from_utf8(words.next()?).ok()?, 8).ok()?;
    Some(IndexEntry {
        kind: EntryKind::of_mode(mode),
        id: ObjectId::from_hex(words.next()?)?,
        staged: words.next()? == b"0",
        path: line[tab + 1..].to_owned(),
    })
}

/// A running `git cat-file --batch` or `--batch-check`.
struct Batch {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Batch {
    fn in_slot(slot: &mut Option<Self>, command: impl FnOnce() -> Command) -> Result<&mut Self, GitError> {
        if slot.is_none() {
            let mut command = command();
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().map_err(ProcessError::Start)?;
            let pipes = child.stdin.take().zip(child.stdout.take());
            let (questions, answers) = pipes.ok_or(GitError::Listing)?;
            *slot = Some(Self { child, questions, answers: BufReader::new(answers) });
        }
        slot.as_mut().ok_or(GitError::Listing)
    }

    /// Reads one object; `None` where it is missing.
    fn read(
        slot: &RefCell<Option<Self>>,
        id: ObjectId,
        command: impl FnOnce() -> Command,
    ) -> Result<Option<(Kind, Content<'static>)>, GitError> {
        let mut slot = slot.borrow_mut();
        let batch = Self::in_slot(&mut slot, command)?;
        let Some((kind, size)) = batch.header(id)? else { return Ok(None) };
        let bytes = batch.content(id, size)?;
        Ok(Some((kind, Content::Command(bytes))))
    }

    fn header(&mut self, id: ObjectId) -> Result<Option<(Kind, usize)>, GitError> {
        writeln!(self.questions, "{id}").and_then(|()| self.questions.flush()).map_err(ProcessError::Talk)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(ProcessError::Talk)?;
        let mut words = line.split_whitespace().skip(1);
        let kind = match words.next() {
            Some("commit") => Kind::Commit,
            Some("tree") => Kind::Tree,
            Some("blob") => Kind::Blob,
            Some("tag") => Kind::Tag,
            Some("missing") => return Ok(None),
            _ => return Err(GitError::Malformed { id, what: "object" }),
        };
        let size = words.next().and_then(|size| size.parse().ok());
        Ok(Some((kind, size.ok_or(GitError::Malformed { id, what: "object" })?)))
    }

    fn content(&mut self, id: ObjectId, size: usize) -> Result<Vec<u8>, GitError> {
        let mut bytes = Vec::new();
        // A line feed follows the content.
        let wanted = u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1);
        self.answers.by_ref().take(wanted).read_to_end(&mut bytes).map_err(ProcessError::Talk)?;
        if bytes.len() != size + 1 {
            return Err(GitError::Malformed { id, what: "object" });
        }
        bytes.pop();
        Ok(bytes)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

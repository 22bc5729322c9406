//! A work tree in which something is changed: committed, pushed, brought up to date. All by the `git` command, with
//! the user's own identity, signing, hooks and credential helpers.

use super::process::{git, output, without_credentials};
use super::{ObjectId, ProcessError};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A work tree, by its top folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkTree {
    top: PathBuf,
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The branch of the remote is what was pushed.
    Done,
    /// The remote did not take it: what it and Git said, without credentials.
    Rejected(String),
}

/// A branch of a remote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemoteBranch {
    /// The remote's name.
    pub remote: String,
    /// The branch's name there.
    pub branch: String,
}

impl RemoteBranch {
    /// The ref in which the clone remembers it.
    #[must_use]
    pub fn tracking(&self) -> String {
        format!("refs/remotes/{}/{}", self.remote, self.branch)
    }
}

impl std::fmt::Display for RemoteBranch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.remote, self.branch)
    }
}

impl WorkTree {
    /// The work tree whose top is at a path.
    #[must_use]
    pub fn at(top: &Path) -> Self {
        Self { top: top.to_owned() }
    }

    /// Its top folder.
    #[must_use]
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The folder of the clone that all its work trees share.
    ///
    /// # Errors
    /// Not in a repository.
    pub fn common_folder(&self) -> Result<PathBuf, ProcessError> {
        let folder = self.line(&["rev-parse", "--git-common-dir"])?;
        // Relative to the folder that git runs in.
        Ok(self.top.join(PathBuf::from(OsString::from_vec(folder))))
    }

    /// The branch that is checked out; `None` where it is none.
    #[must_use]
    pub fn branch(&self) -> Option<String> {
        let line = self.line(&["symbolic-ref", "--quiet", "--short", "HEAD"]).ok()?;
        String::from_utf8(line).ok()
    }

    /// Where a branch is pushed to: what the clone says, else the branch of that name on the only remote.
    #[must_use]
    pub fn upstream(&self, branch: &str) -> Option<RemoteBranch> {
        let text = |words: &[&str]| String::from_utf8(self.line(words).ok()?).ok();
        let remote = text(&["config", "--get", &format!("branch.{branch}.remote")]);
        let merge = text(&["config", "--get", &format!("branch.{branch}.merge")]);
        if let (Some(remote), Some(merge)) = (&remote, &merge) {
            let branch = merge.strip_prefix("refs/heads/").unwrap_or(merge).to_owned();
            return Some(RemoteBranch { remote: remote.clone(), branch });
        }
        let remotes = text(&["remote"])?;
        let mut remotes = remotes.lines();
        let remote = remote.or_else(|| remotes.next().map(str::to_owned))?;
        remotes.next().is_none().then(|| RemoteBranch { remote, branch: branch.to_owned() })
    }

    /// The URL of a remote, without credentials.
    ///
    /// # Errors
    /// There is no such remote.
    pub fn url(&self, remote: &str) -> Result<String, ProcessError> {
        let line = self.line(&["remote", "get-url", remote])?;
        Ok(without_credentials(&String::from_utf8_lossy(&line)))
    }

    /// A setting, as Git sees it in this work tree.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<String> {
        String::from_utf8(self.line(&["config", "--get", key]).ok()?).ok()
    }

    /// The branches of a remote that the clone knows.
    ///
    /// # Errors
    /// What Git says.
    pub fn branches_of(&self, remote: &str) -> Result<Vec<(RemoteBranch, ObjectId)>, ProcessError> {
        let prefix = format!("refs/remotes/{remote}/");
        let listed = self.run(&["for-each-ref", "--format=%(objectname) %(refname)", "--", &prefix])?;
        let branch = |line: &[u8]| {
            let (id, name) = std::str::from_utf8(line).ok()?.split_once(' ')?;
            let branch = name.strip_prefix(&prefix).filter(|branch| *branch != "HEAD")?;
            let branch = RemoteBranch { remote: remote.to_owned(), branch: branch.to_owned() };
            Some((branch, ObjectId::from_hex(id.as_bytes())?))
        };
        Ok(listed.split(|byte| *byte == b'\n').filter_map(branch).collect())
    }

    /// The names of the branches that a remote has now.
    ///
    /// # Errors
    /// What Git and the remote say.
    pub fn remote_branches(&self, remote: &str) -> Result<Vec<String>, ProcessError> {
        let mut command = self.talking(&["ls-remote", "--quiet", "--heads", "--", remote]);
        command.stdin(Stdio::null());
        let listed = output(command, b"")?;
        let name =
            |line: &[u8]| Some(std::str::from_utf8(line).ok()?.split_once("\trefs/heads/")?.1.to_owned());
        Ok(listed.split(|byte| *byte == b'\n').filter_map(name).collect())
    }

    /// Fetches a branch, or all branches where none is named, and gives the tip of that branch.
    ///
    /// # Errors
    /// What Git and the remote say.
    pub fn fetch(&self, remote: &str, branch: Option<&str>) -> Result<Option<ObjectId>, ProcessError> {
        let name = branch.unwrap_or("*");
        let refspec = format!("+refs/heads/{name}:refs/remotes/{remote}/{name}");
        let mut command = self.talking(&["fetch", "--quiet", "--no-tags", remote, &refspec]);
        command.stdin(Stdio::null());
        output(command, b"")?;
        Ok(branch.and_then(|branch| self.resolve(&format!("refs/remotes/{remote}/{branch}"))))
    }

    /// The commit that a revision names; `None` where it names none that is here.
    #[must_use]
    pub fn resolve(&self, revision: &str) -> Option<ObjectId> {
        let revision = format!("{revision}^{{commit}}");
        let line = self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &revision]).ok()?;
        ObjectId::from_hex(&line)
    }

    /// Whether a commit is, or came before, another one. False also where the clone is too shallow to tell.
    #[must_use]
    pub fn is_ancestor(&self, commit: ObjectId, of: ObjectId) -> bool {
        self.run(&["merge-base", "--is-ancestor", &commit.to_string(), &of.to_string()]).is_ok()
    }

    /// The messages of the commits that one tip has and another has not, newest first.
    ///
    /// # Errors
    /// What Git says.
    pub fn messages(&self, from: ObjectId, to: ObjectId) -> Result<Vec<String>, ProcessError> {
        let range = format!("{from}..{to}");
        let text = self.run(&["log", "-z", "--format=%B", &range])?;
        let messages = text.split(|byte| *byte == 0).filter(|message| !message.is_empty());
        Ok(messages.map(|message| String::from_utf8_lossy(message).into_owned()).collect())
    }

    /// Paths that are not as the last commit has them, from the top, in the work tree or in the index; those that Git
    /// does not know are left out.
    ///
    /// # Errors
    /// What Git says.
    pub fn changed(&self) -> Result<Vec<PathBuf>, ProcessError> {
        let words = ["diff-index", "--name-only", "-z", "--no-renames", "HEAD", "--"];
        let mut all = paths_of(&self.run(&words)?);
        all.extend(paths_of(&self.run(&[&words[..1], &["--cached"], &words[1..]].concat())?));
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// Paths that differ between two commits, from the top.
    ///
    /// # Errors
    /// What Git says.
    pub fn changed_between(&self, from: ObjectId, to: ObjectId) -> Result<Vec<PathBuf>, ProcessError> {
        let (from, to) = (from.to_string(), to.to_string());
        let words = ["diff-tree", "-r", "--name-only", "-z", "--no-renames", &from, &to];
        Ok(paths_of(&self.run(&words)?))
    }

    /// What the index holds of a path, from the top; `None` where it holds nothing.
    #[must_use]
    pub fn staged(&self, path: &Path) -> Option<Vec<u8>> {
        self.run(&["cat-file", "blob", &format!(":{}", path.to_str()?)]).ok()
    }

    /// Where two commits part.
    #[must_use]
    pub fn merge_base(&self, one: ObjectId, other: ObjectId) -> Option<ObjectId> {
        ObjectId::from_hex(&self.line(&["merge-base", &one.to_string(), &other.to_string()]).ok()?)
    }

    /// The paths that the last commit has, from the top. What is only staged is not among them.
    ///
    /// # Errors
    /// What Git says.
    pub fn committed(&self) -> Result<std::collections::BTreeSet<PathBuf>, ProcessError> {
        let words = ["ls-tree", "-r", "--name-only", "--full-tree", "-z", "HEAD"];
        Ok(paths_of(&self.run(&words)?).into_iter().collect())
    }

    /// Takes notice of what is on the disk, so that [`Self::changed`] does not name what was only touched.
    pub fn refresh(&self) {
        // Its exit code says that something differs, which is no failure.
        let _ = self.run(&["update-index", "-q", "--refresh"]);
    }

    /// Commits what the given paths hold, and nothing else; with the user's identity, signing and hooks.
    ///
    /// # Errors
    /// What Git or a hook says.
    pub fn commit(&self, message: &str, paths: &[PathBuf]) -> Result<ObjectId, ProcessError> {
        let list = listed(paths);
        let from_stdin = ["--pathspec-from-file=-", "--pathspec-file-nul"];
        let mut commit = self.talking(&["--literal-pathspecs", "commit", "--quiet", "--message", message]);
        commit.arg("--only").args(from_stdin);
        output(commit, &list)?;
        self.resolve("HEAD").ok_or_else(|| ProcessError::Failed("there is no commit".to_owned()))
    }

    /// Whether something could be committed: there is a name to do it by.
    ///
    /// # Errors
    /// What Git says.
    pub fn knows_its_user(&self) -> Result<(), ProcessError> {
        for identity in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
            output(self.talking(&["var", identity]), b"")?;
        }
        Ok(())
    }

    /// What is under way in the work tree that keeps some of its files from being committed alone, as the command of
    /// Git that ends it.
    #[must_use]
    pub fn unfinished(&self) -> Option<&'static str> {
        let ways = [("MERGE_HEAD", "merge"), ("CHERRY_PICK_HEAD", "cherry-pick"), ("REVERT_HEAD", "revert")];
        let found = ways.into_iter().find(|(head, _)| self.resolve(head).is_some());
        found.map(|(_, command)| command)
    }

    /// A commit of what `HEAD` is, signed as this clone signs, that is not kept: the bytes of the object. Whoever holds the
    /// key may be asked for it.
    ///
    /// # Errors
    /// What Git says, such as that there is no key.
    pub fn signed_trial(&self) -> Result<Vec<u8>, ProcessError> {
        let objects = tempfile::Builder::new().prefix("kubiya-").tempdir().map_err(ProcessError::Talk)?;
        let kept = self.common_folder()?.join("objects");
        let git = |arguments: &[&str]| {
            let mut command = self.talking(arguments);
            command
                .env("GIT_OBJECT_DIRECTORY", objects.path())
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &kept);
            output(command, b"")
        };
        let made = git(&["commit-tree", "-S", "HEAD^{tree}", "-m", "A trial of the signature"])?;
        let name = String::from_utf8_lossy(&made).trim().to_owned();
        git(&["cat-file", "commit", &name])
    }

    /// Makes a branch of a remote what `HEAD` is; with `replacing` also where that takes commits away, as long as the
    /// branch is there what it is said to be (`None` for not there).
    ///
    /// # Errors
    /// The remote cannot be reached. That it did not take the push is no error.
    pub fn push(
        &self,
        to: &RemoteBranch,
        replacing: Option<Option<ObjectId>>,
    ) -> Result<Pushed, ProcessError> {
        let refspec = format!("HEAD:refs/heads/{}", to.branch);
        let lease = replacing.map(|there| {
            let there = there.map(|there| there.to_string()).unwrap_or_default();
            format!("--force-with-lease=refs/heads/{}:{there}", to.branch)
        });
        let mut command = self.talking(&["push", "--porcelain"]);
        command.args(lease).args([&to.remote, &refspec]);
        let done = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .map_err(ProcessError::Start)?;
        if done.status.success() {
            return Ok(Pushed::Done);
        }
        // Git pads what a remote says to the width of a screen.
        let stderr = String::from_utf8_lossy(&done.stderr);
        let said = stderr.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        let said = without_credentials(said.trim());
        let stdout = String::from_utf8_lossy(&done.stdout);
        let rejected = stdout.lines().find(|line| line.starts_with('!'));
        match rejected {
            Some(line) => {
                let line = line.trim_start_matches('!').trim().replace('\t', " ");
                Ok(Pushed::Rejected(if said.is_empty() { line } else { format!("{said}\n{line}") }))
            }
            None => Err(ProcessError::Failed(said)),
        }
    }

    /// Asks a remote whether it would take a push of `HEAD`, as far as it says so beforehand: hooks are not run.
    ///
    /// # Errors
    /// What Git and the remote say.
    pub fn may_push(&self, to: &RemoteBranch) -> Result<(), ProcessError> {
        let refspec = format!("HEAD:refs/heads/{}", to.branch);
        output(self.talking(&["push", "--dry-run", "--quiet", "--no-verify", &to.remote, &refspec]), b"")
            .map(|_| ())
    }

    /// Gives files back the content of the last commit.
    ///
    /// # Errors
    /// What Git says.
    pub fn restore(&self, paths: &[PathBuf]) -> Result<(), ProcessError> {
        let mut command = self.talking(&["--literal-pathspecs", "checkout", "--quiet", "HEAD"]);
        command.args(["--pathspec-from-file=-", "--pathspec-file-nul"]);
        output(command, &listed(paths)).map(|_| ())
    }

    /// Moves the branch and the work tree to a commit; changes that are not committed stay, and where they are in
    /// the way nothing happens.
    ///
    /// # Errors
    /// What Git says.
    pub fn move_to(&self, commit: ObjectId) -> Result<(), ProcessError> {
        let name = commit.to_string();
        // What is staged stays so on the way forward, which a reset would take out of the index.
        let forward = ["merge", "--quiet", "--ff-only", "--no-autostash", &name];
        if output(self.talking(&forward), b"").is_ok() && self.resolve("HEAD") == Some(commit) {
            return Ok(());
        }
        output(self.talking(&["reset", "--quiet", "--keep", &name]), b"").map(|_| ())
    }

    /// Makes a work tree of its own at a commit, without a branch.
    ///
    /// # Errors
    /// What Git says.
    pub fn another(&self, at: &Path, commit: ObjectId) -> Result<Self, ProcessError> {
        self.run(&["worktree", "prune"])?;
        let mut command = self.talking(&["worktree", "add", "--quiet", "--force", "--detach"]);
        command.arg(at).arg(commit.to_string());
        output(command, b"")?;
        Ok(Self::at(at))
    }

    /// Takes a work tree away that [`Self::another`] made.
    pub fn remove(&self, at: &Path) {
        let mut command = self.talking(&["worktree", "remove", "--force", "--force"]);
        command.arg(at);
        let _ = output(command, b"");
        let _ = std::fs::remove_dir_all(at);
        let _ = self.run(&["worktree", "prune"]);
    }

    /// A command that may run hooks or talk to a remote: with replacement objects and prompts as the user has them.
    fn talking(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.env("LC_ALL", "C").current_dir(&self.top).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Result<Vec<u8>, ProcessError> {
        let mut command = git();
        command.current_dir(&self.top).args(words);
        output(command, b"")
    }

    fn line(&self, words: &[&str]) -> Result<Vec<u8>, ProcessError> {
        let mut line = self.run(words)?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok(line)
    }
}

/// Paths as Git reads them from its standard input.
fn listed(paths: &[PathBuf]) -> Vec<u8> {
    let mut list = Vec::new();
    for path in paths {
        list.extend_from_slice(path.as_os_str().as_bytes());
        list.push(0);
    }
    list
}

/// Paths as Git lists them with `-z`.
fn paths_of(listed: &[u8]) -> Vec<PathBuf> {
    let paths = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    paths.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect()
}

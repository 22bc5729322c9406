//! A false secret on the way that real ones would take.

use crate::git::configuration::{elsewhere, hooks_folder, line};
use crate::git::{ProcessError, output_within};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Our hook refused it.
    Refused,
    /// It was accepted; `left` says where it still is.
    Accepted {
        /// The ref that could not be taken away again.
        left: Option<String>,
    },
    /// Something else refused it. The text is Git's.
    Unclear(String),
}

/// The false secret: every reader of Kubernetes objects takes it for one.
const CANARY: &str = "\
# A test by `kubiya-hook doctor`. The value is not a secret; this file is to be refused.
apiVersion: v1
kind: Secret
metadata:
  name: kubiya-doctor
stringData:
  password: not-a-secret-but-to-be-refused
";

const FILE: &str = "kubiya-doctor-canary.yaml";

/// How long a remote may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Objects that nobody else sees: in a folder of their own, which goes with the proof.
struct Apart<'a> {
    repository: &'a Path,
    folder: tempfile::TempDir,
    alternates: OsString,
}

impl<'a> Apart<'a> {
    fn new(repository: &'a Path) -> Result<Self, ProcessError> {
        let folder =
            tempfile::Builder::new().prefix("kubiya-doctor-").tempdir().map_err(ProcessError::Start)?;
        std::fs::create_dir(folder.path().join("objects")).map_err(ProcessError::Start)?;
        let mut objects = elsewhere(repository);
        objects.args(["rev-parse", "--git-path", "objects"]);
        let objects = repository.join(line(objects)?);
        let objects = objects.canonicalize().unwrap_or(objects);
        Ok(Self { repository, folder, alternates: quoted(objects.as_os_str()) })
    }

    fn git(&self) -> Command {
        self.git_in(self.repository)
    }

    fn git_in(&self, folder: &Path) -> Command {
        let mut command = elsewhere(folder);
        command.env("GIT_OBJECT_DIRECTORY", self.folder.path().join("objects"));
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.alternates);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "kubiya-hook doctor");
            command.env(format!("GIT_{role}_EMAIL"), "kubiya-hook@example.invalid");
        }
        command.env("GIT_LFS_SKIP_SMUDGE", "1");
        command
    }

    /// A commit without parents that holds the false secret alone.
    fn canary(&self) -> Result<OsString, ProcessError> {
        let file = self.folder.path().join(FILE);
        std::fs::write(&file, CANARY).map_err(ProcessError::Start)?;
        let mut blob = self.git();
        blob.args(["hash-object", "-w", "--no-filters", "--"]).arg(&file);
        let blob = line(blob)?;
        let mut tree = self.git();
        tree.arg("mktree");
        let entry = [b"100644 blob ", blob.as_bytes(), b"\t", FILE.as_bytes(), b"\n"].concat();
        let tree = crate::git::output(tree, &entry)?;
        let mut commit = self.git();
        commit.args(["commit-tree", "-m", "kubiya-hook doctor: a false secret, to be refused"]);
        commit.arg(OsString::from_vec(tree.trim_ascii().to_owned()));
        line(commit)
    }
}

/// A path in the list of alternates, as Git reads it.
fn quoted(path: &OsStr) -> OsString {
    let bytes = path.as_bytes();
    if !bytes.contains(&b':') && !bytes.starts_with(b"\"") {
        return path.to_owned();
    }
    let escaped = bytes.iter().flat_map(|byte| match byte {
        b'"' | b'\\' => vec![b'\\', *byte],
        b'\n' => b"\\n".to_vec(),
        _ => vec![*byte],
    });
    OsString::from_vec(std::iter::once(b'"').chain(escaped).chain([b'"']).collect())
}

/// Whether the text of a refusal is ours.
fn judge(error: ProcessError) -> Result<Proof, ProcessError> {
    match error {
        ProcessError::Failed(text) if text.contains("[KBY") => Ok(Proof::Refused),
        ProcessError::Failed(text) => Ok(Proof::Unclear(text)),
        error => Err(error),
    }
}

/// Pushes a false secret from a repository to a remote, by its name or its URL, and takes it away again where
/// it was accepted. Hooks of the repository itself are not run.
///
/// # Errors
/// Git cannot be run, or the time is over.
pub fn by_push(repository: &Path, remote: &OsStr, name: Option<&str>) -> Result<Proof, ProcessError> {
    let apart = Apart::new(repository)?;
    let random = apart.folder.path().file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let own = format!("refs/kubiya/doctor/{}", random.trim_start_matches("kubiya-doctor-").replace('.', "-"));
    let name = name.unwrap_or(&own);
    let push = |what: OsString| {
        let mut push = apart.git();
        push.args(["-c", "push.followTags=false", "push", "--no-verify", "--no-recurse-submodules", "--"]);
        push.arg(remote).arg(what);
        output_within(push, PATIENCE)
    };
    let mut what = apart.canary()?;
    what.push(":");
    what.push(name);
    if let Err(error) = push(what) {
        return judge(error);
    }
    let gone = push(OsString::from(format!(":{name}")));
    Ok(Proof::Accepted { left: gone.is_err().then(|| name.to_owned()) })
}

/// Commits a false secret in a work tree of its own, with the hooks of a clone.
///
/// # Errors
/// Git cannot be run.
pub fn by_commit(top: &Path) -> Result<Proof, ProcessError> {
    let apart = Apart::new(top)?;
    let tree = apart.folder.path().join("tree");
    let mut head = elsewhere(top);
    head.args(["rev-parse", "--verify", "--quiet", "HEAD"]);
    let is_born = line(head).is_ok();
    if is_born {
        let mut add = apart.git();
        add.args(["-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach"])
            .arg(&tree)
            .arg("HEAD");
        line(add)?;
    } else {
        let mut init = elsewhere(apart.folder.path());
        init.args(["init", "--quiet"]).arg(&tree);
        line(init)?;
    }
    let proof = commit(&apart, top, &tree);
    if is_born {
        let mut remove = elsewhere(top);
        remove.args(["worktree", "remove", "--force"]).arg(&tree);
        line(remove)?;
    }
    proof
}

fn commit(apart: &Apart<'_>, top: &Path, tree: &Path) -> Result<Proof, ProcessError> {
    std::fs::write(tree.join(FILE), CANARY).map_err(ProcessError::Start)?;
    let mut add = apart.git_in(tree);
    add.args(["add", "--force", "--", FILE]);
    line(add)?;
    let mut path = OsString::from("core.hooksPath=");
    // A relative path would lead elsewhere from there.
    path.push(std::path::absolute(hooks_folder(top)?).map_err(ProcessError::Start)?);
    let mut commit = apart.git_in(tree);
    commit.arg("-c").arg(path);
    commit.args(["-c", "commit.gpgSign=false", "commit", "--quiet", "--message", "kubiya-hook doctor"]);
    match output_within(commit, PATIENCE) {
        Ok(_) => Ok(Proof::Accepted { left: None }),
        Err(error) => judge(error),
    }
}

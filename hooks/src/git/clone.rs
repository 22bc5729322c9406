//! The clone that a command is run in: its settings, the files in its Git folder, and Git's own merge. All by
//! the `git` command, which knows linked work trees, submodules and the variables of a running Git command.

use super::process::{git, output};
use super::{ObjectId, ProcessError};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn run<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Vec<u8>, ProcessError> {
    let mut command = git();
    command.args(arguments);
    output(command, b"")
}

fn line(arguments: &[&str]) -> Result<OsString, ProcessError> {
    let mut line = run(arguments)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(OsString::from_vec(line))
}

/// The top of the work tree.
///
/// # Errors
/// Not in a work tree.
pub fn top() -> Result<PathBuf, ProcessError> {
    line(&["rev-parse", "--show-toplevel"]).map(PathBuf::from)
}

/// A file of the Git folder, from the current folder: of the one of this work tree or of all work trees, as
/// Git keeps it.
///
/// # Errors
/// Not in a repository.
pub fn file(name: &str) -> Result<PathBuf, ProcessError> {
    line(&["rev-parse", "--git-path", name]).map(PathBuf::from)
}

/// The Git folder that all work trees of the clone share, from the current folder.
///
/// # Errors
/// Not in a repository.
pub fn common_folder() -> Result<PathBuf, ProcessError> {
    line(&["rev-parse", "--git-common-dir"]).map(PathBuf::from)
}

/// A setting in the clone's own configuration.
#[must_use]
pub fn setting(key: &str) -> Option<OsString> {
    line(&["config", "--local", "--get", key]).ok()
}

/// What the clone knows that a remote has: where its remote-tracking refs point.
///
/// # Errors
/// What Git says.
pub fn tracked(remote: &OsStr) -> Result<Vec<ObjectId>, ProcessError> {
    let mut refs = OsString::from("refs/remotes/");
    refs.push(remote);
    let words = ["for-each-ref", "--format=%(objectname)", "--"].map(OsStr::new);
    let listed = run(&[&words[..], &[&refs]].concat())?;
    Ok(listed.split(|byte| *byte == b'\n').filter_map(ObjectId::from_hex).collect())
}

/// The default branch of a remote, as the clone knows it: what the remote's HEAD was when it was cloned, or the
/// branch of a usual name.
#[must_use]
pub fn default_branch(remote: &OsStr) -> Option<ObjectId> {
    ["HEAD", "main", "master"].iter().find_map(|branch| {
        let mut name = OsString::from("refs/remotes/");
        name.push(remote);
        name.push("/");
        name.push(branch);
        resolve(&name).ok()
    })
}

/// The names of the remotes that are at a URL.
///
/// # Errors
/// Git cannot be started.
pub fn remotes_at(url: &OsStr) -> Result<Vec<OsString>, ProcessError> {
    let listed = match run(&["config", "--null", "--get-regexp", r"^remote\..*\.(push)?url$"]) {
        Ok(listed) => listed,
        // There is no remote.
        Err(ProcessError::Failed(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let remote = |setting: &[u8]| {
        let mut parts = setting.splitn(2, |byte| *byte == b'\n');
        let key = parts.next()?.strip_prefix(b"remote.")?;
        let name = key.strip_suffix(b".url").or_else(|| key.strip_suffix(b".pushurl"))?;
        (parts.next()? == url.as_bytes()).then(|| OsString::from_vec(name.to_owned()))
    };
    Ok(listed.split(|byte| *byte == 0).filter_map(remote).collect())
}

/// The commit that a revision names.
///
/// # Errors
/// It names none.
pub fn resolve(revision: &OsStr) -> Result<ObjectId, ProcessError> {
    let mut commit = revision.to_owned();
    commit.push("^{commit}");
    let words = ["rev-parse", "--verify", "--end-of-options"].map(OsStr::new);
    let line = run(&[&words[..], &[&commit]].concat())?;
    let id = line.split(|byte| *byte == b'\n').find_map(ObjectId::from_hex);
    id.ok_or_else(|| ProcessError::Failed(format!("{} is no commit", revision.display())))
}

/// Commits as Git's language of revisions names them (gitrevisions(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// What is meant, with all that it follows.
    pub tips: Vec<ObjectId>,
    /// What is not meant, with all that it follows.
    pub without: Vec<ObjectId>,
}

/// Reads a revision or a range of them.
///
/// # Errors
/// It names none.
pub fn range(revision: &OsStr) -> Result<Range, ProcessError> {
    let words = ["rev-parse", "--end-of-options"].map(OsStr::new);
    let listed = run(&[&words[..], &[revision]].concat())?;
    let mut range = Range::default();
    for line in listed.split(|byte| *byte == b'\n') {
        match line.strip_prefix(b"^") {
            Some(without) => range.without.extend(ObjectId::from_hex(without)),
            None => range.tips.extend(ObjectId::from_hex(line)),
        }
    }
    Ok(range)
}

/// Where two commits parted; `None` where they have nothing in common, or it is not here.
#[must_use]
pub fn merge_base(one: ObjectId, other: ObjectId) -> Option<ObjectId> {
    let line = run(&["merge-base", &one.to_string(), &other.to_string()]).ok()?;
    line.split(|byte| *byte == b'\n').find_map(ObjectId::from_hex)
}

/// All refs and HEAD, by what they point at, tags not peeled.
///
/// # Errors
/// What Git says.
pub fn refs() -> Result<Vec<(ObjectId, Vec<u8>)>, ProcessError> {
    let listed = run(&["for-each-ref", "--format=%(objectname) %(refname)"])?;
    let pair = |line: &[u8]| {
        let space = line.iter().position(|byte| *byte == b' ')?;
        Some((ObjectId::from_hex(&line[..space])?, line[space + 1..].to_owned()))
    };
    let mut refs: Vec<_> = listed.split(|byte| *byte == b'\n').filter_map(pair).collect();
    // Detached, it may be where no ref is.
    refs.extend(resolve(OsStr::new("HEAD")).ok().map(|id| (id, b"HEAD".to_vec())));
    Ok(refs)
}

/// Whether commits are left out of the clone.
#[must_use]
pub fn is_shallow() -> bool {
    line(&["rev-parse", "--is-shallow-repository"]).is_ok_and(|answer| answer == "true")
}

/// A setting that is a path, from all of Git's configuration that counts here; a relative one counts from the
/// Git folder.
///
/// # Errors
/// What Git says; that it has no such setting is none.
pub fn path_setting(key: &str) -> Result<Option<PathBuf>, ProcessError> {
    // A path that cannot be tells what is not set from what is set to nothing, which is no file.
    const UNSET: &str = "/dev/null/unset";
    let value = match line(&["config", "--type=path", &format!("--default={UNSET}"), "--get", key])? {
        value if value == UNSET => return Ok(None),
        value => PathBuf::from(value),
    };
    Ok(Some(if value.is_absolute() {
        value
    } else {
        line(&["rev-parse", "--absolute-git-dir"]).map(PathBuf::from)?.join(value)
    }))
}

/// Writes a setting into the clone's own configuration, in place of all of its name.
///
/// # Errors
/// What Git says.
pub fn set(key: &str, value: &OsStr) -> Result<(), ProcessError> {
    let words = ["config", "--local", "--replace-all", key].map(OsStr::new);
    run(&[&words[..], &[value]].concat()).map(|_| ())
}

/// Takes a setting out of the clone's own configuration.
///
/// # Errors
/// What Git says.
pub fn unset(key: &str) -> Result<(), ProcessError> {
    run(&["config", "--local", "--unset-all", key]).map(|_| ())
}

/// The values that attributes have for the files of the index that fit one of the patterns, as `name: value`,
/// each with the first file that has it. Attributes without a value are left out.
///
/// # Errors
/// What Git says.
pub fn attributes(patterns: &[&str], names: &[&str]) -> Result<BTreeMap<String, PathBuf>, ProcessError> {
    let files = run(&[&["ls-files", "-z", "--full-name", "--"], patterns].concat())?;
    let mut command = git();
    command.args(["check-attr", "-z", "--stdin"]).args(names);
    let listed = output(command, &files)?;
    let mut fields = listed.split(|byte| *byte == 0);
    let mut found = BTreeMap::new();
    while let (Some(path), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next()) {
        if value != b"unspecified" {
            let value = format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            found.entry(value).or_insert_with(|| PathBuf::from(OsString::from_vec(path.to_owned())));
        }
    }
    Ok(found)
}

/// What Git's own merge of three files needs beside them.
#[derive(Clone, Debug)]
pub struct MergeFile<'m> {
    /// How long conflict markers are.
    pub marker_size: &'m str,
    /// What to call ours, the base and theirs in the markers.
    pub labels: [&'m OsStr; 3],
    /// The algorithm that a merge of Git compares with, where `git merge-file` knows others.
    pub algorithm: Option<&'m str>,
}

/// Merges two files into the first one as Git does, with its conflict style; Git complains on stderr. True
/// where there is no conflict.
///
/// # Errors
/// Git cannot be started.
pub fn merge_file(
    ours: &Path,
    base: &Path,
    theirs: &Path,
    options: &MergeFile<'_>,
) -> Result<bool, ProcessError> {
    let run = |algorithm: Option<&str>, stderr: Stdio| {
        let mut command = git();
        command.args(["merge-file", "-q", &format!("--marker-size={}", options.marker_size)]);
        command.args(algorithm.map(|algorithm| format!("--diff-algorithm={algorithm}")));
        for label in options.labels {
            command.arg("-L").arg(label);
        }
        command.arg("--").args([ours, base, theirs]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .status()
            .map_err(ProcessError::Start)
    };
    if let Some(algorithm) = options.algorithm {
        let status = run(Some(algorithm), Stdio::null())?;
        if status.code().is_some_and(|code| code < 128) {
            return Ok(status.success());
        }
    }
    run(None, Stdio::inherit()).map(|status| status.success())
}

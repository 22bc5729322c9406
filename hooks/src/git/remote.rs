//! Looking at a repository elsewhere, through the `git` command: it knows the user's credential
//! helpers, SSH configuration and proxies, which libgit2 does not.

use super::process::{self, ProcessError};
use std::process::Command;
use std::time::Duration;

/// What a remote says about a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchTip {
    /// The object name of its last commit, in hexadecimal.
    Found(String),
    /// The repository answered and has no such branch.
    Missing,
}

/// Why a remote gave no answer. Credentials of URLs are masked in its text.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RemoteError(#[from] ProcessError);

impl RemoteError {
    /// Whether the time was over; the remote may be there and slow.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, ProcessError::Timeout(_))
    }
}

/// Variables that tie a command to a repository (`git rev-parse --local-env-vars`); set when we are
/// called from a hook, and no business of a remote.
const LOCAL_VARIABLES: [&str; 10] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_PREFIX",
];

/// Asks a remote for the tip of a branch (`main`, without `refs/heads/`). Nobody is asked for a
/// password; the command is ended after `timeout`.
///
/// # Errors
/// Where git cannot be run, the remote cannot be reached or refuses, or the time is over.
pub fn branch_tip(url: &str, branch: &str, timeout: Duration) -> Result<BranchTip, RemoteError> {
    let name = format!("refs/heads/{branch}");
    let mut command = quiet_git();
    command.args(["ls-remote", "--quiet", "--", url, &name]);
    let listed = process::output_within(command, timeout)?;
    Ok(find(&listed, &name))
}

/// The line of exactly this ref: git matches the pattern against the end of names, too.
fn find(listed: &[u8], name: &str) -> BranchTip {
    let mut lines = listed.split(|byte| *byte == b'\n');
    let found = lines.find_map(|line| line.strip_suffix(name.as_bytes())?.strip_suffix(b"\t"));
    match found {
        Some(oid) => BranchTip::Found(String::from_utf8_lossy(oid).into_owned()),
        None => BranchTip::Missing,
    }
}

fn quiet_git() -> Command {
    let mut command = process::git();
    forget_repository(&mut command);
    command.env("SSH_ASKPASS_REQUIRE", "never");
    if !ssh_is_configured() {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    }
    command
}

/// Takes away what would tie the command to the repository whose hook we may be.
pub(super) fn forget_repository(command: &mut Command) {
    for variable in LOCAL_VARIABLES {
        command.env_remove(variable);
    }
}

/// Whether the user chose an SSH program: then it stays, with what it may ask.
fn ssh_is_configured() -> bool {
    let variable = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if variable("GIT_SSH_COMMAND") || variable("GIT_SSH") {
        return true;
    }
    let mut command = process::git();
    command.args(["config", "--get", "core.sshCommand"]);
    process::output(command, b"").is_ok_and(|value| !value.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_name_counts() {
        let listed = b"1111\trefs/remotes/refs/heads/main\n2222\trefs/heads/main\n";
        assert_eq!(find(listed, "refs/heads/main"), BranchTip::Found("2222".into()));
        assert_eq!(find(b"1111\trefs/x/refs/heads/main\n", "refs/heads/main"), BranchTip::Missing);
        assert_eq!(find(b"", "refs/heads/main"), BranchTip::Missing);
    }

    #[test]
    fn a_url_is_never_an_option() {
        let error = branch_tip("--upload-pack=true", "main", Duration::from_secs(10)).unwrap_err();
        assert!(!error.is_timeout());
    }
}

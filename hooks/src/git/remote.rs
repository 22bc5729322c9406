//! Looking at a repository elsewhere, through the `git` command, with exactly the credentials that were given: what
//! this user has beside them (helpers, agents, configuration) would prove nothing about somebody else.

use super::process::{self, ProcessError};
use super::{GitError, ObjectId, Repository};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// With what a remote is talked to. The default is: as anybody.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The `Authorization` header of HTTP requests, such as `Bearer …`.
    pub authorization: Option<SecretString>,
    /// File with the certificates that the server's may be signed by, in place of this machine's.
    pub certificate_authority: Option<PathBuf>,
    /// The certificate by which we are known to the server.
    pub client: Option<ClientCertificate>,
    /// The proxy for HTTP: a URL, which may hold a user and a password.
    pub proxy: Option<SecretString>,
    /// The key for ssh.
    pub ssh: Option<SshAccess>,
}

/// Files in PEM, by absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, without a passphrase.
    pub key: PathBuf,
}

/// Files for ssh, by absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshAccess {
    /// The private key, without a passphrase.
    pub private_key: PathBuf,
    /// The host keys that are accepted, and no others.
    pub known_hosts: PathBuf,
}

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

    /// Whether the remote answered and does not let us in. All else may be different from another machine: names, routes,
    /// proxies.
    pub fn is_refusal(&self) -> bool {
        self.refusal().is_some()
    }

    /// What a remote that answered refuses; `None` where it did not answer, or not to the question.
    pub fn refusal(&self) -> Option<Refusal> {
        // The words of git, curl and ssh, which run in English.
        const REFUSALS: [(&str, Refusal); 17] = [
            ("Host key verification failed", Refusal::HostKey),
            ("epository not found", Refusal::NotFound),
            ("' not found", Refusal::NotFound),
            ("Authentication failed", Refusal::Credentials),
            ("could not read Username", Refusal::Credentials),
            ("could not read Password", Refusal::Credentials),
            ("returned error: 401", Refusal::Credentials),
            ("returned error: 403", Refusal::Credentials),
            ("Permission denied", Refusal::Credentials),
            // TLS, where the server wants another certificate of ours or none at all (GnuTLS, OpenSSL).
            ("returned error: 400", Refusal::Credentials),
            ("TLS fatal alert", Refusal::Credentials),
            ("alert bad certificate", Refusal::Credentials),
            ("alert certificate required", Refusal::Credentials),
            ("alert unknown ca", Refusal::Credentials),
            // A proxy that does not know us.
            ("returned error: 407", Refusal::Credentials),
            ("response 407", Refusal::Credentials),
            ("HTTP code 407 from proxy", Refusal::Credentials),
        ];
        let ProcessError::Failed(text) = &self.0 else { return None };
        REFUSALS.iter().find(|(words, _)| text.contains(words)).map(|(_, refusal)| *refusal)
    }
}

/// What a remote refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Who we are, or what we may.
    Credentials,
    /// There is no such repository, or not for us: many servers say the same of both.
    NotFound,
    /// It shows another key than it is known by.
    HostKey,
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
pub fn branch_tip(
    url: &str,
    branch: &str,
    access: &Access,
    timeout: Duration,
) -> Result<BranchTip, RemoteError> {
    let name = format!("refs/heads/{branch}");
    let mut command = git_with(url, access);
    command.args(["ls-remote", "--quiet", "--", url, &name]);
    let listed = process::output_within(command, timeout)?;
    Ok(find(&listed, &name))
}

/// A branch as a remote has it now, without its history: in a folder that goes with the value.
#[derive(Debug)]
pub struct Fetched {
    /// The repository with the one commit.
    pub repository: Repository,
    /// The commit at the tip.
    pub tip: ObjectId,
    _folder: tempfile::TempDir,
}

/// Fetches the tip of a branch; `None` where the remote has no such branch.
///
/// # Errors
/// Those of [`branch_tip`], and a folder that cannot be made.
pub fn fetch_branch(
    url: &str,
    branch: &str,
    access: &Access,
    timeout: Duration,
) -> Result<Option<Fetched>, RemoteError> {
    let folder = tempfile::Builder::new().prefix("kubiya-").tempdir().map_err(ProcessError::Talk)?;
    let git = || {
        let mut command = git_with(url, access);
        command.arg("--git-dir").arg(folder.path());
        command
    };
    let mut init = git();
    init.args(["init", "--quiet", "--bare", "--template="]);
    process::output_within(init, timeout)?;
    let mut fetch = git();
    fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", url]);
    fetch.arg(format!("+refs/heads/{branch}:refs/heads/tip"));
    match process::output_within(fetch, timeout) {
        Ok(_) => {}
        Err(ProcessError::Failed(text)) if text.contains("couldn't find remote ref") => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let unreadable = |error: GitError| RemoteError(ProcessError::Failed(error.to_string()));
    let repository = Repository::open_at(folder.path()).map_err(unreadable)?;
    let tip = repository.reference("refs/heads/tip").map_err(unreadable)?;
    let missing = || RemoteError(ProcessError::Failed("nothing was fetched".to_owned()));
    Ok(Some(Fetched { repository, tip: tip.ok_or_else(missing)?, _folder: folder }))
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

/// `git` with these credentials and with nothing of the user's. The header goes by the environment: arguments can
/// be read by everybody on the machine, and a file would hold it in clear.
fn git_with(url: &str, access: &Access) -> Command {
    let mut command = process::git();
    forget_repository(&mut command);
    // No repository, no .netrc, no configuration: no rewritten URLs, no helpers. Where it starts nothing is found.
    command.current_dir("/").env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_ASKPASS", "").env("SSH_ASKPASS_REQUIRE", "never").env("GIT_TRACE_REDACT", "1");
    // These would win over what is set here.
    for variable in ["GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_SSL_NO_VERIFY"] {
        command.env_remove(variable);
    }
    // For a Git that does not know GIT_CONFIG_GLOBAL (before 2.32).
    let mut settings = vec![("credential.helper".to_owned(), String::new())];
    if let (Some(header), Some(origin)) = (&access.authorization, origin(url)) {
        let value = format!("Authorization: {}", header.expose_secret());
        settings.push((format!("http.{origin}.extraHeader"), value));
    }
    if let Some(path) = &access.certificate_authority {
        settings.push(("http.sslCAInfo".to_owned(), path.display().to_string()));
    }
    if let Some(client) = &access.client {
        settings.push(("http.sslCert".to_owned(), client.certificate.display().to_string()));
        settings.push(("http.sslKey".to_owned(), client.key.display().to_string()));
    }
    if let Some(proxy) = &access.proxy {
        settings.push(("http.proxy".to_owned(), proxy.expose_secret().to_owned()));
        // It is for every host; what this machine leaves out is no business of Flux.
        command.env_remove("NO_PROXY").env_remove("no_proxy");
    }
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (index, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    command.env_remove("GIT_SSH").env("GIT_SSH_VARIANT", "ssh");
    command.env("GIT_SSH_COMMAND", ssh_command(access.ssh.as_ref()));
    command
}

/// Scheme and host of a URL, to which alone the header is sent: a redirection may lead elsewhere.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    Some(format!("{scheme}://{}/", rest.split('/').next()?))
}

/// The ssh command for the shell that Git runs it by.
fn ssh_command(access: Option<&SshAccess>) -> String {
    let mut command = "ssh -F /dev/null -o BatchMode=yes -o IdentityAgent=none -o IdentitiesOnly=yes \
        -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null"
        .to_owned();
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    match access {
        Some(SshAccess { private_key, known_hosts }) => {
            // ssh reads quotes and `%` of its own in the value of an option.
            let option = format!("UserKnownHostsFile=\"{}\"", known_hosts.display()).replace('%', "%%");
            command += &format!(" -i {} -o {}", quoted(private_key), quoted(Path::new(&option)));
        }
        None => command += " -o IdentityFile=none -o UserKnownHostsFile=/dev/null",
    }
    command
}

/// Takes away what would tie the command to the repository whose hook we may be.
pub(super) fn forget_repository(command: &mut Command) {
    for variable in LOCAL_VARIABLES {
        command.env_remove(variable);
    }
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
        let error = branch_tip("--upload-pack=true", "main", &Access::default(), Duration::from_secs(10))
            .unwrap_err();
        assert!(!error.is_timeout());
    }

    #[test]
    fn the_header_is_in_no_argument_and_goes_to_its_host_alone() {
        let access = Access { authorization: Some("Bearer CANARY".into()), ..Access::default() };
        let command = git_with("https://git.example.com:8443/a/b.git", &access);
        assert!(command.get_args().all(|argument| !argument.display().to_string().contains("CANARY")));
        assert!(!format!("{access:?}").contains("CANARY"));
        let variable = |name: &str| {
            let found = command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
            found.map(|value| value.to_str().unwrap().to_owned()).unwrap()
        };
        assert_eq!(variable("GIT_CONFIG_KEY_1"), "http.https://git.example.com:8443/.extraHeader");
        assert_eq!(variable("GIT_CONFIG_VALUE_1"), "Authorization: Bearer CANARY");
        assert_eq!(variable("GIT_CONFIG_COUNT"), "2");
    }

    #[test]
    fn paths_of_keys_are_one_word_each() {
        let access = SshAccess { private_key: "/a b/it's".into(), known_hosts: "/k h/100%".into() };
        let command = ssh_command(Some(&access));
        assert!(command.ends_with(r#" -i '/a b/it'\''s' -o 'UserKnownHostsFile="/k h/100%%"'"#), "{command}");
    }
}

//! Keys for ssh, by OpenSSH's own `ssh-keygen`: it reads every form of key and of known hosts, and whoever has an ssh URL
//! has it.

use super::host_keys::ask_for;
use super::public_file;
use crate::keys::Ask;
use kubiya_hook::edge::Failure;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use zeroize::Zeroizing;

/// A private key and its public half.
#[derive(Debug)]
pub(super) struct PrivateKey {
    pub(super) private: SecretString,
    pub(super) public: String,
    pub(super) path: PathBuf,
    /// It was not there before.
    pub(super) made: bool,
}

/// Reads a private key; makes it first where it is not there and `make`.
pub(super) fn private_key(path: &Path, make: bool) -> Result<PrivateKey, Failure> {
    let failed =
        |why: &str| Failure::usage(format!("--private-key-file: {why}")).at(path.display().to_string());
    let made = make && path.symlink_metadata().is_err();
    if made {
        generate(path)?;
    }
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
        let failure = failed("cannot read it").because(&error);
        match error.kind() {
            std::io::ErrorKind::NotFound => failure.hint(
                "--generate-private-key makes it (not in a dry run, and not with --export), or: ssh-keygen -t ed25519 -N '' -f FILE",
            ),
            _ => failure,
        }
    })?;
    // An empty passphrase, so that nobody is asked for one.
    let output = keygen(&["-y", "-P", "", "-f"], path)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim_end().lines().next_back().unwrap_or_default().to_owned();
        return Err(failed("no private key that Flux could use").because_of(last).hint(
            "a key with a passphrase is no use to Flux: make one for it alone, with --generate-private-key",
        ));
    }
    let public = String::from_utf8_lossy(&output.stdout).trim_end().to_owned() + "\n";
    let path = path.canonicalize().map_err(|error| failed("cannot read it").because(&error))?;
    // What a text editor left out, ssh libraries refuse.
    let text = if text.ends_with('\n') { text.to_string() } else { format!("{}\n", *text) };
    Ok(PrivateKey { private: text.into(), public, path, made })
}

fn generate(path: &Path) -> Result<(), Failure> {
    let output = keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "flux", "-f"], path)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::usage("--generate-private-key: cannot make it")
        .at(path.display().to_string())
        .because_of(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// The file of known hosts, and the keys of the one host that matters.
#[derive(Debug)]
pub(super) struct KnownHosts {
    pub(super) text: String,
    pub(super) path: PathBuf,
    /// `host TYPE SHA256:…` each.
    pub(super) fingerprints: Vec<String>,
}

/// Reads a file of known hosts, which must have the host of the URL. Where it has not, the server's keys go there when
/// somebody who can be asked takes them for its own.
pub(super) fn known_hosts(path: &Path, url: &str, ask: Option<&dyn Ask>) -> Result<KnownHosts, Failure> {
    let host = host_of(url);
    let is_there = path.symlink_metadata().is_ok();
    let mut fingerprints = if is_there { fingerprints_of(path, &host)? } else { Vec::new() };
    if fingerprints.is_empty() {
        let what = if is_there { "it has" } else { "it is not there, and so has" };
        let unknown = Failure::usage(format!("--known-hosts-file: {what} no key of `{host}`"))
            .at(path.display().to_string())
            .hint(format!(
                "{}   # compare with what the server's operator publishes, then add it to the file",
                keyscan(url)
            ))
            .hint("or run it in a terminal (no dry run, no export): it shows the server's keys and asks");
        match ask {
            Some(ask) => ask_for(path, url, ask, unknown)?,
            None => return Err(unknown),
        }
        fingerprints = fingerprints_of(path, &host)?;
    }
    let (text, absolute) = public_file(path, "--known-hosts-file")?;
    Ok(KnownHosts { text, path: absolute, fingerprints })
}

fn fingerprints_of(path: &Path, host: &str) -> Result<Vec<String>, Failure> {
    let output = keygen(&["-l", "-F", host, "-f"], path)?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let fingerprints = listed.lines().filter(|line| !line.starts_with('#') && line.contains("SHA256:"));
    Ok(fingerprints.map(|line| line.trim().to_owned()).collect())
}

/// The command that shows the keys of a URL's server.
fn keyscan(url: &str) -> String {
    let Some(parsed) = url::Url::parse(url).ok() else { return "ssh-keyscan HOST".to_owned() };
    let host = parsed.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    match port_of(&parsed) {
        22 => format!("ssh-keyscan {host}"),
        port => format!("ssh-keyscan -p {port} {host}"),
    }
}

/// The port of an ssh URL.
pub(super) fn port_of(url: &url::Url) -> u16 {
    url.port().unwrap_or(22)
}

/// The host of an ssh URL as known hosts spell it.
pub(super) fn host_of(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match parsed.as_ref().map_or(22, port_of) {
        22 => host.to_owned(),
        port => format!("[{host}]:{port}"),
    }
}

/// Runs `ssh-keygen` on a file.
pub(super) fn keygen(arguments: &[&str], path: &Path) -> Result<Output, Failure> {
    let mut command = Command::new("ssh-keygen");
    command
        .args(arguments)
        .arg(path)
        .stdin(Stdio::null())
        .env("SSH_ASKPASS_REQUIRE", "never")
        .env("LC_ALL", "C");
    command.output().map_err(|error| {
        Failure::usage("an ssh URL needs OpenSSH's ssh-keygen, which cannot be run").because(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deploy-key");
        assert!(private_key(&path, false).is_err());
        let made = private_key(&path, true).unwrap();
        assert!(made.made && made.public.starts_with("ssh-ed25519 "), "{}", made.public);
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = private_key(&path, true).unwrap();
        assert!(!again.made);
        assert_eq!(again.public, made.public);
        assert_eq!(again.private.expose_secret(), made.private.expose_secret());
        assert!(!format!("{made:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn a_key_that_flux_could_not_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locked");
        let words = ["-q", "-t", "ed25519", "-N", "hunter2", "-f"];
        assert!(keygen(&words, &path).unwrap().status.success());
        let failure = format!("{:?}", private_key(&path, true).unwrap_err());
        assert!(failure.contains("no private key that Flux could use"), "{failure}");
        std::fs::write(&path, "CANARY").unwrap();
        let failure = format!("{:?}", private_key(&path, true).unwrap_err());
        assert!(!failure.contains("CANARY"), "{failure}");
    }

    #[test]
    fn the_host_must_be_known_by_the_name_and_port_of_the_url() {
        let folder = tempfile::tempdir().unwrap();
        let (key, hosts) = (folder.path().join("key"), folder.path().join("known_hosts"));
        let public = private_key(&key, true).unwrap().public;
        let key: Vec<&str> = public.split(' ').take(2).collect();
        let key = key.join(" ");
        std::fs::write(&hosts, format!("git.example.com {key}\n[other.example.com]:2222 {key}\n")).unwrap();
        let found = known_hosts(&hosts, "ssh://git@git.example.com/a/b.git", None).unwrap();
        assert_eq!(found.fingerprints.len(), 1);
        let shown = &found.fingerprints[0];
        assert!(shown.starts_with("git.example.com ED25519 SHA256:"), "{shown}");
        assert!(known_hosts(&hosts, "ssh://git@other.example.com:2222/b.git", None).is_ok());
        for url in ["ssh://git@other.example.com/b.git", "ssh://git@git.example.com:2222/b.git"] {
            assert!(known_hosts(&hosts, url, None).is_err(), "{url}");
        }
        // As OpenSSH writes them on many systems.
        let hash = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&hosts).output().unwrap();
        assert!(hash.status.success());
        assert!(!std::fs::read_to_string(&hosts).unwrap().contains("git.example.com"));
        assert!(known_hosts(&hosts, "ssh://git@git.example.com/a/b.git", None).is_ok());
    }
}

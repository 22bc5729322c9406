//! The credentials by which Flux reads its repository: read and checked, as the Secret that the GitRepository names, and
//! as what this machine looks at the repository with.

mod look;
mod secret;
mod ssh;

use kubiya_hook::edge::Failure;
use kubiya_hook::git::remote::Access;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use look::{Look, LookError};
pub use secret::{ReadBack, read_back};

/// What was asked for, unchecked. Files may be `-` for standard input, but for those that are no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitAccessRequest {
    /// User name, for the password.
    pub username: Option<String>,
    /// File with the password or token that goes with the user name.
    pub password_file: Option<String>,
    /// File with a bearer token.
    pub bearer_token_file: Option<String>,
    /// File with the certificates that the server's may be signed by.
    pub ca_file: Option<PathBuf>,
    /// File with the private key for ssh.
    pub private_key_file: Option<PathBuf>,
    /// Make that key where the file is not there yet.
    pub generate_private_key: bool,
    /// File with the server's keys for ssh.
    pub known_hosts_file: Option<PathBuf>,
    /// Name of the Secret.
    pub secret_name: Option<String>,
}

/// Checked credentials. Without data, only the name of a Secret that somebody else writes.
#[derive(Clone, Debug, Default)]
pub struct GitAccess {
    /// Name of the Secret; `None` where the repository is for everybody.
    pub secret_name: Option<String>,
    /// The entries of the Secret, as source-controller reads them.
    pub data: BTreeMap<String, SecretString>,
    /// The same for this machine.
    pub access: Access,
    /// What people must see: the public half of the key, the server's keys. A word and a text each.
    pub notes: Vec<(&'static str, String)>,
}

impl GitAccess {
    /// The Secrets that are to be written, by name.
    #[must_use]
    pub fn secrets(&self) -> BTreeMap<&str, &BTreeMap<String, SecretString>> {
        let main = self.secret_name.as_deref().map(|name| (name, &self.data));
        main.into_iter().filter(|(_, data)| !data.is_empty()).collect()
    }
}

impl GitAccessRequest {
    /// Whether standard input is read for a secret.
    #[must_use]
    pub fn reads_stdin(&self) -> bool {
        [&self.password_file, &self.bearer_token_file].into_iter().flatten().any(|file| file == "-")
    }

    /// Reads and checks the credentials for a URL, as a Secret of a namespace. A key is made only where `may_write`.
    ///
    /// # Errors
    /// All problems: what does not go together, what cannot be read, a server whose key is not known.
    pub fn gather(&self, url: &str, namespace: &str, may_write: bool) -> Result<GitAccess, Vec<Failure>> {
        let is_ssh = url.starts_with("ssh://");
        let mut problems = self.mismatches(is_ssh);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut found = GitAccess { secret_name: self.secret_name.clone(), ..GitAccess::default() };
        let result = if is_ssh { self.ssh(url, may_write, &mut found) } else { self.http(&mut found) };
        result.unwrap_or_else(|failure| problems.push(failure));
        if let Some(path) = &self.ca_file {
            match certificates(path) {
                Ok((text, path)) => {
                    found.data.insert("ca.crt".to_owned(), text.into());
                    found.access.certificate_authority = Some(path);
                }
                Err(failure) => problems.push(failure),
            }
        }
        if !found.data.is_empty() && found.secret_name.is_none() {
            // The name that `flux bootstrap` gives it.
            found.secret_name = Some(namespace.to_owned());
        }
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    /// What does not go together, or not with the URL.
    fn mismatches(&self, is_ssh: bool) -> Vec<Failure> {
        let http = [
            (self.username.is_some(), "--username"),
            (self.password_file.is_some(), "--password-file"),
            (self.bearer_token_file.is_some(), "--bearer-token-file"),
            (self.ca_file.is_some(), "--ca-file"),
        ];
        let ssh = [
            (self.private_key_file.is_some(), "--private-key-file"),
            (self.generate_private_key, "--generate-private-key"),
            (self.known_hosts_file.is_some(), "--known-hosts-file"),
        ];
        let (others, what) = if is_ssh { (&http[..], "https") } else { (&ssh[..], "ssh") };
        let given = others.iter().filter(|(given, _)| *given);
        let wrong = |flag: &str| Failure::usage(format!("{flag}: it is for {what} URLs, and --url is none"));
        let mut problems: Vec<Failure> = given.map(|(_, flag)| wrong(flag)).collect();
        if self.password_file.is_some() && self.bearer_token_file.is_some() {
            problems.push(Failure::usage("--password-file and --bearer-token-file: Flux takes one of them"));
        }
        if self.username.is_some() && self.password_file.is_none() {
            problems.push(Failure::usage("--username: the password is missing").hint("--password-file FILE"));
        }
        let (key, hosts) = (self.private_key_file.is_some(), self.known_hosts_file.is_some());
        if is_ssh && (key || self.generate_private_key) && !hosts {
            problems.push(
                Failure::usage("--private-key-file: without the server's own key, Flux would trust anybody")
                    .hint("ssh-keyscan HOST > known_hosts   # compare with what the server's operator publishes, then --known-hosts-file known_hosts"),
            );
        }
        if is_ssh && !key && (hosts || self.generate_private_key) {
            let flag = if hosts { "--known-hosts-file" } else { "--generate-private-key" };
            problems.push(
                Failure::usage(format!("{flag}: the private key is missing")).hint("--private-key-file FILE"),
            );
        }
        problems
    }

    fn http(&self, found: &mut GitAccess) -> Result<(), Failure> {
        if let Some(file) = &self.password_file {
            let username = self.username.clone().unwrap_or_else(|| "git".to_owned());
            let password = secret::line(file, "--password-file")?;
            found.access.authorization = Some(secret::basic(&username, &password));
            found.data.insert("username".to_owned(), username.into());
            found.data.insert("password".to_owned(), password);
        } else if let Some(file) = &self.bearer_token_file {
            let token = secret::line(file, "--bearer-token-file")?;
            found.access.authorization = Some(secret::bearer(&token));
            found.data.insert("bearerToken".to_owned(), token);
        }
        Ok(())
    }

    fn ssh(&self, url: &str, may_write: bool, found: &mut GitAccess) -> Result<(), Failure> {
        let (Some(key), Some(hosts)) = (&self.private_key_file, &self.known_hosts_file) else {
            return Ok(());
        };
        let hosts = ssh::known_hosts(hosts, url)?;
        let key = ssh::private_key(key, self.generate_private_key && may_write)?;
        found.data.insert("identity".to_owned(), key.private);
        found.data.insert("identity.pub".to_owned(), key.public.clone().into());
        found.data.insert("known_hosts".to_owned(), hosts.text.into());
        found.access.ssh =
            Some(kubiya_hook::git::remote::SshAccess { private_key: key.path, known_hosts: hosts.path });
        found.notes.push((if key.made { "new key" } else { "deploy key" }, key.public.trim().to_owned()));
        found.notes.extend(hosts.fingerprints.into_iter().map(|line| ("host key", line)));
        Ok(())
    }
}

/// Certificates in PEM, and the file's absolute path.
fn certificates(path: &Path) -> Result<(String, PathBuf), Failure> {
    let (text, absolute) = public_file(path, "--ca-file")?;
    if !text.contains("-----BEGIN CERTIFICATE-----") || text.contains("PRIVATE KEY-----") {
        return Err(Failure::usage("--ca-file: not a file of certificates alone, in PEM")
            .at(path.display().to_string()));
    }
    Ok((text, absolute))
}

/// A file that is no secret, and its absolute path.
fn public_file(path: &Path, flag: &str) -> Result<(String, PathBuf), Failure> {
    let failed = |error: &std::io::Error| {
        Failure::usage(format!("{flag}: cannot read it")).at(path.display().to_string()).because(error)
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    Ok((text, path.canonicalize().map_err(|error| failed(&error))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn said(result: Result<GitAccess, Vec<Failure>>) -> String {
        result.unwrap_err().iter().flat_map(Failure::lines).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_does_not_go_together_is_said_at_once() {
        let request = GitAccessRequest {
            username: Some("me".to_owned()),
            bearer_token_file: Some("token".to_owned()),
            private_key_file: Some("key".into()),
            ..GitAccessRequest::default()
        };
        insta::assert_snapshot!(said(request.gather("https://h/r", "flux-system", false)), @r"
        --private-key-file: it is for ssh URLs, and --url is none
        --username: the password is missing
        ");
        insta::assert_snapshot!(said(request.gather("ssh://h/r", "flux-system", false)), @r"
        --username: it is for https URLs, and --url is none
        --bearer-token-file: it is for https URLs, and --url is none
        --username: the password is missing
        --private-key-file: without the server's own key, Flux would trust anybody
        ");
    }

    #[test]
    fn a_password_and_a_token_become_the_entries_that_flux_reads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "CANARY\n").unwrap();
        let file = Some(file.display().to_string());
        let basic = GitAccessRequest { password_file: file.clone(), ..GitAccessRequest::default() };
        let basic = basic.gather("https://h/r", "flux-system", false).unwrap();
        let entries = |access: &GitAccess| {
            let entry = |(key, value): (&String, &SecretString)| format!("{key}={}", value.expose_secret());
            access.data.iter().map(entry).collect::<Vec<_>>()
        };
        assert_eq!(entries(&basic), ["password=CANARY", "username=git"]);
        assert_eq!(basic.secret_name.as_deref(), Some("flux-system"));
        assert_eq!(basic.access.authorization.as_ref().unwrap().expose_secret(), "Basic Z2l0OkNBTkFSWQ==");
        let bearer = GitAccessRequest {
            bearer_token_file: file,
            secret_name: Some("git".to_owned()),
            ..GitAccessRequest::default()
        };
        let bearer = bearer.gather("https://h/r", "flux-system", false).unwrap();
        assert_eq!(entries(&bearer), ["bearerToken=CANARY"]);
        assert_eq!(bearer.secret_name.as_deref(), Some("git"));
        assert!(!format!("{basic:?} {bearer:?}").contains("CANARY"));
    }

    #[test]
    fn a_repository_for_everybody_needs_no_secret() {
        let none = GitAccessRequest::default().gather("https://h/r", "flux-system", false).unwrap();
        assert!(none.secret_name.is_none() && none.data.is_empty() && none.access.authorization.is_none());
    }

    #[test]
    fn a_file_of_certificates_holds_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n").unwrap();
        assert!(certificates(&path).is_err());
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(certificates(&path).unwrap().1.is_absolute());
    }
}

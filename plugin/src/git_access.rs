//! The credentials by which Flux reads its repository: read and checked, as the Secret that the GitRepository names, and
//! as what this machine looks at the repository with.

mod github_app;
mod host_keys;
mod look;
mod secret;
mod signers;
mod ssh;
#[cfg(test)]
mod ways;

use crate::keys::{Ask, Terminal};
use kubiya_hook::edge::Failure;
use kubiya_hook::git::remote::{Access, ClientCertificate};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

pub use github_app::{AppError, GithubApp, GithubAppRequest};
pub use look::{Look, LookError};
pub use secret::{ReadBack, proxy_of, read_back};
pub use signers::{signer_keys, signer_keys_of};

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
    /// File with the certificate by which Flux is known to the server.
    pub tls_crt_file: Option<PathBuf>,
    /// File with its key.
    pub tls_key_file: Option<PathBuf>,
    /// URL of the proxy by which the repository is reached.
    pub proxy: Option<String>,
    /// User name for the proxy.
    pub proxy_username: Option<String>,
    /// File with the password for the proxy.
    pub proxy_password_file: Option<String>,
    /// A GitHub App.
    pub github_app: GithubAppRequest,
    /// Files with the public keys of those whose commits Flux takes.
    pub verify_keys: Vec<PathBuf>,
    /// Name of the Secret.
    pub secret_name: Option<String>,
}

/// A Secret that is to be written: its name and its entries.
pub type NamedSecret = (String, BTreeMap<String, SecretString>);

/// The entries of a proxy's Secret, and its URL for this machine.
type Proxy = (BTreeMap<String, SecretString>, SecretString);

/// Checked credentials. Without data, only the name of a Secret that somebody else writes.
#[derive(Clone, Debug, Default)]
pub struct GitAccess {
    /// Name of the Secret; `None` where the repository is for everybody.
    pub secret_name: Option<String>,
    /// The entries of the Secret, as source-controller reads them.
    pub data: BTreeMap<String, SecretString>,
    /// The same for this machine.
    pub access: Access,
    /// The app for which a token is asked before that.
    pub app: Option<Arc<GithubApp>>,
    /// The Secret with the proxy.
    pub proxy: Option<NamedSecret>,
    /// The Secret with the keys of those whose commits are taken.
    pub signers: Option<NamedSecret>,
    /// What people must see: the public half of the key, the server's keys. A word and a text each.
    pub notes: Vec<(&'static str, String)>,
}

impl GitAccess {
    /// The Secrets that are to be written, by name.
    #[must_use]
    pub fn secrets(&self) -> BTreeMap<&str, &BTreeMap<String, SecretString>> {
        let main = self.secret_name.as_deref().map(|name| (name, &self.data));
        let others = self.proxy.iter().chain(&self.signers).map(|(name, data)| (name.as_str(), data));
        main.into_iter().chain(others).filter(|(_, data)| !data.is_empty()).collect()
    }

    /// `spec.provider`: what kind of credentials the Secret has, where Flux does not see it by its entries.
    #[must_use]
    pub fn provider(&self) -> Option<&'static str> {
        self.app.is_some().then_some("github")
    }
}

impl GitAccessRequest {
    /// Whether standard input is read for a secret.
    #[must_use]
    pub fn reads_stdin(&self) -> bool {
        let files = [&self.password_file, &self.bearer_token_file, &self.proxy_password_file];
        files.into_iter().flatten().any(|file| file == "-")
    }

    /// Reads and checks the credentials for a URL, as a Secret of a namespace. Only where `may_write` a key is
    /// made, and somebody asked for the server's.
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
            match certificates(path, "--ca-file") {
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
        let beside = |end: &str| format!("{}-{end}", found.secret_name.as_deref().unwrap_or(namespace));
        let (proxy_name, signers_name) = (beside("proxy"), beside("signers"));
        match self.proxy() {
            Ok(Some((data, url))) => {
                found.proxy = Some((proxy_name, data));
                found.access.proxy = Some(url);
            }
            Ok(None) => {}
            Err(failure) => problems.push(failure),
        }
        if let Some(app) = found.app.as_mut().and_then(Arc::get_mut) {
            app.certificate_authority = found.access.certificate_authority.clone();
            app.proxy = found.access.proxy.clone();
        }
        let signers = signers::entries(&self.verify_keys, &mut problems);
        found.signers = (!signers.is_empty()).then_some((signers_name, signers));
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    /// What does not go together, or not with the URL.
    fn mismatches(&self, is_ssh: bool) -> Vec<Failure> {
        let http = [
            (self.username.is_some(), "--username"),
            (self.password_file.is_some(), "--password-file"),
            (self.bearer_token_file.is_some(), "--bearer-token-file"),
            (self.ca_file.is_some(), "--ca-file"),
            (self.tls_crt_file.is_some(), "--tls-crt-file"),
            (self.tls_key_file.is_some(), "--tls-key-file"),
            (self.github_app.is_some(), "--github-app-id"),
            (self.proxy.is_some(), "--proxy"),
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
        let password = self.password_file.is_some() || self.bearer_token_file.is_some();
        if self.github_app.is_some() && (password || self.username.is_some()) {
            problems.push(Failure::usage("--github-app-id: an app needs no user name, password or token"));
        }
        if self.tls_crt_file.is_some() != self.tls_key_file.is_some() {
            problems.push(Failure::usage("--tls-crt-file and --tls-key-file: Flux takes both or none"));
        }
        if self.proxy.is_none() && (self.proxy_username.is_some() || self.proxy_password_file.is_some()) {
            problems.push(
                Failure::usage("--proxy-username, --proxy-password-file: the proxy is missing")
                    .hint("--proxy URL"),
            );
        }
        if self.username.is_some() && self.password_file.is_none() {
            problems.push(Failure::usage("--username: the password is missing").hint("--password-file FILE"));
        }
        let (key, hosts) = (self.private_key_file.is_some(), self.known_hosts_file.is_some());
        if is_ssh && (key || self.generate_private_key) && !hosts {
            problems.push(
                Failure::usage("--private-key-file: without the server's own key, Flux would trust anybody")
                    .hint("--known-hosts-file FILE   # a key that it does not have is shown on a terminal, and asked for"),
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
        } else if self.github_app.is_some() {
            let (app, data) = self.github_app.gather()?;
            found.data.extend(data);
            found.app = Some(Arc::new(app));
        }
        if let (Some(certificate), Some(key)) = (&self.tls_crt_file, &self.tls_key_file) {
            let (text, certificate) = certificates(certificate, "--tls-crt-file")?;
            let (secret, key) = certificate_key(key)?;
            found.data.insert("tls.crt".to_owned(), text.into());
            found.data.insert("tls.key".to_owned(), secret);
            found.access.client = Some(ClientCertificate { certificate, key });
        }
        Ok(())
    }

    /// The entries of the proxy's Secret, and its URL with the password in it, for this machine.
    fn proxy(&self) -> Result<Option<Proxy>, Failure> {
        let Some(address) = &self.proxy else { return Ok(None) };
        let wrong = |what: &str| Failure::usage(format!("--proxy: {what}"));
        let mut url = url::Url::parse(address)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https" | "socks5") && url.has_host())
            .ok_or_else(|| wrong("a URL is wanted, such as http://proxy.example.com:3128 or socks5://…"))?;
        if url.password().is_some() || !url.username().is_empty() {
            return Err(wrong("credentials do not belong into the URL")
                .hint("--proxy-username NAME --proxy-password-file FILE"));
        }
        let mut data = BTreeMap::from([("address".to_owned(), SecretString::from(address.as_str()))]);
        if let (Some(username), Some(file)) = (&self.proxy_username, &self.proxy_password_file) {
            let password = secret::line(file, "--proxy-password-file")?;
            // It cannot fail: the URL has a host.
            let _ = url.set_username(username);
            let _ = url.set_password(Some(password.expose_secret()));
            data.insert("username".to_owned(), SecretString::from(username.as_str()));
            data.insert("password".to_owned(), password);
        } else if self.proxy_username.is_some() || self.proxy_password_file.is_some() {
            return Err(wrong("--proxy-username and --proxy-password-file go together"));
        }
        Ok(Some((data, SecretString::from(String::from(url)))))
    }

    fn ssh(&self, url: &str, may_write: bool, found: &mut GitAccess) -> Result<(), Failure> {
        let (Some(key), Some(hosts)) = (&self.private_key_file, &self.known_hosts_file) else {
            return Ok(());
        };
        let ask: Option<&dyn Ask> = if may_write { Some(&Terminal) } else { None };
        let hosts = ssh::known_hosts(hosts, url, ask)?;
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
fn certificates(path: &Path, flag: &str) -> Result<(String, PathBuf), Failure> {
    let (text, absolute) = public_file(path, flag)?;
    if !text.contains("-----BEGIN CERTIFICATE-----") || text.contains("PRIVATE KEY-----") {
        return Err(Failure::usage(format!("{flag}: not a file of certificates alone, in PEM"))
            .at(path.display().to_string()));
    }
    Ok((text, absolute))
}

/// The key of a certificate in PEM, and the file's absolute path.
fn certificate_key(path: &Path) -> Result<(SecretString, PathBuf), Failure> {
    let flag = "--tls-key-file";
    let (text, absolute) = public_file(path, flag)?;
    let text = Zeroizing::new(text);
    let wrong = |what: &str| Err(Failure::usage(format!("{flag}: {what}")).at(path.display().to_string()));
    if !text.contains("PRIVATE KEY-----") {
        return wrong("no private key in PEM");
    }
    if text.contains("ENCRYPTED") {
        return wrong("a key with a passphrase is no use to Flux");
    }
    Ok((SecretString::from(text.as_str()), absolute))
}

/// The text of a file, and its absolute path.
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
        assert!(certificates(&path, "--ca-file").is_err());
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(certificates(&path, "--ca-file").unwrap().1.is_absolute());
    }
}

//! What a document says about the repository.

use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// The repository, and files with what Flux reads it by.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitSection {
    /// URL, https or ssh (--url).
    #[serde(default)]
    pub url: Option<String>,
    /// Branch (--branch).
    #[serde(default)]
    pub branch: Option<String>,
    /// Folder of the repository that Flux is to apply (--path).
    #[serde(default)]
    pub path: Option<String>,
    /// User name for the password (--username).
    #[serde(default)]
    pub username: Option<String>,
    /// File with the password or token (--password-file).
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// File with a bearer token (--bearer-token-file).
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// File with certificates (--ca-file).
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// File with the certificate of Flux (--tls-crt-file).
    #[serde(default)]
    pub tls_crt_file: Option<PathBuf>,
    /// File with its key (--tls-key-file).
    #[serde(default)]
    pub tls_key_file: Option<PathBuf>,
    /// A GitHub App that may read the repository.
    #[serde(default)]
    pub github_app: Option<GithubAppSection>,
    /// The proxy by which it is reached.
    #[serde(default)]
    pub proxy: Option<ProxySection>,
    /// File with the private key for ssh (--private-key-file).
    #[serde(default)]
    pub private_key_file: Option<PathBuf>,
    /// Make that key where it is not there (--generate-private-key).
    #[serde(default)]
    pub generate_private_key: bool,
    /// File with the server's keys for ssh (--known-hosts-file).
    #[serde(default)]
    pub known_hosts_file: Option<PathBuf>,
    /// Files with the public keys of those whose commits are taken (--verify-keys).
    #[serde(default)]
    pub verify_keys: Vec<PathBuf>,
    /// Name of the Secret (--secret-name).
    #[serde(default)]
    pub secret_name: Option<String>,
    /// Accept a URL with plain http (--allow-insecure-http).
    #[serde(default)]
    pub allow_insecure_http: bool,
}

/// A GitHub App.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GithubAppSection {
    /// Its id (--github-app-id).
    pub id: String,
    /// Id of its installation (--github-app-installation-id).
    #[serde(default)]
    pub installation_id: Option<String>,
    /// Account in which it is installed (--github-app-installation-owner).
    #[serde(default)]
    pub installation_owner: Option<String>,
    /// File with its private key (--github-app-private-key-file).
    pub private_key_file: PathBuf,
    /// API of a GitHub Enterprise Server (--github-app-base-url).
    #[serde(default)]
    pub base_url: Option<String>,
}

/// A proxy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxySection {
    /// Its URL, without credentials (--proxy).
    pub url: String,
    /// User name (--proxy-username).
    #[serde(default)]
    pub username: Option<String>,
    /// File with the password (--proxy-password-file).
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

impl GitSection {
    /// Paths, for making them relative to another folder.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let app = self.github_app.as_mut().map(|app| &mut app.private_key_file);
        let proxy = self.proxy.as_mut().and_then(|proxy| proxy.password_file.as_mut());
        [
            &mut self.password_file,
            &mut self.bearer_token_file,
            &mut self.ca_file,
            &mut self.tls_crt_file,
            &mut self.tls_key_file,
            &mut self.private_key_file,
            &mut self.known_hosts_file,
        ]
        .into_iter()
        .flatten()
        .chain(app)
        .chain(proxy)
        .chain(&mut self.verify_keys)
    }
}

//! What `bootstrap` can be told about the way to the repository.

use crate::git_access::{GitAccessRequest, GithubAppRequest};
use clap::Args;
use std::path::PathBuf;

/// The credentials by which Flux reads the repository, as Secrets that its GitRepository names.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Credentials for Git")]
pub(crate) struct GitArgs {
    /// User name for --password-file
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// File with the password or token for Git over https, or `-`; Flux gets it in a Secret
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<String>,
    /// File with a bearer token for Git over https, or `-`
    #[arg(long, value_name = "FILE")]
    pub bearer_token_file: Option<String>,
    /// File with the certificates (PEM) that the Git server's may be signed by
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// File with the certificate (PEM) by which Flux is known to the Git server
    #[arg(long, value_name = "FILE")]
    pub tls_crt_file: Option<PathBuf>,
    /// File with the key of that certificate (PEM), without a passphrase
    #[arg(long, value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,
    /// Id of a GitHub App that may read the repository
    #[arg(long, value_name = "NUMBER")]
    pub github_app_id: Option<String>,
    /// Id of its installation
    #[arg(long, value_name = "NUMBER")]
    pub github_app_installation_id: Option<String>,
    /// Account in which it is installed, in place of the id of the installation
    #[arg(long, value_name = "ACCOUNT")]
    pub github_app_installation_owner: Option<String>,
    /// File with its private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub github_app_private_key_file: Option<PathBuf>,
    /// API of a GitHub Enterprise Server, such as https://github.example.com/api/v3
    #[arg(long, value_name = "URL")]
    pub github_app_base_url: Option<String>,
    /// Proxy by which the repository is reached, such as http://proxy.example.com:3128 or socks5://…
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// User name for the proxy
    #[arg(long, value_name = "NAME")]
    pub proxy_username: Option<String>,
    /// File with the password for the proxy, or `-`
    #[arg(long, value_name = "FILE")]
    pub proxy_password_file: Option<String>,
    /// File with the private key for Git over ssh, without a passphrase
    #[arg(long, value_name = "FILE")]
    pub private_key_file: Option<PathBuf>,
    /// Make the private key where the file is not there yet; its public half is shown
    #[arg(long)]
    pub generate_private_key: bool,
    /// File with the Git server's keys for ssh (known_hosts); the fingerprints are shown. On a terminal, a key that it does
    /// not have is shown and asked for
    #[arg(long, value_name = "FILE")]
    pub known_hosts_file: Option<PathBuf>,
    /// File with public keys (OpenPGP in armor, or lines of ssh keys) of those whose commits Flux takes, and no others; may
    /// be repeated
    #[arg(long, value_name = "FILE")]
    pub verify_keys: Vec<PathBuf>,
    /// Name of the Secret for Git: where it is written, or one that is there [default: that of Flux's namespace]
    #[arg(long, value_name = "NAME")]
    pub secret_name: Option<String>,
}

impl GitArgs {
    /// Whether a flag names credentials: then a document does not.
    pub(super) fn names_credentials(&self) -> bool {
        self.password_file.is_some()
            || self.bearer_token_file.is_some()
            || self.private_key_file.is_some()
            || self.tls_crt_file.is_some()
            || self.github_app_id.is_some()
    }

    /// The request, unchecked.
    pub(super) fn request(&self) -> GitAccessRequest {
        let own = self.clone();
        GitAccessRequest {
            username: own.username,
            password_file: own.password_file,
            bearer_token_file: own.bearer_token_file,
            ca_file: own.ca_file,
            tls_crt_file: own.tls_crt_file,
            tls_key_file: own.tls_key_file,
            github_app: GithubAppRequest {
                id: own.github_app_id,
                installation_id: own.github_app_installation_id,
                installation_owner: own.github_app_installation_owner,
                private_key_file: own.github_app_private_key_file,
                base_url: own.github_app_base_url,
            },
            proxy: own.proxy,
            proxy_username: own.proxy_username,
            proxy_password_file: own.proxy_password_file,
            private_key_file: own.private_key_file,
            generate_private_key: own.generate_private_key,
            known_hosts_file: own.known_hosts_file,
            verify_keys: own.verify_keys,
            secret_name: own.secret_name,
        }
    }
}

//! The kubeconfig by which Flux reaches a worker: one context, everything inside, and nothing that
//! Flux would drop without a word.
//!
//! Flux's controllers keep only server, CA, client certificate, token, basic auth, server name, proxy
//! and compression of a kubeconfig Secret (fluxcd/pkg `runtime/client/kubeconfig.go`). An exec plugin,
//! `insecure-skip-tls-verify` or impersonation would be lost, and the worker would see somebody else.

use super::connect::base64;
use super::kubeconfig::select;
use super::{ClusterError, Connection, Selection};
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use secrecy::{ExposeSecret as _, SecretString};
use std::net::IpAddr;
use std::time::Duration;

/// Why a context cannot be given to Flux as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteProblem {
    /// The entry has a field that Flux drops.
    #[error("Flux ignores `{field}` of a kubeconfig, so it would not reach the worker as you do")]
    Dropped {
        /// The field, as kubeconfigs spell it.
        field: &'static str,
    },
    /// The server's address means another machine to Flux than to us.
    #[error("the server {server} is reachable from this machine only")]
    Loopback {
        /// The address.
        server: String,
    },
    /// The server's address is missing or no https URL.
    #[error("the server address is not an https URL: {server}")]
    NotHttps {
        /// The address.
        server: String,
    },
    /// A file that the entry names cannot be read.
    #[error("cannot read {field} {path}: {reason}")]
    MissingFile {
        /// The field.
        field: &'static str,
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// No credentials at all.
    #[error("the context has no credentials: the worker would see an anonymous user")]
    NoCredentials,
}

impl RemoteProblem {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            RemoteProblem::Dropped { field: "insecure-skip-tls-verify" } => {
                "give the server's authority instead: kubectl config set-cluster NAME \
                 --certificate-authority=FILE --embed-certs"
            }
            RemoteProblem::Dropped { .. } | RemoteProblem::NoCredentials => {
                "leave --copy-credentials out: then this connection is used once, to make a token for Flux on the worker"
            }
            RemoteProblem::Loopback { .. } => {
                "use the address that the infra cluster reaches, or --allow-loopback where both run on this machine"
            }
            RemoteProblem::NotHttps { .. } => "kubectl config set-cluster NAME --server=https://…",
            RemoteProblem::MissingFile { .. } => "kubectl config view --flatten   # shows what is missing",
        }
    }
}

/// A kubeconfig that is ready for a Secret of Flux.
#[derive(Clone, Debug)]
pub struct RemoteKubeconfig {
    /// The entries, flattened: what Flux will be left with.
    pub selection: Selection,
    /// The file's text. `SecretString`, because it holds the credentials.
    pub text: SecretString,
}

/// Minifies and flattens a context to what Flux keeps of it.
///
/// # Errors
/// Every reason at once for which Flux could not use it.
pub fn remote_kubeconfig(
    name: &str,
    selection: &Selection,
    allow_loopback: bool,
) -> Result<RemoteKubeconfig, Vec<RemoteProblem>> {
    let mut problems = Vec::new();
    dropped_fields(selection, &mut problems);
    let server = selection.cluster.server.clone().unwrap_or_default();
    problems.extend(address_problem(&server, allow_loopback));
    let cluster = flat_cluster(&selection.cluster, &mut problems);
    let user = flat_user(&selection.user, &mut problems);
    let credentials =
        user.token.is_some() || user.client_certificate_data.is_some() || user.password.is_some();
    if !credentials && problems.is_empty() {
        problems.push(RemoteProblem::NoCredentials);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(RemoteKubeconfig::of(name, cluster, user))
}

impl RemoteKubeconfig {
    /// The way to a cluster without anybody's credentials, to which a token is to be added. Asks for no
    /// file and no check: those of [`remote_kubeconfig`] have been made.
    pub(crate) fn without_credentials(name: &str, selection: &Selection) -> Self {
        Self::bare(name, flat_cluster(&selection.cluster, &mut Vec::new()))
    }

    /// The way to a cluster without credentials.
    pub(crate) fn bare(name: &str, cluster: Cluster) -> Self {
        Self::of(name, cluster, AuthInfo::default())
    }

    /// The same way with a token as the only credential.
    #[must_use]
    pub fn with_token(&self, token: &SecretString) -> Self {
        let user = AuthInfo { token: Some(token.clone()), ..AuthInfo::default() };
        Self::of(&self.selection.context, self.selection.cluster.clone(), user)
    }

    fn of(name: &str, cluster: Cluster, user: AuthInfo) -> Self {
        let selection = Selection { context: name.to_owned(), cluster, user, kubectl: None };
        let text = render(name, &selection);
        Self { selection, text }
    }

    /// Reads the kubeconfig of a Secret, as Flux does: its current context.
    ///
    /// # Errors
    /// A text that is no kubeconfig, or has no current context; never with any of the text.
    pub fn parse(name: &str, text: &SecretString) -> Result<Self, ClusterError> {
        let broken = |reason: &str| ClusterError::BadConnection {
            context: name.to_owned(),
            reason: format!("its kubeconfig Secret holds {reason}"),
        };
        let kubeconfig = Kubeconfig::from_yaml(text.expose_secret()).map_err(|_| broken("no kubeconfig"))?;
        let mut selection = select(&kubeconfig, None, None, None)?;
        selection.context = name.to_owned();
        Ok(Self { selection, text: text.clone() })
    }

    /// Connects with exactly what Flux will be left with.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub async fn prove(&self, timeout: Duration) -> Result<Connection, ClusterError> {
        Connection::open(&self.selection, timeout).await
    }
}

fn dropped_fields(selection: &Selection, problems: &mut Vec<RemoteProblem>) {
    let user = &selection.user;
    let fields = [
        (user.exec.is_some(), "exec"),
        (user.auth_provider.is_some(), "auth-provider"),
        (selection.cluster.insecure_skip_tls_verify == Some(true), "insecure-skip-tls-verify"),
        (user.impersonate.is_some(), "as"),
        (user.impersonate_uid.is_some(), "as-uid"),
        (user.impersonate_groups.is_some(), "as-groups"),
        (user.impersonate_user_extra.is_some(), "as-user-extra"),
    ];
    for (_, field) in fields.into_iter().filter(|(present, _)| *present) {
        problems.push(RemoteProblem::Dropped { field });
    }
}

fn address_problem(server: &str, allow_loopback: bool) -> Option<RemoteProblem> {
    let not_https = || Some(RemoteProblem::NotHttps { server: server.to_owned() });
    let Ok(url) = url::Url::parse(server) else { return not_https() };
    let local = match url.host() {
        None => return not_https(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => is_local(ip.into()),
        Some(url::Host::Ipv6(ip)) => is_local(ip.into()),
    };
    if url.scheme() != "https" {
        return not_https();
    }
    (local && !allow_loopback).then(|| RemoteProblem::Loopback { server: server.to_owned() })
}

/// Loopback, unspecified and link-local addresses mean something else on every machine.
fn is_local(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    ip.is_loopback() || ip.is_unspecified() || link_local
}

fn flat_cluster(cluster: &Cluster, problems: &mut Vec<RemoteProblem>) -> Cluster {
    let authority = inline(
        cluster.certificate_authority_data.clone(),
        cluster.certificate_authority.as_deref(),
        "certificate-authority",
        problems,
    );
    Cluster {
        server: cluster.server.clone(),
        certificate_authority_data: authority,
        tls_server_name: cluster.tls_server_name.clone(),
        proxy_url: cluster.proxy_url.clone(),
        disable_compression: cluster.disable_compression,
        ..Cluster::default()
    }
}

fn flat_user(user: &AuthInfo, problems: &mut Vec<RemoteProblem>) -> AuthInfo {
    let certificate = inline(
        user.client_certificate_data.clone(),
        user.client_certificate.as_deref(),
        "client-certificate",
        problems,
    );
    let key_data = user.client_key_data.as_ref().map(|key| key.expose_secret().to_owned());
    let key = inline(key_data, user.client_key.as_deref(), "client-key", problems);
    let token = match (&user.token, &user.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(path)) => read(path, "tokenFile", problems)
            .map(|bytes| SecretString::from(String::from_utf8_lossy(&bytes).trim().to_owned())),
        (None, None) => None,
    };
    // client-go refuses a token beside basic auth; the token wins there, so it wins here.
    let basic = token.is_none();
    AuthInfo {
        username: user.username.clone().filter(|_| basic),
        password: user.password.clone().filter(|_| basic),
        token,
        client_certificate_data: certificate,
        client_key_data: key.map(SecretString::from),
        ..AuthInfo::default()
    }
}

/// The data of an entry, or the content of the file that it names, in base64.
fn inline(
    data: Option<String>,
    path: Option<&str>,
    field: &'static str,
    problems: &mut Vec<RemoteProblem>,
) -> Option<String> {
    if data.as_ref().is_some_and(|data| !data.is_empty()) {
        return data;
    }
    path.filter(|path| !path.is_empty())
        .and_then(|path| read(path, field, problems))
        .map(|bytes| base64(&bytes))
}

fn read(path: &str, field: &'static str, problems: &mut Vec<RemoteProblem>) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            problems.push(RemoteProblem::MissingFile {
                field,
                path: path.to_owned(),
                reason: error.to_string(),
            });
            None
        }
    }
}

/// The file's text: JSON is YAML, keys in a fixed order so that a re-run writes the same bytes.
fn render(name: &str, selection: &Selection) -> SecretString {
    let (cluster, user) = (&selection.cluster, &selection.user);
    let expose = |secret: &Option<SecretString>| secret.as_ref().map(|s| s.expose_secret().to_owned());
    let clusters = Fields::default()
        .put("server", cluster.server.clone())
        .put("certificate-authority-data", cluster.certificate_authority_data.clone())
        .put("tls-server-name", cluster.tls_server_name.clone())
        .put("proxy-url", cluster.proxy_url.clone())
        .put("disable-compression", cluster.disable_compression);
    let users = Fields::default()
        .put("client-certificate-data", user.client_certificate_data.clone())
        .put("client-key-data", expose(&user.client_key_data))
        .put("token", expose(&user.token))
        .put("username", user.username.clone())
        .put("password", expose(&user.password));
    let document = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": clusters.0}],
        "users": [{"name": name, "user": users.0}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    // YAML, because people look at it with `kubectl get secret … | base64 -d`. A map of strings and
    // booleans always renders; the JSON spelling is the same document.
    SecretString::from(serde_yaml::to_string(&document).unwrap_or_else(|_| document.to_string()))
}

#[derive(Default)]
struct Fields(serde_json::Map<String, serde_json::Value>);

impl Fields {
    fn put(mut self, key: &str, value: Option<impl Into<serde_json::Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::config::ExecConfig;

    fn selection(server: &str) -> Selection {
        Selection {
            context: "kubernetes-admin@worker".to_owned(),
            cluster: Cluster {
                server: Some(server.to_owned()),
                certificate_authority_data: Some("Q0E=".to_owned()),
                ..Cluster::default()
            },
            user: AuthInfo { token: Some("CANARY".to_owned().into()), ..AuthInfo::default() },
            kubectl: None,
        }
    }

    #[test]
    fn keeps_what_flux_keeps() {
        let remote = remote_kubeconfig("worker01", &selection("https://10.1.2.3:6443"), false).unwrap();
        insta::assert_snapshot!(remote.text.expose_secret(), @r"
        apiVersion: v1
        kind: Config
        clusters:
        - name: worker01
          cluster:
            server: https://10.1.2.3:6443
            certificate-authority-data: Q0E=
        users:
        - name: worker01
          user:
            token: CANARY
        contexts:
        - name: worker01
          context:
            cluster: worker01
            user: worker01
        current-context: worker01
        ");
        assert!(!format!("{remote:?}").contains("CANARY"));
    }

    #[test]
    fn files_are_taken_in() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("{name}\n")).unwrap();
            Some(path.display().to_string())
        };
        let mut chosen = selection("https://w");
        chosen.cluster.certificate_authority_data = None;
        chosen.cluster.certificate_authority = file("ca");
        chosen.user =
            AuthInfo { client_certificate: file("crt"), client_key: file("key"), ..AuthInfo::default() };
        let flat = remote_kubeconfig("w", &chosen, false).unwrap().selection;
        assert_eq!(flat.cluster.certificate_authority_data.as_deref(), Some("Y2EK"));
        assert_eq!(flat.user.client_certificate_data.as_deref(), Some("Y3J0Cg=="));
        assert_eq!(flat.user.client_key_data.unwrap().expose_secret(), "a2V5Cg==");
        chosen.user = AuthInfo { token_file: file("token"), ..AuthInfo::default() };
        let flat = remote_kubeconfig("w", &chosen, false).unwrap().selection;
        assert_eq!(flat.user.token.unwrap().expose_secret(), "token");
    }

    #[test]
    fn all_problems_at_once() {
        let mut chosen = selection("https://127.0.0.1:6443");
        chosen.cluster.insecure_skip_tls_verify = Some(true);
        chosen.user.exec = Some(ExecConfig { command: Some("aws".to_owned()), ..ExecConfig::default() });
        chosen.user.impersonate = Some("admin".to_owned());
        chosen.user.client_key = Some("/nonexistent/key".to_owned());
        let problems = remote_kubeconfig("w", &chosen, false).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        Flux ignores `exec` of a kubeconfig, so it would not reach the worker as you do
        Flux ignores `insecure-skip-tls-verify` of a kubeconfig, so it would not reach the worker as you do
        Flux ignores `as` of a kubeconfig, so it would not reach the worker as you do
        the server https://127.0.0.1:6443 is reachable from this machine only
        cannot read client-key /nonexistent/key: No such file or directory (os error 2)
        ");
    }

    #[test]
    fn addresses() {
        let refused = |server: &str| address_problem(server, false).is_some();
        for server in [
            "https://localhost:6443",
            "https://127.9.9.9",
            "https://[::1]:6443",
            "https://0.0.0.0:6443",
            "https://169.254.1.1",
            "https://[fe80::1]",
            "http://10.0.0.1",
            "10.0.0.1:6443",
            "",
        ] {
            assert!(refused(server), "{server}");
        }
        for server in ["https://10.0.0.1:6443", "https://api.example.com", "https://[2001:db8::1]:443/prefix"]
        {
            assert!(!refused(server), "{server}");
        }
        assert!(address_problem("https://localhost:6443", true).is_none());
        assert!(address_problem("http://localhost:6443", true).is_some());
    }

    #[test]
    fn an_anonymous_context_is_refused() {
        let mut chosen = selection("https://w");
        chosen.user = AuthInfo::default();
        assert_eq!(remote_kubeconfig("w", &chosen, false).unwrap_err(), [RemoteProblem::NoCredentials]);
    }
}

//! From kubectl's connection flags to a client.

use super::certificate::CertificateProblem;
use super::error::innermost;
use super::kubeconfig::select;
use super::lease::Claim;
use super::patience::patient;
use super::{ClusterError, KubeconfigSource, Selection};
use base64::Engine as _;
use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::config::{
    Config, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kubiya_hook::edge::in_shell;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// kubectl's connection flags. They may stand before or after the subcommand: `flux --context hub
/// kubiya …` hands them over in front.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Kubernetes options")]
pub struct ConnectionArgs {
    /// Kubeconfig file to use instead of KUBECONFIG and ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the infra cluster in the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster entry of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub cluster: Option<String>,
    /// User entry of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub user: Option<String>,
    /// Namespace of Flux
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME",
        default_value = "flux-system",
        env = "FLUX_SYSTEM_NAMESPACE"
    )]
    pub namespace: String,
    /// Whether that was said, or is the default.
    #[arg(skip)]
    pub namespace_given: bool,
    /// Address of the API server
    #[arg(short, long, global = true, value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,
    /// Name to check the server's certificate against
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub tls_server_name: Option<String>,
    /// Certificate authority of the API server
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub certificate_authority: Option<PathBuf>,
    /// Do not check the server's certificate
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,
    /// Client certificate
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_certificate: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_key: Option<PathBuf>,
    /// Bearer token; visible to other processes of this machine, a kubeconfig is better
    #[arg(long, global = true, value_name = "TOKEN", hide_short_help = true)]
    pub token: Option<String>,
    /// User to impersonate
    #[arg(long = "as", global = true, value_name = "USER", hide_short_help = true)]
    pub impersonate: Option<String>,
    /// Group to impersonate; may be repeated
    #[arg(long = "as-group", global = true, value_name = "GROUP", hide_short_help = true)]
    pub impersonate_group: Vec<String>,
    /// UID to impersonate
    #[arg(long = "as-uid", global = true, value_name = "UID", hide_short_help = true)]
    pub impersonate_uid: Option<String>,
    /// Extra field of the impersonated user; may be repeated
    #[arg(long = "as-user-extra", global = true, value_name = "KEY=VALUE", hide_short_help = true, value_parser = key_value)]
    pub impersonate_extra: Vec<(String, String)>,
    /// Do not ask the server to compress its answers
    #[arg(long, global = true, hide_short_help = true)]
    pub disable_compression: bool,
    /// How long a single request may take, such as 30s; 0 for no limit
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = crate::duration::parse)]
    pub request_timeout: Duration,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not KEY=VALUE"))
}

/// Never shows the token.
impl std::fmt::Debug for ConnectionArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionArgs")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A client for one cluster, and what to call that cluster.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: kube::Client,
    /// Name of the context.
    pub context: String,
    /// URL of the API server.
    pub server: String,
    /// Version of the API server, such as `v1.36.3`: the proof that it answers.
    pub version: String,
    /// Who the API server says we are: the proof that it accepts the credentials.
    pub username: String,
    /// The claim to be the only one that changes this cluster, where there is to be one.
    pub(super) claim: Option<Claim>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("context", &self.context).field("server", &self.server).finish()
    }
}

impl ConnectionArgs {
    /// Where the kubeconfig comes from.
    #[must_use]
    pub fn source(&self) -> KubeconfigSource {
        self.kubeconfig.clone().map_or(KubeconfigSource::Ambient, KubeconfigSource::File)
    }

    /// A hint whose commands are typed for the cluster that these flags choose.
    #[must_use]
    pub fn typed(&self, hint: &str) -> String {
        let file = self.kubeconfig.as_ref().map(|path| ("--kubeconfig", path.as_os_str().as_bytes()));
        let context = self.context.as_ref().map(|name| ("--context", name.as_bytes()));
        let namespace = self.namespace_given.then_some(("--namespace", self.namespace.as_bytes()));
        let flags = [file, context, namespace].into_iter().flatten();
        let flags = flags.map(|(flag, value)| format!(" {flag} {}", in_shell(value))).collect::<String>();
        ["worker", "bootstrap"].iter().fold(hint.to_owned(), |hint, command| {
            let bare = format!("kubectl kubiya {command} ");
            hint.replace(&bare, &format!("kubectl kubiya {command}{flags} "))
        })
    }

    /// The chosen context with the flags laid over it.
    ///
    /// # Errors
    /// Those of reading the kubeconfig, of names it does not have, and of files that flags name.
    pub fn selection(&self) -> Result<Selection, ClusterError> {
        let kubeconfig = self.source().load()?;
        let mut chosen = self.source().asked(select(
            &kubeconfig,
            self.context.as_deref(),
            self.cluster.as_deref(),
            self.user.as_deref(),
        )?);
        let absolute = |path: &PathBuf| path.display().to_string();
        if let Some(server) = &self.server {
            chosen.cluster.server = Some(server.clone());
        }
        if let Some(name) = &self.tls_server_name {
            chosen.cluster.tls_server_name = Some(name.clone());
        }
        if let Some(path) = &self.certificate_authority {
            chosen.cluster.certificate_authority = Some(absolute(path));
            chosen.cluster.certificate_authority_data = None;
        }
        if self.insecure_skip_tls_verify {
            chosen.cluster.insecure_skip_tls_verify = Some(true);
            // client-go refuses a root certificate beside it; so does TLS sense.
            chosen.cluster.certificate_authority = None;
            chosen.cluster.certificate_authority_data = None;
        }
        if let Some(path) = &self.client_certificate {
            chosen.user.client_certificate = Some(absolute(path));
            chosen.user.client_certificate_data = None;
        }
        if let Some(path) = &self.client_key {
            chosen.user.client_key = Some(absolute(path));
            chosen.user.client_key_data = None;
        }
        if let Some(token) = &self.token {
            chosen.user.token = Some(token.clone().into());
            chosen.user.token_file = None;
        }
        if let Some(user) = &self.impersonate {
            chosen.user.impersonate = Some(user.clone());
        }
        if !self.impersonate_group.is_empty() {
            chosen.user.impersonate_groups = Some(self.impersonate_group.clone());
        }
        if let Some(uid) = &self.impersonate_uid {
            chosen.user.impersonate_uid = Some(uid.clone());
        }
        for (key, value) in &self.impersonate_extra {
            let extra = chosen.user.impersonate_user_extra.get_or_insert_default();
            extra.entry(key.clone()).or_default().push(value.clone());
        }
        if self.disable_compression {
            chosen.cluster.disable_compression = Some(true);
        }
        Ok(chosen)
    }
}

impl Connection {
    /// Connects with exactly the given entries, and proves it by an authenticated request.
    ///
    /// # Errors
    /// An unusable entry, an unreachable server, credentials that the server does not accept.
    pub async fn open(selection: &Selection, timeout: Duration) -> Result<Self, ClusterError> {
        let bad = |reason: String| ClusterError::BadConnection { context: selection.context.clone(), reason };
        let user = &selection.user;
        let more = user.impersonate_groups.is_some() || user.impersonate_user_extra.is_some();
        if user.impersonate.is_none() && (more || user.impersonate_uid.is_some()) {
            return Err(bad("--as-group, --as-uid and --as-user-extra need --as".to_owned()));
        }
        let mut config = Config::from_custom_kubeconfig(minimal(selection), &KubeConfigOptions::default())
            .await
            .map_err(|error| bad(innermost(&error)))?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        if !timeout.is_zero() {
            config.connect_timeout = Some(timeout.min(Duration::from_secs(10)));
            config.read_timeout = Some(timeout);
            config.reset_reader_on_write = true;
        }
        // What is asked again, and how often, is decided there.
        config.default_retry = false;
        let client = kube::Client::try_from(config).map(|client| patient(client, timeout));
        let unauthenticated = |reason: String| ClusterError::Unauthenticated {
            context: selection.context.clone(),
            reason,
            kubectl: selection.kubectl.clone(),
        };
        let client = client.map_err(|error| match &error {
            kube::Error::Auth(_) => unauthenticated(innermost(&error)),
            _ => bad(innermost(&error)),
        })?;
        let version = client.apiserver_version().await.map_err(|error| match &error {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
                unauthenticated(status.message.clone())
            }
            kube::Error::Auth(_) => unauthenticated(innermost(&error)),
            _ => ClusterError::Unreachable {
                context: selection.context.clone(),
                server: server.clone(),
                reason: match &error {
                    kube::Error::SerdeError(_) => "what answers there is no API server".to_owned(),
                    other => innermost(other),
                },
                certificate: CertificateProblem::of(&error).map(Box::new),
                kubectl: selection.kubectl.clone(),
            },
        })?;
        let username = who_am_i(&client).await.map_err(|error| match &error {
            kube::Error::Api(status) => unauthenticated(status.message.clone()),
            other => unauthenticated(innermost(other)),
        })?;
        Ok(Self {
            client,
            context: selection.context.clone(),
            server,
            version: version.git_version,
            username,
            claim: None,
        })
    }
}

/// Asks the server for our name. `/version` answers anybody; this does not answer the anonymous.
async fn who_am_i(client: &kube::Client) -> Result<String, kube::Error> {
    let review = kube::Api::<SelfSubjectReview>::all(client.clone())
        .create(&kube::api::PostParams::default(), &SelfSubjectReview::default())
        .await?;
    Ok(review.status.and_then(|s| s.user_info).and_then(|u| u.username).unwrap_or_default())
}

/// A client for what a stranger may see: nothing is asked to prove anything.
pub(crate) async fn anonymous(selection: &Selection) -> Result<kube::Client, kube::Error> {
    let config = Config::from_custom_kubeconfig(minimal(selection), &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| kube::Error::Service(innermost(&error).into()))?;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(Duration::from_secs(30));
    kube::Client::try_from(config)
}

/// A kubeconfig of one context, one cluster and one user.
fn minimal(selection: &Selection) -> Kubeconfig {
    let name = || selection.context.clone();
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: name(),
            cluster: Some(selection.cluster.clone()),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name(),
            auth_info: Some(selection.user.clone()),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: name(),
            context: Some(Context { cluster: name(), user: Some(name()), ..Context::default() }),
            ..NamedContext::default()
        }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    }
}

/// Standard base64, as kubeconfigs and Secrets hold data.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use secrecy::ExposeSecret as _;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: ConnectionArgs,
    }

    #[test]
    fn hints_are_typed_for_the_same_cluster() {
        let typed = |words: &[&str], hint| Only::parse_from(words).args.typed(hint);
        let hint = "kubectl kubiya worker add w1   # or kubectl kubiya encrypt";
        assert_eq!(typed(&["x"], hint), hint);
        assert_eq!(
            typed(&["x", "--context", "the hub", "--kubeconfig", "k"], hint),
            "kubectl kubiya worker --kubeconfig k --context 'the hub' add w1   # or kubectl kubiya encrypt"
        );
    }

    #[test]
    fn flags_lie_over_the_kubeconfig() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let kubeconfig = "current-context: c\n\
            clusters: [{name: c, cluster: {server: https://c, certificate-authority-data: Q0E=}}]\n\
            users: [{name: u, user: {tokenFile: /t, client-certificate-data: Q0E=}}]\n\
            contexts: [{name: c, context: {cluster: c, user: u}}]\n";
        std::fs::write(&path, kubeconfig).unwrap();
        let words = [
            "x",
            "--kubeconfig",
            path.to_str().unwrap(),
            "-s",
            "https://other",
            "--token",
            "CANARY",
            "--insecure-skip-tls-verify",
            "--tls-server-name",
            "name",
            "--client-certificate",
            "/crt",
            "--as",
            "jane",
            "--as-group",
            "a",
            "--as-group",
            "b",
            "--as-uid",
            "7",
            "--as-user-extra",
            "k=v",
            "--as-user-extra",
            "k=w",
            "--disable-compression",
        ];
        let args = Only::parse_from(words).args;
        let chosen = args.selection().unwrap();
        assert_eq!(chosen.cluster.server.as_deref(), Some("https://other"));
        assert_eq!(chosen.cluster.tls_server_name.as_deref(), Some("name"));
        assert_eq!(chosen.cluster.insecure_skip_tls_verify, Some(true));
        assert_eq!(chosen.cluster.certificate_authority_data, None);
        assert_eq!(chosen.cluster.disable_compression, Some(true));
        let user = &chosen.user;
        assert_eq!(user.token.as_ref().unwrap().expose_secret(), "CANARY");
        assert_eq!((user.token_file.as_deref(), user.client_certificate.as_deref()), (None, Some("/crt")));
        assert_eq!(user.client_certificate_data, None);
        assert_eq!(user.impersonate.as_deref(), Some("jane"));
        assert_eq!(user.impersonate_groups.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(user.impersonate_uid.as_deref(), Some("7"));
        assert_eq!(user.impersonate_user_extra.as_ref().unwrap()["k"], ["v", "w"]);
        assert!(!format!("{args:?} {chosen:?}").contains("CANARY"));
    }

    #[test]
    fn times_of_requests() {
        let parse =
            |words: &[&str]| Only::try_parse_from([&["x"], words].concat()).map(|o| o.args.request_timeout);
        assert_eq!(parse(&[]).unwrap(), Duration::from_secs(30));
        assert_eq!(parse(&["--request-timeout", "0"]).unwrap(), Duration::ZERO);
        assert!(parse(&["--request-timeout", "x"]).is_err());
    }
}

//! Many clusters out of a few: a front with TLS before real API servers, which gives each of many names a cluster
//! of its own, at an address of its own (`https://HOST/c/NAME`, as fronts of fleets have them).
//!
//! Nothing but the name's own identity is made up: `kube-system` has another UID for each name, and what an infra
//! cluster makes for Flux on a worker is kept apart by name. All else is what the real API server says, with the
//! credentials of who asks. The front counts the requests of each name, and can have one go away.

mod names;

use crate::rig::certificates::Authority;
use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Who is behind the front.
#[derive(Clone, Debug)]
pub struct Behind {
    /// Kubeconfig of the infra cluster's administrator. It keeps its identity under the name `hub`, and has another
    /// one under the name `rebuilt`.
    pub hub: PathBuf,
    /// Kubeconfigs of the workers' administrators.
    pub workers: Vec<PathBuf>,
    /// The names, given to the workers in turn.
    pub names: Vec<String>,
}

/// A running front. It ends with the value.
pub struct Crowd {
    shared: Arc<Shared>,
    kubeconfig: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    clusters: Vec<Client>,
    /// The cluster of each name.
    names: BTreeMap<String, usize>,
    counts: Mutex<BTreeMap<String, u64>>,
    /// How many requests are still answered.
    left: Mutex<BTreeMap<String, u64>>,
}

/// The name of the infra cluster.
const HUB: &str = crate::rig::HUB;
/// The infra cluster again, as if it had been built anew: with another identity.
const REBUILT: &str = "rebuilt";

impl Crowd {
    /// Starts it: makes an account for the operator on each cluster, because no client certificate passes a front.
    ///
    /// # Errors
    /// A cluster that does not answer, or no port.
    pub fn start(behind: &Behind) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (ready, told) = std::sync::mpsc::channel();
        let behind = behind.clone();
        let thread = std::thread::Builder::new().name("crowd".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                match prepare(&behind).await {
                    Ok((listener, acceptor, shared, kubeconfig)) => {
                        let _ = ready.send(Ok((shared.clone(), kubeconfig)));
                        tokio::select! {
                            () = accept(listener, acceptor, shared) => {}
                            _ = stopped => {}
                        }
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
            runtime.shutdown_background();
        })?;
        let (shared, kubeconfig) = told.recv().context("the front's thread ended")??;
        Ok(Self { shared, kubeconfig, stop: Some(stop), thread: Some(thread) })
    }

    /// A kubeconfig with a context for each name; the infra cluster's is the current one.
    #[must_use]
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// How many requests each name has had since this was asked last.
    #[must_use]
    pub fn take_counts(&self) -> BTreeMap<String, u64> {
        self.shared.take_counts()
    }

    /// Lets a name go away after so many more requests; `None` brings it back.
    pub fn go_away_after(&self, name: &str, requests: Option<u64>) {
        let mut left = self.shared.left.lock().unwrap_or_else(PoisonError::into_inner);
        match requests {
            Some(requests) => left.insert(name.to_owned(), requests),
            None => left.remove(name),
        };
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn prepare(behind: &Behind) -> Result<(TcpListener, TlsAcceptor, Arc<Shared>, String)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the front")?;
    let authority = Authority::new("crowd")?;
    let server = authority.server()?;
    let certificate = CertificateDer::from_pem_slice(server.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes())?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let (mut clusters, mut tokens) = (Vec::new(), Vec::new());
    for path in std::iter::once(&behind.hub).chain(&behind.workers) {
        tokens.push(operator(path).await?);
        clusters.push(stranger(path).await?);
    }
    let workers = behind.workers.len().max(1);
    let mut names: BTreeMap<String, usize> =
        behind.names.iter().enumerate().map(|(at, name)| (name.clone(), 1 + at % workers)).collect();
    names.insert(HUB.to_owned(), 0);
    names.insert(REBUILT.to_owned(), 0);
    let kubeconfig = kubeconfig(listener.local_addr()?, authority.certificate(), &names, &tokens)?;
    let shared = Shared { clusters, names, counts: Mutex::default(), left: Mutex::default() };
    Ok((listener, TlsAcceptor::from(Arc::new(config)), Arc::new(shared), kubeconfig))
}

/// A token that may do everything on a cluster.
async fn operator(kubeconfig: &Path) -> Result<String> {
    let client = crate::rig::kubeconfig::client(kubeconfig).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "kube-system");
    let apply = PatchParams::apply("kubiya-rig").force();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "crowd"}});
    accounts.patch("crowd", &apply, &Patch::Apply(&account)).await?;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "crowd"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "crowd", "namespace": "kube-system"}],
    });
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(client);
    bindings.patch("crowd", &apply, &Patch::Apply(&binding)).await?;
    let request = TokenRequest {
        spec: Some(TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() }),
        ..TokenRequest::default()
    };
    let answer = accounts.create_token_request("crowd", &PostParams::default(), &request).await?;
    answer.status.and_then(|status| status.token).context("the answer holds no token")
}

/// A client that is nobody: whoever asks says who that is.
async fn stranger(kubeconfig: &Path) -> Result<Client> {
    let mut read = Kubeconfig::read_from(kubeconfig)?;
    for user in &mut read.auth_infos {
        user.auth_info = Some(AuthInfo::default());
    }
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    config.disable_compression = true;
    Ok(Client::try_from(config)?)
}

fn kubeconfig(
    address: SocketAddr,
    authority: &str,
    names: &BTreeMap<String, usize>,
    tokens: &[String],
) -> Result<String> {
    use base64::Engine as _;
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    let (mut clusters, mut contexts) = (String::new(), String::new());
    for (name, cluster) in names {
        writeln!(
            clusters,
            "- {{name: {name}, cluster: {{server: \"https://{address}/c/{name}\", certificate-authority-data: {authority}}}}}"
        )?;
        writeln!(contexts, "- {{name: {name}, context: {{cluster: {name}, user: u{cluster}}}}}")?;
    }
    let mut users = String::new();
    for (cluster, token) in tokens.iter().enumerate() {
        writeln!(users, "- {{name: u{cluster}, user: {{token: {token}}}}}")?;
    }
    Ok(format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {HUB}\nclusters:\n{clusters}contexts:\n{contexts}users:\n{users}"
    ))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        // A connection that breaks while it is accepted concerns its client alone.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let shared = shared.clone();
                async move { shared.answer(request).await }
            });
            // An error of the service ends the connection: that is how a name goes away.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Shared {
    fn take_counts(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
        if target == "/counts" {
            return Ok(Response::new(Full::from(serde_json::to_string(&self.take_counts())?)));
        }
        let found = target.strip_prefix("/c/").and_then(|rest| rest.split_once('/'));
        let Some((name, cluster)) = found.and_then(|(name, _)| Some((name, *self.names.get(name)?))) else {
            let nobody = Full::from("no such name\n");
            return Ok(Response::builder().status(StatusCode::NOT_FOUND).body(nobody)?);
        };
        self.count(name)?;
        let path = found.map(|(_, rest)| format!("/{rest}")).unwrap_or_default();
        self.forward(name, cluster, &path, request).await
    }

    /// Counts a request, unless the name has gone away.
    fn count(&self, name: &str) -> Result<()> {
        if let Some(left) = self.left.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            *left = left.checked_sub(1).with_context(|| format!("{name} has gone away"))?;
        }
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += 1;
        Ok(())
    }

    async fn forward(
        &self,
        name: &str,
        cluster: usize,
        path: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>> {
        let is_worker = name != HUB;
        let (mut parts, body) = request.into_parts();
        let mut body = body.collect().await?.to_bytes().to_vec();
        let mut target = path.to_owned();
        if is_worker {
            body = names::outward(&body, name);
            target = String::from_utf8(names::outward(path.as_bytes(), name))?;
        }
        parts.uri = target.parse()?;
        for header in [ACCEPT_ENCODING, CONTENT_LENGTH, HOST] {
            parts.headers.remove(header);
        }
        // Names have other lengths here and there, which only a text form can bear.
        if parts
            .headers
            .get(ACCEPT)
            .is_some_and(|wanted| wanted.to_str().is_ok_and(|wanted| wanted.contains("protobuf")))
        {
            parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        let own =
            parts.method == Method::GET && path.starts_with("/api/v1/namespaces/kube-system") && is_worker;
        let asked = Request::from_parts(parts, kube::client::Body::from(body));
        let (mut parts, body) = self.clusters[cluster].send(asked).await?.into_parts();
        let mut body = body.collect().await?.to_bytes().to_vec();
        if is_worker {
            body = names::inward(&body, name);
        }
        if own && let Ok(mut namespace) = serde_json::from_slice::<Value>(&body) {
            namespace["metadata"]["uid"] = names::uid(name).into();
            body = serde_json::to_vec(&namespace)?;
        }
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove(hyper::header::TRANSFER_ENCODING);
        Ok(Response::from_parts(parts, Full::from(body)))
    }
}

//! A door in front of a real API server that goes wrong at one chosen request: for what a real server does not do on
//! demand. It speaks plain HTTP to its clients, or TLS where it stands before a worker, lets everybody in as the
//! administrator of the cluster, and notes what was asked for.

use crate::git_server::{self, Tls};
use crate::rig::certificates::Authority;
use crate::rig::kubeconfig;
use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Somebody else was faster (409); the API server does nothing.
    Conflict,
    /// Too many requests (429), with `Retry-After`; the API server does nothing.
    TooMany,
    /// An error of the API server (500); it does nothing.
    Internal,
    /// The API server is not there (503); it does nothing.
    Unavailable,
    /// The connection breaks before the request is read.
    Reset,
    /// The API server does what it is asked to, and the connection breaks before it can say so.
    Lost,
    /// No answer comes; the API server does nothing.
    Hang,
    /// The API server does what it is asked to; half of its answer comes, and the connection ends.
    Truncated,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Conflict,
        Self::TooMany,
        Self::Internal,
        Self::Unavailable,
        Self::Reset,
        Self::Lost,
        Self::Hang,
        Self::Truncated,
    ];

    /// The answer of an API server that does nothing.
    fn status(self) -> Option<(StatusCode, &'static str)> {
        match self {
            Self::Conflict => Some((StatusCode::CONFLICT, "Conflict")),
            Self::TooMany => Some((StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
            Self::Internal => Some((StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            Self::Unavailable => Some((StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
            Self::Reset | Self::Lost | Self::Hang | Self::Truncated => None,
        }
    }
}

/// One request by what it asks for, and the how manieth of its kind it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asked {
    /// Method and path with query, without what differs from run to run.
    pub what: String,
    /// Counted from 1.
    pub number: usize,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.what, self.number)
    }
}

impl Asked {
    /// Whether it changes what is stored: no reading, no dry run, no question about ourselves.
    #[must_use]
    pub fn writes(&self) -> bool {
        let asks = ["dryRun=All", "/authorization.k8s.io/", "/authentication.k8s.io/"];
        !self.what.starts_with("GET ") && !asks.iter().any(|part| self.what.contains(part))
    }
}

/// What is to go wrong, and what happened.
#[derive(Debug, Default)]
struct Plan {
    fault: Option<(Asked, Fault)>,
    seen: Vec<Asked>,
    counts: HashMap<String, usize>,
}

/// The door. It goes with the value.
pub struct FaultProxy {
    address: SocketAddr,
    /// The certificate by which clients know it, in PEM; none where it speaks plain HTTP.
    authority: Option<String>,
    plan: Arc<Mutex<Plan>>,
    client: Client,
    runtime: Option<Runtime>,
}

impl FaultProxy {
    /// A door to the cluster of a kubeconfig's current context.
    ///
    /// # Errors
    /// When the kubeconfig is broken or no port can be had.
    pub fn to(path: &Path) -> Result<Self> {
        Self::start(path, None)
    }

    /// The same with TLS, as a worker must have it: for a token over plain HTTP, Flux is not let in.
    ///
    /// # Errors
    /// As of [`FaultProxy::to`].
    pub fn to_worker(path: &Path) -> Result<Self> {
        Self::start(path, Some(&Authority::new("door")?))
    }

    fn start(path: &Path, authority: Option<&Authority>) -> Result<Self> {
        let tls = authority.map(|authority| {
            let server = authority.server()?;
            git_server::tls::acceptor(&Tls {
                certificate: server.certificate,
                key: server.key,
                clients: None,
            })
        });
        let tls = tls.transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let (address, client) = runtime.block_on(async {
            let config = Kubeconfig::read_from(path)?;
            let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
            // What the server says is what the client is to hear.
            config.default_retry = false;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port")?;
            let address = listener.local_addr()?;
            let door = Door { client: Client::try_from(config)?, plan: plan.clone() };
            tokio::spawn(accept(listener, tls, door));
            anyhow::Ok((address, kubeconfig::client(path).await?))
        })?;
        let authority = authority.map(|authority| authority.certificate().to_owned());
        Ok(Self { address, authority, plan, client, runtime: Some(runtime) })
    }

    /// Writes a kubeconfig whose one context goes through this door, with a token that must not be shown.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_kubeconfig(&self, path: &Path, context: &str, token: &str) -> Result<()> {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        let server = format!("{scheme}://{}", self.address);
        let credential = kubeconfig::Credential::Token(token);
        let ca = self.authority.as_deref().unwrap_or_default();
        let context = kubeconfig::Context { name: context, server: &server, ca, credential, namespace: None };
        kubeconfig::write(path, &[context])
    }

    /// Begins anew: nothing was asked, and this request is to go wrong, where one is named.
    pub fn begin(&self, fault: Option<(Asked, Fault)>) {
        *locked(&self.plan) = Plan { fault, ..Plan::default() };
    }

    /// What was asked for since, in this order.
    #[must_use]
    pub fn seen(&self) -> Vec<Asked> {
        locked(&self.plan).seen.clone()
    }

    /// Runs something with a client that does not go through the door.
    ///
    /// # Errors
    /// Its own.
    pub fn beside<T, F: Future<Output = Result<T>>>(&self, work: impl FnOnce(Client) -> F) -> Result<T> {
        let Some(runtime) = &self.runtime else { bail!("the door is gone") };
        runtime.block_on(work(self.client.clone()))
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn locked(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

type Answer = Response<Told>;

/// What a connection needs.
#[derive(Clone)]
struct Door {
    client: Client,
    plan: Arc<Mutex<Plan>>,
}

/// A connection that is to break.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection breaks here")
    }
}

impl std::error::Error for Broken {}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, door: Door) {
    loop {
        // A connection that breaks while it is accepted concerns its client alone.
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(stream, tls.clone(), door.clone()));
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, door: Door) {
    let breaks = Arc::new(AtomicBool::new(false));
    let Ok(stream) = stream.into_std() else { return };
    // The socket once more: the server takes the other handle with it.
    let Ok(handle) = stream.try_clone().and_then(TcpStream::from_std) else { return };
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let service = service_fn(|request| {
        let (door, breaks) = (door.clone(), breaks.clone());
        async move {
            let answer = door.answer(request).await;
            breaks.store(answer.is_err(), Ordering::Relaxed);
            answer
        }
    });
    let server = hyper::server::conn::http1::Builder::new();
    let _ = match tls {
        None => server.serve_connection(TokioIo::new(stream), service).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => return,
        },
    };
    if breaks.load(Ordering::Relaxed) {
        // The other side gets a reset instead of an orderly end.
        let _ = handle.set_zero_linger();
    }
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Broken> {
        let fault = self.fault_of(&request);
        if let Some((code, reason)) = fault.and_then(Fault::status) {
            return Ok(refusal(code, reason));
        }
        match fault {
            Some(Fault::Reset) => return Err(Broken),
            Some(Fault::Hang) => std::future::pending().await,
            _ => {}
        }
        let (head, body) = match self.forward(request).await {
            Ok(answer) => answer.into_parts(),
            Err(error) => return Ok(refusal(StatusCode::BAD_GATEWAY, &format!("{error:#}"))),
        };
        match fault {
            Some(Fault::Lost) => Err(Broken),
            Some(Fault::Truncated) => {
                let mut answer = Response::from_parts(head, Told::half(&body));
                answer.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
                Ok(answer)
            }
            _ => Ok(Response::from_parts(head, Told::all(body))),
        }
    }

    /// Notes the request, and what is to go wrong with it.
    fn fault_of(&self, request: &Request<Incoming>) -> Option<Fault> {
        let what = what(request.method(), request.uri());
        let mut plan = locked(&self.plan);
        let count = plan.counts.entry(what.clone()).or_default();
        *count += 1;
        let asked = Asked { what, number: *count };
        let fault = plan.fault.as_ref().filter(|(at, _)| *at == asked).map(|(_, fault)| *fault);
        plan.seen.push(asked);
        fault
    }

    /// Asks the API server, and reads its whole answer.
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut forwarded = Request::builder().method(head.method).uri(path);
        for name in [header::ACCEPT, header::CONTENT_TYPE] {
            if let Some(value) = head.headers.get(&name) {
                forwarded = forwarded.header(name, value);
            }
        }
        let answer = self.client.send(forwarded.body(kube::client::Body::from(body.to_vec()))?).await?;
        let (mut head, body) = answer.into_parts();
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
            head.headers.remove(name);
        }
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// What a request asks for, without what differs from run to run.
fn what(method: &Method, uri: &hyper::Uri) -> String {
    let query = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
    let kept: Vec<&str> = query.filter(|part| !part.starts_with("fieldManager=")).collect();
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    format!("{method} {}{query}", uri.path())
}

/// A body that may break off.
struct Told {
    bytes: Option<Bytes>,
    breaks: bool,
    waited: bool,
}

impl Told {
    fn all(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), breaks: false, waited: true }
    }

    fn half(bytes: &Bytes) -> Self {
        Self { bytes: Some(bytes.slice(..bytes.len() / 2)), breaks: true, waited: false }
    }
}

impl Body for Told {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if !self.breaks {
            return Poll::Ready(None);
        }
        if !std::mem::replace(&mut self.waited, true) {
            // What is there is written out before the end comes.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Broken)))
    }
}

/// What an API server says when it does nothing.
fn refusal(code: StatusCode, reason: &str) -> Answer {
    let status = serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code.as_u16(), "reason": reason,
        "message": format!("{reason}, as the test wants it"),
    });
    let mut answer = Response::new(Told::all(Bytes::from(status.to_string())));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if code == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, 1.into());
    }
    answer
}

//! A Git server over HTTP on the loopback interface: the real `git http-backend` behind a small web
//! server. It speaks the smart protocol, for fetches and pushes, and runs hooks as any server does.

mod cgi;
pub(crate) mod tls;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cgi::Backend;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// How a server differs from the plainest one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// User name and password that every request must carry.
    pub credentials: Option<(String, String)>,
    /// Bearer token that does as well.
    pub token: Option<String>,
    /// User name and password as for a proxy: whoever reaches this server by its address as a proxy's must carry them.
    pub proxy_credentials: Option<(String, String)>,
    /// Speak TLS.
    pub tls: Option<Tls>,
    /// Variables that Git and its hooks see besides the few that a server sets.
    pub environment: Vec<(String, String)>,
}

/// What a server shows and asks for, all in PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The server's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The authority by which clients' certificates must be signed; without it none is asked for.
    pub clients: Option<String>,
}

/// How a server goes wrong, at every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitFault {
    /// It answers with this status alone.
    Status(u16),
    /// It ends the connection in place of an answer.
    Silence,
}

/// A running server. It ends with the value.
pub struct GitServer {
    fault: Arc<Mutex<Option<GitFault>>>,

    root: PathBuf,
    home: tempfile::TempDir,
    address: SocketAddr,
    scheme: &'static str,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl GitServer {
    /// Serves the repositories below a folder, to everybody.
    ///
    /// # Errors
    /// When Git is missing or no port can be had.
    pub fn start(root: &Path) -> Result<Self> {
        Self::start_with(root, Options::default())
    }

    /// Serves the repositories below a folder.
    ///
    /// # Errors
    /// When Git is missing or no port can be had.
    pub fn start_with(root: &Path, options: Options) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let root = root.canonicalize()?;
        let home = tempfile::tempdir()?;
        let fault: Arc<Mutex<Option<GitFault>>> = Arc::default();
        let backend = Arc::new(Backend {
            root: root.clone(),
            home: home.path().to_owned(),
            authorizations: authorizations(&options),
            proxy_authorization: options.proxy_credentials.as_ref().map(basic),
            environment: options.environment,
            fault: fault.clone(),
        });
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("git-server".into()).spawn(move || {
            let _ = ready.send(serve(backend, tls, stopped, &ready));
        })?;
        let address = address.recv().context("the Git server's thread ended")??;
        Ok(Self { fault, root, home, address, scheme, stop: Some(stop), thread: Some(thread) })
    }

    /// From now on every request goes wrong like this, or none any more.
    pub fn go_wrong(&self, fault: Option<GitFault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Where all repositories are.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The address of one repository.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}.git", self.base_url())
    }

    /// The folder of one repository on this machine.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.git"))
    }

    /// Makes an empty bare repository whose default branch is `main`. Where a program is given, every
    /// push to the repository is put before it.
    ///
    /// # Errors
    /// When the name is taken or Git refuses.
    pub fn create_repo(&self, name: &str, pre_receive: Option<&Path>) -> Result<PathBuf> {
        let path = self.path(name);
        if path.exists() {
            bail!("{} exists already", path.display());
        }
        let mut init = hermetic_git(self.home.path());
        init.args(["init", "--quiet", "--bare", "--initial-branch=main", "--template="]).arg(&path);
        run(&mut init)?;
        let mut config = hermetic_git(self.home.path());
        config.arg("-C").arg(&path).args(["config", "http.receivepack", "true"]);
        run(&mut config)?;
        if let Some(program) = pre_receive {
            let program =
                program.canonicalize().with_context(|| format!("cannot find {}", program.display()))?;
            fs::create_dir_all(path.join("hooks"))?;
            std::os::unix::fs::symlink(program, path.join("hooks/pre-receive"))?;
        }
        Ok(path)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The headers that are accepted; none where everybody is.
fn authorizations(options: &Options) -> Vec<String> {
    let basic = options.credentials.as_ref().map(basic);
    basic.into_iter().chain(options.token.as_ref().map(|token| format!("Bearer {token}"))).collect()
}

fn basic((user, password): &(String, String)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

type Ready = std::sync::mpsc::Sender<Result<SocketAddr>>;

/// Serves until told to stop. What goes wrong before the first request is returned.
fn serve(
    backend: Arc<Backend>,
    tls: Option<TlsAcceptor>,
    stopped: oneshot::Receiver<()>,
    ready: &Ready,
) -> Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let address = runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for Git")?;
        let address = listener.local_addr()?;
        let _ = ready.send(Ok(address));
        tokio::select! {
            () = accept(listener, tls, backend) => {}
            _ = stopped => {}
        }
        anyhow::Ok(address)
    });
    runtime.shutdown_background();
    address
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, backend: Arc<Backend>) {
    loop {
        // A connection that breaks while it is accepted concerns its client alone.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (backend, tls) = (backend.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, backend).await,
                Some(tls) => match tls.accept(stream).into_fallible().await {
                    Ok(stream) => connection(stream, backend).await,
                    // Who is not let in is told so by TLS. To close with something unread would be a reset, which can
                    // overtake what was told.
                    Err((_, mut stream)) => {
                        let _ = stream.shutdown().await;
                        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    }
                },
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, backend: Arc<Backend>) {
    let service = service_fn(move |request| {
        let backend = backend.clone();
        async move {
            match backend.fault() {
                Some(GitFault::Silence) => bail!("the connection ends here"),
                Some(GitFault::Status(status)) => cgi::only_status(status),
                None => Ok(backend.answer(request).await),
            }
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Git with nothing of the user's: no configuration, no credentials, no questions.
pub(crate) fn hermetic_git(home: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().context("cannot run git")?;
    if !output.status.success() {
        bail!("git failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

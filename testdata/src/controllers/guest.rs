//! The life of one controller process.

use super::arguments::translate;
use crate::objects::{Key, Wanted};
use crate::rig::kubeconfig::{self, Context, Credential};
use crate::rig::process::{Handle, Processes, Rank};
use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a token lives: longer than any rig.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;

/// How often it is tried whether a process can be started by now.
const RETRY: Duration = Duration::from_millis(300);
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A process that a Deployment asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Guest {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
    pub(super) service_account: String,
    pub(super) template: Value,
}

/// Where guests run.
pub(super) struct Host {
    pub(super) client: Client,
    pub(super) server: String,
    pub(super) ca: String,
    pub(super) bin: PathBuf,
    pub(super) processes: Processes,
    pub(super) dir: PathBuf,
}

/// Keeps the process of one Deployment as the Deployment wants it: started, restarted with growing
/// pauses when it ends, restarted at once when it is to be different, stopped when it is to go.
pub(super) async fn keep(host: Arc<Host>, key: Key, mut wanted: Wanted<Guest>) {
    let mut pause = FIRST_PAUSE;
    let mut obstacle = String::new();
    loop {
        let Some(guest) = wanted.borrow_and_update().clone() else {
            if wanted.changed().await.is_err() {
                return;
            }
            pause = FIRST_PAUSE;
            continue;
        };
        let began = Instant::now();
        match host.start(&key, &guest).await {
            Ok(handle) => {
                host.note(&format!("{} started as process {}", guest.program, handle.pid));
                let ended = tokio::select! {
                    ended = host.until_exit(&handle) => Some(ended),
                    _ = wanted.changed() => None,
                };
                host.processes.stop(&handle).await;
                let Some(status) = ended else {
                    host.note(&format!("{} stopped: its Deployment changed or went", guest.program));
                    pause = FIRST_PAUSE;
                    continue;
                };
                host.note(&format!("{} ended: {status}", guest.program));
            }
            // As long as the ServiceAccount is not there, a pod would not start either.
            Err(error) => {
                let now = format!("{} does not start: {error:#}", guest.program);
                if now != obstacle {
                    host.note(&now);
                    obstacle = now;
                }
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    _ = wanted.changed() => wanted.mark_changed(),
                }
                continue;
            }
        }
        pause = if began.elapsed() > LONGEST_PAUSE { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = wanted.changed() => wanted.mark_changed(),
        }
    }
}

impl Host {
    /// Starts a process with a token of its ServiceAccount and nothing of this user's environment: as a
    /// plain process a controller would also find the keys of whoever runs the tests.
    async fn start(&self, (namespace, name): &Key, guest: &Guest) -> Result<Handle> {
        let dir = self.dir.join(format!("{namespace}-{name}"));
        // A short path for what is temporary: the sockets of gpg-agent are there, and a socket's path has at most 107 bytes.
        let (home, temporary) = (dir.join("home"), self.dir.with_file_name("t"));
        fs::create_dir_all(&home)?;
        fs::create_dir_all(&temporary)?;
        let kubeconfig = dir.join("kubeconfig");
        self.write_kubeconfig(&kubeconfig, namespace, &guest.service_account).await?;

        let mut command = self.program(guest.program)?;
        command
            .args(translate(&guest.arguments, namespace))
            .env_clear()
            .env("HOME", &home)
            .env("TMPDIR", &temporary)
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .env("KUBECONFIG", &kubeconfig)
            .env("RUNTIME_NAMESPACE", namespace)
            .current_dir(&dir);
        self.processes.spawn(&format!("{namespace}-{name}"), Rank::Guest, command)
    }

    fn program(&self, name: &str) -> Result<Command> {
        if name == crate::source_controller::NAME {
            let mut command = Command::new(this_program()?);
            command.arg(name);
            return Ok(command);
        }
        let path = self.bin.join(name);
        if !path.is_file() {
            anyhow::bail!("{} is not built; this rig's set of parts lacks it", path.display());
        }
        Ok(Command::new(path))
    }

    async fn write_kubeconfig(&self, path: &Path, namespace: &str, account: &str) -> Result<()> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for the ServiceAccount {namespace}/{account}"))?;
        let token = answer.status.and_then(|status| status.token);
        let token = token.context("the API server answered without a token")?;
        let context = Context {
            name: account,
            server: &self.server,
            ca: &self.ca,
            credential: Credential::Token(&token),
            namespace: Some(namespace),
        };
        kubeconfig::write(path, &[context])
    }

    async fn until_exit(&self, handle: &Handle) -> std::process::ExitStatus {
        loop {
            if let Some(status) = self.processes.exited(handle) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Adds a line to the log of what was started and stopped.
    fn note(&self, line: &str) {
        let log = self.processes.logs().join("controllers.log");
        if let Ok(mut log) = fs::File::options().create(true).append(true).open(log) {
            let _ = writeln!(log, "{} {line}", k8s_openapi::jiff::Timestamp::now());
        }
    }
}

/// This very program, also after a build has put another file in its place: a rig outlives builds.
fn this_program() -> std::io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

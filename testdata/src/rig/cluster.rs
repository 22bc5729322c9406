//! The processes of one cluster, with their arguments.

use super::certificates::{Authority, Files, Identity};
use super::kubeconfig::{self, Context, Credential};
use super::port::Port;
use super::process::{Handle, Processes, Rank};
use crate::parts::{Part, Toolbox};
use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a part may take to be ready. Far more than it needs, for machines that are busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The file in a cluster's folder that says which issuers its API server trusts.
pub(crate) const AUTHENTICATION: &str = "authentication.yaml";

/// No issuer but its own; tests change that.
const TRUSTS_NOBODY: &str =
    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: []\n";

/// The longest life of a token at the second worker: some providers cap it so.
const CAP: &str = "--service-account-max-token-expiration=48h";

/// The controllers that a worker runs: what makes namespaces end and ServiceAccounts work. Workers have
/// no nodes, and nothing there runs pods.
const WORKER_CONTROLLERS: &str = "--controllers=namespace-controller,serviceaccount-controller,\
    serviceaccount-token-controller,root-ca-certificate-publisher-controller,\
    clusterrole-aggregation-controller,garbage-collector-controller";

/// The store behind all clusters of a rig; each has a prefix of its own in it.
pub struct Store {
    url: String,
    _ports: [Port; 2],
}

impl Store {
    /// Starts etcd and waits until it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(toolbox: &Toolbox, processes: &Processes, dir: &Path) -> Result<Self> {
        let ports = [Port::reserve()?, Port::reserve()?];
        let url = |port: &Port| format!("http://127.0.0.1:{}", port.number());
        let (clients, peers) = (url(&ports[0]), url(&ports[1]));
        let mut command = program(toolbox, Part::Etcd, dir);
        command
            .arg("--name=rig")
            .arg(format!("--data-dir={}", dir.join("etcd").display()))
            .arg(format!("--listen-client-urls={clients}"))
            .arg(format!("--advertise-client-urls={clients}"))
            .arg(format!("--listen-peer-urls={peers}"))
            .arg(format!("--initial-advertise-peer-urls={peers}"))
            .arg(format!("--initial-cluster=rig={peers}"))
            .args(["--unsafe-no-fsync", "--log-level=error"]);
        let handle = processes.spawn("etcd", Rank::Store, command)?;
        let port = ports[0].number();
        until_ready(processes, &handle, "answering", || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop).map_err(Into::into)
        })
        .await?;
        Ok(Self { url: clients, _ports: ports })
    }
}

/// One cluster whose API server is ready.
pub struct Cluster {
    /// `hub`, `worker01` and so on.
    pub name: String,
    /// The address of its API server.
    pub server: String,
    /// The kubeconfig of its administrator.
    pub kubeconfig: PathBuf,
    authority: Authority,
    administrator: Identity,
    files: Files,
    dir: PathBuf,
    port: Port,
}

impl Cluster {
    /// Starts an API server and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(
        name: &str,
        toolbox: &Toolbox,
        processes: &Processes,
        store: &Store,
        run: &Path,
    ) -> Result<Self> {
        let dir = run.join(name);
        let authority = Authority::new(name)?;
        let files = Files::write(&dir.join("pki"), &authority)?;
        let administrator = authority.client("kubernetes-admin", Some("system:masters"))?;
        let port = Port::reserve()?;
        let server = format!("https://127.0.0.1:{}", port.number());
        let kubeconfig = run.join(format!("{name}.kubeconfig"));
        let cluster =
            Self { name: name.into(), server, kubeconfig, authority, administrator, files, dir, port };
        kubeconfig::write(&cluster.kubeconfig, &[cluster.context()])?;
        std::fs::write(cluster.authentication(), TRUSTS_NOBODY)?;

        let handle = processes.spawn(
            &format!("{name}-kube-apiserver"),
            Rank::Server,
            cluster.api_server(toolbox, store),
        )?;
        let client = kubeconfig::client(&cluster.kubeconfig).await?;
        until_ready(processes, &handle, "ready", || ready(client.clone())).await?;
        Ok(cluster)
    }

    /// The administrator's context, for a kubeconfig that has several.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context {
            name: &self.name,
            server: &self.server,
            ca: self.authority.certificate(),
            credential: Credential::Certificate(&self.administrator),
            namespace: None,
        }
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        self.authority.certificate()
    }

    /// The file that says which issuers the API server trusts; it looks again when the file changes.
    fn authentication(&self) -> PathBuf {
        self.dir.join(AUTHENTICATION)
    }

    fn api_server(&self, toolbox: &Toolbox, store: &Store) -> Command {
        let mut command = program(toolbox, Part::KubeApiserver, &self.dir);
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        command
            .arg(format!("--etcd-servers={}", store.url))
            .arg(format!("--etcd-prefix=/{}", self.name))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .arg(format!("--secure-port={}", self.port.number()))
            .args(["--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24"])
            .args(["--authorization-mode=Node,RBAC", "--allow-privileged=true"])
            .arg(file("client-ca-file", &self.files.ca))
            .arg(file("tls-cert-file", &self.files.server_certificate))
            .arg(file("tls-private-key-file", &self.files.server_key))
            .arg(file("authentication-config", &self.authentication()))
            // The issuer differs from cluster to cluster, so a token of one is none in another.
            .arg(format!("--service-account-issuer={}", self.server))
            .arg(file("service-account-key-file", &self.files.accounts_public))
            .arg(file("service-account-signing-key-file", &self.files.accounts_private));
        if self.name == super::worker_name(2) {
            command.arg(CAP);
        }
        command
    }

    /// Starts the parts that make the hub a whole cluster: controllers, scheduler, and kwok with one
    /// node. Waits until the node is ready.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn start_hub_parts(&self, toolbox: &Toolbox, processes: &Processes) -> Result<()> {
        let manager = self.start_manager(toolbox, processes, "--controllers=*,-nodeipam")?;
        self.start_scheduler(toolbox, processes)?;
        let kwok = self.start_kwok(toolbox, processes)?;
        let client = kubeconfig::client(&self.kubeconfig).await?;
        let nodes = Api::<Node>::all(client.clone());
        nodes.create(&PostParams::default(), &node()?).await.context("cannot create the node")?;
        until_ready(processes, &kwok, "playing a ready node", || node_ready(nodes.clone())).await?;
        until_ready(processes, &manager, "making ServiceAccounts", || accounts(client.clone())).await
    }

    /// Starts the few controllers of a worker and waits until they work.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_worker_parts(&self, toolbox: &Toolbox, processes: &Processes) -> Result<()> {
        let manager = self.start_manager(toolbox, processes, WORKER_CONTROLLERS)?;
        let client = kubeconfig::client(&self.kubeconfig).await?;
        until_ready(processes, &manager, "making ServiceAccounts", || accounts(client.clone())).await
    }

    fn start_manager(&self, toolbox: &Toolbox, processes: &Processes, controllers: &str) -> Result<Handle> {
        let mut command = program(toolbox, Part::KubeControllerManager, &self.dir);
        command
            .arg(self.component("system:kube-controller-manager")?)
            .arg(format!("--service-account-private-key-file={}", self.files.accounts_private.display()))
            .arg(format!("--root-ca-file={}", self.files.ca.display()))
            .args(["--use-service-account-credentials", "--leader-elect=false", "--secure-port=0"])
            .arg(controllers);
        processes.spawn(&format!("{}-kube-controller-manager", self.name), Rank::Client, command)
    }

    fn start_scheduler(&self, toolbox: &Toolbox, processes: &Processes) -> Result<Handle> {
        let mut command = program(toolbox, Part::KubeScheduler, &self.dir);
        command
            .arg(self.component("system:kube-scheduler")?)
            .args(["--leader-elect=false", "--secure-port=0"]);
        processes.spawn(&format!("{}-kube-scheduler", self.name), Rank::Client, command)
    }

    fn start_kwok(&self, toolbox: &Toolbox, processes: &Processes) -> Result<Handle> {
        let mut command = program(toolbox, Part::Kwok, &self.dir);
        command
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .args(["--manage-all-nodes=true", "--node-lease-duration-seconds=0"])
            .args(toolbox.stages.iter().map(|stage| format!("--config={}", stage.display())));
        processes.spawn(&format!("{}-kwok", self.name), Rank::Client, command)
    }

    /// Writes the kubeconfig of a part and gives the flag that names it.
    fn component(&self, user: &str) -> Result<String> {
        let identity = self.authority.client(user, None)?;
        let path = self.dir.join(format!("{}.kubeconfig", user.replace(':', "-")));
        let context = Context { credential: Credential::Certificate(&identity), ..self.context() };
        kubeconfig::write(&path, &[context])?;
        Ok(format!("--kubeconfig={}", path.display()))
    }
}

/// A program of the rig with nothing of the user's environment.
fn program(toolbox: &Toolbox, part: Part, dir: &Path) -> Command {
    let mut command = Command::new(toolbox.program(part));
    command.env_clear().env("HOME", dir).env("PATH", "/usr/bin:/bin").current_dir(dir);
    command
}

/// Asks again and again until the answer is good, the process ends, or patience does. The error shows
/// what the process had to say.
async fn until_ready<F: Future<Output = Result<()>>>(
    processes: &Processes,
    handle: &Handle,
    state: &str,
    ask: impl Fn() -> F,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let answer = match tokio::time::timeout(Duration::from_secs(10), ask()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer within 10 s".into(),
        };
        if let Some(status) = processes.exited(handle) {
            bail!(
                "{} ended ({status}) before it was {state}; its log ends:\n{}",
                handle.name,
                handle.log_tail()
            );
        }
        if started.elapsed() > PATIENCE {
            bail!(
                "{} is not {state} after {} s: {answer}; its log ends:\n{}",
                handle.name,
                PATIENCE.as_secs(),
                handle.log_tail()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ready(client: Client) -> Result<()> {
    let request = hyper::Request::get("/readyz").body(Vec::new())?;
    client.request_text(request).await?;
    Ok(())
}

async fn accounts(client: Client) -> Result<()> {
    Api::<ServiceAccount>::namespaced(client, "default").get("default").await?;
    Ok(())
}

async fn node_ready(nodes: Api<Node>) -> Result<()> {
    let node = nodes.get("node01").await?;
    let untainted = node.spec.and_then(|spec| spec.taints).unwrap_or_default().is_empty();
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    if untainted
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    {
        return Ok(());
    }
    bail!("the node is not ready")
}

/// A node that exists only on paper: kwok keeps it ready and plays the pods that are put on it.
fn node() -> Result<Node> {
    let resources = json!({"cpu": "64", "memory": "256Gi", "pods": "500"});
    Ok(serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "node01",
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": "node01",
                "kubernetes.io/os": "linux",
            },
        },
        "status": {"allocatable": resources, "capacity": resources},
    }))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::run_dir::RunDir;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_part_that_ends_says_why() {
        let base = tempfile::tempdir().unwrap();
        let processes = Processes::new(Arc::new(RunDir::create(base.path()).unwrap())).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such flag >&2; exit 3"]);
        let handle = processes.spawn("part", Rank::Client, command).unwrap();
        let outcome = until_ready(&processes, &handle, "ready", || async { bail!("refused") }).await;
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("part ended (exit status: 3)") && error.contains("no such flag"), "{error}");
        assert!(processes.casualty().is_some());
        processes.stop_all().await;
    }
}

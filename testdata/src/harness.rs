//! What tests call: a rig for the test binary, its clusters, and the workspace's own programs.

use crate::parts::PartSet;
use crate::rig::cluster::AUTHENTICATION;
use crate::rig::{HUB, RigInfo};
use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The variable that names the description of a running rig, to be used instead of a new one.
pub const RUNNING: &str = "KUBIYA_RIG";

/// The workers of a shared rig.
const SHARED_WORKERS: usize = 2;

/// A running rig. It goes with the value, and with the process: the supervisor sees the end of a pipe.
pub struct Rig {
    info: RigInfo,
    home: PathBuf,
    supervisor: Option<(Child, ChildStdin)>,
}

impl Rig {
    /// The one rig of this test binary, with two workers. The first caller's set counts; it is that of
    /// `$KUBIYA_RIG` if that names the description of a running rig.
    ///
    /// # Panics
    /// When there is none and none comes up; the supervisor has said why.
    #[expect(clippy::panic, reason = "only tests call this, and without a rig they have failed")]
    pub fn shared(set: PartSet) -> &'static Self {
        static SHARED: OnceLock<Result<Rig, String>> = OnceLock::new();
        let rig = SHARED.get_or_init(|| {
            let running = std::env::var_os(RUNNING).map(PathBuf::from);
            let rig = match running {
                Some(path) => RigInfo::read(&path).and_then(|info| Self::new(info, None)),
                None => Self::start(set, SHARED_WORKERS),
            };
            rig.map_err(|error| format!("{error:#}"))
        });
        match rig {
            Ok(rig) => rig,
            Err(error) => panic!("no rig: {error}"),
        }
    }

    /// A rig of one's own.
    ///
    /// # Errors
    /// When it does not come up; the supervisor has said why.
    pub fn start(set: PartSet, workers: usize) -> Result<Self> {
        let mut child = Command::new(workspace_bin("kubiya-rig")?)
            .args(["up", "--set", set.name(), "--workers", &workers.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the supervisor")?;
        let stdin = child.stdin.take().context("the supervisor has no stdin")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("the supervisor has no stdout")?).read_line(&mut line)?;
        if line.is_empty() {
            bail!("the supervisor ended: {}", child.wait()?);
        }
        let info = serde_json::from_str(&line).context("the supervisor printed no description")?;
        Self::new(info, Some((child, stdin)))
    }

    fn new(info: RigInfo, supervisor: Option<(Child, ChildStdin)>) -> Result<Self> {
        // In the folder of the run, so that it goes when the rig goes.
        let home = info.run_dir.join("home");
        std::fs::create_dir_all(&home).with_context(|| format!("the rig {} is gone", info.id))?;
        Ok(Self { info, home, supervisor })
    }

    /// Where everything is.
    #[must_use]
    pub fn info(&self) -> &RigInfo {
        &self.info
    }

    /// The infra cluster.
    #[must_use]
    pub fn hub(&self) -> Cluster<'_> {
        Cluster { rig: self, kubeconfig: &self.info.hub, name: HUB }
    }

    /// A worker cluster by its name; nothing when the rig has no such worker.
    #[must_use]
    pub fn worker(&self, name: &str) -> Option<Cluster<'_>> {
        let (name, kubeconfig) = self.info.workers.get_key_value(name)?;
        Some(Cluster { rig: self, kubeconfig, name })
    }

    /// A program of the rig: `sops`, `age-keygen`, `kubectl`, `flux` and so on.
    #[must_use]
    pub fn bin(&self, name: &str) -> PathBuf {
        self.info.bin_dir.join(name)
    }

    /// kubectl with all contexts of the rig; the hub's is the current one.
    ///
    /// # Errors
    /// When it cannot be run; that it failed is in the output.
    pub fn kubectl<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Result<Output> {
        self.run_kubectl(&self.info.kubeconfig, arguments, None)
    }

    fn run_kubectl<I: IntoIterator<Item: AsRef<OsStr>>>(
        &self,
        kubeconfig: &Path,
        arguments: I,
        input: Option<&[u8]>,
    ) -> Result<Output> {
        let mut child = Command::new(self.bin("kubectl"))
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", &self.info.bin_dir)
            .env("KUBECONFIG", kubeconfig)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // kubectl says itself what is wrong with an input that it does not read to its end.
            let _ = stdin.write_all(input);
        }
        child.wait_with_output().context("kubectl broke off")
    }

    /// Waits until no other test uses Flux on this rig, be it in another process, and keeps it until the
    /// value is dropped. Flux is there once for a whole cluster, so tests that install it take turns.
    ///
    /// # Errors
    /// When the rig is gone.
    pub fn flux_turn(&self) -> Result<File> {
        let path = self.info.run_dir.join("flux-turn");
        let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        flock(&file, FlockOperation::LockExclusive).context("cannot wait for a turn")?;
        Ok(file)
    }

    /// Makes a new namespace on the hub, and gives its name.
    ///
    /// # Errors
    /// When the hub refuses.
    pub fn fresh_namespace(&self) -> Result<String> {
        static MADE: AtomicUsize = AtomicUsize::new(1);
        let name = format!("t-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        self.hub().run(["create", "namespace", &name])?;
        Ok(name)
    }

    /// Removes Flux from the hub, whatever state it is in, and waits until nothing of it is left.
    ///
    /// # Errors
    /// When something of it is still there after two minutes.
    pub fn uninstall_flux(&self) -> Result<()> {
        let hub = self.hub();
        // Without controllers, nothing puts back what is removed here.
        hub.run(["-n", "flux-system", "delete", "deployments", "--all", "--ignore-not-found"])?;
        let deadline = Instant::now() + Duration::from_secs(120);
        for kind in ["clusterroles", "clusterrolebindings"] {
            hub.run(["delete", kind, "-l", "app.kubernetes.io/part-of=flux", "--ignore-not-found"])?;
        }
        hub.run(["delete", "namespace", "flux-system", "--ignore-not-found", "--wait=false"])?;
        loop {
            let kinds = self.flux_kinds()?;
            for kind in &kinds {
                self.release_all(kind)?;
                hub.run(["delete", "crd", kind, "--ignore-not-found", "--wait=false"])?;
            }
            let namespace =
                hub.run(["get", "namespace", "flux-system", "--ignore-not-found", "-o", "name"])?;
            if kinds.is_empty() && namespace.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("still there: {} {}", namespace.trim(), kinds.join(" "));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The names of Flux's CRDs.
    fn flux_kinds(&self) -> Result<Vec<String>> {
        let names = self.hub().run(["get", "crds", "-o", "name"])?;
        let names = names.lines().filter_map(|line| line.split_once('/').map(|(_, name)| name.to_owned()));
        Ok(names.filter(|name| name.ends_with(".fluxcd.io")).collect())
    }

    /// Takes the finalizers off all objects of a kind: those who would answer to them are gone.
    fn release_all(&self, kind: &str) -> Result<()> {
        let path =
            "{range .items[*]}{.metadata.namespace} {.metadata.name} {.metadata.finalizers}{\"\\n\"}{end}";
        let listed = self.hub().kubectl(["get", kind, "-A", "-o", &format!("jsonpath={path}")])?;
        // The kind may be gone by now.
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            if let [namespace, name, finalizers] = line.splitn(3, ' ').collect::<Vec<_>>()[..]
                && !finalizers.is_empty()
            {
                let patch = r#"{"metadata":{"finalizers":null}}"#;
                self.hub().kubectl(["-n", namespace, "patch", kind, name, "--type=merge", "-p", patch])?;
            }
        }
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some((mut child, stdin)) = self.supervisor.take() {
            drop(stdin);
            let _ = child.wait();
        }
    }
}

/// One cluster of a rig.
#[derive(Clone, Copy)]
pub struct Cluster<'a> {
    rig: &'a Rig,
    kubeconfig: &'a Path,
    name: &'a str,
}

impl Cluster<'_> {
    /// Its name, which is also that of its context.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// The kubeconfig of its administrator, with this cluster alone.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.kubeconfig
    }

    /// Which issuers this cluster's API server trusts: an AuthenticationConfiguration. It looks again when the
    /// file changes.
    #[must_use]
    pub fn authentication(&self) -> PathBuf {
        self.rig.info.run_dir.join(self.name).join(AUTHENTICATION)
    }

    /// kubectl against this cluster, in a cleared environment.
    ///
    /// # Errors
    /// When it cannot be run; that it failed is in the output.
    pub fn kubectl<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Result<Output> {
        self.rig.run_kubectl(self.kubeconfig, arguments, None)
    }

    /// As [`Cluster::kubectl`]; what it prints.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Result<String> {
        succeeded(&self.kubectl(arguments)?)
    }

    /// Applies manifests, server-side.
    ///
    /// # Errors
    /// When it fails, with what kubectl said.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "-f", "-"];
        succeeded(&self.rig.run_kubectl(self.kubeconfig, arguments, Some(manifests.as_bytes()))?)
    }
}

fn succeeded(output: &Output) -> Result<String> {
    if !output.status.success() {
        bail!("kubectl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks every 100 ms until the answer is yes.
///
/// # Errors
/// When it is not yes in time, with the last refusal.
pub fn eventually(what: &str, patience: Duration, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    loop {
        let answer = match ask() {
            Ok(true) => return Ok(()),
            Ok(false) => "no".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if started.elapsed() > patience {
            bail!("{what}: not within {} s; last answer: {answer}", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A program of this workspace, built beside the running test: in the folder of its profile.
///
/// # Errors
/// When it is not built.
pub fn workspace_bin(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("cannot find the running program")?;
    // Tests are in the folder `deps` of the profile; programs are in the profile's folder itself.
    let dir = test.parent().context("no folder")?;
    let profile = if dir.ends_with("deps") { dir.parent().context("no folder")? } else { dir };
    let path = profile.join(name);
    if !path.is_file() {
        bail!("{} is not built\nhint: cargo build --workspace --bins", path.display());
    }
    Ok(path)
}

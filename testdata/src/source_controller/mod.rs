//! A stand-in for Flux's source-controller.
//!
//! The real one cannot be built from what the Go module proxy serves. This one keeps its contract with
//! the other controllers for the one kind that is needed here: it resolves a GitRepository's branch,
//! packs the tree, serves it over HTTP and says so in the status, in the real one's words.

mod artifacts;
mod git;
mod status;

use crate::objects::{self, Key, Wanted};
use crate::rig::kubeconfig;
use crate::talk::say;
use anyhow::{Context as _, Result, bail};
use artifacts::Artifacts;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use status::Reporter;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The name of the Deployment, and of the subcommand that runs this.
pub const NAME: &str = "source-controller";

/// How often a branch is looked at, at least; the real one keeps to `spec.interval` alone.
const POLL: Duration = Duration::from_secs(2);

/// The annotation by which people ask for a reconciliation now.
const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";

/// What a GitRepository asks for.
#[derive(Clone, Debug, PartialEq)]
struct Source {
    url: String,
    reference: Result<String, String>,
    secret: Option<String>,
    interval: Duration,
    generation: i64,
    requested: Option<String>,
}

/// What it says of itself, in its log and when it is asked for help.
const WHAT_IT_IS: &str = "this is a stand-in for Flux's source-controller, not the real one; \
    it serves the branches of GitRepositories and knows nothing else";

/// Runs until the process is told to end. `arguments` are the real controller's; the stand-in heeds
/// `--watch-all-namespaces` and ignores the rest.
///
/// # Errors
/// When `KUBECONFIG` names no usable kubeconfig.
pub fn run(arguments: &[String]) -> Result<()> {
    say(WHAT_IT_IS);
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        say("its arguments are the real one's; it heeds --watch-all-namespaces and ignores the rest");
        return Ok(());
    }
    let path = std::env::var_os("KUBECONFIG").map(PathBuf::from).context("KUBECONFIG is not set")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let client = kubeconfig::client(&path).await?;
        let own_namespace = arguments.iter().any(|argument| argument == "--watch-all-namespaces=false");
        let kind = kind();
        let api: Api<DynamicObject> = match std::env::var("RUNTIME_NAMESPACE") {
            Ok(namespace) if own_namespace => Api::namespaced_with(client.clone(), &namespace, &kind),
            _ => Api::all_with(client.clone(), &kind),
        };
        let storage = tempfile::tempdir()?;
        let artifacts = Arc::new(Artifacts::serve().await?);
        say(format!("serving artifacts at {}", artifacts.url("")));
        let folder = storage.path().to_owned();
        let events = watcher(api, watcher::Config::default()).default_backoff().inspect(|event| {
            if let Err(error) = event {
                say(format!("watch: {error}"));
            }
        });
        objects::each_of(events, source, move |key, wanted| {
            let worker = Worker {
                client: client.clone(),
                reporter: Reporter::new(client.clone(), &kind, &key),
                artifacts: artifacts.clone(),
                git: git::Mirror::new(folder.join(format!("{}-{}", key.0, key.1))),
                key,
                current: None,
            };
            worker.keep(wanted)
        })
        .await
    })
}

fn kind() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository"))
}

/// What an object asks for; nothing while it is suspended or being deleted.
fn source(object: &DynamicObject) -> Option<Source> {
    let spec = object.data.get("spec")?;
    if spec.get("suspend").and_then(serde_json::Value::as_bool) == Some(true)
        || object.metadata.deletion_timestamp.is_some()
    {
        return None;
    }
    let text = |pointer: &str| spec.pointer(pointer).and_then(|value| value.as_str()).map(str::to_owned);
    let other =
        ["tag", "semver", "name", "commit"].into_iter().find(|kind| text(&format!("/ref/{kind}")).is_some());
    Some(Source {
        url: text("/url")?,
        reference: match other {
            Some(other) => Err(format!("spec.ref.{other} is not supported by this stand-in")),
            // The default of the API.
            None => Ok(text("/ref/branch").unwrap_or_else(|| "master".into())),
        },
        secret: text("/secretRef/name"),
        interval: text("/interval").and_then(|text| parse_interval(&text)).unwrap_or(POLL),
        generation: object.metadata.generation.unwrap_or_default(),
        requested: object.annotations().get(REQUESTED).cloned(),
    })
}

/// Go's durations, as far as Flux takes them: `1h30m`, `10s`, `500ms`, `1.5m`.
fn parse_interval(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match rest.get(..end)? {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = rest.get(end..)?;
    }
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
}

/// Takes care of one GitRepository.
struct Worker {
    client: Client,
    key: Key,
    artifacts: Arc<Artifacts>,
    git: git::Mirror,
    reporter: Reporter,
    /// What was served last, so that an unchanged branch is not packed again.
    current: Option<(String, artifacts::Artifact)>,
}

impl Worker {
    async fn keep(mut self, mut wanted: Wanted<Source>) {
        loop {
            let Some(source) = wanted.borrow_and_update().clone() else {
                if wanted.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let began = Instant::now();
            let outcome = self.reconcile(&source).await;
            if let Err(error) = &outcome {
                say(format!("{}/{}: {error:#}", self.key.0, self.key.1));
            }
            if let Err(error) = self.reporter.report(&source, &outcome).await {
                say(format!("{}/{}: status: {error:#}", self.key.0, self.key.1));
            }
            let pause = source.interval.clamp(Duration::from_secs(1), POLL).saturating_sub(began.elapsed());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = wanted.changed() => if changed.is_err() { return } else { wanted.mark_changed() },
            }
        }
    }

    /// Sees to it that the tip of the branch is served.
    async fn reconcile(&mut self, source: &Source) -> Result<artifacts::Artifact> {
        let branch = match &source.reference {
            Ok(branch) => branch,
            Err(reason) => bail!("{reason}"),
        };
        let header = self.authorization(source).await?;
        let oid = self.git.resolve(&source.url, branch, header.as_deref()).await?;
        let revision = format!("{branch}@sha1:{oid}");
        let place = format!("{}\n{revision}", source.url);
        if let Some((current, artifact)) = &self.current
            && *current == place
        {
            return Ok(artifact.clone());
        }
        let packed = self.git.pack(&source.url, branch, &oid, header.as_deref()).await?;
        let path = format!("gitrepository/{}/{}/{oid}.tar.gz", self.key.0, self.key.1);
        let artifact = self.artifacts.put(path, revision, packed);
        say(format!("{}/{}: stored {}", self.key.0, self.key.1, artifact.revision));
        self.current = Some((place, artifact.clone()));
        Ok(artifact)
    }

    /// The `Authorization` header that the Secret of the source asks for.
    async fn authorization(&self, source: &Source) -> Result<Option<String>> {
        let Some(name) = &source.secret else { return Ok(None) };
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.key.0);
        let secret = secrets
            .get(name)
            .await
            .with_context(|| format!("failed to get secret '{}/{name}'", self.key.0))?;
        let data = secret.data.unwrap_or_default();
        let text = |key: &str| data.get(key).and_then(|value| std::str::from_utf8(&value.0).ok());
        git::authorization(text("username"), text("password"), text("bearerToken"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(spec: &serde_json::Value) -> DynamicObject {
        let whole = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": "fleet", "namespace": "flux-system", "generation": 3},
            "spec": spec,
        });
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_suspended_source_asks_for_nothing() {
        assert!(source(&object(&json!({"url": "http://x", "suspend": true}))).is_none());
        let plain = source(&object(&json!({"url": "http://x", "interval": "1m0s"}))).unwrap();
        assert_eq!(plain.reference.as_deref(), Ok("master"));
        assert_eq!((plain.interval, plain.generation), (Duration::from_secs(60), 3));
        assert!(
            source(&object(&json!({"url": "http://x", "ref": {"tag": "v1"}}))).unwrap().reference.is_err()
        );
    }

    #[test]
    fn intervals_are_gos() {
        assert_eq!(parse_interval("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_interval("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_interval("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(parse_interval("soon"), None);
        assert_eq!(parse_interval("5"), None);
    }
}

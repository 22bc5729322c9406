//! `bootstrap`: Flux, its age key and its workers' kubeconfigs on an infra cluster.

mod talk;

use crate::bootstrap::{self, Carried, CarryOut, Inputs, Live, Plan, PlanError, Request, WorkerRequest};
use crate::cluster::{
    Applier, ClusterError, Connection, ConnectionArgs, Deadline, Kinds, KubeconfigSource, Mode,
};
use crate::flux::{Expected, ManifestSource, Sync, git_repository, kustomization, wait_for_sync};
use crate::invocation::Invocation;
use crate::keys::KeySource;
use clap::{Args, ValueEnum};
use k8s_openapi::api::core::v1::Secret;
use kubiya_hook::edge::{Console, Failure, Kind, Outcome};
use kubiya_hook::git::remote::{BranchTip, branch_tip};
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;
use talk::Talk;

const EXAMPLES: &str = "\
Examples:
  # Flux from the flux CLI on PATH, the key from a file, two workers by their contexts
  $CMD bootstrap --context infra --url ssh://git@git.example.com/platform/gitops.git \\
    --path clusters/infra --age-key-file age.agekey \\
    --worker worker01=worker01-admin --worker worker02=kubernetes-admin@worker02

  # The key from a password store, never on disk; look first
  gopass show platform/age.agekey | $CMD bootstrap … --age-key-file - --dry-run=server

  # Manifests for a pull request instead of a change of the cluster
  $CMD bootstrap … --export > bootstrap.yaml";

/// Install Flux with SOPS decryption on the infra cluster, and the kubeconfigs of its workers
///
/// The Secret `sops-age` and the kubeconfig Secrets are written before the controllers, so that Flux
/// never sees a file that it cannot decrypt. Everything is checked before anything is written. A
/// re-run changes nothing that is as it should be, and goes on where the last one stopped.
#[derive(Args, Debug)]
pub(crate) struct BootstrapArgs {
    /// Git repository that Flux is to follow (https or ssh)
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// Branch that Flux is to follow
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub branch: String,
    /// Folder of the repository that Flux is to apply
    #[arg(long, value_name = "FOLDER", default_value = "./")]
    pub path: String,
    /// File with the age identity that Flux decrypts with, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub age_key_file: String,
    /// Worker cluster: a name, and the context by which it is reached; may be repeated
    #[arg(long, value_name = "NAME=CONTEXT", value_parser = pair)]
    pub worker: Vec<Pair>,
    /// Kubeconfig of a worker, when it is not in your own; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    pub worker_kubeconfig: Vec<Pair>,
    /// Flux's install manifests: file, folder or URL; without it, of the flux CLI on PATH
    #[arg(long, value_name = "FILE|FOLDER|URL")]
    pub flux_manifests: Option<String>,
    /// SHA-256 that downloaded manifests must have
    #[arg(long, value_name = "HEX")]
    pub flux_manifests_sha256: Option<String>,
    /// Accept addresses that only this machine reaches: all clusters run here
    #[arg(long)]
    pub allow_loopback: bool,
    /// Accept a Git URL with plain http
    #[arg(long)]
    pub allow_insecure_http: bool,
    /// Take over fields that another manager has set to other values
    #[arg(long)]
    pub force_conflicts: bool,
    /// Show what would change: `client` compares only, `server` also lets the API server check it
    #[arg(long, value_name = "WHO", default_value = "none", num_args = 0..=1, require_equals = true,
          default_missing_value = "client", value_enum)]
    pub dry_run: DryRun,
    /// Print the manifests instead of applying them; asks no cluster
    #[arg(long, conflicts_with = "dry_run")]
    pub export: bool,
    /// Put the private keys into the export
    #[arg(long, requires = "export")]
    pub export_private_keys: bool,
    /// How long each wait may take, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::duration::parse)]
    pub timeout: Duration,
    /// Wait until the controllers run and the branch is applied
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub wait: bool,
    /// Print the result for programs
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,
}

/// Who is asked in a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// No dry run.
    None,
    /// Compare with what is there.
    Client,
    /// Let the API server admit and merge it, without storing it.
    Server,
}

impl DryRun {
    fn mode(self) -> Mode {
        match self {
            DryRun::None => Mode::Write,
            DryRun::Client => Mode::Compare,
            DryRun::Server => Mode::AskServer,
        }
    }
}

/// For programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// `NAME=VALUE`; the value may hold `=` and `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Before the first `=`.
    pub name: String,
    /// After it.
    pub value: String,
}

fn pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok(Pair { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// The examples, with the command as it was called.
pub(crate) fn examples(invocation: Invocation) -> String {
    EXAMPLES.replace("$CMD", invocation.command())
}

/// Runs the command.
pub(crate) async fn run(
    args: BootstrapArgs,
    connection: &ConnectionArgs,
    invocation: &Invocation,
    console: &mut Console,
) -> Outcome {
    let key = KeySource::from_flag(&args.age_key_file);
    if key.is_open_to_others() {
        console.warn(&format!("{}: others on this machine may read this key", key.name()));
        console.hint(&format!("chmod 600 {}", key.name()));
    }
    let inputs = Inputs::gather(&args.request(connection))?;
    if args.export {
        let plan = make_plan(&inputs, &Live::default())?;
        let text = bootstrap::export(&plan, args.export_private_keys);
        return print(console, &text);
    }
    let mut talk = Talk::new(&mut console.err);
    let (hub, tip) = preflight(&args, &inputs, connection, &mut talk).await?;
    let mut kinds = Kinds::discover(&hub.client).await?;
    for object in inputs
        .flux
        .objects
        .iter()
        .filter(|o| o.types.as_ref().is_some_and(|t| t.kind == "CustomResourceDefinition"))
    {
        kinds.define(object);
    }
    let live = look(&hub, &inputs).await?;
    let plan = make_plan(&inputs, &live)?;
    let applier = Applier { connection: hub, kinds, force: args.force_conflicts, mode: args.dry_run.mode() };
    if args.dry_run != DryRun::None {
        let carried = Carried { applied: bootstrap::dry_run(&plan, &applier).await? };
        talk.dry_run(&carried);
        return finish(console, args.output, &carried, true, None);
    }
    let (carried, revision) = carry_out(&args, &inputs, &plan, applier, tip, &mut talk).await?;
    talk.done(&carried, &inputs, invocation);
    finish(console, args.output, &carried, false, revision.as_deref())
}

/// Everything outside that must be as expected before the first write: all clusters answer with exactly
/// the credentials that will be used, and the branch is there. All problems at once.
async fn preflight(
    args: &BootstrapArgs,
    inputs: &Inputs,
    connection: &ConnectionArgs,
    talk: &mut Talk<'_>,
) -> Result<(Connection, Option<String>), Failure> {
    let (url, branch) = (inputs.sync.url.clone(), inputs.sync.branch.clone());
    let look = tokio::task::spawn_blocking(move || branch_tip(&url, &branch, Duration::from_secs(30)));
    let workers = inputs.workers.iter().map(async |worker| {
        let proof = worker.remote.prove(connection.request_timeout).await;
        (worker, proof)
    });
    let hub = async {
        match &inputs.hub {
            Some(selection) => Connection::open(selection, connection.request_timeout).await.map(Some),
            None => Ok(None),
        }
    };
    let (hub, workers, tip) = futures::join!(hub, futures::future::join_all(workers), look);
    let mut problems = Vec::new();
    let hub = hub.map_err(|error| problems.push(Failure::from(error))).ok().flatten();
    if let Some(hub) = &hub {
        talk.cluster("infra", hub);
    }
    for (worker, proof) in workers {
        match proof {
            Ok(proven) => talk.cluster(&worker.name, &proven),
            Err(error) => problems.push(Failure::from(error).at(format!("worker {}", worker.name))),
        }
    }
    let mut found = None;
    match tip {
        Ok(Ok(BranchTip::Found(oid))) => found = Some(oid),
        Ok(Ok(BranchTip::Missing)) => problems.push(
            Failure::unverified(format!(
                "the repository {} has no branch `{}`",
                inputs.sync.url, args.branch
            ))
            .hint("push it first, or name another: --branch NAME"),
        ),
        // Flux may reach what this machine does not; only the expected revision stays unknown.
        Ok(Err(error)) => talk.warning(&format!("cannot look at the repository from here: {error}")),
        Err(error) => talk.warning(&format!("cannot look at the repository from here: {error}")),
    }
    talk.sync(&inputs.sync, found.as_deref());
    match hub {
        Some(hub) if problems.is_empty() => Ok((hub, found)),
        _ => {
            let count = problems.len();
            Err(Failure::all(format!("{count} problems; nothing was changed"), problems))
        }
    }
}

/// What is there already that must not be lost.
async fn look(hub: &Connection, inputs: &Inputs) -> Result<Live, Failure> {
    let api: kube::Api<Secret> = kube::Api::namespaced(hub.client.clone(), &inputs.sync.namespace);
    let name = &inputs.sync.decryption_secret;
    let secret = api.get_opt(name).await.map_err(|error| {
        Failure::from(ClusterError::of_get(format!("Secret {}/{name}", inputs.sync.namespace), &error))
    })?;
    let entry = secret.and_then(|s| s.data).and_then(|mut data| data.remove(bootstrap::AGE_ENTRY));
    let text = entry.map(|bytes| SecretString::from(String::from_utf8_lossy(&bytes.0).into_owned()));
    Ok(Live { age_entry: text })
}

fn make_plan(inputs: &Inputs, live: &Live) -> Result<Plan, Failure> {
    bootstrap::plan(inputs, live).map_err(|error| {
        let PlanError::MalformedAgeEntry { source, .. } = &error;
        Failure::unverified(error.to_string())
            .because(source)
            .because_of("one malformed line keeps Flux from decrypting anything")
            .hint("mend or remove that line: kubectl -n flux-system edit secret sops-age")
    })
}

async fn carry_out(
    args: &BootstrapArgs,
    inputs: &Inputs,
    plan: &Plan,
    applier: Applier,
    tip: Option<String>,
    talk: &mut Talk<'_>,
) -> Result<(Carried, Option<String>), Failure> {
    let how = CarryOut { applier, timeout: args.timeout, wait: args.wait };
    let result = bootstrap::carry_out(plan, &how, |event| talk.event(&event)).await;
    talk.end_progress();
    let carried = result.map_err(|(error, carried)| part_done(error, &carried))?;
    if !args.wait {
        return Ok((carried, None));
    }
    let sync = Sync { source: git_repository(&inputs.sync), kustomization: kustomization(&inputs.sync) };
    let expected = Expected { branch: args.branch.clone(), tip };
    let look_again = async || {
        let (url, branch) = (inputs.sync.url.clone(), inputs.sync.branch.clone());
        let look = move || branch_tip(&url, &branch, Duration::from_secs(30));
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(BranchTip::Found(oid))) => Some(oid),
            _ => None,
        }
    };
    let Applier { connection, kinds, .. } = &how.applier;
    let deadline = Deadline::after(args.timeout);
    let waited =
        wait_for_sync(connection, kinds, &sync, expected, deadline, look_again, |m| talk.progress(m)).await;
    talk.end_progress();
    let revision = waited.map_err(|error| part_done(error, &carried))?;
    talk.applied(&revision);
    Ok((carried, Some(revision)))
}

/// A failure after the first write is "done in part", unless it is a deadline.
fn part_done(error: ClusterError, carried: &Carried) -> Failure {
    let failure = Failure::from(error);
    if carried.changed() == 0 || failure.kind() == Kind::Timeout {
        return failure;
    }
    failure
        .of_kind(Kind::Partial)
        .because_of(format!("written before that: {}", talk::objects(carried.changed())))
        .hint("run the same command again when this is mended: it goes on where this one stopped")
}

fn print(console: &mut Console, text: &str) -> Outcome {
    // A closed pipe is no failure; `finish` of the console tells it from a full disk.
    let _ = console.out.bytes(text.as_bytes());
    Ok(0)
}

fn finish(
    console: &mut Console,
    format: Option<Format>,
    carried: &Carried,
    dry_run: bool,
    revision: Option<&str>,
) -> Outcome {
    let document = bootstrap::result_document(carried, dry_run, revision);
    match format {
        None => Ok(0),
        Some(Format::Json) => print(console, &format!("{document:#}\n")),
        Some(Format::Yaml) => {
            let text = serde_yaml::to_string(&document)
                .map_err(|error| Failure::unverified("cannot write the result as YAML").because(&error))?;
            print(console, &text)
        }
    }
}

impl BootstrapArgs {
    fn request(&self, connection: &ConnectionArgs) -> Request {
        Request {
            hub: (!self.export).then(|| connection.clone()),
            namespace: connection.namespace.clone(),
            url: self.url.clone(),
            branch: self.branch.clone(),
            path: self.path.clone(),
            age_key: KeySource::from_flag(&self.age_key_file),
            workers: self.worker_requests(&connection.source()),
            manifests: self.manifest_source(),
            allow_loopback: self.allow_loopback,
            allow_insecure_http: self.allow_insecure_http,
        }
    }

    /// Workers by `--worker`, each in the file that `--worker-kubeconfig` gives its name; then those that
    /// only have a file, by its current context.
    fn worker_requests(&self, ambient: &KubeconfigSource) -> Vec<WorkerRequest> {
        let file = |name: &str| {
            let pair = self.worker_kubeconfig.iter().find(|pair| pair.name == name);
            pair.map_or_else(|| ambient.clone(), |pair| KubeconfigSource::File(PathBuf::from(&pair.value)))
        };
        let named = self.worker.iter().map(|pair| (pair.name.clone(), Some(pair.value.clone())));
        let only_file = self
            .worker_kubeconfig
            .iter()
            .filter(|pair| !self.worker.iter().any(|worker| worker.name == pair.name))
            .map(|pair| (pair.name.clone(), None));
        named
            .chain(only_file)
            .map(|(name, context)| WorkerRequest { source: file(&name), name, context })
            .collect()
    }

    fn manifest_source(&self) -> ManifestSource {
        let Some(given) = &self.flux_manifests else { return ManifestSource::FluxCli };
        if given.starts_with("https://") || given.starts_with("http://") {
            return ManifestSource::Url { url: given.clone(), sha256: self.flux_manifests_sha256.clone() };
        }
        let path = PathBuf::from(given);
        if path.is_dir() { ManifestSource::Folder(path) } else { ManifestSource::File(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: BootstrapArgs,
    }

    #[test]
    fn workers_by_context_by_file_and_by_both() {
        let words = [
            "bootstrap",
            "--url",
            "https://h/r",
            "--age-key-file",
            "-",
            "--worker",
            "a=kubernetes-admin@a",
            "--worker",
            "b=ctx=1",
            "--worker-kubeconfig",
            "b=b.yaml",
            "--worker-kubeconfig",
            "c=c.yaml",
        ];
        let args = Only::parse_from(words).args;
        let found = args.worker_requests(&KubeconfigSource::Ambient);
        let file = |name: &str| KubeconfigSource::File(PathBuf::from(name));
        let request = |name: &str, source, context: Option<&str>| WorkerRequest {
            name: name.to_owned(),
            source,
            context: context.map(str::to_owned),
        };
        assert_eq!(
            found,
            [
                request("a", KubeconfigSource::Ambient, Some("kubernetes-admin@a")),
                request("b", file("b.yaml"), Some("ctx=1")),
                request("c", file("c.yaml"), None),
            ]
        );
        assert!(pair("novalue").is_err() && pair("=x").is_err() && pair("x=").is_err());
    }
}

//! `worker add`: a cluster becomes a worker.

use super::repository::{Repository, RepositoryArgs};
use super::talk::Talk;
use super::{add_all, hub};
use crate::cluster::{Applied, Connection, ConnectionArgs, KubeconfigSource, Kubeconfigs};
use crate::commands::bootstrap::DryRun;
use crate::commands::formats::OutputArgs;
use crate::duration;
use crate::invocation::Invocation;
use crate::worker::{
    AT_ONCE, AddRequest, Added, Candidate, CredentialKind, Garden, Granted, LIFETIME, OidcTerms, Scope,
    Terms, document, for_gardener, is_label, resolve,
};
use clap::{Args, ValueEnum};
use kubiya_hook::edge::{Color, Console, Failure, Outcome};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Let Flux reach a worker cluster
///
/// Your own connection to the worker, whatever it is, is used once: to make a namespace, a ServiceAccount and a
/// token for Flux there. The token is bound to a Secret of its own, so that `worker renew` and `worker remove` take
/// back every copy of it. It is proven with exactly what Flux will be left with, and stored on the infra cluster.
/// A re-run changes nothing that is as it should be.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// Name of the worker; Flux finds it in the Secret NAME-kubeconfig
    #[arg(value_name = "NAME", required_unless_present = "file")]
    name: Option<String>,
    /// Take in all workers of a document, as `bootstrap -f` reads it; flags say what it leaves open
    #[arg(short, long, value_name = "FILE",
          conflicts_with_all = ["name", "worker_context", "worker_kubeconfig", "print", "audience", "garden_context", "garden_kubeconfig", "shoot"])]
    pub(super) file: Option<PathBuf>,
    /// With --file: how many workers are dealt with at once
    #[arg(long, value_name = "COUNT", default_value_t = AT_ONCE)]
    pub(super) concurrency: usize,
    /// Your context for the worker [default: the worker's name; with --worker-kubeconfig, its current one]
    #[arg(long, value_name = "NAME")]
    worker_context: Option<String>,
    /// Kubeconfig of the worker, when it is not in your own
    #[arg(long, value_name = "FILE")]
    worker_kubeconfig: Option<PathBuf>,
    /// Give Flux the context's own credentials, in place of a token of its own
    #[arg(long)]
    copy_credentials: bool,
    /// No credential at all: the worker trusts the infra cluster's issuer, for an audience of its own
    #[arg(long, conflicts_with_all = ["copy_credentials", "duration"])]
    oidc: bool,
    /// With --oidc: print what the worker's API server is to be started with, and change nothing there
    #[arg(long, value_name = "AS", value_enum, requires = "oidc")]
    print: Option<Print>,
    /// With --print gardener or --garden-context: namespace of the project
    #[arg(long, value_name = "NAME", default_value = "garden-PROJECT")]
    gardener_namespace: String,
    /// With --oidc: your context for the garden of a worker that is a Shoot; what was printed for it is looked at
    /// there before the worker is: the ConfigMap, whether the Shoot names it, and whether it was reconciled since
    #[arg(long, value_name = "NAME", requires = "oidc")]
    garden_context: Option<String>,
    /// Kubeconfig of the garden, when it is not in your own
    #[arg(long, value_name = "FILE", requires = "oidc")]
    garden_kubeconfig: Option<PathBuf>,
    /// Name of the Shoot [default: the worker's]
    #[arg(long, value_name = "NAME", requires = "oidc")]
    shoot: Option<String>,
    /// With --oidc: audience of the tokens [default: one that no other cluster has]
    #[arg(long, value_name = "NAME", requires = "oidc")]
    audience: Option<String>,
    /// With --audience: accept one that other clusters accept, whose owners can then use Flux's tokens here
    #[arg(long, requires = "audience")]
    allow_shared_audience: bool,
    /// With --oidc: give access to the names without a prefix, too, for workers that can have none
    #[arg(long, requires = "oidc")]
    fallback_bindings: bool,
    /// Let Flux into these namespaces of the worker only; without it, it is cluster-admin there
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "copy_credentials")]
    scope_namespaces: Vec<String>,
    /// How long the token is to live, such as 90d; the server may grant less [default: 365d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "copy_credentials")]
    duration: Option<Duration>,
    /// Namespace of the infra cluster whose Kustomizations go to the worker; may be repeated [default: Flux's]
    #[arg(long, value_name = "NAME")]
    secret_namespace: Vec<String>,
    /// Accept a server address that only this machine reaches: all clusters run here
    #[arg(long)]
    pub(super) allow_loopback: bool,
    /// Make a new token although the one that is stored is good
    #[arg(long, conflicts_with_all = ["copy_credentials", "oidc"])]
    new_token: bool,
    /// Accept another cluster under this name: the worker was built anew
    #[arg(long)]
    replace: bool,
    /// Write over a Secret that is not ours, and over fields of other managers
    #[arg(long)]
    force_conflicts: bool,
    /// Show what would change: `client` compares only, `server` also lets the API servers check it
    #[arg(long, value_name = "WHO", default_value = "none", num_args = 0..=1, require_equals = true,
          default_missing_value = "client", value_enum)]
    pub(super) dry_run: DryRun,
    #[command(flatten)]
    pub(super) repository: RepositoryArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl AddArgs {
    fn request(&self, name: &str, connection: &ConnectionArgs) -> AddRequest {
        let (source, context) = match &self.worker_kubeconfig {
            Some(path) => (KubeconfigSource::File(path.clone()), self.worker_context.clone()),
            None => (connection.source(), self.worker_context.clone().or_else(|| Some(name.to_owned()))),
        };
        AddRequest { name: name.to_owned(), source, context, terms: self.terms(connection) }
    }

    /// What the flags say of credentials.
    pub(super) fn terms(&self, connection: &ConnectionArgs) -> Terms {
        let credential = match (self.copy_credentials, self.oidc) {
            (true, _) => CredentialKind::Copied,
            (_, true) => CredentialKind::Oidc,
            _ => CredentialKind::Minted,
        };
        Terms {
            credential,
            scope: Scope::of(&self.scope_namespaces),
            new_token: self.new_token,
            lifetime: self.duration.unwrap_or(LIFETIME),
            allow_loopback: self.allow_loopback,
            oidc: self.oidc.then(|| OidcTerms {
                audience: self.audience.clone(),
                allow_shared_audience: self.allow_shared_audience,
                fallback_bindings: self.fallback_bindings,
            }),
            namespaces: self.secret_namespace.clone(),
            replace: self.replace,
            force: self.force_conflicts,
            request_timeout: connection.request_timeout,
        }
    }

    /// The project of the worker, where it is a Shoot that is to be looked at.
    async fn garden(&self, worker: &str, connection: &ConnectionArgs) -> Result<Option<Garden>, Failure> {
        if self.garden_context.is_none() && self.garden_kubeconfig.is_none() {
            return Ok(None);
        }
        let source =
            self.garden_kubeconfig.clone().map_or_else(|| connection.source(), KubeconfigSource::File);
        let at = |error: crate::cluster::ClusterError| Failure::from(error).at("the garden");
        let selection = source.select(self.garden_context.as_deref()).map_err(at)?;
        Ok(Some(Garden {
            connection: Connection::open(&selection, connection.request_timeout).await.map_err(at)?,
            namespace: self.gardener_namespace.clone(),
            shoot: self.shoot.clone().unwrap_or_else(|| worker.to_owned()),
        }))
    }

    /// What is wrong with the flags themselves.
    fn refuse_bad_names(&self) -> Result<(), Failure> {
        let named =
            [("--scope-namespaces", &self.scope_namespaces), ("--secret-namespace", &self.secret_namespace)];
        for (flag, names) in named {
            if let Some(bad) = names.iter().find(|name| !is_label(name)) {
                return Err(Failure::usage(format!("{flag}: `{bad}` is no name of a namespace")));
            }
        }
        if self.duration.is_some_and(|duration| duration < SHORTEST) {
            return Err(Failure::usage("--duration: API servers grant ten minutes or more"));
        }
        Ok(())
    }
}

/// What API servers refuse to go below (kube-apiserver's validation of TokenRequest).
const SHORTEST: Duration = Duration::from_secs(600);

/// Runs the command.
pub(super) async fn run(
    args: AddArgs,
    connection: &ConnectionArgs,
    invocation: &Invocation,
    console: &mut Console,
) -> Outcome {
    args.refuse_bad_names()?;
    let Some(name) = &args.name else { return add_all::run(&args, connection, console).await };
    let request = args.request(name, connection);
    let at = |error: crate::worker::WorkerError| Failure::from(error).at(format!("worker {}", request.name));
    // What can be seen without a cluster is said before one is asked.
    let resolved = resolve(&request, &mut Kubeconfigs::default()).map_err(at)?;
    resolved.refuse_ended().map_err(at)?;
    let mut hub = hub(connection).await?;
    let mut repository = args.repository.open(&mut hub, &[name]).await?;
    let (hub, mode) = (hub, args.dry_run.mode());
    let dry_run = args.dry_run != DryRun::None;
    let mut talk = Talk::new(&mut console.err, dry_run);
    talk.cluster("infra", &hub.connection);
    let candidate = Candidate::open(&resolved).await.map_err(at)?;
    candidate.refuse_mistaken(&hub).map_err(at)?;
    talk.cluster(&request.name, &candidate.connection);
    if let (Some(print), Some(selection)) = (args.print, &hub.selection) {
        let configuration = candidate.authentication_configuration(&hub, selection).await.map_err(at)?;
        return print_configuration(&args, name, print, &configuration, console);
    }
    if let (Some(garden), Some(selection)) = (args.garden(name, connection).await?, &hub.selection) {
        let configuration = candidate.authentication_configuration(&hub, selection).await.map_err(at)?;
        garden.refuse_unheard(name, &configuration).await.map_err(at)?;
        let text = format!("Shoot {}/{} trusts the infra cluster's issuer", garden.namespace, garden.shoot);
        talk.say("reconciled", Color::Green, &text);
    }
    if candidate.uid.is_none() {
        talk.warning(
            "you may not read the namespace kube-system of the worker: which cluster it is stays unknown",
        );
    }
    let own_key = match &mut repository {
        Some(repository) => repository.own_key(&hub, name, &request.terms, mode, &mut talk).await?,
        None => Vec::new(),
    };
    let place = Repository::place(repository.as_ref());
    let mut added = candidate.add(&hub, place, mode).await.map_err(at)?;
    added.own_key = own_key;
    if let Some(repository) = &repository {
        added.stored.extend(repository.layout(&hub, name, &request.terms, mode)?);
    }
    tell(&mut talk, &request, &added, dry_run);
    if let Some(repository) = repository.as_ref().filter(|_| !dry_run) {
        repository.unnamed(name).iter().for_each(|warning| talk.warning(warning));
        talk.next(&repository.next(&[name]));
    }
    if !dry_run {
        let context = &hub.connection.context;
        talk.next(&format!("{} worker check {} --context {context}", invocation.command(), request.name));
    }
    args.output.print(console, &result(&added, dry_run))?;
    Ok(0)
}

fn print_configuration(
    args: &AddArgs,
    name: &str,
    print: Print,
    configuration: &Value,
    console: &mut Console,
) -> Outcome {
    let text = match print {
        Print::Gardener => for_gardener(configuration, name, &args.gardener_namespace),
        // A tree of maps with string keys always renders.
        Print::File => serde_yaml::to_string(configuration).unwrap_or_default(),
    };
    let _ = console.out.bytes(text.as_bytes());
    Ok(0)
}

/// How the worker's trust is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Print {
    /// A file for --authentication-config.
    File,
    /// A ConfigMap of the project, and what the Shoot says about it.
    Gardener,
}

fn tell(talk: &mut Talk<'_>, request: &AddRequest, added: &Added, dry_run: bool) {
    let obtained = &added.obtained;
    talk.applied(&request.name, &obtained.applied);
    for warning in &obtained.warnings {
        talk.warning(warning);
    }
    if let Some((Granted::Capped, granted)) = obtained.granted {
        talk.warning(&format!(
            "the API server grants tokens for {} only; {} were asked for",
            duration::long(granted),
            duration::long(request.terms.lifetime)
        ));
    }
    if let Some(username) = &obtained.username {
        let end = obtained.record.expires.map(|end| format!(", until {end}")).unwrap_or_default();
        talk.say("proven", Color::Green, &format!("Flux is {username} on {}{end}", request.name));
    }
    talk.applied("infra", &added.stored);
    if added.revoked > 0 {
        talk.say("revoked", Color::Green, &format!("earlier tokens on {}: {}", request.name, added.revoked));
    }
    let (word, text) = match (added.changed(), dry_run) {
        (0, true) => ("dry run", "nothing would change".to_owned()),
        (changed, true) => ("dry run", format!("{changed} would change; nothing was written")),
        (0, false) => ("done", "nothing to change".to_owned()),
        (changed, false) => ("done", format!("{changed} written")),
    };
    talk.say(word, if dry_run { Color::Cyan } else { Color::Green }, &text);
}

/// The result for programs.
pub(super) fn result(added: &Added, dry_run: bool) -> Value {
    let objects = |place: &str, applied: &[Applied]| -> Vec<Value> {
        let one = |one: &Applied| json!({"cluster": place, "kind": one.kind, "name": one.name, "action": one.action});
        applied.iter().map(one).collect()
    };
    let mut all = objects("infra", &added.own_key);
    all.extend(objects("worker", &added.obtained.applied));
    all.extend(objects("infra", &added.stored));
    let mut result = json!({
        "apiVersion": "kubiya.dev/v1alpha1",
        "kind": "WorkerResult",
        "dryRun": dry_run,
        "changed": added.changed(),
        "revoked": added.revoked,
        "username": added.obtained.username,
        "warnings": added.obtained.warnings,
        "objects": all,
    });
    if let (Some(result), Value::Object(record)) = (result.as_object_mut(), document(&added.obtained.record))
    {
        result.extend(record);
    }
    result
}

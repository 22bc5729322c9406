//! `worker`: the clusters that Flux reaches from the infra cluster.

mod add;
mod add_all;
mod check;
mod list;
mod remove;
mod renew;
mod repository;
pub(crate) mod table;
mod talk;

use crate::cluster::{Connection, ConnectionArgs, KubeconfigSource, Selection};
use crate::invocation::Invocation;
use crate::worker::Hub;
use clap::{Args, Subcommand};
use kubiya_hook::edge::{Console, Failure, Kind, Outcome};
use std::path::PathBuf;

/// Let Flux reach worker clusters, with credentials that can be revoked
///
/// What Flux needs to reach a worker is one Secret on the infra cluster, NAME-kubeconfig with the key `value`,
/// which Kustomizations name in `spec.kubeConfig.secretRef`.
#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    #[command(subcommand)]
    command: WorkerCommand,
}

#[derive(Debug, Subcommand)]
enum WorkerCommand {
    Add(Box<add::AddArgs>),
    List(list::ListArgs),
    Check(check::CheckArgs),
    Renew(renew::RenewArgs),
    Remove(remove::RemoveArgs),
}

/// Runs the command.
pub(crate) async fn run(
    args: WorkerArgs,
    connection: &ConnectionArgs,
    invocation: &Invocation,
    console: &mut Console,
) -> Outcome {
    match args.command {
        WorkerCommand::Add(args) => add::run(*args, connection, invocation, console).await,
        WorkerCommand::List(args) => list::run(args, connection, console).await,
        WorkerCommand::Check(args) => check::run(args, connection, console).await,
        WorkerCommand::Renew(args) => renew::run(args, connection, console).await,
        WorkerCommand::Remove(args) => remove::run(args, connection, console).await,
    }
}

/// Some failed: which, and that the others did not.
fn ended(failures: Vec<Failure>, done: usize) -> Outcome {
    match (failures.len(), done) {
        (0, _) => Ok(0),
        (count, 0) => Err(Failure::all(format!("{count} workers failed"), failures)),
        (count, done) => {
            let all = Failure::all(format!("{count} workers failed, {done} did not"), failures);
            Err(all.of_kind(Kind::Partial))
        }
    }
}

/// The infra cluster, with what it knows of its workers.
async fn hub(connection: &ConnectionArgs) -> Result<Hub, Failure> {
    let selection = connection.selection()?;
    let open = Connection::open(&selection, connection.request_timeout).await?;
    let open = open.guarded(&connection.namespace, "worker");
    Ok(Hub::read(open, Some(selection), &connection.namespace).await?)
}

/// The operator's own way to one worker, where Flux's is not enough.
#[derive(Args, Clone, Debug)]
struct WayArgs {
    /// Your context for the worker, in place of Flux's own credentials
    #[arg(long, value_name = "NAME")]
    worker_context: Option<String>,
    /// Kubeconfig of the worker, when it is not in your own
    #[arg(long, value_name = "FILE")]
    worker_kubeconfig: Option<PathBuf>,
}

impl WayArgs {
    /// The entries, if any are named.
    fn selection(
        &self,
        connection: &ConnectionArgs,
        worker: Option<&String>,
    ) -> Result<Option<Selection>, Failure> {
        if self.worker_context.is_none() && self.worker_kubeconfig.is_none() {
            return Ok(None);
        }
        let source =
            self.worker_kubeconfig.clone().map_or_else(|| connection.source(), KubeconfigSource::File);
        let selection = source.select(self.worker_context.as_deref()).map_err(|error| {
            Failure::from(error).at(format!("worker {}", worker.map_or("", String::as_str)))
        })?;
        Ok(Some(selection))
    }
}

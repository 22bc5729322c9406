//! `uninstall`: Flux goes, and what it has applied stays.

use super::formats::OutputArgs;
use crate::cluster::{ClusterError, Connection, ConnectionArgs, Deadline, remove_lease};
use crate::keys::{Ask as _, Terminal, while_asking};
use crate::uninstall::{Going, Uninstall, carry_out, look};
use clap::Args;
use kubiya_hook::edge::{Color, Console, Failure, Kind, Outcome};
use std::time::Duration;

/// Take Flux away from the infra cluster; what it has applied stays
///
/// The controllers go first, then the finalizers to which nobody would answer any more, the definitions with all objects
/// of Flux, access, and the credentials for workers and for Git. The age identities (Secret sops-age) and the namespace
/// stay unless told otherwise. To delete what Flux has applied, delete its Kustomizations first and let Flux prune.
#[derive(Args, Debug)]
pub(crate) struct UninstallArgs {
    /// Delete the age identities too; without a copy elsewhere, nobody can ever decrypt what is in Git
    #[arg(long)]
    delete_keys: bool,
    /// Show what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How long it may take until all is gone, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub(crate) async fn run(args: UninstallArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let hub = Connection::open(&connection.selection()?, connection.request_timeout).await?;
    let namespace = &connection.namespace;
    let hub = hub.guarded(namespace, "uninstall");
    let plan = look(&hub, namespace, args.delete_keys).await?;
    let count = plan.all().count();
    tell(console, &plan, connection);
    if count == 0 {
        say(console, "done", &format!("nothing of Flux is in {namespace} of {}", hub.context));
    } else if args.dry_run {
        say(console, "dry run", &format!("{count} objects would go; nothing was changed"));
    } else {
        ask(&args, &hub).await?;
        claim(&hub, Deadline::after(args.timeout), console).await?;
        let mut steps = Vec::new();
        let done = carry_out(&hub, &plan, Deadline::after(args.timeout), |what, gone| {
            steps.push(format!("{what} ({})", gone.len()));
        })
        .await;
        if !steps.is_empty() {
            say(console, "gone", &steps.join(", "));
        }
        done.map_err(|error| {
            Failure::from(error)
                .of_kind(Kind::Partial)
                .hint("run the same command again: it goes on where this one stopped")
        })?;
        remove_lease().await;
        let kept =
            if args.delete_keys { String::new() } else { format!("; the Secret {namespace}/sops-age stays") };
        say(console, "done", &format!("{count} objects are gone{kept}"));
    }
    args.output.print(console, &plan)?;
    Ok(0)
}

/// Makes this run the only one that changes the cluster; says so when it has to wait for another.
async fn claim(hub: &Connection, deadline: Deadline, console: &mut Console) -> Result<(), ClusterError> {
    let mut said = String::new();
    let tell = |text: &str| {
        if said != text {
            text.clone_into(&mut said);
            say(console, "", text);
        }
    };
    match hub.take_lease(deadline, tell).await {
        // Without the namespace there is nothing that two could change.
        Err(ClusterError::Refused { code: 404, .. }) => Ok(()),
        taken => taken.map(|_| ()),
    }
}

/// What goes, and what becomes of what it has applied.
fn tell(console: &mut Console, plan: &Uninstall, connection: &ConnectionArgs) {
    for going in plan.all().filter(|going| going.kind != "CustomResourceDefinition") {
        let leaves = going
            .leaves
            .map(|count| format!(" (its {count} objects stay, and nobody keeps them as they are)"));
        say(console, "goes", &format!("{} {}{}", going.kind, going.name, leaves.unwrap_or_default()));
    }
    if plan.secrets.iter().any(|secret| secret.name.ends_with("-kubeconfig")) {
        let hint = "kubectl kubiya worker remove NAME   # first, else its token stays valid on the worker";
        console.hint(&connection.typed(hint));
    }
    let definitions: Vec<&Going> = plan.definitions.iter().collect();
    if !definitions.is_empty() {
        say(console, "goes", &format!("{} CustomResourceDefinition", definitions.len()));
    }
}

fn say(console: &mut Console, word: &str, text: &str) {
    let word = console.err.style().paint(&format!("{word:>12}"), Color::Green);
    // A closed stderr is no reason to stop.
    let _ = console.err.line(&format!("{word} {text}"));
}

/// Asks where somebody can answer; else it must have been said.
async fn ask(args: &UninstallArgs, hub: &Connection) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    let refused =
        |why: &str| Failure::usage(format!("{why}; nothing was changed")).hint("--yes, after --dry-run");
    let question = format!("Take Flux away from {} ({})? Type yes:", hub.context, hub.server);
    match while_asking(move || Terminal.line(&question)).await {
        None => Err(refused("nobody can be asked here")),
        Some(answer) if answer.trim() == "yes" => Ok(()),
        Some(_) => Err(refused("not confirmed")),
    }
}

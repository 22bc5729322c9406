//! `worker remove`: a worker goes.

use super::talk::Talk;
use super::{WayArgs, hub};
use crate::cluster::ConnectionArgs;
use crate::commands::formats::OutputArgs;
use crate::duration;
use crate::worker::{Fate, LIFETIME, Removal, Renewal, WorkerError, look, remove, secret_name};
use clap::Args;
use kubiya_hook::edge::{Color, Console, Failure, Outcome};
use serde_json::json;
use std::time::Duration;

/// Take a worker away from Flux
///
/// First what Flux applies there (pruned or left, as you choose), then its credentials on both sides. The order
/// matters: a Kustomization without its kubeconfig can never be deleted. A re-run goes on where the last one stopped.
#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// Name of the worker
    #[arg(value_name = "NAME")]
    name: String,
    /// Delete on the worker what its Kustomizations and HelmReleases have applied
    #[arg(long, conflicts_with_all = ["orphan", "unreachable"])]
    prune: bool,
    /// Leave it there
    #[arg(long)]
    orphan: bool,
    /// The worker is gone: do what can be done without it
    #[arg(long)]
    unreachable: bool,
    #[command(flatten)]
    way: WayArgs,
    /// Show what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long Flux may take to prune, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

impl RemoveArgs {
    fn fate(&self) -> Option<Fate> {
        match (self.prune, self.orphan) {
            (true, _) => Some(Fate::Prune),
            (_, true) => Some(Fate::Orphan),
            _ => None,
        }
    }
}

/// Runs the command.
pub(super) async fn run(args: RemoveArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let hub = hub(connection).await?;
    let name = &args.name;
    let at = |error: WorkerError| Failure::from(error).at(format!("worker {name}"));
    let how = Removal {
        fate: args.fate(),
        unreachable: args.unreachable,
        way: Renewal {
            way: args.way.selection(connection, Some(name))?,
            lifetime: LIFETIME,
            request_timeout: connection.request_timeout,
        },
        timeout: args.timeout,
    };
    let mut talk = Talk::new(&mut console.err, args.dry_run);
    if args.dry_run {
        let there = look(&hub, name, &how).await.map_err(at)?;
        for applier in &there {
            talk.say("would go", Color::Cyan, &format!("infra: {}", applier.id()));
        }
        for stored in hub.of(name) {
            talk.say(
                "would go",
                Color::Cyan,
                &format!("infra: Secret {}/{}", stored.namespace, secret_name(name)),
            );
        }
        return Ok(0);
    }
    let removed = remove(&hub, name, &how).await.map_err(at)?;
    for applier in &removed.appliers {
        talk.say("removed", Color::Green, &format!("infra: {applier}"));
    }
    if removed.revoked {
        talk.say("revoked", Color::Green, &format!("{name}: Flux's token is refused there"));
    }
    for secret in &removed.secrets {
        talk.say("removed", Color::Green, &format!("infra: Secret {secret}"));
    }
    for left in &removed.left {
        talk.warning(left);
    }
    args.output.print(
        console,
        &json!({
            "apiVersion": "kubiya.dev/v1alpha1",
            "kind": "WorkerRemoval",
            "name": name,
            "appliers": removed.appliers,
            "revoked": removed.revoked,
            "secrets": removed.secrets,
            "left": removed.left,
        }),
    )?;
    Ok(0)
}

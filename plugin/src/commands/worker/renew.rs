//! `worker renew`: new tokens before the old ones run out.

use super::talk::Talk;
use super::{WayArgs, ended, hub};
use crate::cluster::ConnectionArgs;
use crate::commands::formats::OutputArgs;
use crate::duration;
use crate::worker::{AT_ONCE, Count, CredentialKind, Hub, LIFETIME, Renewal, document, renew};
use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use kubiya_hook::edge::{Color, Console, Failure, Outcome};
use serde_json::json;
use std::time::Duration;

/// Give Flux new tokens for workers, and take the old ones back
///
/// The new token is made with the old one, unless you name your own connection; it is proven, stored wherever the
/// old one is, and then the old one is taken back: whoever has a copy of it is refused.
#[derive(Args, Debug)]
pub(crate) struct RenewArgs {
    /// Names of workers
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// All workers with tokens of their own
    #[arg(long, conflicts_with_all = ["names", "worker_context", "worker_kubeconfig"])]
    all: bool,
    /// Only those whose token ends within this time, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expiring: Option<Duration>,
    #[command(flatten)]
    way: WayArgs,
    /// How long the new token is to live, such as 90d; the server may grant less [default: 365d]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// How many workers are renewed at once
    #[arg(long, value_name = "COUNT", default_value_t = AT_ONCE)]
    concurrency: usize,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub(super) async fn run(args: RenewArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let hub = hub(connection).await?;
    let how = Renewal {
        way: args.way.selection(connection, args.names.first())?,
        lifetime: args.duration.unwrap_or(LIFETIME),
        request_timeout: connection.request_timeout,
    };
    if how.way.is_some() && args.names.len() > 1 {
        return Err(Failure::usage("--worker-context and --worker-kubeconfig are for one worker"));
    }
    let names = chosen(&args, &hub)?;
    let (mut failures, mut results) = (Vec::new(), Vec::new());
    let mut talk = Talk::new(&mut console.err, false);
    let mut count = Count::of(names.len());
    let mut outcomes = futures::stream::iter(&names)
        .map(async |name| (name, renew(&hub, name, &how).await))
        .buffer_unordered(args.concurrency.max(1));
    while let Some((name, outcome)) = outcomes.next().await {
        if names.len() > 1 {
            talk.count("renewing", count.add(outcome.is_ok()));
        }
        match outcome {
            Ok(renewed) => {
                let end = renewed.record.expires.map(|end| end.to_string()).unwrap_or_default();
                let before = renewed
                    .before
                    .map(|end| format!("; the old one (until {end}) is refused"))
                    .unwrap_or_default();
                talk.say("renewed", Color::Green, &format!("{name}: until {end}{before}"));
                results.push(document(&renewed.record));
            }
            Err(error) => failures.push(Failure::from(error).at(format!("worker {name}"))),
        }
    }
    drop(outcomes);
    talk.end_progress();
    if names.is_empty() {
        talk.say("done", Color::Green, "nothing to renew");
    }
    results.sort_by_key(|one| one["name"].to_string());
    let done = results.len();
    args.output.print(
        console,
        &json!({"apiVersion": "kubiya.dev/v1alpha1", "kind": "WorkerList", "items": results}),
    )?;
    ended(failures, done)
}

fn chosen(args: &RenewArgs, hub: &Hub) -> Result<Vec<String>, Failure> {
    let mut names = if args.all {
        let minted = |name: &String| hub.of(name).iter().any(|one| one.record.kind == CredentialKind::Minted);
        hub.names().into_iter().filter(minted).collect()
    } else {
        args.names.clone()
    };
    for name in &names {
        hub.known(name)?;
    }
    if let Some(soon) = args.expiring {
        let then = Timestamp::now().checked_add(soon).unwrap_or(Timestamp::MAX);
        names.retain(|name| hub.of(name).iter().any(|one| one.record.expires.is_some_and(|end| end < then)));
    }
    names.dedup();
    Ok(names)
}

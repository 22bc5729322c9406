//! `worker check`: whether workers do what they are there for.

use super::hub;
use super::talk::Talk;
use crate::cluster::ConnectionArgs;
use crate::commands::formats::OutputArgs;
use crate::duration;
use crate::worker::{AT_ONCE, Count, Finding, Level, Report, WorkerError, check, document, left};
use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use kubiya_hook::edge::{Color, Console, Failure, Outcome, Stream};
use serde_json::{Value, json};

/// Check that Flux reaches workers, may do what it must, and delivered what it says
///
/// Asked with exactly what Flux has: connection, version, clock, the ends of authority and credentials, the
/// rights that the worker's Kustomizations need, their states, and whether the namespaces and Secrets that they
/// say they delivered are there. Exit code 1 when something does not work.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Names of workers
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// All workers
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// How many workers are looked at at once
    #[arg(long, value_name = "COUNT", default_value_t = AT_ONCE)]
    concurrency: usize,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub(super) async fn run(args: CheckArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let hub = hub(connection).await?;
    let names = if args.all { hub.names() } else { args.names.clone() };
    for name in &names {
        hub.known(name)?;
    }
    let mut talk = Talk::new(&mut console.err, false);
    let mut count = Count::of(names.len());
    let mut checked: Vec<(usize, Result<Report, WorkerError>)> = Vec::new();
    let mut coming = futures::stream::iter(names.iter().enumerate())
        .map(async |(index, name)| (index, check(&hub, name, connection.request_timeout).await))
        .buffer_unordered(args.concurrency.max(1));
    while let Some((index, outcome)) = coming.next().await {
        let well = outcome.as_ref().is_ok_and(|report| !report.is_broken());
        if names.len() > 1 {
            talk.count("checking", count.add(well));
        }
        checked.push((index, outcome));
    }
    drop(coming);
    talk.end_progress();
    checked.sort_by_key(|(index, _)| *index);
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for (index, outcome) in checked {
        match outcome {
            Ok(mut report) => {
                report.findings.iter_mut().for_each(|finding| finding.fix = connection.typed(&finding.fix));
                reports.push(report);
            }
            Err(error) => failures.push(Failure::from(error).at(format!("worker {}", names[index]))),
        }
    }
    let items: Vec<Value> = reports.iter().map(as_document).collect();
    let printed = args.output.print(
        console,
        &json!({"apiVersion": "kubiya.dev/v1alpha1", "kind": "WorkerCheck", "items": items}),
    )?;
    if !printed {
        for report in &reports {
            tell(&mut console.out, report);
        }
    }
    if !failures.is_empty() {
        let count = failures.len();
        return Err(Failure::all(format!("{count} workers could not be checked"), failures));
    }
    Ok(u8::from(reports.iter().any(Report::is_broken)))
}

fn as_document(report: &Report) -> Value {
    let mut item = document(&report.record);
    item["version"] = json!(report.version.as_ref().map(|(version, _)| version));
    item["username"] = json!(report.version.as_ref().map(|(_, username)| username));
    item["authorityEnds"] = json!(report.authority_ends.map(|end| end.to_string()));
    item["clockAheadSeconds"] = json!(report.clock_ahead);
    let appliers: Vec<Value> = report
        .appliers
        .iter()
        .map(|(id, ready, message)| json!({"name": id, "ready": ready, "message": message}))
        .collect();
    item["kustomizations"] = json!(appliers);
    item["findings"] = json!(report.findings);
    item["ok"] = json!(!report.is_broken());
    item
}

/// A closed stdout is no reason to stop.
fn tell(stream: &mut Stream, report: &Report) {
    let style = stream.style();
    let verdict =
        if report.is_broken() { style.paint("broken", Color::Red) } else { style.paint("ok", Color::Green) };
    let _ = stream.line(&format!("{}: {verdict}", report.record.worker));
    let mut facts = vec![report.record.server.clone()];
    if let Some((version, username)) = &report.version {
        facts.push(format!("{version} as {username}"));
    }
    if let Some(end) = report.record.expires {
        facts.push(format!(
            "{} until {end} ({})",
            report.record.kind.word(),
            duration::long(left(end, Timestamp::now()))
        ));
    }
    let _ = stream.line(&format!("  {}", facts.join(", ")));
    for (id, ready, _) in &report.appliers {
        let state = if *ready { "ready" } else { "not ready" };
        let _ = stream.line(&format!("  {state}: {id}"));
    }
    for finding in &report.findings {
        tell_finding(stream, finding);
    }
}

fn tell_finding(stream: &mut Stream, finding: &Finding) {
    let style = stream.style();
    let label = match finding.level {
        Level::Error => style.paint("error:", Color::Red),
        Level::Warning => style.paint("warning:", Color::Yellow),
    };
    let text = finding.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = stream.line(&format!("  {label} {}: {text}", finding.about));
    let _ = stream.line(&format!("    fix: {}", finding.fix));
}

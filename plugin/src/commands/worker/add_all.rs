//! `worker add -f`: all workers of a document.

use super::add::{AddArgs, result};
use super::repository::Repository;
use super::talk::Talk;
use super::{ended, hub, table};
use crate::bootstrap::{BootstrapDocument, WorkerSection};
use crate::cluster::{ConnectionArgs, Kubeconfigs};
use crate::commands::bootstrap::DryRun;
use crate::worker::{
    AddRequest, Added, Count, Resolved, Terms, WorkerError, is_label, look_at_all, resolve, take_in_all,
};
use jiff::Timestamp;
use kubiya_hook::edge::{Color, Console, Failure, Outcome};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// What came of each worker, by its name.
type Outcomes = BTreeMap<String, Result<Added, Failure>>;

/// Runs the command.
pub(super) async fn run(args: &AddArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let file = args.file.as_deref().unwrap_or(Path::new(""));
    let spec = BootstrapDocument::read(file)?.spec;
    let mut connection = connection.clone();
    connection.context = connection.context.take().or(spec.context);
    if let Some(namespace) = spec.namespace.filter(|_| !connection.namespace_given) {
        connection.namespace = namespace;
    }
    let terms = args.terms(&connection);
    let terms = Terms { allow_loopback: terms.allow_loopback || spec.allow_loopback, ..terms };
    let requests = requests(&spec.workers, &terms, &connection)
        .map_err(|failure| failure.at(file.display().to_string()))?;
    let (resolved, mut outcomes) = resolved(&requests);
    let mut hub = hub(&connection).await?;
    let names: Vec<&str> = resolved.iter().map(|one| one.request.name.as_str()).collect();
    let repository = args.repository.open(&mut hub, &names).await?;
    let (hub, place) = (hub, Repository::place(repository.as_ref()));
    let dry_run = args.dry_run != DryRun::None;
    let mut talk = Talk::new(&mut console.err, dry_run);
    talk.cluster("infra", &hub.connection);
    let mode = args.dry_run.look();
    let looked = look_at_all(&hub, place, &resolved, mode, args.concurrency, |count| {
        talk.count("looking at workers", count);
    })
    .await;
    talk.end_progress();
    let mut open = Vec::new();
    for (one, answer) in resolved.iter().zip(looked) {
        match answer {
            Ok(seen) if dry_run || seen.is_settled() => {
                outcomes.insert(one.request.name.clone(), Ok(seen.added));
            }
            Ok(_) => open.push(one),
            Err(error) => fail(&mut outcomes, &one.request.name, error),
        }
    }
    let mut count = Count::of(open.len());
    take_in_all(&hub, place, &open, args.concurrency, |one, outcome| {
        talk.count("taking workers in", count.add(outcome.is_ok()));
        let name = &one.request.name;
        match outcome {
            Ok(added) => drop(outcomes.insert(name.clone(), Ok(added))),
            Err(error) => fail(&mut outcomes, name, error),
        }
    })
    .await;
    talk.end_progress();
    if let Some(repository) = &repository {
        let mode = args.dry_run.mode();
        for one in &resolved {
            let (name, terms) = (&one.request.name, &one.request.terms);
            if let Some(Ok(added)) = outcomes.get_mut(name) {
                added.stored.extend(repository.layout(&hub, name, terms, mode)?);
            }
        }
        talk.next(&repository.next(&names));
    }
    let changed = outcomes.values().flatten().filter(|added| added.changed() > 0).count();
    let would = if dry_run { "would change" } else { "changed" };
    talk.say("done", Color::Green, &format!("{} workers, {changed} {would}", outcomes.len()));
    finish(args, outcomes, dry_run, console)
}

fn fail(outcomes: &mut Outcomes, name: &str, error: WorkerError) {
    outcomes.insert(name.to_owned(), Err(Failure::from(error).at(format!("worker {name}"))));
}

/// The requests of a document; what is wrong with the document itself is all told at once.
fn requests(
    sections: &[WorkerSection],
    terms: &Terms,
    connection: &ConnectionArgs,
) -> Result<Vec<AddRequest>, Failure> {
    let (mut requests, mut problems, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for section in sections {
        let name = section.name.clone();
        if !is_label(&name) {
            problems.push(Failure::from(WorkerError::NoLabel(name)));
            continue;
        }
        if !names.insert(name.clone()) {
            problems.push(Failure::usage(format!("the worker `{name}` is named twice")));
            continue;
        }
        match (section.terms(terms), section.way(&connection.source())) {
            (Ok(terms), Ok((source, context))) => {
                requests.push(AddRequest { name, source, context, terms });
            }
            (terms, way) => problems.extend(terms.err().into_iter().chain(way.err())),
        }
    }
    if sections.is_empty() {
        problems.push(
            Failure::usage("the document has no workers").hint("spec.workers: [{name: …, context: …}]"),
        );
    }
    let count = problems.len();
    match count {
        0 => Ok(requests),
        _ => Err(Failure::all(format!("{count} problems with the workers; nothing was changed"), problems)),
    }
}

/// Those that are right as far as that can be told from here, and what is wrong with the others.
fn resolved(requests: &[AddRequest]) -> (Vec<Resolved>, Outcomes) {
    let (mut resolved, mut outcomes, mut kubeconfigs) = (Vec::new(), Outcomes::new(), Kubeconfigs::default());
    for request in requests {
        match resolve(request, &mut kubeconfigs) {
            Ok(one) => resolved.push(one),
            Err(error) => fail(&mut outcomes, &request.name, error),
        }
    }
    (resolved, outcomes)
}

/// The result for programs or the table for people, and those that failed.
fn finish(args: &AddArgs, outcomes: Outcomes, dry_run: bool, console: &mut Console) -> Outcome {
    let items: Vec<Value> = outcomes.values().flatten().map(|added| result(added, dry_run)).collect();
    let failed: HashMap<&String, Vec<String>> =
        outcomes.iter().filter_map(|(name, outcome)| Some((name, outcome.as_ref().err()?.lines()))).collect();
    let printed = args.output.print(
        console,
        &json!({"apiVersion": "kubiya.dev/v1alpha1", "kind": "WorkerResultList", "items": items, "failed": failed}),
    )?;
    if !printed {
        let rows = outcomes.iter().map(|(name, outcome)| (name.as_str(), outcome.as_ref()));
        // A closed pipe is no failure.
        let _ = console.out.bytes(table::outcomes(rows, Timestamp::now()).as_bytes());
    }
    let done = outcomes.values().filter(|outcome| outcome.is_ok()).count();
    ended(outcomes.into_values().filter_map(Result::err).collect(), done)
}

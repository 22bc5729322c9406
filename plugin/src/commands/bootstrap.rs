//! `bootstrap`: Flux, its age key and its workers' kubeconfigs on an infra cluster.

mod args;
mod generate;
mod merge;
mod talk;

use crate::bootstrap::{
    self, BootstrapDocument, Carried, CarryOut, How, Inputs, Live, Plan, Preflight, Stage, Workers,
};
use crate::cluster::{Applier, Connection, ConnectionArgs, Deadline, Mode};
use crate::flux::{Expected, Sync, git_repository, kustomization, wait_for_sync};
use crate::invocation::Invocation;
use crate::worker::{CredentialKind, Kept, Record, Scope};
use args::Format;
use kubiya_hook::edge::{Console, Failure, Kind, Outcome};
use kubiya_hook::git::remote::BranchTip;
use talk::Talk;

pub(crate) use args::{BootstrapArgs, DryRun};

const EXAMPLES: &str = "\
Examples:
  # Flux from the flux CLI on PATH, the key from a file, two workers by their contexts
  $CMD bootstrap --context infra --url https://git.example.com/platform/gitops.git \\
    --path clusters/infra --age-key-file age.agekey --bearer-token-file git-token \\
    --worker worker01=worker01-admin --worker worker02=kubernetes-admin@worker02

  # The key from a password store, never on disk; look first
  gopass show platform/age.agekey | $CMD bootstrap … --age-key-file - --dry-run=server

  # Manifests for a pull request instead of a change of the cluster
  $CMD bootstrap … --export > bootstrap.yaml";

/// The examples, with the command as it was called.
pub(crate) fn examples(invocation: Invocation) -> String {
    EXAMPLES.replace("$CMD", invocation.command())
}

/// Runs the command.
pub(crate) async fn run(
    mut args: BootstrapArgs,
    mut connection: ConnectionArgs,
    invocation: &Invocation,
    console: &mut Console,
) -> Outcome {
    if let Some(file) = &args.file {
        let document = BootstrapDocument::read(file)?;
        merge::merge(&mut args, &mut connection, document.spec)?;
    }
    let connection = &connection;
    let made = generate::generate(&args)?;
    let request = args.request(connection)?;
    let key = &request.age_key;
    if key.is_open_to_others() {
        console.warn(&format!("{}: others on this machine may read this key", key.name()));
        console.hint(&format!("chmod 600 {}", key.name()));
    }
    if let Some(made) = &made {
        tell_made(console, made);
    }
    let inputs = Inputs::gather(&request)?;
    if args.export {
        let mut plan = bootstrap::plan(&inputs, &Live::default())?;
        // Before the controllers, as everything that they need.
        let at = plan.stages.iter().position(|stage| stage.title == "secrets").map_or(0, |at| at + 1);
        plan.stages.splice(at..at, copied_workers(&inputs));
        let text = bootstrap::export(&plan, args.export_private_keys);
        for worker in inputs.workers.iter().filter(|worker| worker.copied.is_none()) {
            let add = format!("{} worker add {}", invocation.command(), worker.name);
            console.warn(&format!("worker {}: its token is made on the worker: {add}", worker.name));
        }
        return print(console, &text);
    }
    let mut talk = Talk::new(&mut console.err);
    let (hub, plan, mut found) = preflight(&args, &inputs, connection, &mut talk).await?;
    if !args.writes() {
        found.dry_run.applied.extend(found.workers.iter().flat_map(Workers::would));
    }
    if args.diff {
        let changed = found.dry_run.changed() > 0;
        return match args.output {
            None => print(console, &bootstrap::differences(&found.dry_run)),
            format => finish(console, format, &found.dry_run, true, None),
        }
        .map(|code| if changed { Kind::Findings.exit_code() } else { code });
    }
    if !args.writes() {
        talk.dry_run(&found.dry_run);
        return finish(console, args.output, &found.dry_run, true, None);
    }
    let kinds = std::mem::take(&mut found.kinds);
    let applier = Applier { connection: hub, kinds, force: args.force_conflicts, mode: Mode::Write };
    let (carried, revision) = carry_out(&args, &inputs, &plan, applier, &found, &mut talk).await?;
    talk.done(&carried, &inputs, invocation);
    finish(console, args.output, &carried, false, revision.as_deref())
}

/// Says what was made, and what is still to be done with it.
fn tell_made(console: &mut Console, made: &generate::Made) {
    // A closed stderr is no reason to stop.
    let _ = console
        .err
        .line(&format!("a new age key is in {}; keep a copy of it elsewhere", made.file.display()));
    let _ = console.err.line(&format!("its public half: {}", made.recipient));
    match &made.rules {
        Some(path) => console.hint(&format!("{} was written for it: commit and push it", path.display())),
        None => console.hint("it belongs into the .sops.yaml of the repository, as a recipient"),
    }
}

/// Looks before anything is written, and says what is there.
async fn preflight(
    args: &BootstrapArgs,
    inputs: &Inputs,
    connection: &ConnectionArgs,
    talk: &mut Talk<'_>,
) -> Result<(Connection, Plan, Preflight), Failure> {
    let how = How {
        request_timeout: connection.request_timeout,
        force: args.force_conflicts,
        ask_server: args.dry_run != DryRun::Client,
    };
    let mut found = bootstrap::preflight(inputs, how, |count| talk.count("looking at workers", count)).await;
    talk.end_progress();
    if let Some(hub) = &found.hub {
        talk.cluster("infra", hub);
    }
    if let Some(workers) = &found.workers {
        talk.answered(&workers.answered().collect::<Vec<_>>());
        let problems = workers.problems();
        match args.all_or_nothing {
            true => found.problems.extend(problems.cloned()),
            false => problems.for_each(|problem| talk.left_out(problem)),
        }
    }
    talk.sync(&inputs.sync, found.tip.as_deref());
    for (word, text) in &inputs.git.notes {
        talk.note(word, text);
    }
    for warning in &found.warnings {
        talk.warning(warning);
    }
    let problems = std::mem::take(&mut found.problems);
    match (found.hub.clone(), found.plan.take()) {
        (Some(hub), Some(plan)) if problems.is_empty() => Ok((hub, plan, found)),
        _ => {
            let count = problems.len();
            Err(Failure::all(format!("{count} problems; nothing was changed"), problems))
        }
    }
}

/// The Secrets of workers whose credentials are known without asking them: for an export.
fn copied_workers(inputs: &Inputs) -> Option<Stage> {
    let copied = inputs.workers.iter().filter_map(|worker| Some((worker, worker.copied.as_ref()?)));
    let objects: Vec<_> = copied
        .flat_map(|(worker, remote)| {
            let record = Record {
                worker: worker.name.clone(),
                kind: CredentialKind::Copied,
                server: remote.selection.cluster.server.clone().unwrap_or_default(),
                cluster: None,
                expires: None,
                token_secret: None,
                scope: Scope::Cluster,
                audience: None,
            };
            record.manifests(&inputs.sync.namespace, &Kept::Kubeconfig(remote.text.clone()))
        })
        .collect();
    (!objects.is_empty()).then_some(Stage { title: "workers", objects, waits: Vec::new() })
}

async fn carry_out(
    args: &BootstrapArgs,
    inputs: &Inputs,
    plan: &Plan,
    applier: Applier,
    found: &Preflight,
    talk: &mut Talk<'_>,
) -> Result<(Carried, Option<String>), Failure> {
    let how =
        CarryOut { applier, timeout: args.timeout(), wait: args.wait(), dry_run: found.dry_run.clone() };
    let result = bootstrap::carry_out(plan, &how, |event| talk.event(&event)).await;
    talk.end_progress();
    let mut carried = result.map_err(|(error, carried)| part_done(error.into(), &carried))?;
    let mut failed = None;
    if let Some(workers) = &found.workers {
        let taken = workers.take_in(|count| talk.count("taking workers in", count)).await;
        talk.end_progress();
        talk.taken_in(&taken);
        carried.applied.extend(taken.applied());
        failed = taken.failure();
    }
    let revision =
        if args.wait() { Some(wait(args, inputs, how, found, &carried, talk).await?) } else { None };
    match failed {
        Some(failure) => Err(part_done(failure, &carried)),
        None => Ok((carried, revision)),
    }
}

/// Waits until Flux has applied the branch.
async fn wait(
    args: &BootstrapArgs,
    inputs: &Inputs,
    how: CarryOut,
    found: &Preflight,
    carried: &Carried,
    talk: &mut Talk<'_>,
) -> Result<String, Failure> {
    let sync = Sync { source: git_repository(&inputs.sync), kustomization: kustomization(&inputs.sync) };
    let expected = Expected { branch: inputs.sync.branch.clone(), tip: found.tip.clone() };
    let look_again = async || match found.look.as_ref()?.tip().await {
        Ok(BranchTip::Found(oid)) => Some(oid),
        _ => None,
    };
    let Applier { connection, kinds, .. } = &how.applier;
    let deadline = Deadline::after(args.timeout());
    let waited =
        wait_for_sync(connection, kinds, &sync, expected, deadline, look_again, |m| talk.progress(m)).await;
    talk.end_progress();
    let revision = waited.map_err(|error| part_done(error.into(), carried))?;
    talk.applied(&revision);
    Ok(revision)
}

/// A failure after the first write is "done in part", unless it is a deadline.
fn part_done(failure: Failure, carried: &Carried) -> Failure {
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

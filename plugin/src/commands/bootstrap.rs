//! `bootstrap`: Flux, its age key and its workers' kubeconfigs on an infra cluster.

mod args;
mod course;
mod decryption_args;
mod generate;
mod git_args;
mod install_args;
mod merge;
mod rules;
mod talk;

use crate::bootstrap::{
    self, BootstrapDocument, Carried, How, Inputs, Live, Plan, Preflight, Stage, Workers,
};
use crate::cluster::{Applier, Connection, ConnectionArgs, Mode};
use crate::invocation::Invocation;
use crate::keys::while_asking;
use crate::whereabouts;
use crate::worker::{CredentialKind, Kept, Record, Scope};
use args::Format;
use course::Course;
use kubiya_hook::edge::{Console, Failure, Kind, Outcome};
use kubiya_policies::sops::age::Identity;
use std::path::Path;
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
    whereabouts::at("before anything was changed on a cluster");
    let own = connection.namespace.clone();
    let (args, made) = while_asking(move || {
        let made = generate::generate(&args, &own);
        (args, made)
    })
    .await;
    let made = made?;
    let request = args.request(connection).await?;
    for key in request.decryption.keys.iter().filter(|key| key.is_open_to_others()) {
        console.warn(&format!("{}: others on this machine may read this key", key.name()));
        console.hint(&format!("chmod 600 {}", key.name()));
    }
    for made in &made {
        made.tell(console);
    }
    let inputs = while_asking(move || Inputs::gather(&request)).await?;
    if args.exports() {
        let mut plan = bootstrap::plan(&inputs, &Live::default())?;
        // Before the controllers, as everything that they need.
        let at = plan.stages.iter().position(|stage| stage.title == "secrets").map_or(0, |at| at + 1);
        plan.stages.splice(at..at, copied_workers(&inputs));
        for worker in inputs.workers.iter().filter(|worker| worker.copied.is_none()) {
            let add = format!("{} worker add {}", invocation.command(), worker.name);
            console.warn(&format!("worker {}: its token is made on the worker: {add}", worker.name));
        }
        if let Some(folder) = &args.export_dir {
            return export_dir(&args, &plan, folder, &inputs, console);
        }
        return print(console, &bootstrap::export(&plan, args.export_private_keys));
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
            format => finish(console, format, &found.dry_run, Some(&plan), None),
        }
        .map(|code| if changed { Kind::Findings.exit_code() } else { code });
    }
    if !args.writes() {
        talk.dry_run(&found.dry_run);
        return finish(console, args.output, &found.dry_run, Some(&plan), None);
    }
    let course = Course { args: &args, inputs: &inputs };
    let (mut hub, mut plan) = (hub, plan);
    let done = loop {
        let kinds = std::mem::take(&mut found.kinds);
        let applier = Applier { connection: hub, kinds, force: args.force_conflicts, mode: Mode::Write };
        match course.carry_out(&plan, applier, &found, &mut talk).await? {
            Some(done) => break done,
            None => {
                talk.note("again", "another run has changed the cluster meanwhile: looking once more");
                (hub, plan, found) = preflight(&args, &inputs, connection, &mut talk).await?;
            }
        }
    };
    let revision = course.wait(&done, &found, &mut talk).await?;
    if let Some(failed) = done.failed {
        return Err(failed);
    }
    let carried = done.carried;
    talk.done(&carried, &inputs, invocation);
    finish(console, args.output, &carried, None, revision.as_deref())
}

/// Writes the manifests into a folder.
fn export_dir(
    args: &BootstrapArgs,
    plan: &Plan,
    folder: &Path,
    inputs: &Inputs,
    console: &mut Console,
) -> Outcome {
    let namespaces = inputs.decryption.namespaces.values().flatten();
    let identities: Vec<Identity> = inputs.decryption.identities.iter().chain(namespaces).cloned().collect();
    let written = bootstrap::export_dir(plan, folder, args.overwrite, &identities)?;
    for path in &written {
        // A closed stderr is no reason to stop.
        let _ = console.err.line(&format!("wrote {}", path.display()));
    }
    if written.is_empty() {
        let _ = console.err.line(&format!("nothing to write: {} is as it should be", folder.display()));
    }
    Ok(0)
}

/// Looks before anything is written, and says what is there.
async fn preflight(
    args: &BootstrapArgs,
    inputs: &Inputs,
    connection: &ConnectionArgs,
    talk: &mut Talk<'_>,
) -> Result<(Connection, Plan, Preflight), Failure> {
    whereabouts::at("while it looked at the clusters; nothing was changed");
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
    if let Some(who) = &found.signed_by {
        talk.note("signed", &format!("the tip is signed by {who}"));
    }
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

fn print(console: &mut Console, text: &str) -> Outcome {
    // A closed pipe is no failure; `finish` of the console tells it from a full disk.
    let _ = console.out.bytes(text.as_bytes());
    Ok(0)
}

fn finish(
    console: &mut Console,
    format: Option<Format>,
    carried: &Carried,
    plan: Option<&Plan>,
    revision: Option<&str>,
) -> Outcome {
    let document = bootstrap::result_document(carried, plan, revision);
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

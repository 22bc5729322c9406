//! `bootstrap`: Flux, its age key and its workers' kubeconfigs on an infra cluster.

mod args;
mod talk;

use crate::bootstrap::{self, Carried, CarryOut, Inputs, Live, Plan, PlanError};
use crate::cluster::{Applier, ClusterError, Connection, ConnectionArgs, Deadline, Kinds};
use crate::flux::{Expected, Sync, git_repository, kustomization, wait_for_sync};
use crate::invocation::Invocation;
use crate::keys::KeySource;
use crate::rotation::RETIRED_RECIPIENTS;
use args::Format;
use kubiya_hook::edge::{Console, Failure, Kind, Outcome};
use kubiya_hook::git::remote::{BranchTip, branch_tip};
use secrecy::SecretString;
use std::time::Duration;
use talk::Talk;

pub(crate) use args::{BootstrapArgs, DryRun};

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
    let secret = hub.secret(&inputs.sync.namespace, &inputs.sync.decryption_secret).await?;
    let Some(mut secret) = secret else { return Ok(Live::default()) };
    let entry = secret.data.remove(bootstrap::AGE_ENTRY);
    let text = entry.map(|bytes| SecretString::from(String::from_utf8_lossy(&bytes).into_owned()));
    let retired =
        secret.annotations.get(RETIRED_RECIPIENTS).map(|text| text.split(',').map(str::to_owned).collect());
    Ok(Live { age_entry: text, retired: retired.unwrap_or_default() })
}

fn make_plan(inputs: &Inputs, live: &Live) -> Result<Plan, Failure> {
    bootstrap::plan(inputs, live).map_err(|error| match &error {
        PlanError::MalformedAgeEntry { source, .. } => Failure::unverified(error.to_string())
            .because(source)
            .because_of("one malformed line keeps Flux from decrypting anything")
            .hint("mend or remove that line: kubectl -n flux-system edit secret sops-age"),
        PlanError::Retired { .. } => Failure::usage(error.to_string())
            .hint("--age-key-file FILE   # the key that took its place")
            .hint(format!("kubectl annotate secret sops-age -n {} {RETIRED_RECIPIENTS}-   # if it is to come back on purpose", inputs.sync.namespace)),
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

//! `rotate-key`: new keys for the files of a repository.

mod account;
mod cluster;
mod leak_args;
mod new_key_args;
mod old_key_args;
mod under_way;

use super::formats::{FileArgs, OutputArgs, gathered};
use crate::cluster::ConnectionArgs;
use crate::files::{Batch, FileError};
use crate::keys::{KeyArgs, KeyRing};
use crate::rotation::{
    DataKeys, Elsewhere, Exposed, Listing, NewIdentity, Renewal, Renewed, Way, exposed, renew, rule_changes,
};
use crate::secrets::{Configs, file_failure, shown, top_around};
use clap::{Args, ValueEnum};
use cluster::Action;
use kubiya_hook::edge::{Console, Failure, Kind, Outcome};
use kubiya_policies::rules::RecipientChange;
use kubiya_policies::sops::age::{AgeKeys, Identity, RecipientKind};
use leak_args::LeakArgs;
pub(crate) use new_key_args::NewKeyArgs;
use old_key_args::OldKeyArgs;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  # A new age key for Flux and for every file, pushed to the branch that Flux follows
  kubectl kubiya rotate-key --context infra --store-key new.agekey
  kubectl kubiya rotate-key --context infra --status
  kubectl kubiya rotate-key --context infra --retire --keep-old old.agekey.age

  # The old key leaked: it goes at once
  kubectl kubiya rotate-key --context infra --store-key new.agekey --compromised --drop-old

  # By pull requests, and the new key in a password store
  kubectl kubiya rotate-key --context infra --pull-request \
    --store-command 'gopass insert -m infra/age' --read-back-command 'gopass show infra/age'
  kubectl kubiya rotate-key --context infra --continue

  # Files alone: a new age key in place of the one at hand, in all rules and files
  kubectl kubiya rotate-key --no-cluster --store-key new.agekey

  # First both keys; later the old one goes
  kubectl kubiya rotate-key --no-cluster --store-key new.agekey --stage overlap
  kubectl kubiya rotate-key --no-cluster --new-age-key-file new.agekey --old-recipient age1…

  # A key per client: a new one for the client whose files are in clients/acme
  kubectl kubiya rotate-key --client acme --context acme --store-key acme.agekey

  # Somebody comes, somebody leaves
  kubectl kubiya rotate-key --no-cluster --add-recipient age1…
  kubectl kubiya rotate-key --no-cluster --remove-recipient age1…";

/// Give Flux, rules and files a new age key, with no moment in which Flux cannot decrypt
///
/// First Flux gets the new key beside the old one, on every cluster that holds it. Then all rules and files are made
/// for both keys, with new data keys, committed and pushed, and when every Kustomization has applied that, the old
/// key is taken out of them in the same way. At last the old key is taken from Flux: at once with --compromised,
/// else by --retire when no revert or old branch will need it any more.
///
/// A run may end anywhere: --continue goes on from what is in Git and on the clusters, --abort goes back to the old
/// key, --status shows where it stands.
///
/// Each file is opened, checked, and proven to open with the new key alone before anything is written; comments and
/// layout stay, and so do other recipients. With --no-cluster, and for --only-data-keys, --add-recipient and
/// --remove-recipient, files alone are changed, and nothing is committed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RotateKeyArgs {
    /// Files and folders; without any, all of the repository
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Change files alone, and no cluster
    #[arg(long)]
    no_cluster: bool,
    #[command(flatten)]
    old_key: OldKeyArgs,
    /// How far to go
    #[arg(long, value_name = "STAGE", default_value = "all")]
    stage: Stage,
    /// New data keys for the same recipients
    #[arg(long, group = "mode")]
    only_data_keys: bool,
    /// Make somebody a recipient wherever the old recipient is one; values keep their ciphertext
    #[arg(long, value_name = "RECIPIENT", group = "mode")]
    add_recipient: Option<String>,
    /// Take a recipient out of rules and files, which get new data keys
    #[arg(long, value_name = "RECIPIENT", group = "mode")]
    remove_recipient: Option<String>,
    /// Go on with the rotation that is under way
    #[arg(long = "continue", group = "action")]
    go_on: bool,
    /// Take the old key from Flux, now that nothing needs it
    #[arg(long, group = "action")]
    retire: bool,
    /// Go back to the old key
    #[arg(long, group = "action")]
    abort: bool,
    /// Show where the rotation stands, and change nothing
    #[arg(long, group = "action")]
    status: bool,
    /// How long each wait may take, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::duration::parse)]
    timeout: Duration,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    leak: LeakArgs,
    #[command(flatten)]
    new_key: NewKeyArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Both keys open everything
    Overlap,
    /// The old key opens nothing any more
    All,
}

/// What was done, as data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// The public key that comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_recipient: Option<String>,
    /// The public key that goes, or beside which one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_recipient: Option<String>,
    /// Rules that were changed.
    rules: Vec<String>,
    files: Vec<Line>,
    /// What the old key could read, where others may have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed: Option<Vec<Exposed>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    path: String,
    /// `renewed`, or `skipped` because of other kinds of keys.
    result: &'static str,
    new_data_key: bool,
}

/// What is asked for, made clear.
struct Plan {
    old: Option<String>,
    new: Option<String>,
    identity: Option<NewIdentity>,
    data_keys: DataKeys,
    stage: Stage,
    /// The old recipient is that of the one key at hand, and whether files are for it is not known yet.
    is_guessed: bool,
}

impl Plan {
    fn change(&self) -> Option<RecipientChange<'_>> {
        match (self.old.as_deref(), self.new.as_deref()) {
            (Some(old), Some(new)) if self.stage == Stage::Overlap => Some(RecipientChange::Add(old, new)),
            (Some(old), Some(new)) => Some(RecipientChange::Replace(old, new)),
            (Some(old), None) => Some(RecipientChange::Remove(old)),
            (None, _) => None,
        }
    }
}

impl RotateKeyArgs {
    /// Whether it is about files alone.
    fn files_alone(&self) -> bool {
        let recipients = self.add_recipient.is_some() || self.remove_recipient.is_some();
        self.no_cluster || self.only_data_keys || recipients
    }

    /// What the old key could read, where others may have it.
    fn exposed(&self, listing: &Listing, old: Option<&str>) -> Result<Option<Vec<Exposed>>, Failure> {
        let old = old.filter(|_| self.way.compromised && self.add_recipient.is_none());
        old.map(|old| Ok(exposed(&listing.read()?, &[old], None))).transpose()
    }

    fn action(&self) -> Action {
        match (self.go_on, self.retire, self.abort, self.status) {
            (true, ..) => Action::Continue,
            (_, true, ..) => Action::Retire,
            (_, _, true, _) => Action::Abort,
            (_, _, _, true) => Action::Status,
            _ => Action::Begin,
        }
    }
}

pub(crate) fn run(args: &RotateKeyArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    if !args.files_alone() {
        return cluster::run(args, connection, console);
    }
    if args.action() != Action::Begin {
        return Err(Failure::usage(
            "--continue, --retire, --abort and --status are about a rotation with a cluster",
        ));
    }
    let top = top_around(&args.paths).ok_or_else(not_in_a_repository)?;
    let configs = Configs::new(args.files.config.clone(), Some(top.clone()));
    let keys = gathered(&args.keys, connection)?;
    let listing = Listing::of(&args.paths, &top, &configs)?;
    let plan = plan(args, &listing, &configs, &keys)?;
    let elsewhere = Elsewhere::of(&top);
    if let Some(old) = plan.old.as_deref().filter(|_| args.paths.is_empty()) {
        elsewhere.must_not_name(old)?;
    }
    let proof = plan.identity.as_ref().map(NewIdentity::keys);
    let mut work = made(args, &plan, &listing, &keys, proof.as_ref(), &configs)?;
    let rules = match plan.change() {
        Some(change) if args.paths.is_empty() => rule_changes(&listing.configs, change)?,
        _ => Vec::new(),
    };
    // Where a run was killed before it was done, rules may be all that is left.
    if plan.is_guessed && work.lines.is_empty() && rules.is_empty() {
        return Err(no_file_for_a_key());
    }
    // A key that was only made to plan with is not the one that will come.
    let is_known = !args.dry_run || args.new_key.store().is_none();
    let report = Report {
        new_recipient: plan.new.clone().filter(|_| is_known),
        old_recipient: plan.old.clone(),
        rules: rules.iter().map(|(path, _)| shown(path)).collect(),
        files: work.lines,
        exposed: args.exposed(&listing, plan.old.as_deref())?,
    };
    if !args.dry_run {
        // Whatever happens next, the new key is not lost.
        plan.identity.as_ref().map_or(Ok(()), NewIdentity::store)?;
        rules.into_iter().for_each(|(_, staged)| work.batch.add(staged));
        work.batch.add_some(args.leak.checklist(plan.old.as_deref(), report.exposed.as_deref())?);
        put_in_place(args, work.batch)?;
    }
    if !args.output.print(console, &report)? {
        say(args, &report, console);
    }
    for submodule in elsewhere.submodules.iter().filter(|_| args.paths.is_empty()) {
        console.warn(&format!("{}: a repository of its own, left as it is", shown(submodule)));
    }
    Ok(0)
}

/// Makes clear who comes and who goes.
fn plan(args: &RotateKeyArgs, listing: &Listing, configs: &Configs, keys: &KeyRing) -> Result<Plan, Failure> {
    let bare =
        |data_keys, stage| Plan { old: None, new: None, identity: None, data_keys, stage, is_guessed: false };
    if args.only_data_keys {
        return Ok(bare(DataKeys::New, Stage::All));
    }
    if let Some(gone) = &args.remove_recipient {
        if RecipientKind::of(gone).is_none() {
            return Err(
                Failure::usage("the recipient to remove is no age or ssh public key").at(gone.clone())
            );
        }
        return Ok(Plan { old: Some(gone.clone()), ..bare(DataKeys::New, Stage::All) });
    }
    if let Some(new) = &args.add_recipient {
        if RecipientKind::of(new).is_none() {
            return Err(Failure::usage("the recipient to add is no age or ssh public key").at(new.clone()));
        }
        let (old, is_guessed) = old(args, listing, configs, keys, new)?;
        let bare = bare(DataKeys::Kept, Stage::Overlap);
        return Ok(Plan { old: Some(old), new: Some(new.clone()), is_guessed, ..bare });
    }
    let identity = args.new_key.identity()?.ok_or_else(no_new_key)?;
    let new = identity.recipient().to_owned();
    let (old, is_guessed) = old(args, listing, configs, keys, &new)?;
    let bare = bare(DataKeys::New, args.stage);
    Ok(Plan { old: Some(old), new: Some(new), identity: Some(identity), is_guessed, ..bare })
}

fn not_in_a_repository() -> Failure {
    Failure::usage("not in a Git repository")
        .hint("cd CLONE   # of the repository that Flux follows, then again")
}

fn no_new_key() -> Failure {
    Failure::usage("where the new key is, or is to be stored, is not said")
        .hint("--store-key FILE          # makes one")
        .hint("--store-command 'gopass insert -m NAME' --read-back-command 'gopass show NAME'")
        .hint("--new-age-key-file FILE   # takes one that is there")
}

fn no_file_for_a_key() -> Failure {
    Failure::usage("no key at hand reads any of the files")
        .hint("--age-key-file FILE       # the key that goes")
        .hint("--old-recipient age1…     # its public key")
}

/// The recipient that is named, or the one of the files whose identity is at hand; and whether it is only the one
/// key that it can be. Files are read here only where that is not enough.
fn old(
    args: &RotateKeyArgs,
    listing: &Listing,
    configs: &Configs,
    keys: &KeyRing,
    new: &str,
) -> Result<(String, bool), Failure> {
    if let Some(old) = &args.old_key.old_recipient {
        return Ok((old.clone(), false));
    }
    if args.old_key.client.is_some() {
        let scope = listing.read()?;
        args.old_key.must_fit(&scope, configs, new)?;
        let named = args.old_key.named(&scope, configs, new)?;
        return named.map(|old| (old, false)).ok_or_else(no_file_for_a_key);
    }
    let mine = keys.undisturbed();
    let mine = mine.identities().iter().filter_map(Identity::recipient).filter(|mine| mine != new);
    let mut mine = mine.collect::<BTreeSet<_>>();
    let is_guessed = mine.len() == 1;
    if !is_guessed {
        let scope = listing.read()?;
        mine.retain(|mine| scope.readable_by(mine).next().is_some());
    }
    match (mine.pop_first(), mine.len()) {
        (Some(only), 0) => Ok((only, is_guessed)),
        (None, _) => Err(no_file_for_a_key()),
        (Some(first), more) => {
            let failure = Failure::usage(format!("{} keys at hand read files", more + 1));
            let all = std::iter::once(&first).chain(&mine);
            Err(all.fold(failure, |failure, one| failure.hint(format!("--old-recipient {one}"))))
        }
    }
}

struct Work {
    lines: Vec<Line>,
    batch: Batch,
}

/// Makes and stages the new version of every file.
fn made(
    args: &RotateKeyArgs,
    plan: &Plan,
    listing: &Listing,
    keys: &KeyRing,
    proof: Option<&AgeKeys>,
    configs: &Configs,
) -> Result<Work, Failure> {
    let renewal = Renewal {
        change: plan.change(),
        data_keys: plan.data_keys,
        foreign: args.way.foreign(),
        keys,
        proof,
    };
    let mut work = Work { lines: Vec::new(), batch: Batch::default() };
    for (path, renewed) in renew(&listing.files, &listing.failures, &renewal, configs, !args.dry_run)? {
        let (result, new_data_key) = match renewed {
            Renewed::NotTheirs => continue,
            Renewed::Foreign => ("skipped", false),
            Renewed::Anew { staged, new_data_key } => {
                work.batch.add_some(staged);
                ("renewed", new_data_key)
            }
        };
        work.lines.push(Line { path: shown(&path), result, new_data_key });
    }
    Ok(work)
}

fn put_in_place(args: &RotateKeyArgs, batch: Batch) -> Result<(), Failure> {
    let failed = batch.put_in_place();
    if failed.is_empty() {
        return Ok(());
    }
    let problem = |(path, error): &(PathBuf, FileError)| match error {
        // The same once more would make another key.
        FileError::Changed => Failure::usage(error.to_string()).at(shown(path)),
        _ => file_failure(path, error),
    };
    let problems = failed.iter().map(problem).collect::<Vec<_>>();
    let what = format!("{} files could not be replaced; the others are", problems.len());
    let failure = Failure::all(what, problems).of_kind(Kind::Partial);
    Err(match args.new_key.once_stored() {
        Some(flag) => {
            failure.hint(format!("the other files are done: for the rest, run it again with {flag}"))
        }
        None => failure.hint("the other files are done: for the rest, run the same again"),
    })
}

fn say(args: &RotateKeyArgs, report: &Report, console: &mut Console) {
    let would = if args.dry_run { "would be " } else { "" };
    let mut line = |word: &str, text: &str| {
        let _ = console.err.line(&format!("{:>11} {text}", format!("{would}{word}")));
    };
    if let Some(store) = args.new_key.store() {
        let new = report.new_recipient.as_ref().map(|new| format!(" ({new})")).unwrap_or_default();
        line("stored", &format!("{}{new}", store.name()));
    }
    report.rules.iter().for_each(|path| line("updated", path));
    for file in &report.files {
        let what = if file.new_data_key { " (new data key)" } else { "" };
        line(file.result, &format!("{}{what}", file.path));
    }
    for exposed in report.exposed.iter().flatten() {
        line("exposed", &exposed.line());
    }
    if report.files.is_empty() && report.rules.is_empty() {
        let _ = console.err.line("nothing to renew");
        if let Some(gone) = &args.remove_recipient {
            console.warn(&format!("no rule and no file names {}", kubiya_hook::edge::shown(gone.as_bytes())));
        }
    } else if report.files.iter().any(|file| file.new_data_key) {
        console.warn(
            "what is in Git's history stays readable with the old keys: values that leaked need new ones",
        );
    }
}

//! The whole rotation: files, commits, and the Flux of one or more clusters.

use super::RotateKeyArgs;
use super::account::{Account, Standings};
use super::under_way::{
    World, checkouts, forget_what_is_over, fresh, has_begun, identity_of, intent, keep_holders,
    nothing_under_way, old, under_way,
};
use crate::cluster::{ClusterError, Connection, ConnectionArgs, let_go, lost};
use crate::commands::formats::gathered;
use crate::commands::lines::Lines;
use crate::failpoint;
use crate::files::Batch;
use crate::rotation::{
    Commits, Course, Exposed, For, GO_ON, Held, Intent, Journal, NewIdentity, Site, Store, Way, put_in_place,
    short,
};
use crate::secrets::{shown, top_around};
use kubiya_hook::edge::{Color, Console, Failure, Kind, Outcome, in_shell};
use kubiya_hook::git::work::{RemoteBranch, WorkTree};
use kubiya_policies::sops::age::Identity;
use tokio::runtime::{Handle, Runtime};

/// How the command is typed for no cluster in particular.
const BARE: &str = "kubectl kubiya rotate-key";

pub(super) fn run(args: &RotateKeyArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let mut command = connection.context.as_deref().map_or(BARE.to_owned(), command_for);
    let outcome = rotate(args, connection, console, &mut command);
    outcome.map_err(|failure| failure.map_hints(&|hint| for_cluster(hint, &command)))
}

fn command_for(context: &str) -> String {
    format!("{BARE} --context {}", in_shell(context.as_bytes()))
}

/// A hint as it is typed for the same cluster; one for files alone stays as it is.
fn for_cluster(hint: String, command: &str) -> String {
    let files_alone = hint.contains("--no-cluster");
    if files_alone { hint } else { hint.replacen(BARE, command, 1) }
}

fn rotate(
    args: &RotateKeyArgs,
    connection: &ConnectionArgs,
    console: &mut Console,
    command: &mut String,
) -> Outcome {
    if !args.paths.is_empty() {
        return Err(Failure::usage("a cluster's key is that of all its files, so no PATH can be named")
            .hint("--no-cluster PATH   # renews some files, and no cluster"));
    }
    if args.stage == super::Stage::Overlap {
        return Err(Failure::usage(
            "with a cluster the old key stays as long as it is needed, so there is no --stage",
        )
        .hint("--no-cluster --stage overlap   # files alone"));
    }
    let top = top_around(&[]).ok_or_else(super::not_in_a_repository)?;
    // Passphrases are asked for before signals are watched: what has not begun ends as any program does.
    let keys = gathered(&args.keys, connection)?;
    let runtime = runtime()?;
    watch_signals(&runtime, command.clone());
    let tree = WorkTree::at(&top);
    let journal = Journal::read(&tree);
    let mut way = args.way.clone();
    // Another run may be in another folder.
    way.keep_old = way.keep_old.map(|path| std::path::absolute(&path).unwrap_or(path));
    let way = way.or(journal.as_ref().map(|journal| journal.way.clone()).unwrap_or_default());
    let (branch, sites) = (upstream(&tree), sites(&way, connection, runtime.handle()));
    let (upstream, sites) = match (branch, sites) {
        (Ok(upstream), Ok(sites)) => (upstream, sites),
        (Err(one), Err(other)) => {
            return Err(Failure::all("2 problems; nothing was changed", vec![one, other]));
        }
        (Err(problem), _) | (_, Err(problem)) => return Err(problem),
    };
    if let Some(first) = sites.first() {
        *command = command_for(&first.connection.context);
    }
    for site in &sites {
        for secret in &site.secrets {
            for (name, bytes) in secret.data.iter().filter(|(name, _)| name.contains(".agekey")) {
                keys.offer(&format!("{name} in {}", site.place(secret)), bytes.clone());
            }
        }
    }
    let command = command.clone();
    let mut world = World { runtime: runtime.handle(), command, sites, tree, upstream, keys: &keys, journal };
    if args.action() != Action::Continue && args.action() != Action::Retire {
        forget_what_is_over(&mut world, args.dry_run)?;
    }
    let outcome = match args.action() {
        Action::Begin => begin(args, way, world, console),
        Action::Continue => go_on(args, way, world, console, false),
        Action::Retire => go_on(args, way, world, console, true),
        Action::Abort => abort(args, way, world, console),
        Action::Status => status(args, way, world, console),
    };
    runtime.block_on(let_go());
    runtime.shutdown_background();
    outcome
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Begin,
    Continue,
    Retire,
    Abort,
    Status,
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::unverified("cannot start the runtime").because(&error))
}

/// Every change is one request, one rename or one command of Git, so a run may end anywhere.
fn watch_signals(runtime: &Runtime, command: String) {
    runtime.spawn(async move {
        let failure = tokio::select! {
            () = crate::interrupted() => Failure::new(Kind::Interrupted, "interrupted"),
            other = lost() => Failure::new(Kind::Partial, "this run was too slow, and another one took over").because_of(other),
        };
        let_go().await;
        let failure = failure
            .hint(format!("{command} --continue   # goes on from where this one stopped"))
            .hint(format!("{command} --status     # shows where that is"));
        let code = Console::of_process().finish(Err(failure));
        #[expect(clippy::exit, reason = "the thread that works may be waiting for a server")]
        std::process::exit(i32::from(code));
    });
}

fn upstream(tree: &WorkTree) -> Result<RemoteBranch, Failure> {
    let branch = tree.branch().ok_or_else(|| {
        Failure::usage("no branch is checked out")
            .at(shown(tree.top()))
            .hint("git switch BRANCH   # the one that Flux follows")
    })?;
    tree.upstream(&branch).ok_or_else(|| {
        Failure::usage(format!("where {branch} is pushed to is not clear"))
            .at(shown(tree.top()))
            .hint(format!("git branch --set-upstream-to REMOTE/{branch}"))
    })
}

/// Connects to every cluster, all problems at once.
fn sites(way: &Way, connection: &ConnectionArgs, runtime: &Handle) -> Result<Vec<Site>, Failure> {
    let contexts =
        std::iter::once(connection.context.clone()).chain(way.also_context.iter().cloned().map(Some));
    let looks = contexts.map(|context| {
        let arguments = ConnectionArgs { context, ..connection.clone() };
        async move {
            let selection = arguments.selection()?;
            let connection = Connection::open(&selection, arguments.request_timeout).await?;
            let connection = connection.guarded(&arguments.namespace, "rotate-key");
            let context = connection.context.clone();
            let looked = Site::look(connection, &arguments.namespace).await;
            looked.map_err(|error| match &error {
                ClusterError::UnknownKind { .. } => Failure::unverified("there is no Flux")
                    .at(context)
                    .because(&error)
                    .hint("kubectl kubiya bootstrap --help   # or --context, if it is another cluster"),
                _ => Failure::from(error).at(context),
            })
        }
    });
    let (mut sites, mut problems) = (Vec::new(), Vec::new());
    for looked in runtime.block_on(futures::future::join_all(looks)) {
        match looked {
            Ok(site) => sites.push(site),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Ok(sites);
    }
    Err(Failure::all(
        format!("{} clusters cannot be looked at; nothing was changed", problems.len()),
        problems,
    )
    .hint("--no-cluster   # changes files alone"))
}

fn begin(args: &RotateKeyArgs, way: Way, world: World<'_>, console: &mut Console) -> Outcome {
    if let Some(intent) =
        under_way(&world.sites).or(world.journal.as_ref().map(|journal| journal.intent.clone()))
    {
        let what = format!("a rotation is under way: {} to {}", short(&intent.old), short(&intent.new));
        return Err(Failure::unverified(what)
            .because_of(format!("{} began it at {}", intent.by, intent.started))
            .hint("kubectl kubiya rotate-key --status")
            .hint("kubectl kubiya rotate-key --continue   # or --abort"));
    }
    let identity = args.new_key.identity()?.ok_or_else(super::no_new_key)?;
    let old = old(args, &world, identity.recipient())?;
    if old == identity.recipient() {
        return Err(Failure::usage("the new key is the old one").at(old));
    }
    let intent = fresh(old, identity.recipient(), &way, &world);
    let new = identity.identity().clone();
    travel(args, way, intent, new, world, console, &Start::Fresh(identity))
}

/// How a run starts, and where it is to go.
enum Start {
    /// With the first change; the identity is stored before.
    Fresh(NewIdentity),
    /// From wherever it stands.
    Again,
    /// With the end of the old key alone.
    Retire,
}

fn go_on(args: &RotateKeyArgs, way: Way, world: World<'_>, console: &mut Console, retire: bool) -> Outcome {
    let mut intent = intent(args, &world)?;
    intent.compromised |= way.compromised;
    let new = identity_of(args, &world, &intent.new)?;
    let start = if retire { Start::Retire } else { Start::Again };
    travel(args, way, intent, new, world, console, &start)
}

fn abort(args: &RotateKeyArgs, way: Way, world: World<'_>, console: &mut Console) -> Outcome {
    let forward = match (under_way(&world.sites), &world.journal) {
        (Some(intent), _) => intent,
        (None, Some(journal)) if has_begun(&world, &journal.intent, &way)? => journal.intent.clone(),
        (None, Some(journal)) => {
            let stored = journal.stored.as_ref().map(|path| format!("; {} is left as it is", path.display()));
            if !args.dry_run {
                Journal::remove(&world.tree);
            }
            let text = format!("no cluster and no file was changed yet{}", stored.unwrap_or_default());
            Lines::new(&mut console.err).say("given up", Color::Green, &text);
            return Ok(0);
        }
        (None, None) => return Err(nothing_under_way()),
    };
    if forward.given_up {
        let back = identity_of(args, &world, &forward.new)?;
        return travel(args, way, forward, back, world, console, &Start::Again);
    }
    let mut backward = forward.reversed();
    let mut gone = Vec::new();
    for site in &world.sites {
        for secret in &site.secrets {
            let entries = site.entries(secret)?;
            if entries.held(&forward.new) != Held::No && entries.held(&forward.old) == Held::No {
                gone.push(Failure::unverified("the old key is gone from it").at(site.place(secret)));
            }
        }
    }
    if !gone.is_empty() {
        return Err(Failure::all("it is no longer safe to go back: the old key is gone", gone)
            .hint("kubectl kubiya rotate-key --continue   # finishes")
            .hint("kubectl kubiya rotate-key --new-age-key-file OLD.agekey   # a rotation of its own, back to the old key"));
    }
    // Commits that the new key alone reads may come back by a revert, also when this is over.
    let mut commits = Commits::of(world.tree.top(), &forward.old, &forward.new, way.foreign())?;
    backward.keep_new |= forward.old_out.is_some();
    let checkouts = checkouts(&world, &way);
    for checkout in &checkouts {
        let standing = commits.standing(checkout.tip()?)?;
        backward.keep_new |= standing.count(For::New) > 0;
    }
    let back = identity_of(args, &world, &backward.new)?;
    travel(args, way, backward, back, world, console, &Start::Again)
}

fn status(args: &RotateKeyArgs, way: Way, mut world: World<'_>, console: &mut Console) -> Outcome {
    let Ok(intent) = intent(args, &world) else {
        let account = Account::nothing();
        if !args.output.print(console, &account)? {
            Lines::new(&mut console.err).say("status", Color::Green, "no rotation is under way");
        }
        return Ok(0);
    };
    keep_holders(&mut world.sites, &intent)?;
    let account = {
        let mut lines = Lines::new(&mut console.err);
        // No identity is needed to look.
        let mut course = course(args, way, intent, Identity::generate(), world, &mut lines)?;
        let standings = Standings::look(&mut course)?;
        Account::status(&course, standings)
    };
    if !args.output.print(console, &account)? {
        account.say(&mut Lines::new(&mut console.err));
    }
    Ok(0)
}

/// The way of every run that changes something.
fn travel(
    args: &RotateKeyArgs,
    way: Way,
    intent: Intent,
    new: Identity,
    mut world: World<'_>,
    console: &mut Console,
    start: &Start,
) -> Outcome {
    keep_holders(&mut world.sites, &intent)?;
    let way = way.begun(intent.publish.as_deref());
    let account = {
        let mut lines = Lines::new(&mut console.err);
        let mut course = course(args, way, intent, new, world, &mut lines)?;
        let fresh = matches!(start, Start::Fresh(_));
        let found = course
            .preflight(fresh)
            .map_err(|failure| if fresh { with_nothing_begun(failure) } else { failure })?;
        found.notes.iter().for_each(|note| course.talk.warn(note));
        let leaked = leaked(&course, fresh)?;
        if args.dry_run {
            if matches!(start, Start::Retire) {
                course.nothing_needs_it()?;
            }
            let is_made = matches!(start, Start::Fresh(_)) && args.new_key.store().is_some();
            Account::planned(&course, &found, is_made).leaked(leaked)
        } else {
            write_checklist(args, &course, leaked.as_deref())?;
            if let Start::Fresh(identity) = start {
                store(args, identity, &mut course)?;
            }
            let ended = match start {
                Start::Retire => course.retire(),
                Start::Fresh(_) | Start::Again => course.run().map_err(|failure| failure.hint(GO_ON)),
            };
            course.talk.end_progress();
            let ended = ended?;
            let leaked = and_late(&course, leaked)?;
            write_checklist(args, &course, leaked.as_deref())?;
            Account::ended(&mut course, &ended)?.leaked(leaked)
        }
    };
    if !args.output.print(console, &account)? {
        account.say(&mut Lines::new(&mut console.err));
    }
    Ok(0)
}

/// There is nothing to go on with yet, and nothing was done in part.
fn with_nothing_begun(failure: Failure) -> Failure {
    let failure = failure.keep_hints(&|hint| hint != GO_ON);
    if failure.kind() == Kind::Partial { failure.of_kind(Kind::Unverified) } else { failure }
}

/// What the old key could read, where others may have it. Once a rotation has begun, what was the old key's may be the
/// new one's already.
fn leaked(course: &Course<'_>, fresh: bool) -> Result<Option<Vec<Exposed>>, Failure> {
    if !course.intent.compromised || course.intent.given_up {
        return Ok(None);
    }
    let both = [course.intent.old.as_str(), &course.intent.new];
    course.exposed(if fresh { &both[..1] } else { &both }).map(Some)
}

/// With what the old key could read of what others pushed during the run.
fn and_late(course: &Course<'_>, before: Option<Vec<Exposed>>) -> Result<Option<Vec<Exposed>>, Failure> {
    let Some(mut all) = before else { return Ok(None) };
    let after = leaked(course, false)?.unwrap_or_default();
    let late = after.into_iter().filter(|one| !all.iter().any(|known| known.covers(one)));
    let late = late.collect::<Vec<_>>();
    all.extend(late);
    Ok(Some(all))
}

fn write_checklist(
    args: &RotateKeyArgs,
    course: &Course<'_>,
    leaked: Option<&[Exposed]>,
) -> Result<(), Failure> {
    let mut batch = Batch::default();
    batch.add_some(args.leak.checklist(Some(&course.intent.old), leaked)?);
    put_in_place(batch)
}

/// Stores the new identity before anything depends on it, and writes down what is under way.
fn store(args: &RotateKeyArgs, identity: &NewIdentity, course: &mut Course<'_>) -> Result<(), Failure> {
    failpoint::at("before the new key is stored");
    identity.store()?;
    failpoint::at("after the new key is stored");
    let mut stored = None;
    if let Some(store) = args.new_key.store() {
        course.talk.did("stored", &format!("{} in {}", short(&course.intent.new), store.name()));
        if let Store::File(path) = store {
            stored = path.canonicalize().ok();
        }
    }
    let journal = Journal { intent: course.intent.clone(), way: course.way.clone(), stored };
    journal.write(&course.tree).map_err(|failure| match args.new_key.once_stored() {
        Some(flag) => failure.hint(format!(
            "the new key is stored, and nothing else was changed: when this is mended, run it again with {flag}"
        )),
        None => failure.hint("nothing was changed: when this is mended, run the same again"),
    })?;
    failpoint::at("after the journal is written");
    Ok(())
}

fn course<'c>(
    args: &RotateKeyArgs,
    way: Way,
    intent: Intent,
    new: Identity,
    world: World<'c>,
    lines: &'c mut dyn crate::rotation::Talk,
) -> Result<Course<'c>, Failure> {
    let commits = Commits::of(world.tree.top(), &intent.old, &intent.new, way.foreign())?;
    let foreign = way.foreign();
    let checkouts = checkouts(&world, &way);
    Ok(Course {
        runtime: world.runtime,
        command: world.command,
        sites: world.sites,
        tree: world.tree,
        checkouts,
        intent,
        way,
        client: args.old_key.client.clone(),
        foreign,
        timeout: args.timeout,
        keys: world.keys,
        new,
        commits,
        pushed: Vec::new(),
        talk: lines,
    })
}

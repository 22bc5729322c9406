//! `kubectl kubiya` and `flux kubiya`: Flux with SOPS on an infra cluster and its worker clusters.
//!
//! [`main`] is the program; the rooms below it are plain library code. Commands know the domain
//! (`bootstrap`, `flux`, `keys`), the domain knows the boundary (`cluster`), never back.

pub mod alerts;
pub mod bootstrap;
mod cli;
pub mod cluster;
mod commands;
mod duration;
mod editing;
mod failpoint;
pub mod files;
pub mod flux;
pub mod git_access;
mod invocation;
pub mod keys;
pub mod masking;
pub mod merging;
pub mod policies;
pub mod rotation;
pub mod secrets;
pub mod uninstall;
mod whereabouts;
pub mod worker;

use kubiya_hook::edge::{Console, Failure, Kind, Outcome, guarded};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with its arguments, the program's own name first, and gives its exit code.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let program = || {
        let invocation = invocation::Invocation::of(&args);
        let mut console = Console::of_process();
        let outcome = match cli::parse(&invocation, args, &mut console) {
            cli::Parsed::Run(cli) => run(*cli, &invocation, &mut console),
            cli::Parsed::Done(outcome) => outcome,
        };
        console.finish(outcome)
    };
    let code = guarded(program, |place| {
        let fault = format!("a fault of kubectl-kubiya {} at {place}", env!("CARGO_PKG_VERSION"));
        Console::of_process().finish(Err(Failure::unverified(fault)
            .hint("run the same command again: it goes on where this one stopped; and please report this")))
    });
    ExitCode::from(code)
}

/// Runs the command; what its hints say to type is for the same cluster.
fn run(cli: cli::Cli, invocation: &invocation::Invocation, console: &mut Console) -> Outcome {
    let connection = cli.connection.clone();
    dispatch(cli, invocation, console).map_err(|failure| failure.map_hints(&|hint| connection.typed(&hint)))
}

fn dispatch(cli: cli::Cli, invocation: &invocation::Invocation, console: &mut Console) -> Outcome {
    match cli.command {
        cli::Command::Bootstrap(args) => {
            on_runtime(commands::bootstrap::run(*args, cli.connection, invocation, console))
        }
        cli::Command::Worker(args) => {
            on_runtime(commands::worker::run(args, &cli.connection, invocation, console))
        }
        cli::Command::Encrypt(args) => commands::encrypt::run(&args, &cli.connection, console),
        cli::Command::Decrypt(args) => commands::decrypt::run(&args, &cli.connection, console),
        cli::Command::Edit(args) => commands::edit::run(&args, &cli.connection, console),
        cli::Command::Set(args) => commands::set::run(&args, &cli.connection, console),
        cli::Command::Unset(args) => commands::set::run_unset(&args, &cli.connection, console),
        cli::Command::Check(args) => commands::check::run(&args, &cli.connection, console),
        cli::Command::RotateKey(args) => commands::rotate_key::run(&args, &cli.connection, console),
        cli::Command::Explain(args) => commands::explain::run(&args, console),
        cli::Command::GitSetup(args) => commands::git_setup::run(&args, console),
        cli::Command::GitTextconv(args) => commands::git_drivers::textconv::run(&args, console),
        cli::Command::GitMerge(args) => commands::git_drivers::merge::run(&args, console),
        cli::Command::Plugin(args) => commands::plugin::run(&args, invocation, console),
        cli::Command::Completion(args) => commands::completion::print_script(&args, invocation, console),
        cli::Command::Complete(args) => commands::completion::candidates(&args.words, invocation, console),
        cli::Command::Uninstall(args) => on_runtime(commands::uninstall::run(args, &cli.connection, console)),
        cli::Command::Policies(args) => commands::policies::run(&args, &cli.connection.namespace, console),
        cli::Command::Schema(args) => commands::schema::run(&args, console),
        cli::Command::Man(args) => commands::man::run(&args, invocation, console),
    }
}

/// Runs a command that talks to clusters. Ctrl-C, SIGTERM and SIGHUP drop it where it stands: every
/// change is a single request, so the next run goes on from there.
fn on_runtime(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::unverified("cannot start the runtime").because(&error))?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = command => outcome,
            () = interrupted() => {
                let failure = Failure::new(Kind::Interrupted, "interrupted");
                let failure = match whereabouts::last() {
                    Some(place) => failure.because_of(format!("it stopped {place}")),
                    None => failure,
                };
                Err(failure.hint("run the same command again: it goes on where this one stopped"))
            }
            other = cluster::lost() => Err(Failure::new(Kind::Partial, "this run was too slow, and another one took over")
                .because_of(other)
                .hint("run the same command again when that one is done: it goes on where this one stopped")),
        }
    });
    runtime.block_on(cluster::let_go());
    // A lookup or a child that hangs must not keep a finished command from ending.
    runtime.shutdown_background();
    outcome
}

pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut hang_up)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => if result.is_err() { std::future::pending().await },
        _ = term.recv() => {},
        _ = hang_up.recv() => {},
    }
}

//! Git hooks that let no plaintext secret in: `pre-commit`, `pre-receive`, `scan`.
//!
//! [`main`] is the program. Commands know the domain ([`push`], [`judge`]); the domain knows its sources
//! ([`git`], [`work_tree`]) through [`judge::Snapshot`]; what decides is `kubiya_policies::check` alone.

pub mod archive;
pub mod audit;
mod cli;
mod commands;
pub mod config;
pub mod continuous;
pub mod deadline;
pub mod doctor;
pub mod edge;
pub mod git;
pub mod install;
pub mod judge;
pub mod push;
pub mod report;
mod spread;
pub mod trust;
pub mod work_tree;

use cli::{Cli, Command, Parsed};
use edge::{Console, Kind, Outcome, guarded};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with its arguments, the program's own name first, and gives its exit code.
///
/// A panic becomes a refusal that says where it was, not with what: its message may quote a file.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let code = guarded(
        || {
            let mut console = Console::of_process();
            let outcome = match cli::parse(args, &mut console) {
                Parsed::Run(cli) => run(&cli, &mut console),
                Parsed::Done(outcome) => outcome,
            };
            console.finish(outcome)
        },
        |place| {
            let reason = format!("a fault of kubiya-hook {} at {place}", env!("CARGO_PKG_VERSION"));
            commands::pre_receive::refuse(&mut Console::of_process(), Kind::Unverified, &reason)
        },
    );
    ExitCode::from(code)
}

fn run(cli: &Cli, console: &mut Console) -> Outcome {
    match &cli.command {
        Command::PreReceive(args) => commands::pre_receive::run(args, console),
        Command::Update(args) => commands::update::run(args, console),
        Command::RefUpdate(args) | Command::CommitReceived(args) => {
            commands::update::run_for_gerrit(args, console)
        }
        Command::PreCommit(args) => commands::pre_commit::run(args, console),
        Command::PreMergeCommit(_) => commands::pre_commit::run_for_merge(console),
        Command::PreApplypatch(_) => commands::pre_commit::run_for_patch(console),
        Command::CommitMsg(args) => commands::commit_msg::run(args, console),
        Command::PrePush(args) => commands::pre_push::run(args, console),
        Command::Scan(args) => commands::scan::run(args, console),
        Command::Install(args) => commands::install::run(args, console),
        Command::Uninstall(args) => commands::install::run_uninstall(args, console),
        Command::Doctor(args) => commands::doctor::run(args, console),
        Command::Config(args) => commands::config::run(args, console),
        Command::Explain(args) => commands::explain::run(args, console),
        Command::Completion(args) => commands::completion::run(args, console),
        Command::Man(args) => commands::man::run(args, console),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_refusal() {
        let (mut console, _, err) = Console::captured();
        let refuse = |place: &str| {
            assert!(place.starts_with("hooks/src/lib.rs:"), "{place}");
            commands::pre_receive::refuse(&mut console, Kind::Unverified, "a fault")
        };
        assert_eq!(guarded(|| panic!("with the value of a file"), refuse), 3);
        insta::assert_snapshot!(err.take(), @"
        error: refused, because it cannot be verified: a fault
        hint: this is no finding but a fault; ask who runs the hook
        ");
    }
}

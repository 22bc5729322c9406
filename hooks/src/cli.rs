//! The command line: what may be typed, and what each part of it means.

use crate::commands::{
    commit_msg, completion, config, doctor, explain, install, man, pre_commit, pre_push, pre_receive, scan,
    update,
};
use crate::edge::{Console, Failure, Outcome};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;

const AFTER_HELP: &str = "\
Examples:
  # On the server: refuse plaintext secrets in every push, and see it refuse
  kubiya-hook install /srv/git/gitops.git
  kubiya-hook doctor /srv/git/gitops.git

  # In your clone: refuse them before they are committed
  kubiya-hook install

  # Look at the files that are there, and at what CI was started for
  kubiya-hook scan .
  kubiya-hook scan --ci
  kubiya-hook scan --format json clusters/ apps/

  # What a finding means and what to do
  kubiya-hook explain KBY001

Exit codes:
  0    nothing was found that stops a commit or a push
  1    findings
  2    wrong usage or bad input
  3    something could not be verified; hooks refuse then, too
  130  interrupted";

/// Git hooks that let no plaintext secret in
///
/// Called under the name of a hook, by a link in a `hooks` folder, it is that hook.
#[derive(Debug, Parser)]
#[command(name = "kubiya-hook", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    PreReceive(pre_receive::PreReceiveArgs),
    Update(update::UpdateArgs),
    #[command(hide = true)]
    RefUpdate(update::GerritArgs),
    #[command(hide = true)]
    CommitReceived(update::GerritArgs),
    PreCommit(pre_commit::PreCommitArgs),
    PreMergeCommit(pre_commit::PreMergeCommitArgs),
    PreApplypatch(pre_commit::PreApplypatchArgs),
    CommitMsg(commit_msg::CommitMsgArgs),
    PrePush(pre_push::PrePushArgs),
    Scan(scan::ScanArgs),
    Install(install::InstallArgs),
    Uninstall(install::UninstallArgs),
    Doctor(doctor::DoctorArgs),
    Config(config::ConfigArgs),
    Explain(explain::ExplainArgs),
    Completion(completion::CompletionArgs),
    Man(man::ManArgs),
}

/// The hooks that the program is when it is called by their names: Git's own, then those of Gerrit.
const HOOKS: [&str; 9] = [
    "pre-receive",
    "update",
    "pre-commit",
    "pre-merge-commit",
    "pre-applypatch",
    "commit-msg",
    "pre-push",
    "ref-update",
    "commit-received",
];

/// The whole command line, for completion and manual pages.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// What the arguments ask for.
pub(crate) enum Parsed {
    /// A command.
    Run(Cli),
    /// Nothing more: help was shown, or the usage was wrong.
    Done(Outcome),
}

/// Reads the arguments, the program's own name first.
pub(crate) fn parse(mut args: Vec<OsString>, console: &mut Console) -> Parsed {
    let called = args.first().and_then(|name| Path::new(name).file_name());
    if let Some(hook) = called.filter(|name| HOOKS.iter().any(|hook| name == hook)) {
        let hook = hook.to_owned();
        args.insert(1, hook);
    }
    let error = match Cli::try_parse_from(args) {
        Ok(cli) => return Parsed::Run(cli),
        Err(error) => error,
    };
    let rendered = error.render();
    let stream = if error.use_stderr() { &mut console.err } else { &mut console.out };
    let text = if stream.style().has_color() { rendered.ansi().to_string() } else { rendered.to_string() };
    let written = stream.bytes(text.as_bytes());
    Parsed::Done(match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::unverified("cannot write the help").because(&error))
        }
        _ => Ok(if error.use_stderr() { 2 } else { 0 }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_name_of_a_hook_is_its_command() {
        let (mut console, _, _) = Console::captured();
        let parsed = parse(vec!["/srv/r.git/hooks/pre-receive".into()], &mut console);
        assert!(matches!(parsed, Parsed::Run(Cli { command: Command::PreReceive(_) })));
        let parsed = parse(vec!["pre-commit".into(), "a.yaml".into()], &mut console);
        assert!(matches!(parsed, Parsed::Run(Cli { command: Command::PreCommit(_) })));
    }
}

//! The command line: what may be typed, and what each part of it means.

use crate::commands::{completion, config, explain, man, pre_commit, pre_receive, scan};
use crate::edge::{Console, Failure, Outcome};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;

const AFTER_HELP: &str = "\
Examples:
  # On the server: refuse plaintext secrets in every push
  ln -s \"$(command -v kubiya-hook)\" repo.git/hooks/pre-receive

  # On your machine: refuse them before they are committed
  ln -s \"$(command -v kubiya-hook)\" .git/hooks/pre-commit

  # Look at the files that are there
  kubiya-hook scan .
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
    PreCommit(pre_commit::PreCommitArgs),
    Scan(scan::ScanArgs),
    Config(config::ConfigArgs),
    Explain(explain::ExplainArgs),
    Completion(completion::CompletionArgs),
    Man(man::ManArgs),
}

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
    if let Some(hook) = called.filter(|name| *name == "pre-receive" || *name == "pre-commit") {
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

//! The command line: what can be typed, and its help.

use crate::cluster::ConnectionArgs;
use crate::commands;
use crate::invocation::Invocation;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use kubiya_hook::edge::{Console, Outcome};
use std::ffi::OsString;

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or nothing to do
  1    findings or differences
  2    wrong usage or bad input; nothing was changed
  3    a preflight failed or something could not be verified
  4    a deadline passed; a re-run goes on
  5    done in part; a re-run goes on
  130  interrupted";

/// Flux with SOPS on an infra (hub) cluster and its worker clusters
#[derive(Debug, Parser)]
#[command(name = "kubectl-kubiya", version, after_help = EXIT_CODES)]
#[command(disable_help_subcommand = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Bootstrap(Box<commands::bootstrap::BootstrapArgs>),
    Worker(commands::worker::WorkerArgs),
    Encrypt(commands::encrypt::EncryptArgs),
    Decrypt(commands::decrypt::DecryptArgs),
    Edit(commands::edit::EditArgs),
    Set(commands::set::SetArgs),
    Unset(commands::set::UnsetArgs),
    Check(commands::check::CheckArgs),
    RotateKey(Box<commands::rotate_key::RotateKeyArgs>),
    Explain(commands::explain::ExplainArgs),
    GitSetup(commands::git_setup::GitSetupArgs),
    #[command(hide = true)]
    GitTextconv(commands::git_drivers::textconv::TextconvArgs),
    #[command(hide = true)]
    GitMerge(commands::git_drivers::merge::MergeArgs),
    Plugin(commands::plugin::PluginArgs),
    Completion(commands::completion::CompletionArgs),
    Schema(commands::schema::SchemaArgs),
    #[command(name = "__complete", hide = true)]
    Complete(commands::completion::CompleteArgs),
    Man(commands::man::ManArgs),
}

/// What parsing the command line came to.
pub(crate) enum Parsed {
    /// A command to run.
    Run(Box<Cli>),
    /// All is said: help, version, a usage error, or completions for kubectl.
    Done(Outcome),
}

/// The command as the user calls it: `kubectl kubiya` or `flux kubiya`.
pub(crate) fn command(invocation: Invocation) -> clap::Command {
    let examples = commands::bootstrap::examples(invocation);
    Cli::command()
        .bin_name(invocation.command())
        .mut_subcommand("bootstrap", |bootstrap| bootstrap.after_help(examples))
}

/// Parses the command line. Usage errors are clap's own, with exit code 2.
pub(crate) fn parse(invocation: &Invocation, args: Vec<OsString>, console: &mut Console) -> Parsed {
    if *invocation == Invocation::KubectlComplete {
        let words: Vec<OsString> = args.into_iter().skip(1).collect();
        return Parsed::Done(commands::completion::candidates(&words, invocation, console));
    }
    let parsed = command(*invocation).try_get_matches_from(args).and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        cli.connection.namespace_given = matches.value_source("namespace") != Some(ValueSource::DefaultValue);
        Ok(cli)
    });
    match parsed {
        Ok(cli) => Parsed::Run(Box::new(cli)),
        Err(error) => {
            let stream = if error.use_stderr() { &mut console.err } else { &mut console.out };
            let text = error.render();
            let text = if stream.style().has_color() { text.ansi().to_string() } else { text.to_string() };
            // Nothing can be said when the stream is closed.
            let _ = stream.bytes(text.as_bytes());
            Parsed::Done(Ok(u8::try_from(error.exit_code()).unwrap_or(2)))
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command(crate::invocation::Invocation::Kubectl).debug_assert();
    }
}

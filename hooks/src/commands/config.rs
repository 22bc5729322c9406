//! `config`: what the operator of a server decided, and whether it can be read.

use crate::config::{self, Config, ConfigFailure, SETTING};
use crate::edge::{Console, Failure, Outcome, shown};
use clap::{Args, Subcommand};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Look at the configuration of a server
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Check(CheckArgs),
    Schema(SchemaArgs),
}

/// Print the JSON schema of a configuration
///
/// Editors and CI check documents against it; in YAML, the comment
/// `# yaml-language-server: $schema=FILE` at the top names it.
#[derive(Args, Debug)]
struct SchemaArgs {}

/// Say everything that is wrong in a configuration, with line and column
///
/// Without a file, the one is meant that counts here: of `git config kubiya.config`, or of the variable
/// KUBIYA_HOOK_CONFIG.
#[derive(Args, Debug)]
struct CheckArgs {
    /// The configuration
    file: Option<PathBuf>,
}

pub(crate) fn run(args: &ConfigArgs, console: &mut Console) -> Outcome {
    match &args.command {
        ConfigCommand::Check(args) => check(args, console),
        ConfigCommand::Schema(SchemaArgs {}) => {
            // A closed pipe is no failure; the console tells it from a full disk.
            let _ = console.out.bytes(format!("{:#}\n", Config::schema()).as_bytes());
            Ok(0)
        }
    }
}

fn check(args: &CheckArgs, console: &mut Console) -> Outcome {
    let config = match &args.file {
        Some(file) => config::from_file(file),
        None => config::load(),
    }?;
    expired(&config, console);
    let _ = console.err.line("the configuration is good");
    Ok(0)
}

/// Exemptions whose last day is over say nothing any more, which somebody may not know.
fn expired(config: &Config, console: &mut Console) {
    let today = jiff::Zoned::now().date();
    for exemption in config.exemptions.iter().filter(|exemption| exemption.expires < today) {
        let reason = shown(exemption.reason.as_bytes());
        console.hint(&format!("the exemption `{reason}` ended on {}: take it out", exemption.expires));
    }
}

impl From<ConfigFailure> for Failure {
    fn from(failure: ConfigFailure) -> Self {
        match failure {
            ConfigFailure::Git(error) => {
                Failure::unverified("cannot ask git for its setting").because(&error)
            }
            ConfigFailure::Io { path, source } => Failure::usage("cannot read the configuration")
                .at(shown(path.as_os_str().as_bytes()))
                .because(&source)
                .hint(format!("git config {SETTING}: which file is named?")),
            ConfigFailure::Wrong { path, problems, .. } => {
                let file = shown(path.as_os_str().as_bytes());
                let place = |problem: &kubiya_policies::rules::Problem| {
                    format!("{file}:{}:{}", problem.span.line, problem.span.column)
                };
                let each =
                    problems.iter().map(|problem| Failure::usage(problem.what.as_str()).at(place(problem)));
                let each: Vec<_> = each.collect();
                Failure::all(format!("{} problems in {file}", each.len()), each)
            }
        }
    }
}

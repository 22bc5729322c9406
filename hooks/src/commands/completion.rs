//! `completion`: scripts for shells.

use crate::cli;
use crate::edge::{Console, Failure, Outcome};
use clap::Args;
use clap_complete::{Shell, generate};

/// Print a completion script
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// Shell to complete in
    shell: Shell,
}

pub(crate) fn run(args: &CompletionArgs, console: &mut Console) -> Outcome {
    let mut script = Vec::new();
    generate(args.shell, &mut cli::command(), "kubiya-hook", &mut script);
    console
        .out
        .bytes(&script)
        .map_err(|error| Failure::unverified("cannot write the script").because(&error))?;
    Ok(0)
}

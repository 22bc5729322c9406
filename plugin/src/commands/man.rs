//! `man`: the manual pages.

use crate::invocation::Invocation;
use clap::Args;
use kubiya_hook::edge::{Console, Failure, Outcome};
use std::path::PathBuf;

/// Write the manual pages into a folder
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Folder to write them into, such as /usr/local/share/man/man1
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(crate) fn run(args: &ManArgs, _invocation: &Invocation, console: &mut Console) -> Outcome {
    // Pages are named after the executable, whichever way we were called.
    let command = crate::cli::command(Invocation::Kubectl).bin_name("kubectl-kubiya");
    clap_mangen::generate_to(command, &args.folder).map_err(|error| {
        Failure::usage("cannot write the manual pages").at(args.folder.display().to_string()).because(&error)
    })?;
    let _ = console.err.line(&format!("written: {}/kubectl-kubiya*.1", args.folder.display()));
    Ok(0)
}

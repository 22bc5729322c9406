//! `man`: the manual pages.

use crate::cli;
use crate::edge::{Console, Failure, Outcome};
use clap::Args;
use std::path::PathBuf;

/// Write the manual pages into a folder
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Folder to write them into, such as /usr/local/share/man/man1
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(crate) fn run(args: &ManArgs, console: &mut Console) -> Outcome {
    let folder = args.folder.display();
    clap_mangen::generate_to(cli::command(), &args.folder).map_err(|error| {
        Failure::usage("cannot write the manual pages").at(folder.to_string()).because(&error)
    })?;
    let _ = console.err.line(&format!("written: {folder}/kubiya-hook*.1"));
    Ok(0)
}

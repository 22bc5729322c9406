//! `git-textconv`: a file as `git diff` compares it.

use crate::files::MAX_BYTES;
use crate::masking::{MaskingKey, masked};
use clap::Args;
use kubiya_hook::edge::{Console, Failure, Outcome};
use kubiya_hook::git::clone;
use std::io;
use std::path::PathBuf;

/// Print a file as git diff compares it
///
/// An encrypted file without its values; any other one as it is.
#[derive(Args, Debug)]
pub(crate) struct TextconvArgs {
    /// The file; its name tells how it is stored
    file: PathBuf,
}

pub(crate) fn run(args: &TextconvArgs, console: &mut Console) -> Outcome {
    let bytes = std::fs::read(&args.file).map_err(|error| {
        Failure::usage("cannot read it").at(args.file.display().to_string()).because(&error)
    })?;
    let shown =
        if bytes.len() as u64 > MAX_BYTES { None } else { masked(&args.file, &bytes, key().as_ref()) };
    match console.out.bytes(shown.as_deref().unwrap_or(&bytes)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::unverified("cannot write to stdout").because(&error))
        }
        _ => Ok(0),
    }
}

fn key() -> Option<MaskingKey> {
    MaskingKey::of(&clone::common_folder().ok()?).ok()
}

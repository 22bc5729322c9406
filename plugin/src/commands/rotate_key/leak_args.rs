//! The flags for a key that others may have.

use crate::files::{FileError, Staged, Version};
use crate::rotation::{Exposed, checklist, with_ticks};
use crate::secrets::file_failure;
use clap::Args;
use kubiya_hook::edge::Failure;
use std::path::PathBuf;

/// What follows from a leak.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct LeakArgs {
    /// With --compromised: write what the old key reads into a Markdown file to be ticked off; what is ticked in it
    /// stays ticked
    #[arg(long, value_name = "FILE", requires = "compromised")]
    checklist: Option<PathBuf>,
}

impl LeakArgs {
    /// The checklist, new or with what it has not yet.
    ///
    /// # Errors
    /// It cannot be read or written, or is no text.
    pub(super) fn checklist(
        &self,
        old: Option<&str>,
        exposed: Option<&[Exposed]>,
    ) -> Result<Option<Staged>, Failure> {
        let (Some(path), Some(old), Some(exposed)) = (&self.checklist, old, exposed) else { return Ok(None) };
        let new = checklist(old, exposed);
        let failed = |error: FileError| file_failure(path, &error);
        if path.symlink_metadata().is_err() {
            return Staged::new_file(path, new.as_bytes()).map(Some).map_err(failed);
        }
        let version = Version::read(path, None).map_err(failed)?;
        let there = std::str::from_utf8(version.bytes());
        let there = there.map_err(|_| Failure::usage("it is no text").at(path.display().to_string()))?;
        let text = with_ticks(there, &new);
        Staged::replacing(&version, text.as_bytes()).map(Some).map_err(failed)
    }
}

//! `schema`: the form of the documents that commands read.

use crate::bootstrap::BootstrapDocument;
use clap::Args;
use kubiya_hook::edge::{Console, Outcome};

/// Print the JSON schema of the document for bootstrap -f
///
/// Editors and CI check documents against it; in YAML, the comment
/// `# yaml-language-server: $schema=FILE` at the top names it.
#[derive(Args, Debug)]
pub(crate) struct SchemaArgs {}

pub(crate) fn run(_args: &SchemaArgs, console: &mut Console) -> Outcome {
    // A closed pipe is no failure; the console tells it from a full disk.
    let _ = console.out.bytes(format!("{:#}\n", BootstrapDocument::schema()).as_bytes());
    Ok(0)
}

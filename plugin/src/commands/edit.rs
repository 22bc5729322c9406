//! `edit`: an encrypted file in an editor.

use super::formats::{FileArgs, gathered};
use crate::cluster::ConnectionArgs;
use crate::editing::{ClearCopy, Document, Editor, NewPlain, Sealed, Watch, wipe_leftovers};
use crate::files::Version;
use crate::keys::{Ask as _, KeyArgs, Terminal};
use crate::secrets::{Configs, Keys, file_failure, repository_top, shown};
use clap::Args;
use kubiya_hook::edge::{Console, Failure, Outcome};
use kubiya_policies::sops::file::MacCheck;
use kubiya_policies::sops::store::Format;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Edit an encrypted file in an editor
///
/// The editor is that of SOPS_EDITOR, VISUAL or EDITOR, else vi or nano. It gets a clear copy in memory
/// (Linux), for you alone, which is wiped however the command ends. On saving, only the lines of what you
/// changed change in the file: all else keeps its ciphertext. If the creation rule asks for other recipients
/// by now, they are brought in line.
///
/// A file that is not there yet is created, if a creation rule is for it. If what you wrote cannot be read or
/// encrypted, you are told where, and the editor opens again on your text.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EditArgs {
    /// The file
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Write the clear copy to a disk where there is no folder in memory
    ///
    /// It is overwritten and removed afterwards; a disk may keep older blocks all the same.
    #[arg(long)]
    allow_disk: bool,
    /// Let values that were encrypted stand plain, where you moved them out of what the selector covers
    #[arg(long)]
    allow_plain: bool,
    /// Open the file although its message authentication code does not fit
    ///
    /// Gives up the proof that nobody changed plain parts, or moved, added or removed values.
    #[arg(long)]
    ignore_mac: bool,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl kubiya edit apps/db-secret.yaml
  EDITOR='code --wait' kubectl kubiya edit apps/db-secret.yaml";

/// What an empty YAML file begins with; it is taken out again.
const EXAMPLE: &str = "\
# Write a document below, such as this one, save, and leave the editor: it is encrypted by its creation rule.
# These lines are taken out. Leave without a change to create nothing.
#
#   apiVersion: v1
#   kind: Secret
#   metadata:
#     name: example
#     namespace: default
#   stringData:
#     password: …
";

pub(crate) fn run(args: &EditArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let leftovers = wipe_leftovers();
    if leftovers > 0 {
        console.warn(&format!("clear copies of killed runs were there and are removed: {leftovers}"));
    }
    let editor = Editor::find()?;
    let folder = args.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let configs = Configs::new(args.files.config.clone(), repository_top(folder.unwrap_or(Path::new("."))));
    let keys = gathered(&args.keys, connection)?;
    let format = args.files.format();
    let document = if args.path.symlink_metadata().is_ok() {
        let check = if args.ignore_mac { MacCheck::Ignored } else { MacCheck::Required };
        Document::open(&args.path, format, &configs, &keys, check)?
    } else {
        Document::new(&args.path, format, &configs)?
    };
    if document.closed_comments() > 0 {
        let path = shown(document.path());
        console.warn(&format!("{path}: encrypted comments that open nowhere stay as they are"));
    }
    let watch = Watch::start()?;
    let Some(sealed) = edited(&document, &editor, &watch, args, &keys, console)? else {
        let word = if document.is_there() { "unchanged" } else { "not created" };
        let _ = console.err.line(&format!("{word:>11} {}", shown(document.path())));
        return Ok(0);
    };
    let (path, was_there) = (shown(document.path()), document.is_there());
    let writing = watch.writing();
    document.write_or_keep(&sealed.bytes)?;
    drop(writing);
    sealed.notes.iter().for_each(|note| console.warn(note));
    let _ = console.err.line(&line(&path, was_there, &sealed));
    Ok(0)
}

fn line(path: &str, was_there: bool, sealed: &Sealed) -> String {
    let word = if was_there { "updated" } else { "created" };
    match sealed.newly.as_slice() {
        [] => format!("{word:>11} {path}"),
        newly => format!("{word:>11} {path} (encrypted: {})", newly.join(", ")),
    }
}

/// Has the text edited until it can be encrypted. `None` where it was not changed.
fn edited(
    document: &Document,
    editor: &Editor,
    watch: &Watch,
    args: &EditArgs,
    keys: &dyn Keys,
    console: &mut Console,
) -> Result<Option<Sealed>, Failure> {
    let example = if document.is_there() || document.format() != Format::Yaml { "" } else { EXAMPLE };
    let initial = Zeroizing::new([example.as_bytes(), document.clear()].concat());
    let name = document.path().file_name().unwrap_or(OsStr::new("document"));
    let file = watch.keep(|| ClearCopy::create(name, &initial, args.allow_disk))?;
    let new_plain = if args.allow_plain { NewPlain::Allowed } else { NewPlain::UnlessSecret };
    loop {
        editor.run(&file, watch)?;
        let version = Version::read(&file, None).map_err(|error| file_failure(&file, &error))?;
        let text = version.bytes();
        if text == initial.as_slice() {
            return Ok(None);
        }
        match document.sealed(text.strip_prefix(example.as_bytes()).unwrap_or(text), keys, new_plain) {
            Ok(sealed) => return Ok(Some(sealed)),
            Err(failure) => again(failure, console)?,
        }
    }
}

/// Shows what is wrong, and waits until the person wants to go on. Without a terminal nobody would.
fn again(failure: Failure, console: &mut Console) -> Result<(), Failure> {
    if !console.err.is_terminal() {
        return Err(failure);
    }
    let _ = failure.render(&mut console.err);
    let question = "Press Enter to go on editing, or Ctrl-C to give up what you wrote.";
    Terminal.line(question).map(|_| ()).ok_or(failure)
}

//! `set` and `unset`: one value of an encrypted file, without a clear text on any disk.

mod value;

use self::value::ValueArgs;
use super::formats::{FileArgs, gathered};
use crate::cluster::ConnectionArgs;
use crate::editing::{Document, NewPlain};
use crate::keys::KeyArgs;
use crate::secrets::{Configs, failure_of, repository_top, shown};
use clap::Args;
use kubiya_hook::edge::{self, Console, Failure, Outcome};
use kubiya_policies::sops::edit::{EditError, Place, set, unset};
use kubiya_policies::sops::file::MacCheck;
use kubiya_policies::yaml::KeyPath;
use std::path::{Path, PathBuf};

/// Set one value of an encrypted file
///
/// The value is read from standard input, a file or a command, never from the command line, where every
/// process could see it. In a terminal you are asked for it, and it is not shown.
///
/// A value that is there is replaced; a new key goes to the end of its map. Only the line of the value, the
/// message authentication code and the time change in the file. The same value again changes nothing.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    target: Target,
    /// Create the maps on the way to the value that are not there
    #[arg(long)]
    create: bool,
    /// Write the value in plain where the file's selector does not cover its place
    #[arg(long)]
    allow_plain: bool,
    #[command(flatten)]
    value: ValueArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

const EXAMPLES: &str = "\
Examples:
  openssl rand -hex 32 | kubectl kubiya set db.yaml stringData.password
  kubectl kubiya set tls.yaml 'data[\"tls.crt\"]' --base64 --value-file tls.crt
  kubectl kubiya set db.yaml stringData.port --type int --value-command 'pass show port'";

/// Remove one value of an encrypted file
///
/// Its key and its lines go. A map or list that was nothing else becomes an empty one. What is not there is
/// not removed, which is no error.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kubectl kubiya unset db.yaml stringData.password")]
pub(crate) struct UnsetArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Args, Debug)]
struct Target {
    /// The encrypted file
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The way to the value: stringData.password, data["tls.crt"], items[2].data.x, or ["data"]["tls.crt"]
    #[arg(value_name = "KEY.PATH")]
    key: KeyPath,
    /// Which document of a file with several, from 1 [default: the one that has such a place]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    document: Option<u32>,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Open the file although its message authentication code does not fit
    ///
    /// Gives up the proof that nobody changed plain parts, or moved, added or removed values.
    #[arg(long)]
    ignore_mac: bool,
    #[command(flatten)]
    files: FileArgs,
}

pub(crate) fn run(args: &SetArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    if args.value.wants_stdin() && args.keys.age_key_file.iter().any(|file| file == "-") {
        return Err(Failure::usage("standard input cannot be both the key and the value")
            .hint("--value-file FILE or --age-key-file FILE"));
    }
    // Before anything of ours takes the signals: Ctrl-C ends the wait for a value.
    let value = args.value.read(&args.target.key)?;
    let keys = gathered(&args.keys, connection)?;
    let document = args.target.open(&keys)?;
    let place = args.target.place(&document);
    let changed = set(document.clear(), place, &value, args.create);
    let changed = changed.map_err(|error| args.target.failure(document.path(), error))?;
    let new_plain = if args.allow_plain { NewPlain::Allowed } else { NewPlain::Refused };
    args.target.finish(document, &changed, &keys, new_plain, console)
}

pub(crate) fn run_unset(args: &UnsetArgs, connection: &ConnectionArgs, console: &mut Console) -> Outcome {
    let keys = gathered(&args.keys, connection)?;
    let document = args.target.open(&keys)?;
    match unset(document.clear(), args.target.place(&document)) {
        Ok(changed) => args.target.finish(document, &changed, &keys, NewPlain::UnlessSecret, console),
        Err(EditError::Missing(_)) => {
            let _ = console.err.line(&args.target.line("unchanged", &document, " is not there"));
            Ok(0)
        }
        Err(error) => Err(args.target.failure(document.path(), error)),
    }
}

impl Target {
    fn open(&self, keys: &crate::keys::KeyRing) -> Result<Document, Failure> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let top = repository_top(folder.unwrap_or(Path::new(".")));
        let configs = Configs::new(self.files.config.clone(), top);
        let check = if self.ignore_mac { MacCheck::Ignored } else { MacCheck::Required };
        Document::open(&self.path, self.files.format(), &configs, keys, check)
    }

    fn place(&self, document: &Document) -> Place<'_> {
        Place {
            format: document.format(),
            settings: document.settings(),
            path: &self.key,
            document: self.document.map(|number| number as usize - 1),
        }
    }

    fn finish(
        &self,
        document: Document,
        changed: &[u8],
        keys: &crate::keys::KeyRing,
        new_plain: NewPlain,
        console: &mut Console,
    ) -> Outcome {
        if changed == document.clear() {
            let _ = console.err.line(&self.line("unchanged", &document, ""));
            return Ok(0);
        }
        let sealed = document.sealed(changed, keys, new_plain)?;
        sealed.notes.iter().for_each(|note| console.warn(note));
        let line = self.line(if self.dry_run { "would be updated" } else { "updated" }, &document, "");
        if !self.dry_run {
            document.write(&sealed.bytes)?;
        }
        let _ = console.err.line(&line);
        Ok(0)
    }

    fn line(&self, word: &str, document: &Document, rest: &str) -> String {
        let key = edge::shown(self.key.to_string().as_bytes());
        format!("{word:>11} {} ({key}{rest})", shown(document.path()))
    }

    fn failure(&self, path: &Path, error: EditError) -> Failure {
        let failure = match error {
            // Places are those of the plain text, which nobody sees.
            EditError::Problems(problems) => {
                let without = problems.into_iter().map(|mut problem| {
                    problem.span = None;
                    problem
                });
                return failure_of(path, &without.collect::<Vec<_>>());
            }
            EditError::Ambiguous(documents) => {
                let key = edge::shown(self.key.to_string().as_bytes());
                let failure = Failure::usage(format!("`{key}` could be in several documents of the file"));
                let failure = documents
                    .into_iter()
                    .fold(failure, |failure, name| failure.because_of(edge::shown(name.as_bytes())));
                failure.hint("--document 1   # to name one")
            }
            error @ EditError::NoParent(_) => {
                Failure::usage(error.to_string()).hint("--create   # to make it")
            }
            error => Failure::usage(error.to_string()),
        };
        failure.at(shown(path))
    }
}

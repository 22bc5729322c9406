//! The editor of the person.

use super::Watch;
use kubiya_hook::edge::Failure;
use std::path::Path;
use std::process::Command;

/// Variables that name an editor, the first one that is set wins.
const VARIABLES: [&str; 3] = ["SOPS_EDITOR", "VISUAL", "EDITOR"];

/// What is looked for on PATH where no variable names one.
const COMMON: [&str; 2] = ["vi", "nano"];

/// A command that edits a file.
#[derive(Clone, Debug)]
pub(crate) struct Editor {
    words: Vec<String>,
    /// Where it comes from.
    source: String,
}

impl Editor {
    /// The editor of the variables, else a common one.
    ///
    /// # Errors
    /// There is none, or its words cannot be told apart.
    pub(crate) fn find() -> Result<Self, Failure> {
        for variable in VARIABLES {
            let Some(value) = std::env::var(variable).ok().filter(|value| !value.trim().is_empty()) else {
                continue;
            };
            let words = shlex::split(&value).filter(|words| !words.is_empty());
            return words.map(|words| Self { words, source: format!("${variable}") }).ok_or_else(|| {
                Failure::usage("it is not a command: a quote is not closed").at(format!("${variable}"))
            });
        }
        let found = COMMON.into_iter().find(|name| on_path(name));
        found.map(|name| Self { words: vec![name.to_owned()], source: name.to_owned() }).ok_or_else(|| {
            Failure::usage(
                "no editor: SOPS_EDITOR, VISUAL and EDITOR are not set, and neither vi nor nano is on PATH",
            )
            .hint("EDITOR='code --wait' kubectl kubiya edit …")
        })
    }

    /// Runs it on a file, with the terminal, and waits for its end.
    ///
    /// # Errors
    /// It cannot be started, or ends with an error.
    pub(crate) fn run(&self, file: &Path, watch: &Watch) -> Result<(), Failure> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(Failure::usage("no editor"));
        };
        let started = Command::new(program).args(arguments).arg(file).spawn();
        let mut child = started.map_err(|error| {
            Failure::usage("the editor cannot be started").at(self.source.clone()).because(&error)
        })?;
        watch.editor_runs(child.id());
        let status = child.wait();
        watch.editor_ended();
        let status = status.map_err(|error| Failure::unverified("lost the editor").because(&error))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::usage(format!("the editor ended with {status}; the file stays as it was"))
            .at(self.source.clone()))
    }
}

fn on_path(name: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| {
        let metadata = folder.join(name).metadata();
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

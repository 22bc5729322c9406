//! The places where identities are looked for when none is named: those of sops (`age/keysource.go`), and
//! `age.agekey` at the top of the repository.

use super::command::KeyCommand;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Looks a variable up.
type Variable = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// The environment of a run: variables and the current folder.
#[derive(Clone)]
pub struct Surroundings {
    variable: Arc<Variable>,
    folder: PathBuf,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// One place, and what kind of key is there.
#[derive(Debug)]
pub(super) enum Place {
    /// A file that may be missing.
    File { name: String, path: PathBuf },
    /// A file that somebody named by a variable: missing, it is worth a word.
    NamedFile { name: String, path: PathBuf },
    /// A variable's value.
    Value { name: String, value: OsString },
    /// A command.
    Command { name: String, command: KeyCommand },
    /// A variable that is not set.
    Unset { name: String },
}

impl Place {
    /// What to call it in messages.
    pub(super) fn name(&self) -> &str {
        match self {
            Place::File { name, .. }
            | Place::NamedFile { name, .. }
            | Place::Value { name, .. }
            | Place::Command { name, .. }
            | Place::Unset { name } => name,
        }
    }
}

impl Surroundings {
    /// Those of the process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var_os(name), std::env::current_dir().unwrap_or_default())
    }

    /// With these variables, in this folder.
    pub fn new(
        variable: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
        folder: impl Into<PathBuf>,
    ) -> Self {
        Self { variable: Arc::new(variable), folder: folder.into() }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// All places, in sops's order; ours is last.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places = vec![
            self.file_by_variable("SOPS_AGE_SSH_PRIVATE_KEY_FILE"),
            self.command("SOPS_AGE_SSH_PRIVATE_KEY_CMD"),
        ];
        let home = self.path("HOME");
        for name in ["id_ed25519", "id_rsa"] {
            places.extend(home.as_ref().map(|home| file(home.join(".ssh").join(name))));
        }
        places.push(self.value("SOPS_AGE_KEY"));
        places.push(self.file_by_variable("SOPS_AGE_KEY_FILE"));
        places.push(self.command("SOPS_AGE_KEY_CMD"));
        places.extend(self.default_file().map(file));
        places.extend(self.top_of_repository().map(|top| file(top.join("age.agekey"))));
        places
    }

    /// sops's own file.
    pub(super) fn default_file(&self) -> Option<PathBuf> {
        let own = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
        let folder = self.path("XDG_CONFIG_HOME").or_else(|| Some(self.path("HOME")?.join(own)))?;
        Some(folder.join("sops/age/keys.txt"))
    }

    /// The folder with `.git` in it, from here upwards.
    fn top_of_repository(&self) -> Option<&Path> {
        self.folder.ancestors().find(|folder| folder.join(".git").exists())
    }

    fn file_by_variable(&self, name: &str) -> Place {
        match (self.variable)(name) {
            Some(path) => {
                let path = self.folder.join(path);
                Place::NamedFile { name: format!("{name} ({})", path.display()), path }
            }
            None => Place::Unset { name: name.to_owned() },
        }
    }

    fn value(&self, name: &str) -> Place {
        let name = name.to_owned();
        match (self.variable)(&name) {
            Some(value) => Place::Value { name, value },
            None => Place::Unset { name },
        }
    }

    fn command(&self, name: &str) -> Place {
        let name = name.to_owned();
        match (self.variable)(&name) {
            // What is no text is no command either, and says so when it is run.
            Some(text) => {
                let command = KeyCommand::new(text.into_string().unwrap_or_default());
                Place::Command { name, command }
            }
            None => Place::Unset { name },
        }
    }
}

fn file(path: PathBuf) -> Place {
    Place::File { name: path.display().to_string(), path }
}

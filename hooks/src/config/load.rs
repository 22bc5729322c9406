//! Where the configuration is.

use super::Config;
use crate::git::{ProcessError, clone};
use kubiya_policies::rules::Problems;
use std::path::{Path, PathBuf};

/// The setting of Git that names the file: of the repository, or of the server as a whole.
pub const SETTING: &str = "kubiya.config";

/// The environment variable that names it where Git's configuration does not.
pub const FILE_VARIABLE: &str = "KUBIYA_HOOK_CONFIG";

/// Why there is no configuration, although one was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFailure {
    /// Git cannot be asked.
    #[error("cannot ask git for its setting `kubiya.config`: {0}")]
    Git(#[from] ProcessError),
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says what nobody understands.
    #[error("the configuration {} is wrong: {problems}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problems: Problems,
        /// Whom it says can be asked, as far as it can be read.
        contact: Option<String>,
    },
}

impl ConfigFailure {
    /// Whom the configuration says can be asked, as far as it can be read.
    pub fn contact(&self) -> Option<&str> {
        match self {
            Self::Wrong { contact, .. } => contact.as_deref(),
            Self::Git(_) | Self::Io { .. } => None,
        }
    }
}

/// The configuration for the repository that Git's variables name; what is built in where there is none.
///
/// Git's own configuration goes before the environment, which who pushes over a local path can set. Git
/// itself is asked, as it alone knows where its server-wide files are.
///
/// # Errors
/// Where one is named and cannot be used.
pub fn load() -> Result<Config, ConfigFailure> {
    let named = clone::path_setting(SETTING)?;
    let variable = || std::env::var_os(FILE_VARIABLE).filter(|value| !value.is_empty());
    match named.or_else(|| variable().map(PathBuf::from)) {
        Some(path) => from_file(&path),
        None => Ok(Config::default()),
    }
}

/// Reads a configuration.
///
/// # Errors
/// Where it cannot be read or used.
pub fn from_file(path: &Path) -> Result<Config, ConfigFailure> {
    let bytes = std::fs::read(path).map_err(|source| ConfigFailure::Io { path: path.to_owned(), source })?;
    Config::parse(&bytes).map_err(|problems| ConfigFailure::Wrong {
        path: path.to_owned(),
        problems,
        contact: contact(&bytes),
    })
}

/// The `contact` of a document that is wrong elsewhere: one line at its top level.
fn contact(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("contact:"))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

//! On whose word a push is judged.

use crate::config::Config;
use crate::git::{self, GitError, Known, ObjectId, RefUpdate, Repository};
use crate::trust::{Baseline, BaselineError, KeyFileError, Pusher, key_of};

/// On whose word a push is judged.
#[derive(Debug, Default)]
pub struct Terms {
    /// What the operator decided.
    pub config: Config,
    /// Who pushes.
    pub pusher: Pusher,
    /// What the repository is called.
    pub repository: String,
    /// What the receiver has already.
    pub known: Known,
    /// Whose rules and values were there before.
    pub trusted: Trusted,
}

/// Whose rules and values were there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trusted {
    /// The ref that the configuration names; HEAD where it names none.
    #[default]
    Configured,
    /// A commit that the caller knows, if there is one.
    Commit(Option<ObjectId>),
}

/// Why a push cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Something of the repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The list of what was there before cannot be used.
    #[error("the baseline {place}: {source}")]
    Baseline {
        /// Where it is.
        place: String,
        /// Why.
        source: BaselineError,
    },
    /// It cannot be read.
    #[error("the baseline {place}: {source}")]
    BaselineFile {
        /// Where it is.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// The ref whose rules count is not there.
    #[error("`trustedRef` of the configuration names {0}, and there is no such ref")]
    NoTrusted(String),
    /// Its key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// More commits than the server takes at once.
    #[error("the push has {commits} new commits, and the server takes {limit} at once")]
    TooMany {
        /// How many there are.
        commits: usize,
        /// How many it takes.
        limit: u64,
    },
}

impl Terms {
    /// The commit that is trusted. Where HEAD names a branch that nobody uses, as that of a new bare repository
    /// may, all branches have their word, the usual names first. Empty only where there is nothing to trust.
    ///
    /// # Errors
    /// Where the configuration names a ref that is not there: without it nothing would protect anything.
    pub(super) fn trusted(
        &self,
        repository: &Repository,
        updates: &[RefUpdate],
    ) -> Result<Vec<ObjectId>, PushError> {
        let named = match (self.trusted, self.config.trusted_ref.as_deref()) {
            (Trusted::Commit(commit), _) => return Ok(commit.into_iter().collect()),
            (Trusted::Configured, None | Some("HEAD")) => repository.head()?,
            (Trusted::Configured, Some(name)) => {
                let named = repository.reference(name)?;
                let is_made = updates.iter().any(|update| update.name == name.as_bytes());
                if named.is_none() && !is_made && !repository.ref_tips()?.is_empty() {
                    return Err(PushError::NoTrusted(name.to_owned()));
                }
                named
            }
        };
        if let Some(commit) = named {
            return Ok(vec![commit]);
        }
        let mut all = Vec::new();
        for name in ["refs/heads/main", "refs/heads/master"] {
            all.extend(repository.reference(name)?);
        }
        all.extend(repository.branches()?);
        Ok(all)
    }

    /// Whether an update is one of the trusted reference, as far as that can be told.
    pub(super) fn is_trusted(&self, repository: &Repository, update: &RefUpdate) -> bool {
        match (self.trusted, self.config.trusted_ref.as_deref()) {
            (Trusted::Commit(_), _) => true,
            (Trusted::Configured, None | Some("HEAD")) => {
                let head = std::fs::read(repository.git_dir().join("HEAD")).unwrap_or_default();
                let branch = head.strip_prefix(b"ref: ").unwrap_or_default().trim_ascii();
                let is_there = |name| repository.reference(name).is_ok_and(|id| id.is_some());
                branch == update.name || !std::str::from_utf8(branch).is_ok_and(is_there)
            }
            (Trusted::Configured, Some(name)) => name.as_bytes() == update.name,
        }
    }

    /// The list of what was there before: a file of the server, or one of the trusted reference.
    pub(super) fn baseline(
        &self,
        repository: &Repository,
        trusted: Option<ObjectId>,
    ) -> Result<Option<Baseline>, PushError> {
        let Some(named) = &self.config.baseline else { return Ok(None) };
        let (place, text) = match (&named.file, &named.trusted) {
            (Some(file), _) => {
                let place = file.display().to_string();
                let text = std::fs::read_to_string(file)
                    .map_err(|source| PushError::BaselineFile { place: place.clone(), source })?;
                (place, text)
            }
            (None, Some(path)) => {
                let id = trusted.map(|tree| git::file_in(repository, tree, path.as_bytes())).transpose()?;
                // Not there yet, it lists nothing.
                let Some(id) = id.flatten() else { return Ok(None) };
                (path.clone(), String::from_utf8_lossy(&repository.blob(id)?).into_owned())
            }
            (None, None) => return Ok(None),
        };
        let key = key_of(named.key.as_deref())?;
        Baseline::parse(key, &text).map(Some).map_err(|source| PushError::Baseline { place, source })
    }
}

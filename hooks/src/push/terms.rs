//! On whose word a push is judged.

use crate::config::Config;
use crate::git::{self, GitError, Known, ObjectId, Repository};
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
    /// The commit that is trusted.
    pub(super) fn trusted(&self, repository: &Repository) -> Result<Option<ObjectId>, GitError> {
        match (self.trusted, self.config.trusted_ref.as_deref()) {
            (Trusted::Commit(commit), _) => Ok(commit),
            (Trusted::Configured, None | Some("HEAD")) => match repository.head()? {
                // HEAD of a bare repository may name a branch that nobody uses.
                None => match repository.reference("refs/heads/main")? {
                    None => repository.reference("refs/heads/master"),
                    main => Ok(main),
                },
                head => Ok(head),
            },
            (Trusted::Configured, Some(name)) => repository.reference(name),
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

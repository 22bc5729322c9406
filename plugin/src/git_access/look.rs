//! Looking at the repository as Flux will.

use super::ReadBack;
use kubiya_hook::git::remote::{Access, BranchTip, Fetched, RemoteError, branch_tip, fetch_branch};
use std::sync::Arc;
use std::time::Duration;

/// How long the repository may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A branch of a repository, and with what it is looked at.
#[derive(Clone, Debug)]
pub struct Look {
    url: String,
    branch: String,
    with: With,
}

#[derive(Clone, Debug)]
enum With {
    Given(Access),
    OfCluster(Arc<ReadBack>),
}

impl Look {
    /// With credentials that were given.
    #[must_use]
    pub fn given(url: &str, branch: &str, access: Access) -> Self {
        Self { url: url.to_owned(), branch: branch.to_owned(), with: With::Given(access) }
    }

    /// With credentials that Flux has already.
    #[must_use]
    pub fn of_cluster(url: &str, branch: &str, found: ReadBack) -> Self {
        Self { url: url.to_owned(), branch: branch.to_owned(), with: With::OfCluster(Arc::new(found)) }
    }

    /// The tip of the branch now.
    ///
    /// # Errors
    /// Those of the repository.
    pub async fn tip(&self) -> Result<BranchTip, LookError> {
        let look = self.clone();
        let task = move || branch_tip(&look.url, &look.branch, look.access(), PATIENCE);
        match tokio::task::spawn_blocking(task).await {
            Ok(answer) => answer.map_err(LookError::Remote),
            Err(error) => Err(LookError::Broken(error.to_string())),
        }
    }

    /// The branch with its files; `None` where there is no such branch.
    ///
    /// # Errors
    /// Those of the repository.
    pub async fn fetch(&self) -> Result<Option<Fetched>, LookError> {
        let look = self.clone();
        let task = move || fetch_branch(&look.url, &look.branch, look.access(), PATIENCE);
        match tokio::task::spawn_blocking(task).await {
            Ok(answer) => answer.map_err(LookError::Remote),
            Err(error) => Err(LookError::Broken(error.to_string())),
        }
    }

    fn access(&self) -> &Access {
        match &self.with {
            With::Given(access) => access,
            With::OfCluster(found) => &found.access,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Git has none.
    #[error(transparent)]
    Remote(RemoteError),
    /// The thread that asks broke off.
    #[error("{0}")]
    Broken(String),
}

impl LookError {
    /// Whether the repository answered, and does not let us in.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, LookError::Remote(error) if error.is_refusal())
    }
}

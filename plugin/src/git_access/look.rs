//! Looking at the repository as Flux will.

use super::secret::basic;
use super::{AppError, GitAccess, GithubApp, ReadBack, github_app};
use kubiya_hook::git::remote::{Access, BranchTip, Fetched, Refusal, RemoteError, branch_tip, fetch_branch};
use secrecy::SecretString;
use std::sync::{Arc, Mutex, PoisonError};
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
    App(Arc<OfApp>),
}

/// The token of an app, asked for once: it is good for an hour.
#[derive(Debug)]
struct OfApp {
    app: Arc<GithubApp>,
    access: Access,
    token: Mutex<Option<SecretString>>,
}

impl OfApp {
    fn access(&self) -> Result<Access, AppError> {
        let mut known = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let token = match &*known {
            Some(token) => token.clone(),
            None => known.insert(self.app.token()?).clone(),
        };
        Ok(Access { authorization: Some(basic(github_app::USERNAME, &token)), ..self.access.clone() })
    }
}

impl Look {
    /// With credentials that were given.
    #[must_use]
    pub fn given(url: &str, branch: &str, access: Access) -> Self {
        Self { url: url.to_owned(), branch: branch.to_owned(), with: With::Given(access) }
    }

    /// With the credentials that a run was given.
    #[must_use]
    pub fn with(url: &str, branch: &str, git: &GitAccess) -> Self {
        let access = git.access.clone();
        let with = match &git.app {
            None => With::Given(access),
            Some(app) => With::App(Arc::new(OfApp { app: app.clone(), access, token: Mutex::default() })),
        };
        Self { url: url.to_owned(), branch: branch.to_owned(), with }
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
        self.ask(branch_tip).await
    }

    /// The branch with its files; `None` where there is no such branch.
    ///
    /// # Errors
    /// Those of the repository.
    pub async fn fetch(&self) -> Result<Option<Fetched>, LookError> {
        self.ask(fetch_branch).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: fn(&str, &str, &Access, Duration) -> Result<T, RemoteError>,
    ) -> Result<T, LookError> {
        let look = self.clone();
        let task = move || {
            let access = look.access()?;
            Ok(question(&look.url, &look.branch, &access, PATIENCE)?)
        };
        match tokio::task::spawn_blocking(task).await {
            Ok(answer) => answer,
            Err(error) => Err(LookError::Broken(error.to_string())),
        }
    }

    fn access(&self) -> Result<Access, AppError> {
        match &self.with {
            With::Given(access) => Ok(access.clone()),
            With::OfCluster(found) => Ok(found.access.clone()),
            With::App(app) => app.access(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Git has none.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The app gets no token.
    #[error(transparent)]
    App(#[from] AppError),
    /// The thread that asks broke off.
    #[error("{0}")]
    Broken(String),
}

impl LookError {
    /// Whether the repository answered, and does not let us in.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.refusal().is_some()
    }

    /// What the repository refuses; `None` where it did not answer.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            LookError::Remote(error) => error.refusal(),
            LookError::App(error) => matches!(error, AppError::Refused(_)).then_some(Refusal::Credentials),
            LookError::Broken(_) => None,
        }
    }
}

//! What the stand-in asks of Git.

use crate::git_server::hermetic_git;
use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::PathBuf;
use std::process::Command;

/// The `Authorization` header for the entries of a source's Secret; nothing when there are none.
pub(super) fn authorization(
    user: Option<&str>,
    password: Option<&str>,
    token: Option<&str>,
) -> Result<Option<String>> {
    match (user, password, token) {
        (_, _, Some(token)) => Ok(Some(format!("Bearer {token}"))),
        (Some(user), Some(password), None) => {
            Ok(Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
        }
        (None, None, None) => Ok(None),
        _ => bail!("the secret has only one of 'username' and 'password'"),
    }
}

/// A repository on this machine into which one branch is fetched.
#[derive(Clone)]
pub(super) struct Mirror {
    dir: PathBuf,
}

impl Mirror {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The commit at the tip of a branch.
    pub(super) async fn resolve(&self, url: &str, branch: &str, header: Option<&str>) -> Result<String> {
        let reference = format!("refs/heads/{branch}");
        let mut command = self.git(header)?;
        command.args(["ls-remote", "--", url, &reference]);
        let text = run(command).await.context("failed to checkout and determine revision")?;
        let text = String::from_utf8(text)?;
        let oid = text.split('\t').next().unwrap_or_default();
        if oid.is_empty() {
            bail!("failed to checkout and determine revision: couldn't find remote ref \"{reference}\"");
        }
        Ok(oid.to_owned())
    }

    /// The tree of a commit at the tip of a branch, as a compressed archive.
    pub(super) async fn pack(
        &self,
        url: &str,
        branch: &str,
        oid: &str,
        header: Option<&str>,
    ) -> Result<Vec<u8>> {
        if !self.dir.join("HEAD").exists() {
            let mut init = self.git(None)?;
            init.args(["init", "--quiet", "--bare", "--template=", "."]);
            run(init).await?;
        }
        let mut fetch = self.git(header)?;
        fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--", url]);
        fetch.arg(format!("+refs/heads/{branch}:refs/stand-in/tip"));
        run(fetch).await.context("failed to checkout")?;
        let mut archive = self.git(None)?;
        archive.args(["archive", "--format=tar.gz", oid]);
        run(archive).await.context("the branch moved while it was fetched")
    }

    /// Git with nothing of the user's. The header goes by the environment: arguments can be read by
    /// everybody on the machine.
    fn git(&self, header: Option<&str>) -> Result<Command> {
        std::fs::create_dir_all(&self.dir)?;
        let mut command = hermetic_git(&self.dir);
        command.current_dir(&self.dir);
        if let Some(header) = header {
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", "http.extraHeader")
                .env("GIT_CONFIG_VALUE_0", format!("Authorization: {header}"));
        }
        Ok(command)
    }
}

async fn run(command: Command) -> Result<Vec<u8>> {
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output().await.context("cannot run git")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_follows_the_secret() {
        assert_eq!(authorization(None, None, None).unwrap(), None);
        assert_eq!(authorization(Some("a"), Some("b"), None).unwrap().unwrap(), "Basic YTpi");
        assert_eq!(authorization(None, None, Some("t")).unwrap().unwrap(), "Bearer t");
        assert!(authorization(Some("a"), None, None).is_err());
    }
}

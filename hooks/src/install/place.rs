//! The places that hooks are installed at: a clone, or a server of one of several kinds.

use super::InstallError;
use crate::git::configuration::{self, elsewhere, line};
use std::path::{Path, PathBuf};

/// What keeps the repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Git alone: bare repositories, over SSH or HTTP.
    Plain,
    /// GitLab, self-managed.
    Gitlab,
    /// Gitea or Forgejo.
    Gitea,
    /// GitHub Enterprise Server.
    GithubEnterprise,
    /// Gerrit with its plugin `hooks`.
    Gerrit,
    /// gitolite.
    Gitolite,
    /// soft-serve.
    SoftServe,
}

impl Server {
    /// The environment variable by which it tells a hook who pushes.
    pub fn pusher_variable(self) -> Option<&'static str> {
        match self {
            Server::Gitlab => Some("GL_USERNAME"),
            Server::Gitea => Some("GITEA_PUSHER_NAME"),
            Server::GithubEnterprise => Some("GITHUB_USER_LOGIN"),
            // Git alone tells it by none that a pusher on the same machine could not set; Gerrit by an option.
            Server::Plain | Server::Gerrit => None,
            Server::Gitolite => Some("GL_USER"),
            Server::SoftServe => Some("SOFT_SERVE_USERNAME"),
        }
    }

    /// The environment variable by which it tells the name of the repository; otherwise its folder is one.
    pub fn repository_variable(self) -> Option<&'static str> {
        match self {
            Server::Gitlab => Some("GL_PROJECT_PATH"),
            Server::GithubEnterprise => Some("GITHUB_REPO_NAME"),
            Server::Gitolite => Some("GL_REPO"),
            Server::SoftServe => Some("SOFT_SERVE_REPO_NAME"),
            Server::Plain | Server::Gitea | Server::Gerrit => None,
        }
    }
}

/// A place, and the path it was found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A clone with a work tree; the path is its top.
    Clone(PathBuf),
    /// A bare repository of a server.
    Repository(Server, PathBuf),
    /// A folder of a server whose hooks count for all of its repositories.
    Instance(Server, PathBuf),
}

impl Place {
    /// What a path is. A server may be named; otherwise what the server leaves in its folders tells.
    ///
    /// # Errors
    /// Where it is no place for hooks.
    pub fn find(path: &Path, server: Option<Server>) -> Result<Self, InstallError> {
        let path =
            path.canonicalize().map_err(|source| InstallError::Io { path: path.to_owned(), source })?;
        if is_bare(&path) {
            return Ok(Self::Repository(server.unwrap_or_else(|| server_of(&path)), path));
        }
        match server {
            None | Some(Server::Plain) => {}
            Some(Server::Gitea) => return Err(InstallError::NoInstanceFolder(path)),
            Some(server) => return Ok(Self::Instance(server, path)),
        }
        let mut top = elsewhere(&path);
        top.args(["rev-parse", "--show-toplevel"]);
        match line(top) {
            Ok(top) => Ok(Self::Clone(PathBuf::from(top))),
            Err(_) => Err(InstallError::NoPlace(path)),
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        match self {
            Place::Clone(path) | Place::Repository(_, path) | Place::Instance(_, path) => path,
        }
    }

    /// Where scripts go, each with the name of its hook.
    ///
    /// # Errors
    /// What Git says.
    pub fn scripts(&self) -> Result<Vec<Spot>, InstallError> {
        let one = |path: PathBuf, hook, chains| vec![Spot { path, hook, chains }];
        Ok(match self {
            Place::Clone(path) => {
                let folder = configuration::hooks_folder(path)?;
                let spot = |hook: &&'static str| Spot { path: folder.join(hook), hook, chains: true };
                CLIENT_HOOKS.iter().map(spot).collect()
            }
            Place::Repository(Server::Gitea | Server::SoftServe, path) => {
                one(path.join("hooks/pre-receive.d/kubiya"), "pre-receive", false)
            }
            Place::Repository(Server::Gitlab, path) => {
                one(path.join("custom_hooks/pre-receive.d/kubiya"), "pre-receive", false)
            }
            Place::Repository(_, path) => {
                let folder = configuration::hooks_folder(path)?;
                one(folder.join("pre-receive"), "pre-receive", true)
            }
            Place::Instance(Server::Gitlab, path) => {
                one(path.join("pre-receive.d/kubiya"), "pre-receive", false)
            }
            Place::Instance(Server::GithubEnterprise, path) => {
                one(path.join("kubiya-pre-receive.sh"), "pre-receive", false)
            }
            Place::Instance(Server::Gerrit, path) => one(path.join("hooks/ref-update"), "ref-update", true),
            Place::Instance(Server::Gitolite, path) => {
                one(path.join("hooks/common/pre-receive"), "pre-receive", true)
            }
            Place::Instance(_, path) => one(path.join("hooks/pre-receive"), "pre-receive", true),
        })
    }

    /// What has to be done beside, that no program here can.
    pub fn by_hand(&self) -> &'static [&'static str] {
        match self {
            Place::Instance(Server::Gitlab, _) => &[
                "on every Gitaly node: install the program and this folder, owned by the user git",
                "in gitlab.rb: gitaly['configuration'] = { hooks: { custom_hooks_dir: 'THIS FOLDER' } }",
                "then: gitlab-ctl reconfigure",
            ],
            Place::Instance(Server::GithubEnterprise, _) => &[
                "put the program, linked statically, into the archive of a pre-receive environment, at the same path, and git beside it",
                "commit and push the script; then, as an administrator: Hooks, Add pre-receive hook, this script, this environment, enabled for all repositories",
            ],
            Place::Instance(Server::Gerrit, _) => &[
                "Gerrit's plugin `hooks` has to be installed; it ends a hook after 30 s (hooks.syncHookTimeout)",
            ],
            Place::Instance(Server::Gitolite, _) => &[
                "LOCAL_CODE in .gitolite.rc has to be this folder (or it is ~/.gitolite); then: gitolite setup --hooks-only",
            ],
            Place::Repository(Server::Gitlab, _) => {
                &["on every Gitaly node that has a copy of the repository, owned by the user git"]
            }
            _ => &[],
        }
    }

    /// The server that it is of.
    pub fn server(&self) -> Option<Server> {
        match self {
            Place::Clone(_) => None,
            Place::Repository(server, _) | Place::Instance(server, _) => Some(*server),
        }
    }

    /// Whether it is a server's.
    pub fn is_server(&self) -> bool {
        !matches!(self, Place::Clone(_))
    }
}

/// Where a script goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file.
    pub path: PathBuf,
    /// The hook that it is.
    pub hook: &'static str,
    /// Whether a hook that is there already has to be run by ours; otherwise the server runs all of a folder.
    pub chains: bool,
}

/// The hooks of a clone.
pub const CLIENT_HOOKS: [&str; 5] =
    ["pre-commit", "pre-merge-commit", "commit-msg", "pre-push", "pre-applypatch"];

/// Whether a folder is a repository without a work tree.
pub fn is_bare(path: &Path) -> bool {
    path.join("HEAD").symlink_metadata().is_ok()
        && path.join("objects").is_dir()
        && (path.join("refs").is_dir() || path.join("reftable").is_dir())
        && path.file_name().is_none_or(|name| name != ".git")
}

/// What runs a bare repository, by what it leaves in the folder of hooks.
fn server_of(repository: &Path) -> Server {
    let hooks = repository.join("hooks");
    if hooks.join("pre-receive.d/gitea").exists() || hooks.join("pre-receive.d/forgejo").exists() {
        Server::Gitea
    } else if hooks.join("pre-receive.d/soft-serve").exists() {
        Server::SoftServe
    } else {
        Server::Plain
    }
}

/// All bare repositories at and below a folder, by path. A repository is not looked into.
pub fn repositories(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let Ok(entry) = entry else { continue };
        if entry.file_type().is_dir() && is_bare(entry.path()) {
            found.push(entry.path().to_owned());
            walk.skip_current_dir();
        }
    }
    found
}

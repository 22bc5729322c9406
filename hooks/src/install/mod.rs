//! Putting the hooks where they are run, and taking them away again.
//!
//! Everything is found out first and is a [`Plan`], which can be shown; nothing that somebody else wrote is
//! overwritten. What was there before is run, too, and comes back byte for byte.

mod configured;
mod managers;
mod place;
mod plan;
mod script;

pub use configured::SINCE as CONFIGURED_SINCE;
pub use managers::Manager;
pub use place::{CLIENT_HOOKS, Place, Server, Spot, is_bare, repositories};
pub use plan::{Change, Plan};
pub(crate) use plan::{Occupant, is_executable, occupant};
pub use script::BEFORE;

use crate::edge::shown;
use crate::git::ProcessError;
use crate::git::configuration::Scope;
use script::{Before, Script};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Why a hook cannot be installed or taken away.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file cannot be read or written.
    #[error("{}: {source}", shown(path.as_os_str().as_bytes()))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Git says no.
    #[error(transparent)]
    Git(#[from] ProcessError),
    /// Neither a repository nor a folder of a server that was named.
    #[error("{} is no repository", shown(.0.as_os_str().as_bytes()))]
    NoPlace(PathBuf),
    /// The server has no folder for all of its repositories.
    #[error("{} is no bare repository, and this server has no hooks for all", shown(.0.as_os_str().as_bytes()))]
    NoInstanceFolder(PathBuf),
    /// A file of somebody else is where ours would be.
    #[error("{} is there already, and not ours", shown(.0.as_os_str().as_bytes()))]
    Occupied(PathBuf),
    /// A hook of somebody else, and one from before ours.
    #[error("{} and {} are both there: keep one", shown(path.as_os_str().as_bytes()), shown(before.as_os_str().as_bytes()))]
    TwoBefore {
        /// Where the hook goes.
        path: PathBuf,
        /// Where the one from before is.
        before: PathBuf,
    },
    /// `core.hooksPath` leads elsewhere.
    #[error("core.hooksPath leads to {} in {scope} already", shown(folder.as_os_str().as_bytes()))]
    OtherHooksPath {
        /// Whose configuration.
        scope: Scope,
        /// Where it leads.
        folder: PathBuf,
    },
    /// Another program makes the hooks of the clone.
    #[error("{} makes the hooks of this clone, and takes others away", .0.name())]
    Managed(Manager),
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The program that the hooks call.
    pub program: &'r Path,
    /// The server's configuration that they name.
    pub config: Option<&'r Path>,
    /// The version of Git.
    pub git: (u32, u32),
}

/// What is to be done so that a place has its hooks.
///
/// # Errors
/// Where something of somebody else is in the way.
pub fn install(place: &Place, request: &Request<'_>) -> Result<Plan, InstallError> {
    let mut plan = Plan::default();
    if let Place::Clone(top) = place
        && let Some(manager) = Manager::of(top)
    {
        if manager.owns_hooks() && request.git < configured::SINCE {
            return Err(InstallError::Managed(manager));
        }
        plan.notes.push(format!(
            "{} is in use here; for everybody who works with it:\n{}",
            manager.name(),
            manager.snippet()
        ));
        if manager.owns_hooks() {
            let scope = Scope::Repository(top.clone());
            configured::settings(&mut plan, &scope, &CLIENT_HOOKS, request.program);
            return Ok(plan);
        }
    }
    for spot in place.scripts()? {
        let before = if spot.chains { Before::Beside } else { Before::None };
        let config = request.config.filter(|_| place.is_server());
        let script = Script { hook: spot.hook, program: request.program, config, before };
        plan.hook(&spot.path, script.text(), spot.chains)?;
    }
    plan.notes.extend(place.by_hand().iter().map(|note| (*note).to_owned()));
    Ok(plan)
}

/// What is to be done so that a place has no hooks of ours.
///
/// # Errors
/// Where it cannot be looked at.
pub fn uninstall(place: &Place) -> Result<Plan, InstallError> {
    let mut plan = Plan::default();
    for spot in place.scripts()? {
        plan.no_hook(&spot.path)?;
    }
    if let Place::Clone(path) | Place::Repository(_, path) = place {
        let hooks: &[&str] = if place.is_server() { &SERVER_HOOKS } else { &CLIENT_HOOKS };
        configured::no_settings(&mut plan, &Scope::Repository(path.clone()), hooks);
    }
    Ok(plan)
}

/// The hooks of a server that serves with Git alone.
const SERVER_HOOKS: [&str; 1] = ["pre-receive"];

/// What is to be done so that all repositories of a machine or a user have the hooks: those of a server, or
/// those of clones. The folder is used where Git is too old for hooks in its configuration.
///
/// # Errors
/// Where something of somebody else is in the way.
pub fn install_for_all(
    scope: &Scope,
    server: bool,
    folder: &Path,
    request: &Request<'_>,
) -> Result<Plan, InstallError> {
    let mut plan = Plan::default();
    let hooks: &[&str] = if server { &SERVER_HOOKS } else { &CLIENT_HOOKS };
    if let Some(config) = request.config {
        configured::set(&mut plan, scope, "kubiya.config".to_owned(), config.into());
    }
    if request.git >= configured::SINCE {
        configured::settings(&mut plan, scope, hooks, request.program);
    } else {
        configured::folder(&mut plan, scope, hooks, folder, request)?;
        plan.notes.push(
            "a repository with a core.hooksPath of its own does not look there: kubiya-hook doctor --all FOLDER"
                .to_owned(),
        );
    }
    Ok(plan)
}

/// What is to be done so that no repository of a machine or a user has hooks of ours by its configuration.
///
/// # Errors
/// Where it cannot be looked at.
pub fn uninstall_for_all(scope: &Scope, folder: &Path) -> Result<Plan, InstallError> {
    let mut plan = Plan::default();
    configured::no_settings(&mut plan, scope, &[&SERVER_HOOKS[..], &CLIENT_HOOKS].concat());
    configured::no_folder(&mut plan, scope, folder)?;
    if scope.get("kubiya.config").is_some() {
        plan.changes.push(Change::Unset(scope.clone(), "kubiya.config".to_owned()));
    }
    Ok(plan)
}

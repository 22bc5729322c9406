//! Hooks by Git's configuration: one installation for all repositories of a machine or of a user.
//!
//! Git from 2.54 runs hooks that its configuration names beside those of the repository
//! (`hook.<name>.command`, `.event`; git-config(1)). Before that, `core.hooksPath` leads to a folder of ours
//! whose scripts run the repository's own hooks, too.

use super::plan::{Change, Plan};
use super::script::{Before, Script, pass_on, quoted};
use super::{InstallError, Request};
use crate::git::configuration::Scope;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The first version of Git that has them.
pub const SINCE: (u32, u32) = (2, 54);

/// Where Git's configuration leads to our folder.
const HOOKS_PATH: &str = "core.hooksPath";

/// Every hook of githooks(5) that a repository may have of its own. Not `push-to-checkout`, whose being there
/// changes what Git does, nor those that other settings name.
const ALL_HOOKS: [&str; 20] = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "post-rewrite",
    "sendemail-validate",
];

/// Settings for hooks that Git's configuration names.
pub(super) fn settings(plan: &mut Plan, scope: &Scope, hooks: &[&str], program: &Path) {
    for hook in hooks {
        let wanted = [("command", format!("{} {hook}", quoted(program))), ("event", (*hook).to_owned())];
        for (key, value) in wanted {
            set(plan, scope, format!("hook.kubiya-{hook}.{key}"), value.into());
        }
    }
}

pub(super) fn set(plan: &mut Plan, scope: &Scope, key: String, value: OsString) {
    if scope.get(&key).as_ref() != Some(&value) {
        plan.changes.push(Change::Set(scope.clone(), key, value));
    }
}

pub(super) fn no_settings(plan: &mut Plan, scope: &Scope, hooks: &[&str]) {
    for hook in hooks {
        if scope.get(&format!("hook.kubiya-{hook}.event")).is_some() {
            plan.changes.push(Change::RemoveSection(scope.clone(), format!("hook.kubiya-{hook}")));
        }
    }
}

/// A folder of scripts, to which `core.hooksPath` leads.
pub(super) fn folder(
    plan: &mut Plan,
    scope: &Scope,
    hooks: &[&str],
    folder: &Path,
    request: &Request<'_>,
) -> Result<(), InstallError> {
    if let Some(other) = scope.get(HOOKS_PATH).map(PathBuf::from).filter(|path| path != folder) {
        return Err(InstallError::OtherHooksPath { scope: scope.clone(), folder: other });
    }
    for hook in ALL_HOOKS {
        let text = if hooks.contains(&hook) {
            let before = Before::InRepository;
            Script { hook, program: request.program, config: None, before }.text()
        } else {
            pass_on(hook)
        };
        plan.hook(&folder.join(hook), text, false)?;
    }
    set(plan, scope, HOOKS_PATH.to_owned(), folder.into());
    Ok(())
}

pub(super) fn no_folder(plan: &mut Plan, scope: &Scope, folder: &Path) -> Result<(), InstallError> {
    if scope.get(HOOKS_PATH).is_some_and(|path| path == folder) {
        plan.changes.push(Change::Unset(scope.clone(), HOOKS_PATH.to_owned()));
    }
    ALL_HOOKS.iter().try_for_each(|hook| plan.no_hook(&folder.join(hook)))
}

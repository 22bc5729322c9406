//! What can be seen of an installation without running it.

use super::{Check, State};
use crate::config::{self, PolicyChanges};
use crate::edge::shown;
use crate::git::configuration::{self, effective};
use crate::install::{
    CONFIGURED_SINCE, InstallError, Manager, Occupant, Place, Server, Spot, is_executable, occupant,
};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Looks at a place.
///
/// # Errors
/// Where it cannot be looked at.
pub fn look(place: &Place, git: (u32, u32)) -> Result<Vec<Check>, InstallError> {
    let mut checks = vec![
        Check::new(State::Good, "program", format!("kubiya-hook {}", env!("CARGO_PKG_VERSION"))),
        Check::new(State::Good, "git", format!("{}.{}", git.0, git.1)),
    ];
    checks.extend(elsewhere(place));
    for spot in place.scripts()? {
        checks.push(match configured(place, spot.hook, git) {
            Some(check) => check,
            None => hook(place, &spot)?,
        });
        checks.extend(configuration_of(&spot));
    }
    if let Place::Repository(server, path) = place {
        checks.extend(delegate(*server, path));
        checks.push(fsck(path));
    }
    Ok(checks)
}

/// A hook that Git's configuration names.
fn configured(place: &Place, hook: &'static str, git: (u32, u32)) -> Option<Check> {
    let value = |key: &str| effective(place.path(), &format!("hook.kubiya-{hook}.{key}"));
    let command = value("command")?;
    if value("event").is_none_or(|event| event != hook) {
        return None;
    }
    let command = shown(command.as_bytes());
    let off = value("enabled")
        .is_some_and(|enabled| ["false", "no", "off", "0"].iter().any(|word| enabled == *word));
    Some(if git < CONFIGURED_SINCE {
        let text = format!("git's configuration names {command}, but this git is too old to look there");
        Check::new(State::Bad, hook, text).hint("kubiya-hook install")
    } else if off {
        Check::new(State::Bad, hook, format!("hook.kubiya-{hook}.enabled switches it off"))
    } else {
        Check::new(State::Good, hook, format!("git's configuration runs {command}"))
    })
}

/// A hook that is a file.
fn hook(place: &Place, spot: &Spot) -> Result<Check, InstallError> {
    let path = shown(spot.path.as_os_str().as_bytes());
    // A commit beside proves the first; what is sent, only the hook before a push can stop.
    let is_server = place.is_server() || spot.hook == "pre-push";
    let state = if is_server { State::Bad } else { State::Doubtful };
    let bad = |text: String| Check::new(state, spot.hook, text).hint("kubiya-hook install");
    let program = match occupant(&spot.path)? {
        Occupant::Nobody => return Ok(bad(format!("{path} is not there"))),
        Occupant::Other => {
            let manager =
                Manager::of(place.path()).filter(|manager| manager.runs_us(place.path(), spot.hook));
            return Ok(match manager {
                Some(manager) => Check::new(State::Good, spot.hook, format!("{} runs it", manager.name())),
                None => bad(format!("{path} is not ours")),
            });
        }
        Occupant::Link => spot.path.canonicalize().unwrap_or_else(|_| spot.path.clone()),
        Occupant::Ours(text) => program_of(&text).unwrap_or_default(),
    };
    if !is_executable(&spot.path) {
        return Ok(bad(format!("{path} is not executable, so Git passes it over")));
    }
    if !is_executable(&program) {
        let program = shown(program.as_os_str().as_bytes());
        let text =
            format!("{path} calls {program}, which is not there or not executable: everything is refused");
        return Ok(Check::new(State::Doubtful, spot.hook, text).hint("kubiya-hook install --program FILE"));
    }
    for file in [&spot.path, &program] {
        if is_noexec(file) {
            let file = shown(file.as_os_str().as_bytes());
            return Ok(bad(format!("{file} is on a file system mounted with noexec")));
        }
    }
    let script = Check::new(State::Good, spot.hook, path);
    Ok(match foreign_owner(place, &spot.path) {
        Some(text) => Check { state: State::Doubtful, text, ..script },
        None => script,
    })
}

/// The configuration that a script of ours names, and whether it can be used: where not, everything is refused.
fn configuration_of(spot: &Spot) -> Option<Check> {
    let Ok(Occupant::Ours(script)) = occupant(&spot.path) else { return None };
    let file = named(&script, b"export KUBIYA_HOOK_CONFIG='")?;
    let name = shown(file.as_os_str().as_bytes());
    Some(match config::from_file(&file) {
        Ok(config) => {
            let changes = match config.policy_changes {
                PolicyChanges::Warn => "pass with a warning",
                PolicyChanges::Owners => "are for owners",
                PolicyChanges::Refuse => "are refused",
            };
            Check::new(State::Good, "configuration", format!("{name}; changes of rules {changes}"))
        }
        Err(error) => Check::new(State::Bad, "configuration", error.to_string())
            .hint(format!("kubiya-hook config check {name}")),
    })
}

/// The program that a script of ours calls.
fn program_of(script: &[u8]) -> Option<PathBuf> {
    named(script, b"program='")
}

/// A path that a line of a script of ours names.
fn named(script: &[u8], before: &[u8]) -> Option<PathBuf> {
    let line = script.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(before))?;
    let text = String::from_utf8_lossy(line.strip_suffix(b"'")?).replace(r"'\''", "'");
    Some(PathBuf::from(std::ffi::OsString::from_vec(text.into_bytes())))
}

fn is_noexec(path: &Path) -> bool {
    rustix::fs::statvfs(path)
        .is_ok_and(|system| system.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

/// Who else than the owner of the repository, and root, can change the script.
fn foreign_owner(place: &Place, script: &Path) -> Option<String> {
    let owner = place.path().metadata().ok()?.uid();
    let metadata = script.metadata().ok()?;
    let path = shown(script.as_os_str().as_bytes());
    if metadata.uid() != owner && metadata.uid() != 0 {
        return Some(format!("{path} belongs to user {}, the repository to user {owner}", metadata.uid()));
    }
    (metadata.mode() & 0o002 != 0).then(|| format!("{path} can be changed by everybody"))
}

/// Where Git looks for hooks, if not in the repository.
fn elsewhere(place: &Place) -> Option<Check> {
    let (Place::Clone(path) | Place::Repository(_, path)) = place else { return None };
    let folder = effective(path, "core.hooksPath")?;
    let text = format!("hooks are looked for in {}", shown(folder.as_bytes()));
    Some(Check::new(State::Good, "core.hooksPath", text))
}

/// The server's own hook that runs the folder ours is in.
fn delegate(server: Server, path: &Path) -> Option<Check> {
    let file = match server {
        Server::Gitea | Server::SoftServe => configuration::hooks_folder(path).ok()?.join("pre-receive"),
        _ => return None,
    };
    let name = shown(file.as_os_str().as_bytes());
    Some(if is_executable(&file) {
        Check::new(State::Good, "the server's hook", name)
    } else {
        Check::new(State::Bad, "the server's hook", format!("{name} is not there or not executable"))
            .hint("gitea admin regenerate hooks")
    })
}

/// Objects that are not well-formed can be read in different ways.
fn fsck(path: &Path) -> Check {
    let is_on = |key| {
        effective(path, key).is_some_and(|value| ["true", "yes", "on", "1"].iter().any(|word| value == *word))
    };
    let name = "receive.fsckObjects";
    if is_on(name) || effective(path, name).is_none() && is_on("transfer.fsckObjects") {
        return Check::new(State::Good, name, "objects are checked as they come");
    }
    Check::new(State::Doubtful, name, "malformed objects are taken")
        .hint(format!("git -C {} config {name} true", crate::edge::in_shell(path.as_os_str().as_bytes())))
}

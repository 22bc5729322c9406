//! `plugin install`: links by which kubectl and flux find us.

use crate::invocation::Invocation;
use clap::{Args, Subcommand};
use kubiya_hook::edge::{Console, Failure, Outcome};
use std::io;
use std::path::{Path, PathBuf};

/// Make `kubectl kubiya` and `flux kubiya` find this executable
#[derive(Args, Debug)]
pub(crate) struct PluginArgs {
    #[command(subcommand)]
    action: PluginAction,
}

#[derive(Debug, Subcommand)]
enum PluginAction {
    /// Link this executable into the plugin folders
    Install(InstallArgs),
}

/// Link this executable into the plugin folders
///
/// For kubectl: `kubectl-kubiya` and, for completion, `kubectl_complete-kubiya`, in a folder on PATH.
/// For flux (2.9 or later): `flux-kubiya` in FLUXCD_PLUGINS or ~/.fluxcd/plugins.
#[derive(Args, Debug)]
struct InstallArgs {
    /// Link for kubectl into this folder; without a value, the folder of this executable
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true)]
    kubectl: Option<Option<PathBuf>>,
    /// Link for flux; without a value, into flux's plugin folder
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true)]
    flux: Option<Option<PathBuf>>,
}

pub(crate) fn run(args: &PluginArgs, invocation: &Invocation, console: &mut Console) -> Outcome {
    let PluginAction::Install(install) = &args.action;
    if install.kubectl.is_none() && install.flux.is_none() {
        return Err(Failure::usage("for which program?").hint(format!(
            "{0} plugin install --kubectl, {0} plugin install --flux, or both",
            invocation.command()
        )));
    }
    let executable = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|error| Failure::unverified("cannot tell where this executable is").because(&error))?;
    let beside = executable.parent().map(Path::to_path_buf).unwrap_or_default();
    if let Some(folder) = &install.kubectl {
        let folder = folder.clone().unwrap_or(beside);
        link(&executable, &folder, "kubectl-kubiya", console)?;
        link(&executable, &folder, "kubectl_complete-kubiya", console)?;
        if !is_on_path(&folder) {
            console.warn(&format!("{} is not on PATH: kubectl will not find the plugin", folder.display()));
            console.hint(&format!("export PATH=\"{}:$PATH\"", folder.display()));
        }
    }
    if let Some(folder) = &install.flux {
        let folder = folder.clone().or_else(flux_folder).ok_or_else(|| {
            Failure::usage("no folder for flux's plugins: HOME is not set").hint("--flux=FOLDER")
        })?;
        link(&executable, &folder, "flux-kubiya", console)?;
    }
    Ok(0)
}

/// Where the flux CLI looks for plugins.
fn flux_folder() -> Option<PathBuf> {
    let named = std::env::var_os("FLUXCD_PLUGINS").filter(|value| !value.is_empty()).map(PathBuf::from);
    named.or_else(|| std::env::home_dir().map(|home| home.join(".fluxcd/plugins")))
}

fn is_on_path(folder: &Path) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|entry| entry == folder))
}

/// Makes a symbolic link. A link of ours is renewed; anything else of that name is left alone.
fn link(executable: &Path, folder: &Path, name: &str, console: &mut Console) -> Result<(), Failure> {
    let path = folder.join(name);
    let failed = |error: &io::Error| {
        Failure::usage("cannot make the link").at(path.display().to_string()).because(error)
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    if path.canonicalize().is_ok_and(|target| target == executable) {
        let _ = console.err.line(&format!("unchanged {}", path.display()));
        return Ok(());
    }
    match path.symlink_metadata() {
        Ok(found) if !found.is_symlink() => {
            return Err(Failure::usage("a file of this name is there already")
                .at(path.display().to_string())
                .hint(format!("rm {}", path.display())));
        }
        Ok(_) => std::fs::remove_file(&path).map_err(|error| failed(&error))?,
        Err(_) => {}
    }
    std::os::unix::fs::symlink(executable, &path).map_err(|error| failed(&error))?;
    let _ = console.err.line(&format!("linked {} -> {}", path.display(), executable.display()));
    Ok(())
}

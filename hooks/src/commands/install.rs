//! `install` and `uninstall`: the hooks of clones and servers.

use crate::config::{API_VERSION, Config, KIND};
use crate::edge::{Console, Failure, Outcome, shown};
use crate::git::configuration::{self, Scope};
use crate::install::{self, Change, InstallError, Place, Plan, Request, Server};
use clap::{Args, ValueEnum};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Install the hooks of a clone or a server
///
/// In a clone: pre-commit, pre-merge-commit, commit-msg, pre-push, pre-applypatch. On a server: pre-receive, as
/// the server wants it. A hook that is there already is run, too, and comes back with `uninstall`.
#[derive(Args, Debug)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    where_to: WhereArgs,
    /// What happens to pushes that change recipients or rules of a `.sops.yaml`
    #[arg(long, value_enum)]
    policy_changes: Option<PolicyChanges>,
    /// With `--policy-changes owners`: who may make them, by the name that the server has for the pusher
    #[arg(long, value_name = "NAME")]
    policy_owner: Vec<String>,
    /// The environment variable by which the server tells a hook who pushes; known for most servers
    #[arg(long, value_name = "VARIABLE")]
    pusher_variable: Option<String>,
    /// The server's configuration; made where it is not there
    ///
    /// Without it, `kubiya-hook.yaml` in the folder of the repository or of the server.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The program that the hooks call, as its path will be where they run; this one without it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Show what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Take the hooks of a clone or a server away
///
/// What was there before them comes back, byte for byte. A server's configuration stays.
#[derive(Args, Debug)]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    where_to: WhereArgs,
    /// Show what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
struct WhereArgs {
    /// A clone, a bare repository, or a server's folder
    ///
    /// GitLab: its folder of custom hooks. Gerrit: its site. gitolite: its LOCAL_CODE, or ~/.gitolite.
    /// soft-serve: its data. GitHub Enterprise Server: a clone of the repository of hook scripts.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// What keeps the repositories; found out where it can be
    #[arg(long, value_enum)]
    server: Option<ServerName>,
    /// Every bare repository at and below PATH
    #[arg(long, conflicts_with = "everywhere")]
    all: bool,
    /// Every repository of the machine or of the user, by Git's own configuration
    #[arg(long, value_name = "WHOSE", value_enum)]
    everywhere: Option<Whose>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerName {
    Plain,
    Gitlab,
    Gitea,
    Forgejo,
    GithubEnterprise,
    Gerrit,
    Gitolite,
    SoftServe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// git config --system
    Machine,
    /// git config --global
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PolicyChanges {
    /// Only owners may make them
    Owners,
    /// They pass with a warning, unless no recipient stays
    Warn,
    /// Nobody may make them
    Refuse,
}

impl From<ServerName> for Server {
    fn from(name: ServerName) -> Self {
        match name {
            ServerName::Plain => Server::Plain,
            ServerName::Gitlab => Server::Gitlab,
            ServerName::Gitea | ServerName::Forgejo => Server::Gitea,
            ServerName::GithubEnterprise => Server::GithubEnterprise,
            ServerName::Gerrit => Server::Gerrit,
            ServerName::Gitolite => Server::Gitolite,
            ServerName::SoftServe => Server::SoftServe,
        }
    }
}

impl Whose {
    fn scope(self) -> Scope {
        match self {
            Whose::Machine => Scope::System,
            Whose::User => Scope::Global,
        }
    }

    /// The folder of our own for hooks and configuration.
    fn folder(self) -> PathBuf {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        let set = std::env::var_os("XDG_CONFIG_HOME").filter(|value| !value.is_empty());
        match self {
            Whose::Machine => PathBuf::from("/etc/kubiya-hook"),
            Whose::User => set.map_or_else(|| home().join(".config"), PathBuf::from).join("kubiya-hook"),
        }
    }
}

impl WhereArgs {
    fn places(&self) -> Result<Vec<Place>, Failure> {
        let server = self.server.map(Server::from);
        if !self.all {
            return Ok(vec![Place::find(&self.path, server)?]);
        }
        let repositories = install::repositories(&self.path);
        if repositories.is_empty() {
            return Err(
                Failure::usage("no bare repository is there").at(shown(self.path.as_os_str().as_bytes()))
            );
        }
        let places = repositories.iter().map(|path| Place::find(path, server).map_err(Failure::from));
        places.collect()
    }

    /// The folder that the configuration of a server is in, where nothing else is said.
    fn config_folder(&self, places: &[Place]) -> PathBuf {
        match (self.everywhere, places) {
            (Some(whose), _) => whose.folder(),
            (None, [place]) if !self.all => place.path().to_owned(),
            _ => self.path.canonicalize().unwrap_or_else(|_| self.path.clone()),
        }
    }
}

pub(crate) fn run(args: &InstallArgs, console: &mut Console) -> Outcome {
    let program = program(args.program.as_deref())?;
    let git = configuration::version().map_err(|error| Failure::from(InstallError::from(error)))?;
    let at = &args.where_to;
    let places = if at.everywhere.is_some() { Vec::new() } else { at.places()? };
    let is_server = places.iter().any(Place::is_server) || at.everywhere.is_some() && at.server.is_some();
    let config = args.config.as_ref().map(std::path::absolute).transpose();
    let config = config.map_err(|error| Failure::usage("not a path").because(&error))?;
    let config = config.unwrap_or_else(|| at.config_folder(&places).join("kubiya-hook.yaml"));
    let mut plan = Plan::default();
    if is_server {
        let server = places.iter().find_map(Place::server).or(at.server.map(Server::from));
        configure(&mut plan, &config, args, server.unwrap_or(Server::Plain))?;
    } else if args.policy_changes.is_some() || args.config.is_some() {
        return Err(Failure::usage("a clone has no configuration of a server")
            .hint("kubiya-hook install --everywhere machine --server plain: all repositories of a server"));
    }
    let config = is_server.then_some(&*config);
    let request = Request { program: &program, config, git };
    let parts = match at.everywhere {
        Some(whose) => {
            let folder = whose.folder().join("hooks");
            vec![install::install_for_all(&whose.scope(), is_server, &folder, &request)?]
        }
        None => places
            .iter()
            .map(|place| install::install(place, &request).map_err(Failure::from))
            .collect::<Result<_, _>>()?,
    };
    parts.into_iter().for_each(|part| add(&mut plan, part));
    let is_done = carry_out(&plan, args.dry_run, console)?;
    if is_done {
        console.hint("see it refuse: kubiya-hook doctor");
    }
    Ok(0)
}

pub(crate) fn run_uninstall(args: &UninstallArgs, console: &mut Console) -> Outcome {
    let at = &args.where_to;
    let parts = match at.everywhere {
        Some(whose) => {
            vec![install::uninstall_for_all(&whose.scope(), &whose.folder().join("hooks"))?]
        }
        None => {
            let places = at.places()?;
            places
                .iter()
                .map(|place| install::uninstall(place).map_err(Failure::from))
                .collect::<Result<_, _>>()?
        }
    };
    let mut plan = Plan::default();
    parts.into_iter().for_each(|part| add(&mut plan, part));
    carry_out(&plan, args.dry_run, console)?;
    Ok(0)
}

/// The program as the hooks call it: a path that stays.
fn program(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let program = match named {
        Some(path) => std::path::absolute(path),
        None => std::env::current_exe().and_then(|path| path.canonicalize()),
    };
    program.map_err(|error| Failure::unverified("cannot tell where this program is").because(&error))
}

/// Sees that the configuration is there and says what is wanted.
fn configure(plan: &mut Plan, config: &Path, args: &InstallArgs, server: Server) -> Result<(), Failure> {
    let wanted = args.policy_changes;
    let name = shown(config.as_os_str().as_bytes());
    if config.exists() {
        return match wanted {
            None => Ok(()),
            Some(_) => Err(Failure::usage("the configuration is there already").at(name).hint(
                "change `policyChanges` in it, and leave --policy-changes away; it counts from the next push",
            )),
        };
    }
    let word = match wanted.unwrap_or(PolicyChanges::Warn) {
        PolicyChanges::Owners => "owners",
        PolicyChanges::Warn => "warn",
        PolicyChanges::Refuse => "refuse",
    };
    let pusher = args.pusher_variable.as_deref().or(server.pusher_variable());
    if wanted == Some(PolicyChanges::Owners) && (args.policy_owner.is_empty() || pusher.is_none()) {
        return Err(Failure::usage("nobody is named who may change rules")
            .hint("--policy-owner NAME, as often as there are owners")
            .hint("--pusher-variable VARIABLE, where the server tells who pushes; or name allowedSigners in a configuration of your own: --config FILE"));
    }
    if wanted.is_none() {
        plan.notes.push(format!(
            "changes of recipients and rules pass with a warning: `policyChanges: warn` in {name}; `owners` lets only named people make them, `refuse` nobody"
        ));
    }
    let mut text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\npolicyChanges: {word}\n");
    if !args.policy_owner.is_empty() {
        text.push_str("policyOwners:\n");
        args.policy_owner
            .iter()
            .for_each(|owner| text.push_str(&format!("- {}\n", serde_json::json!(owner))));
    }
    if let Some(pusher) = pusher {
        text.push_str(&format!("identity:\n  pusher: {pusher}\n"));
        if let Some(repository) = server.repository_variable() {
            text.push_str(&format!("  repository: {repository}\n"));
        }
    }
    Config::parse(text.as_bytes())
        .map_err(|problems| Failure::usage("this is no configuration").because_of(problems.to_string()))?;
    plan.changes.push(Change::Write { path: config.to_owned(), text, executable: false });
    Ok(())
}

fn add(plan: &mut Plan, mut part: Plan) {
    plan.changes.append(&mut part.changes);
    for note in part.notes {
        if !plan.notes.contains(&note) {
            plan.notes.push(note);
        }
    }
}

/// Shows the changes, and makes them unless they are only to be shown. Says whether anything was done.
fn carry_out(plan: &Plan, dry_run: bool, console: &mut Console) -> Result<bool, Failure> {
    for change in &plan.changes {
        let line = if dry_run { format!("would {}", change.line()) } else { change.line() };
        let _ = console.out.line(&line);
    }
    if plan.changes.is_empty() {
        let _ = console.err.line("nothing to do: all is as it should be");
    }
    if !dry_run {
        plan.apply()?;
    }
    let _ = console.out.flush();
    for note in &plan.notes {
        let _ = console.err.line(&format!("note: {note}"));
    }
    Ok(!dry_run && !plan.changes.is_empty())
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        let failed = Failure::usage("cannot do it").because(&error);
        match error {
            InstallError::Managed(manager) => Failure::usage(error.to_string())
                .hint(format!("write it into its files:\n{}", manager.snippet()))
                .hint("Git 2.54 or later can run both: then install works here, too"),
            InstallError::NoPlace(_) => {
                failed.hint("name a clone, a bare repository, or a server: --server gitlab")
            }
            InstallError::NoInstanceFolder(_) => failed.hint("every repository gets its own: --all"),
            InstallError::OtherHooksPath { .. } => {
                failed.hint("Git 2.54 or later can run both; until then install into each repository: --all")
            }
            InstallError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                failed.hint("run it as the user who owns the repositories")
            }
            _ => failed,
        }
    }
}

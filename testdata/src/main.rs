//! The command line of the local control plane: for people, for the demo, and for the tests, which
//! run it as the supervisor of what they use.

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use kubiya_testdata::crowd::{Behind, Crowd};
use kubiya_testdata::git_server::GitServer;
use kubiya_testdata::parts::{PartSet, Toolbox};
use kubiya_testdata::rig::{detached, supervisor};
use kubiya_testdata::source_controller;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// A local control plane of real parts: kube-apiserver, etcd, Flux's controllers, and stand-ins where
/// there is nothing real to run.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what a set of parts needs, unless it is built, and print the folder of the programs
    Build {
        /// Which parts
        #[arg(long, value_enum, default_value = "test")]
        set: PartSet,
    },
    /// Bring up a hub and workers, and take them down when standard input ends or a signal comes
    ///
    /// When all is up, one line of JSON on stdout says where everything is.
    Up(Up),
    /// Stop rigs that were started with --detach
    Down {
        /// Which ones; all that are detached when none is named
        names: Vec<String>,
    },
    /// Serve Git repositories over HTTP on the loopback interface, until standard input ends or a
    /// signal comes
    ///
    /// One line of JSON on stdout says where they are.
    GitServer(Serve),
    /// Give each of many names a cluster of its own, out of a hub and a few workers, until standard input ends
    ///
    /// One line of JSON on stdout says where the kubeconfig is with a context for each name; `/counts` at its
    /// address says how many requests each name has had since.
    Crowd(Many),
    /// A stand-in for Flux's source-controller, for a cluster of this rig
    ///
    /// It is not Flux's: it serves the branches of GitRepositories, and nothing else.
    #[command(disable_help_flag = true)]
    SourceController {
        /// The arguments of the real one, most of which mean nothing here
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print one value of the JSON on standard input, by its keys: `repositories.gitops`
    Get {
        /// The keys, separated by dots
        keys: String,
    },
    /// List the rigs that run, and clean up after killed ones
    Status {
        /// One line of JSON for each
        #[arg(long)]
        json: bool,
    },
}

/// What `git-server` takes.
#[derive(Args)]
struct Serve {
    /// The folder of the repositories
    #[arg(long)]
    root: PathBuf,
    /// A program that is put before every push, as the pre-receive hook of each repository
    #[arg(long, value_name = "PROGRAM")]
    pre_receive: Option<PathBuf>,
    /// Repositories to make, unless they exist
    names: Vec<String>,
}

/// What `crowd` takes.
#[derive(Args)]
struct Many {
    /// Kubeconfig of the hub's administrator
    #[arg(long)]
    hub: PathBuf,
    /// Kubeconfig of a worker's administrator; may be repeated
    #[arg(long, required = true)]
    worker: Vec<PathBuf>,
    /// How many names, w0001 and so on
    #[arg(long, default_value_t = 1000)]
    names: usize,
    /// Where to write the kubeconfig with a context for each name
    #[arg(long)]
    kubeconfig: PathBuf,
}

#[derive(Args)]
struct Up {
    /// How many worker clusters
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Which parts
    #[arg(long, value_enum, default_value = "demo")]
    set: PartSet,
    /// Do not run Flux's controllers when their Deployments appear
    #[arg(long)]
    no_flux_processes: bool,
    /// Stay in the background until `down`
    #[arg(long)]
    detach: bool,
    /// Outlive the end of standard input: how --detach starts the supervisor
    #[arg(long, hide = true, conflicts_with = "detach")]
    stay: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let mut stdout = std::io::stdout();
    match cli.command {
        Command::Build { set } => {
            let toolbox = Toolbox::ensure(set)?;
            writeln!(stdout, "{}", toolbox.bin.display())?;
        }
        Command::Up(up) => bring_up(&up)?,
        Command::SourceController { arguments } => source_controller::run(&arguments)?,
        Command::Get { keys } => writeln!(stdout, "{}", get(&keys)?)?,
        Command::GitServer(serve) => serve_git(&serve)?,
        Command::Crowd(many) => serve_crowd(many)?,
        Command::Down { names } => {
            for rig in detached::pick(detached::running()?, &names)? {
                detached::stop(&rig)?;
                writeln!(stdout, "stopped {}", rig.id)?;
            }
        }
        Command::Status { json } => {
            for rig in detached::running()? {
                if json {
                    writeln!(stdout, "{}", serde_json::to_string(&rig)?)?;
                } else {
                    detached::explain(&rig, &stdout)?;
                }
            }
        }
    }
    Ok(())
}

/// A string of a JSON document, as a script needs it: without quotes.
fn get(keys: &str) -> Result<String> {
    let document: serde_json::Value = serde_json::from_reader(std::io::stdin().lock())?;
    let value = keys.split('.').fold(&document, |value, key| &value[key]);
    value.as_str().map(str::to_owned).with_context(|| format!("no text at `{keys}` in this JSON"))
}

fn bring_up(up: &Up) -> Result<()> {
    if up.detach {
        // The build shows its progress here, in the terminal, before the supervisor leaves it.
        Toolbox::ensure(up.set)?;
        let mut arguments = vec!["up".into(), format!("--workers={}", up.workers)];
        arguments.push(format!("--set={}", up.set.name()));
        if up.no_flux_processes {
            arguments.push("--no-flux-processes".into());
        }
        return detached::explain(&detached::start(&arguments)?, std::io::stdout());
    }
    if up.stay {
        detached::leave_session();
    }
    supervisor::run(&supervisor::Options {
        workers: up.workers,
        set: up.set,
        controllers: !up.no_flux_processes,
        detached: up.stay,
    })
}

fn serve_crowd(many: Many) -> Result<()> {
    let names = (1..=many.names).map(|number| format!("w{number:04}")).collect();
    let crowd = Crowd::start(&Behind { hub: many.hub, workers: many.worker, names })?;
    std::fs::write(&many.kubeconfig, crowd.kubeconfig())
        .with_context(|| format!("cannot write {}", many.kubeconfig.display()))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", json!({"kubeconfig": many.kubeconfig}))?;
    stdout.flush()?;
    supervisor::wait_for_stop(false)
}

fn serve_git(serve: &Serve) -> Result<()> {
    let server = GitServer::start(&serve.root)?;
    for name in &serve.names {
        if !server.path(name).exists() {
            server.create_repo(name, serve.pre_receive.as_deref())?;
        }
    }
    let repositories =
        serve.names.iter().map(|name| (name.clone(), server.url(name))).collect::<BTreeMap<_, _>>();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", json!({"url": server.base_url(), "repositories": repositories}))?;
    stdout.flush()?;
    supervisor::wait_for_stop(false)
}

//! `doctor`: do the hooks run, and do they refuse?

use super::install::ServerName;
use crate::doctor::{self, Check, State};
use crate::edge::{Color, Console, Failure, Kind, Outcome, shown};
use crate::git::configuration;
use crate::install::{self, Place, Server};
use crate::report::count;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Prove that the hooks of a clone or a server refuse
///
/// Looks at what is installed, and then tries: in a clone it commits a false secret, in a work tree of its own;
/// to a bare repository it pushes one. With --remote it is pushed the way that users push, to a ref of its own
/// that is deleted if the push is accepted.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// A clone, a bare repository, or a server's folder
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// What keeps the repositories; found out where it can be
    #[arg(long, value_enum)]
    server: Option<ServerName>,
    /// Push a false secret to this remote, by its name or its URL; `origin` where neither is said
    #[arg(long, value_name = "REMOTE", num_args = 0..=1, default_missing_value = "origin")]
    remote: Option<OsString>,
    /// The ref that the false secret is pushed to; without it, a new one below refs/kubiya/doctor
    #[arg(long, value_name = "REF")]
    r#ref: Option<String>,
    /// List every bare repository at and below PATH, with whether it is protected
    #[arg(long, conflicts_with_all = ["remote", "ref"])]
    all: bool,
    /// With --all: push to each
    #[arg(long, requires = "all")]
    prove: bool,
    /// Form of the report on standard output
    #[arg(long, short, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs: one object, with the version of its form in `schema`
    Json,
}

#[derive(Serialize)]
struct Report<'r> {
    schema: u32,
    path: String,
    protected: bool,
    checks: &'r [Check],
}

#[derive(Serialize)]
struct All<'r> {
    schema: u32,
    repositories: &'r [Listed],
    unprotected: usize,
}

#[derive(Serialize)]
struct Listed {
    path: String,
    protected: bool,
    problems: Vec<String>,
}

pub(crate) fn run(args: &DoctorArgs, console: &mut Console) -> Outcome {
    let git = configuration::version()
        .map_err(|error| Failure::unverified("git cannot be run").because(&error).hint("install git"))?;
    if args.all { all(args, git, console) } else { one(args, git, console) }
}

fn one(args: &DoctorArgs, git: (u32, u32), console: &mut Console) -> Outcome {
    let checks = match &args.remote {
        Some(remote) => vec![push(&args.path, remote, args.r#ref.as_deref())?],
        None => {
            let place = Place::find(&args.path, args.server.map(Server::from))?;
            let mut checks = doctor::look(&place, git)?;
            checks.extend(prove(&place)?);
            checks
        }
    };
    let worst = checks.iter().map(|check| check.state).max().unwrap_or(State::Unclear);
    let path = shown(args.path.as_os_str().as_bytes());
    let protected = worst <= State::Doubtful;
    match args.output {
        Form::Json => json(console, &Report { schema: 1, path, protected, checks: &checks })?,
        Form::Text => text(console, &checks)?,
    }
    Ok(match worst {
        State::Good | State::Doubtful => 0,
        State::Unclear => Kind::Unverified.exit_code(),
        State::Bad => Kind::Findings.exit_code(),
    })
}

/// The proof that suits a place; none for folders that only the server can run.
fn prove(place: &Place) -> Result<Option<Check>, Failure> {
    match place {
        Place::Clone(top) => {
            let proof = doctor::by_commit(top).map_err(|error| failed(&error))?;
            Ok(Some(Check::from(("a commit", &proof))))
        }
        Place::Repository(_, path) => push(path, path.as_os_str(), None).map(Some),
        Place::Instance(..) => Ok(None),
    }
}

fn push(from: &Path, remote: &OsStr, name: Option<&str>) -> Result<Check, Failure> {
    let proof = doctor::by_push(from, remote, name).map_err(|error| failed(&error))?;
    Ok(Check::from(("a push", &proof)))
}

fn failed(error: &crate::git::ProcessError) -> Failure {
    Failure::unverified("the proof cannot be made").because(error)
}

fn all(args: &DoctorArgs, git: (u32, u32), console: &mut Console) -> Outcome {
    let mut listed = Vec::new();
    for path in install::repositories(&args.path) {
        let place = Place::find(&path, args.server.map(Server::from))?;
        let mut checks = doctor::look(&place, git)?;
        if args.prove {
            checks.extend(prove(&place)?);
        }
        let problems = checks.iter().filter(|check| check.state > State::Doubtful);
        let problems: Vec<_> = problems.map(|check| format!("{}: {}", check.name, check.text)).collect();
        let path = shown(path.as_os_str().as_bytes());
        listed.push(Listed { path, protected: problems.is_empty(), problems });
    }
    if listed.is_empty() {
        return Err(Failure::usage("no bare repository is there").at(shown(args.path.as_os_str().as_bytes())));
    }
    let unprotected = listed.iter().filter(|repository| !repository.protected).count();
    match args.output {
        Form::Json => json(console, &All { schema: 1, repositories: &listed, unprotected })?,
        Form::Text => {
            for repository in listed.iter().filter(|repository| !repository.protected) {
                say(console, &format!("{}  {}", repository.path, repository.problems.join("; ")))?;
            }
        }
    }
    let _ = console.out.flush();
    let _ = console.err.line(&format!(
        "{}, {unprotected} not protected",
        count(listed.len(), "repository").replace("repositorys", "repositories")
    ));
    Ok(if unprotected > 0 { Kind::Findings.exit_code() } else { 0 })
}

fn text(console: &mut Console, checks: &[Check]) -> Result<(), Failure> {
    let style = console.out.style();
    for check in checks {
        let (word, color) = match check.state {
            State::Good => ("good", Color::Green),
            State::Doubtful => ("look", Color::Yellow),
            State::Unclear => ("unclear", Color::Yellow),
            State::Bad => ("bad", Color::Red),
        };
        let word = style.paint(&format!("{word:>8}"), color);
        let text = check.text.replace('\n', "\n          ");
        say(console, &format!("{word}  {}: {text}", check.name))?;
        if let Some(hint) = &check.hint {
            say(console, &format!("          hint: {hint}"))?;
        }
    }
    Ok(())
}

fn json(console: &mut Console, report: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Failure::unverified("cannot write the report").because(&error))?;
    say(console, &text)
}

fn say(console: &mut Console, line: &str) -> Result<(), Failure> {
    console.out.line(line).map_err(|error| Failure::unverified("cannot write").because(&error))
}

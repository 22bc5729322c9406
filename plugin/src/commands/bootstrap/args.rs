//! What `bootstrap` can be told, and the request that it makes of it.

use super::decryption_args::DecryptionArgs;
use super::git_args::GitArgs;
use super::install_args::InstallArgs;
use crate::bootstrap::{Options, Request, WorkerRequest, WorkerSection};
use crate::cluster::{ConnectionArgs, KubeconfigSource, Mode};
use crate::flux::ManifestSource;
use crate::worker::AT_ONCE;
use clap::{Args, ValueEnum};
use kubiya_hook::edge::Failure;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Install Flux with SOPS decryption on the infra cluster, and the kubeconfigs of its workers
///
/// The Secret `sops-age` and the kubeconfig Secrets are written before the controllers, so that Flux
/// never sees a file that it cannot decrypt. Everything is checked before anything is written. A
/// re-run changes nothing that is as it should be, and goes on where the last one stopped.
#[derive(Args, Debug)]
pub(crate) struct BootstrapArgs {
    /// Git repository that Flux is to follow (https or ssh)
    #[arg(long, value_name = "URL", required_unless_present = "file")]
    pub url: Option<String>,
    /// Branch that Flux is to follow [default: main]
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// Folder of the repository that Flux is to apply [default: ./]
    #[arg(long, value_name = "FOLDER")]
    pub path: Option<String>,
    /// Document with what is said here by flags, which win over it; the command `schema` prints its form
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Run commands that the document names
    #[arg(long, requires = "file")]
    pub allow_commands: bool,
    /// Worker cluster: a name, and the context by which it is reached; may be repeated
    #[arg(long, value_name = "NAME=CONTEXT", value_parser = pair)]
    pub worker: Vec<Pair>,
    /// Kubeconfig of a worker, when it is not in your own; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    pub worker_kubeconfig: Vec<Pair>,
    /// What the document says of workers beyond where they are.
    #[arg(skip)]
    pub sections: BTreeMap<String, WorkerSection>,
    /// How many workers are dealt with at once
    #[arg(long, value_name = "COUNT", default_value_t = AT_ONCE, hide_short_help = true)]
    pub concurrency: usize,
    /// Stop before the first change when something is wrong with a worker, too; else the others go on
    #[arg(long)]
    pub all_or_nothing: bool,
    /// Give Flux the workers' contexts' own credentials, in place of tokens of its own
    #[arg(long)]
    pub copy_credentials: bool,
    /// Flux's install manifests: file, folder or URL; without it, of the flux CLI on PATH
    #[arg(long, value_name = "FILE|FOLDER|URL")]
    pub flux_manifests: Option<String>,
    /// SHA-256 that downloaded manifests must have
    #[arg(long, value_name = "HEX")]
    pub flux_manifests_sha256: Option<String>,
    /// Accept addresses that only this machine reaches: all clusters run here
    #[arg(long)]
    pub allow_loopback: bool,
    #[command(flatten)]
    pub install: InstallArgs,
    /// Credentials.
    #[command(flatten)]
    pub git: GitArgs,
    /// Accept a Git URL with plain http
    #[arg(long)]
    pub allow_insecure_http: bool,
    /// Keys.
    #[command(flatten)]
    pub decryption: DecryptionArgs,
    /// Take over fields that another manager has set to other values
    #[arg(long)]
    pub force_conflicts: bool,
    /// Go on although another tool installed the Flux that is there
    #[arg(long, hide_short_help = true)]
    pub take_over: bool,
    /// Put an older Flux in the place of a newer one
    #[arg(long, hide_short_help = true)]
    pub allow_downgrade: bool,
    /// Clone of the repository to look at, where the repository cannot be reached from here
    #[arg(long, value_name = "FOLDER", hide_short_help = true)]
    pub repo: Option<PathBuf>,
    /// Show what would change: `client` compares only, `server` also lets the API server check it
    #[arg(long, value_name = "WHO", default_value = "none", num_args = 0..=1, require_equals = true,
          default_missing_value = "client", value_enum)]
    pub dry_run: DryRun,
    /// Print field by field what would change, of secrets only the names; exit code 1 where there is something
    #[arg(long, conflicts_with_all = ["dry_run", "export"])]
    pub diff: bool,
    /// Print the manifests instead of applying them; asks no cluster
    #[arg(long, conflicts_with = "dry_run")]
    pub export: bool,
    /// Put the private keys into the export
    #[arg(long, requires = "export")]
    pub export_private_keys: bool,
    /// Write the manifests as files of a folder in the repository, Secrets encrypted by its .sops.yaml; asks no cluster
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["dry_run", "diff", "export"])]
    pub export_dir: Option<PathBuf>,
    /// Replace files in that folder that have another content
    #[arg(long, requires = "export_dir")]
    pub overwrite: bool,
    /// How long each wait may take, such as 90s or 5m [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    pub timeout: Option<Duration>,
    /// Wait until the controllers run and the branch is applied [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub wait: Option<bool>,
    /// Print the result for programs
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,
}

/// Who is asked in a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// No dry run.
    None,
    /// Compare with what is there.
    Client,
    /// Let the API server admit and merge it, without storing it.
    Server,
}

impl DryRun {
    /// How far a look goes: to the server only where that is asked for.
    pub(crate) fn look(self) -> Mode {
        if self == DryRun::Server { Mode::AskServer } else { Mode::Compare }
    }

    /// How far the applier goes.
    pub(crate) fn mode(self) -> Mode {
        match self {
            DryRun::None => Mode::Write,
            DryRun::Client => Mode::Compare,
            DryRun::Server => Mode::AskServer,
        }
    }
}

/// For programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// `NAME=VALUE`; the value may hold `=` and `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Before the first `=`.
    pub name: String,
    /// After it.
    pub value: String,
}

pub(super) fn pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok(Pair { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// What neither a flag nor the document says.
fn missing(flag: &str, field: &str) -> Failure {
    Failure::usage(format!("the document has no {field}, and no flag says it")).hint(flag.to_owned())
}

impl BootstrapArgs {
    /// The request, unchecked.
    pub(super) async fn request(&self, connection: &ConnectionArgs) -> Result<Request, Failure> {
        self.complete()?;
        Ok(Request {
            hub: (!self.exports()).then(|| connection.clone()),
            namespace: connection.namespace.clone(),
            url: self.url.clone().unwrap_or_default(),
            branch: self.branch.clone().unwrap_or_else(|| "main".to_owned()),
            path: self.path.clone().unwrap_or_else(|| "./".to_owned()),
            decryption: self.decryption.request(connection).await?,
            settings: self.decryption.settings(),
            workers: self.worker_requests(&connection.source()),
            force_conflicts: self.force_conflicts,
            copy_credentials: self.copy_credentials,
            manifests: self.manifest_source(),
            allow_loopback: self.allow_loopback,
            allow_insecure_http: self.allow_insecure_http,
            git: self.git.request(),
            install: self.install.request()?,
            options: Options {
                take_over: self.take_over,
                allow_downgrade: self.allow_downgrade,
                repo: self.repo.clone(),
                at_once: self.concurrency.max(1),
            },
            may_write: !self.exports() && self.writes(),
        })
    }

    /// Whether all is said that has no default, by a flag or by the document.
    fn complete(&self) -> Result<(), Failure> {
        match &self.url {
            Some(_) => Ok(()),
            None => Err(missing("--url URL", "spec.git.url")),
        }
    }

    /// How long each wait may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(300))
    }

    /// Whether to wait for Flux.
    pub(super) fn wait(&self) -> bool {
        self.wait.unwrap_or(true)
    }

    /// Whether manifests are written down instead of applied.
    pub(super) fn exports(&self) -> bool {
        self.export || self.export_dir.is_some()
    }

    /// Whether the cluster is to be changed.
    pub(super) fn writes(&self) -> bool {
        self.dry_run == DryRun::None && !self.diff
    }

    /// Workers by `--worker`, each in the file that `--worker-kubeconfig` gives its name; then those that
    /// only have a file, by its current context.
    fn worker_requests(&self, ambient: &KubeconfigSource) -> Vec<WorkerRequest> {
        let file = |name: &str| {
            let pair = self.worker_kubeconfig.iter().find(|pair| pair.name == name);
            pair.map_or_else(|| ambient.clone(), |pair| KubeconfigSource::File(PathBuf::from(&pair.value)))
        };
        let named = self.worker.iter().map(|pair| (pair.name.clone(), Some(pair.value.clone())));
        let only_file = self
            .worker_kubeconfig
            .iter()
            .filter(|pair| !self.worker.iter().any(|worker| worker.name == pair.name))
            .map(|pair| (pair.name.clone(), None));
        named
            .chain(only_file)
            .map(|(name, context)| WorkerRequest {
                source: file(&name),
                section: self.sections.get(&name).cloned(),
                name,
                context,
            })
            .collect()
    }

    fn manifest_source(&self) -> ManifestSource {
        let Some(given) = &self.flux_manifests else { return ManifestSource::FluxCli };
        if given.starts_with("https://") || given.starts_with("http://") {
            return ManifestSource::Url { url: given.clone(), sha256: self.flux_manifests_sha256.clone() };
        }
        let path = PathBuf::from(given);
        if path.is_dir() { ManifestSource::Folder(path) } else { ManifestSource::File(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: BootstrapArgs,
    }

    #[test]
    fn workers_by_context_by_file_and_by_both() {
        let words = [
            "bootstrap",
            "--url",
            "https://h/r",
            "--age-key-file",
            "-",
            "--worker",
            "a=kubernetes-admin@a",
            "--worker",
            "b=ctx=1",
            "--worker-kubeconfig",
            "b=b.yaml",
            "--worker-kubeconfig",
            "c=c.yaml",
        ];
        let args = Only::parse_from(words).args;
        let found = args.worker_requests(&KubeconfigSource::Ambient);
        let file = |name: &str| KubeconfigSource::File(PathBuf::from(name));
        let request =
            |name: &str, source, context: Option<&str>| (name.to_owned(), source, context.map(str::to_owned));
        let found: Vec<_> = found.into_iter().map(|one| (one.name, one.source, one.context)).collect();
        assert_eq!(
            found,
            [
                request("a", KubeconfigSource::Ambient, Some("kubernetes-admin@a")),
                request("b", file("b.yaml"), Some("ctx=1")),
                request("c", file("c.yaml"), None),
            ]
        );
        assert!(pair("novalue").is_err() && pair("=x").is_err() && pair("x=").is_err());
    }
}

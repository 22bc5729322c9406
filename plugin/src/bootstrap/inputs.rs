//! All that was asked for, read and checked before anything is touched.

use super::{Decryption, DecryptionRequest, InstallRequest, Installation, Settings, WorkerSection};
use crate::cluster::{
    ConnectionArgs, KubeconfigSource, Kubeconfigs, RemoteKubeconfig, RemoteProblem, Selection,
};
use crate::flux::{InstallManifests, ManifestError, ManifestSource, SyncSpec, decryption as flux_decryption};
use crate::git_access::{GitAccess, GitAccessRequest};
use crate::worker::{
    AT_ONCE, AddRequest, CredentialKind, LIFETIME, Resolved, Scope, Terms, WorkerError, is_label, resolve,
};
use kubiya_hook::edge::Failure;
use std::path::PathBuf;
use std::time::Duration;

/// The Secret that Flux decrypts with.
pub(crate) const AGE_SECRET: &str = "sops-age";

/// What is asked for, unchecked: from flags, later from a file as well.
#[derive(Clone, Debug)]
pub struct Request {
    /// The way to the infra cluster; `None` where it is not to be asked.
    pub hub: Option<ConnectionArgs>,
    /// Namespace of Flux.
    pub namespace: String,
    /// Git URL.
    pub url: String,
    /// Branch.
    pub branch: String,
    /// Folder in the repository.
    pub path: String,
    /// With what Flux is to decrypt.
    pub decryption: DecryptionRequest,
    /// What controllers get beyond Flux's manifests.
    pub settings: Settings,
    /// The workers.
    pub workers: Vec<WorkerRequest>,
    /// Where Flux's manifests come from.
    pub manifests: ManifestSource,
    /// Take over fields and Secrets of others.
    pub force_conflicts: bool,
    /// Give Flux the contexts' own credentials, in place of tokens of its own.
    pub copy_credentials: bool,
    /// Accept addresses that only this machine reaches.
    pub allow_loopback: bool,
    /// Accept plain http for Git.
    pub allow_insecure_http: bool,
    /// The credentials for Git.
    pub git: GitAccessRequest,
    /// How Flux is to be installed.
    pub install: InstallRequest,
    /// What else was said about the way.
    pub options: Options,
    /// Whether files of this machine may be written: a key that is to be made.
    pub may_write: bool,
}

/// What the user decided where the preflight would stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A Flux that another tool installed is ours from now on.
    pub take_over: bool,
    /// An older Flux may be put in the place of a newer one.
    pub allow_downgrade: bool,
    /// A clone to look at, in place of what Flux's own URL has now.
    pub repo: Option<PathBuf>,
    /// How many workers are dealt with at once.
    pub at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { take_over: false, allow_downgrade: false, repo: None, at_once: AT_ONCE }
    }
}

/// A worker as it was named.
#[derive(Clone, Debug)]
pub struct WorkerRequest {
    /// Its name.
    pub name: String,
    /// Where its kubeconfig is.
    pub source: KubeconfigSource,
    /// Its context; the current one of that kubeconfig where none is named.
    pub context: Option<String>,
    /// What the document says of it.
    pub section: Option<WorkerSection>,
}

/// A worker cluster by its name and the way Flux will reach it.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Name, a DNS label.
    pub name: String,
    /// How it is to be taken in.
    pub resolved: Resolved,
    /// What Flux will be left with, where that is known without asking the worker: copied credentials.
    pub copied: Option<RemoteKubeconfig>,
}

/// Checked input: from here on no file is read any more.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The infra cluster, unless it is not to be asked.
    pub hub: Option<Selection>,
    /// What Flux is to follow.
    pub sync: SyncSpec,
    /// The credentials for Git.
    pub git: GitAccess,
    /// What the user decided.
    pub options: Options,
    /// With what Flux is to decrypt.
    pub decryption: Decryption,
    /// What controllers get beyond Flux's manifests.
    pub settings: Settings,
    /// The workers, in the order they were named.
    pub workers: Vec<Worker>,
    /// Flux itself, as it is to be.
    pub flux: InstallManifests,
    /// How it is installed, and what comes with it.
    pub install: Installation,
}

impl Inputs {
    /// Reads and checks everything that the request names.
    ///
    /// # Errors
    /// All problems at once.
    pub fn gather(request: &Request) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let hub = request.hub.as_ref().map(ConnectionArgs::selection).transpose();
        let hub = hub.map_err(|error| problems.push(Failure::from(error))).ok().flatten();
        problems.extend(label_problem("--namespace", &request.namespace));
        let url = git_url(request).map_err(|failure| problems.push(failure)).ok();
        let path = sync_path(&request.path).map_err(|failure| problems.push(failure)).ok();
        problems.extend(branch_problem(&request.branch));
        problems
            .extend(request.git.secret_name.as_ref().and_then(|name| label_problem("--secret-name", name)));
        problems.extend(stdin_problem(request));
        let decryption = request.decryption.gather(&request.namespace, &mut problems);
        let workers = workers(request, &mut problems);
        let flux = request.manifests.load(&request.namespace);
        let flux = flux.map_err(|error| problems.push(manifest_failure(&error))).ok();
        problems.extend(flux.iter().flat_map(|flux| request.settings.problems(&flux.objects)));
        let install = request.install.gather().map_err(|failures| problems.extend(failures)).ok();
        let git = git_access(request, hub.is_some(), &mut problems);
        match (url, path, flux.zip(install)) {
            (Some(url), Some(path), Some((flux, install))) if problems.is_empty() => Ok(Self {
                hub,
                sync: SyncSpec {
                    namespace: request.namespace.clone(),
                    url,
                    branch: request.branch.clone(),
                    path,
                    decryption_secret: AGE_SECRET.to_owned(),
                    decryption: match decryption.is_empty() {
                        true if request.settings.give_identity() => flux_decryption(None),
                        true => serde_json::Value::Null,
                        false => flux_decryption(Some(AGE_SECRET)),
                    },
                    git_secret: git.secret_name.clone(),
                    proxy_secret: git.proxy.as_ref().map(|(name, _)| name.clone()),
                    provider: git.provider().map(str::to_owned),
                    verify_secret: git.signers.as_ref().map(|(name, _)| name.clone()),
                    service_account: install.options.sync_account(),
                },
                git,
                options: request.options.clone(),
                decryption,
                settings: request.settings.clone(),
                workers,
                flux: InstallManifests {
                    objects: install.options.apply(flux.objects, &request.namespace),
                    ..flux
                },
                install,
            }),
            _ => {
                let count = problems.len();
                Err(Failure::all(format!("{count} problems with the input; nothing was changed"), problems))
            }
        }
    }
}

/// A name as Kubernetes wants it for namespaces and for our Secrets: RFC 1123 label.
fn label_problem(what: &str, name: &str) -> Option<Failure> {
    (!is_label(name)).then(|| {
        Failure::usage(format!(
            "{what}: `{name}` is not a DNS label (lower-case letters, digits and `-`, at most 63)"
        ))
    })
}

/// Standard input can be read once.
fn stdin_problem(request: &Request) -> Option<Failure> {
    let count = request.decryption.stdin_count() + usize::from(request.git.reads_stdin());
    (count > 1)
        .then(|| Failure::usage("two secrets are to be read from standard input, which can be read once"))
}

/// The credentials for Git. A key is made only when all else is right.
fn git_access(request: &Request, asks_cluster: bool, problems: &mut Vec<Failure>) -> GitAccess {
    let may_write = request.may_write && problems.is_empty();
    if request.url.starts_with("ssh://")
        && !asks_cluster
        && request.git.private_key_file.is_none()
        && request.git.secret_name.is_none()
    {
        problems.push(no_ssh_key());
    }
    match request.git.gather(&request.url, &request.namespace, may_write) {
        Ok(access) => access,
        Err(failures) => {
            problems.extend(failures);
            GitAccess::default()
        }
    }
}

/// Flux reads nothing over ssh without a key.
pub(super) fn no_ssh_key() -> Failure {
    Failure::usage("--url: over ssh Flux reads nothing without a key of its own")
        .hint("--private-key-file FILE --known-hosts-file FILE; --generate-private-key makes the key")
        .hint("--secret-name NAME where the Secret is on the cluster already")
}

fn git_url(request: &Request) -> Result<String, Failure> {
    let given = &request.url;
    let refused = |reason: &str| Failure::usage(format!("--url: {reason}: {given}"));
    let parsed = url::Url::parse(given);
    let looks_like_scp = given
        .split_once(':')
        .is_some_and(|(host, path)| host.contains('@') && !host.contains('/') && !path.starts_with("//"));
    if looks_like_scp {
        let (host, path) = given.split_once(':').unwrap_or_default();
        return Err(refused("Flux does not take this short form").hint(format!("--url ssh://{host}/{path}")));
    }
    let Ok(url) = parsed else {
        return Err(refused("not a URL").hint("--url https://git.example.com/platform/gitops.git"));
    };
    if url.password().is_some() || (url.scheme() != "ssh" && !url.username().is_empty()) {
        // Not `refused`: it would repeat the password.
        return Err(Failure::usage("--url: it holds credentials, which the GitRepository object would show")
            .hint("leave them out of the URL: --username NAME --password-file FILE"));
    }
    match url.scheme() {
        "https" | "ssh" => {}
        "http" if request.allow_insecure_http || (request.allow_loopback && is_loopback(&url)) => {}
        "http" => return Err(refused("plain http").hint("use https, or --allow-insecure-http")),
        _ => return Err(refused("Flux takes https, http and ssh URLs only")),
    }
    if is_loopback(&url) && !request.allow_loopback {
        return Err(refused("reachable from this machine only")
            .hint("use the address that the infra cluster reaches, or --allow-loopback where both run on this machine"));
    }
    Ok(given.clone())
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The folder in the repository, without `./` before and `/` behind.
fn sync_path(given: &str) -> Result<String, Failure> {
    let path = given.trim_start_matches("./").trim_end_matches('/');
    let path = if path == "." { "" } else { path };
    if given.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(Failure::usage(format!("--path: a folder inside the repository is wanted: {given}"))
            .hint("--path clusters/infra"));
    }
    Ok(path.to_owned())
}

/// What `git check-ref-format` refuses in a branch name, as far as it could be mistyped.
fn branch_problem(branch: &str) -> Option<Failure> {
    let bad = branch.is_empty()
        || branch.starts_with(['-', '/'])
        || branch.ends_with(['/', '.'])
        || branch.contains("..")
        || branch.contains(|c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c));
    bad.then(|| Failure::usage(format!("--branch: not a branch name: `{branch}`")))
}

fn manifest_failure(error: &ManifestError) -> Failure {
    let failure = Failure::usage(error.to_string());
    let failure = match std::error::Error::source(error) {
        Some(source) => failure.because(source),
        None => failure,
    };
    match error {
        ManifestError::NoFluxCli => failure
            .hint("flux install --export > flux.yaml   # on a machine with the flux CLI, then --flux-manifests flux.yaml")
            .hint("or put the flux CLI on PATH"),
        ManifestError::NotFlux { .. } => {
            failure.hint("flux install --export > flux.yaml, then --flux-manifests flux.yaml")
        }
        ManifestError::Unpinned { found, .. } => {
            failure.hint(format!("if you trust what is there now: --flux-manifests-sha256 {found}"))
        }
        ManifestError::OtherNamespace { found, wanted, .. } => failure
            .hint(format!("--namespace {found}, or flux install --export --namespace {wanted}")),
        _ => failure,
    }
}

/// Each worker's kubeconfig, minified and flattened to what Flux keeps.
fn workers(request: &Request, problems: &mut Vec<Failure>) -> Vec<Worker> {
    let mut found: Vec<Worker> = Vec::new();
    let mut kubeconfigs = Kubeconfigs::default();
    for asked in &request.workers {
        if found.iter().any(|worker| worker.name == asked.name) {
            problems.push(Failure::usage(format!("--worker: `{}` is named twice", asked.name)));
        } else if let Some(problem) = label_problem("--worker", &asked.name) {
            problems.push(problem);
        } else {
            match worker(asked, request, &mut kubeconfigs) {
                Ok(worker) => found.push(worker),
                Err(failures) => problems.extend(failures),
            }
        }
    }
    found
}

fn worker(
    asked: &WorkerRequest,
    request: &Request,
    kubeconfigs: &mut Kubeconfigs,
) -> Result<Worker, Vec<Failure>> {
    let name = &asked.name;
    let credential = if request.copy_credentials { CredentialKind::Copied } else { CredentialKind::Minted };
    let terms = Terms {
        credential,
        scope: Scope::Cluster,
        lifetime: LIFETIME,
        new_token: false,
        allow_loopback: request.allow_loopback,
        oidc: None,
        namespaces: Vec::new(),
        // A worker that was built anew is `worker add`'s to replace.
        replace: false,
        force: request.force_conflicts,
        request_timeout: request.hub.as_ref().map_or(Duration::from_secs(30), |hub| hub.request_timeout),
    };
    let terms = match &asked.section {
        Some(section) => section.terms(&terms).map_err(|failure| vec![failure])?,
        None => terms,
    };
    let copied = terms.credential == CredentialKind::Copied;
    let asked = AddRequest {
        name: name.clone(),
        source: asked.source.clone(),
        context: asked.context.clone(),
        terms,
    };
    match resolve(&asked, kubeconfigs) {
        Ok(resolved) => {
            let copied = copied.then(|| resolved.remote.clone());
            Ok(Worker { name: name.clone(), resolved, copied })
        }
        Err(WorkerError::Unusable { context, problems }) => {
            let place = format!("worker {name} (context {context})");
            let failure = |problem: RemoteProblem| {
                Failure::usage(problem.to_string()).at(place.clone()).hint(problem.hint())
            };
            Err(problems.into_iter().map(failure).collect())
        }
        Err(error) => Err(vec![Failure::from(error).at(format!("worker {name}"))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(given: &str, more: &[&str]) -> Result<String, String> {
        let request = Request {
            hub: None,
            namespace: "flux-system".to_owned(),
            url: given.to_owned(),
            branch: "main".to_owned(),
            path: String::new(),
            decryption: DecryptionRequest::default(),
            settings: Settings::default(),
            workers: Vec::new(),
            manifests: ManifestSource::FluxCli,
            force_conflicts: false,
            copy_credentials: false,
            allow_loopback: more.contains(&"--allow-loopback"),
            allow_insecure_http: more.contains(&"--allow-insecure-http"),
            git: GitAccessRequest::default(),
            install: InstallRequest::default(),
            options: Options::default(),
            may_write: false,
        };
        git_url(&request).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn git_urls() {
        for good in ["https://git.example.com/a/b.git", "ssh://git@git.example.com/a/b.git"] {
            assert_eq!(url(good, &[]).as_deref(), Ok(good));
        }
        for bad in [
            "git@git.example.com:a/b.git",
            "file:///srv/git/b.git",
            "nonsense",
            "http://git.example.com/b",
            "https://localhost/b",
        ] {
            assert!(url(bad, &[]).is_err(), "{bad}");
        }
        assert!(url("git@h:a/b.git", &[]).unwrap_err().contains("--url ssh://git@h/a/b.git"));
        assert!(url("http://127.0.0.1:9/b", &["--allow-loopback"]).is_ok());
        assert!(url("http://git.example.com/b", &["--allow-insecure-http"]).is_ok());
        let leaky = url("https://me:CANARY@git.example.com/b", &[]).unwrap_err();
        assert!(!leaky.contains("CANARY"), "{leaky}");
    }

    #[test]
    fn paths_stay_inside_the_repository() {
        for (given, path) in [
            ("./clusters/infra/", "clusters/infra"),
            ("clusters/infra", "clusters/infra"),
            ("./", ""),
            (".", ""),
        ] {
            assert_eq!(sync_path(given).unwrap(), path);
        }
        for bad in ["/etc", "../other", "a/../../b"] {
            assert!(sync_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_labels() {
        assert!(label_problem("n", "worker01").is_none());
        for bad in ["", "Worker", "-a", "a-", "a.b", "a_b", &"a".repeat(64)] {
            assert!(label_problem("n", bad).is_some(), "{bad}");
        }
        for bad in ["", "-x", "a..b", "a b", "a:b", "a/"] {
            assert!(branch_problem(bad).is_some(), "{bad}");
        }
        assert!(branch_problem("feature/x").is_none());
    }
}

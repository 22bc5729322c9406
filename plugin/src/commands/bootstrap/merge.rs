//! A document and flags together: what a flag says, wins.

use super::args::{BootstrapArgs, Pair};
use crate::bootstrap::BootstrapSpec;
use crate::cluster::{ConnectionArgs, KubeconfigSource};
use kubiya_hook::edge::Failure;
use std::path::PathBuf;

/// Puts what a document says where no flag said anything.
///
/// # Errors
/// A command in the document that was not allowed.
pub(super) fn merge(
    args: &mut BootstrapArgs,
    connection: &mut ConnectionArgs,
    spec: BootstrapSpec,
) -> Result<(), Failure> {
    let BootstrapSpec { context, namespace, git, age, flux, workers, allow_loopback, timeout, wait } = spec;
    fill(&mut connection.context, context);
    if let Some(namespace) = namespace.filter(|_| !connection.namespace_given) {
        connection.namespace = namespace;
    }
    let shown = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
    // Credentials are one thing: a flag for them puts all of the document's out of force.
    let flags =
        args.password_file.is_some() || args.bearer_token_file.is_some() || args.private_key_file.is_some();
    fill(&mut args.url, git.url);
    fill(&mut args.branch, git.branch);
    fill(&mut args.path, git.path);
    fill(&mut args.ca_file, git.ca_file);
    fill(&mut args.secret_name, git.secret_name);
    fill(&mut args.known_hosts_file, git.known_hosts_file);
    if !flags {
        fill(&mut args.username, git.username);
        args.password_file = shown(git.password_file);
        args.bearer_token_file = shown(git.bearer_token_file);
        args.private_key_file = git.private_key_file;
        args.generate_private_key |= git.generate_private_key;
    }
    args.allow_insecure_http |= git.allow_insecure_http;
    args.allow_loopback |= allow_loopback;
    if args.age_key_file.is_none() && args.age_key_cmd.is_none() {
        args.age_key_file = shown(age.key_file);
        if age.key_command.is_some() && !args.allow_commands {
            return Err(Failure::usage("the document has a command, which is not run unless you say so")
                .because_of("spec.age.keyCommand")
                .hint("read it, then: --allow-commands"));
        }
        args.age_key_cmd = age.key_command;
    }
    if args.flux_manifests.is_none() {
        args.flux_manifests = flux.manifests;
        fill(&mut args.flux_manifests_sha256, flux.sha256);
    }
    for worker in workers {
        let named = |pairs: &[Pair]| pairs.iter().any(|pair| pair.name == worker.name);
        if named(&args.worker) || named(&args.worker_kubeconfig) {
            continue;
        }
        worker.way(&KubeconfigSource::Ambient)?;
        let pair = |value: String| Pair { name: worker.name.clone(), value };
        args.worker.extend(worker.context.clone().map(pair));
        args.worker_kubeconfig.extend(shown(worker.kubeconfig.clone()).map(pair));
        args.sections.insert(worker.name.clone(), worker);
    }
    fill(&mut args.timeout, timeout);
    fill(&mut args.wait, wait);
    Ok(())
}

fn fill<T>(flag: &mut Option<T>, field: Option<T>) {
    if flag.is_none() {
        *flag = field;
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
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    fn merged(words: &[&str], spec: &str) -> Result<(BootstrapArgs, ConnectionArgs), Failure> {
        let mut only = Only::parse_from([&["bootstrap", "-f", "x"], words].concat());
        let spec = serde_yaml::from_str(spec).unwrap();
        merge(&mut only.args, &mut only.connection, spec).map(|()| (only.args, only.connection))
    }

    const SPEC: &str = "\
context: infra
git: {url: https://h/r, branch: next, path: clusters/infra, username: u, passwordFile: p}
age: {keyFile: k}
workers: [{name: a, context: ctx-a}, {name: b, kubeconfig: b.yaml}]
wait: false
timeout: 90s
";

    #[test]
    fn fields_stand_where_no_flag_does() {
        let (args, connection) = merged(&[], SPEC).unwrap();
        assert_eq!(args.url.as_deref(), Some("https://h/r"));
        assert_eq!((args.branch.as_deref(), args.wait), (Some("next"), Some(false)));
        assert_eq!(args.password_file.as_deref(), Some("p"));
        assert_eq!(connection.context.as_deref(), Some("infra"));
        assert_eq!((args.worker.len(), args.worker_kubeconfig.len()), (1, 1));
    }

    #[test]
    fn flags_win() {
        let words = [
            "--branch",
            "main",
            "--wait",
            "--context",
            "other",
            "--bearer-token-file",
            "t",
            "--worker",
            "a=mine",
        ];
        let (args, connection) = merged(&words, SPEC).unwrap();
        assert_eq!((args.branch.as_deref(), args.wait), (Some("main"), Some(true)));
        assert_eq!(connection.context.as_deref(), Some("other"));
        // Another kind of credentials, not both.
        assert_eq!((args.bearer_token_file.as_deref(), args.password_file), (Some("t"), None));
        assert_eq!(args.worker, [Pair { name: "a".to_owned(), value: "mine".to_owned() }]);
    }

    #[test]
    fn a_command_runs_only_when_it_is_allowed() {
        let spec = "{git: {url: https://h/r}, age: {keyCommand: show CANARY}}";
        let refused = merged(&[], spec).unwrap_err();
        assert!(!format!("{refused:?}").contains("CANARY"));
        assert_eq!(
            merged(&["--allow-commands"], spec).unwrap().0.age_key_cmd.as_deref(),
            Some("show CANARY")
        );
        // A flag makes the field void.
        assert!(merged(&["--age-key-file", "k"], spec).unwrap().0.age_key_cmd.is_none());
    }
}

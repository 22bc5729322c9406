//! A document and flags together: what a flag says, wins.

use super::args::{BootstrapArgs, Pair};
use super::decryption_args::{DecryptionArgs, Setting};
use super::git_args::GitArgs;
use crate::bootstrap::{AgeSection, BootstrapSpec, GitSection, SettingsSection};
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
    let BootstrapSpec {
        context,
        namespace,
        git,
        age,
        mut flux,
        workers,
        apply_kustomize,
        policies,
        allow_loopback,
        timeout,
        wait,
    } = spec;
    fill(&mut connection.context, context);
    if let Some(namespace) = namespace.filter(|_| !connection.namespace_given) {
        connection.namespace = namespace;
    }
    let shown = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
    fill(&mut args.url, git.url.clone());
    fill(&mut args.branch, git.branch.clone());
    fill(&mut args.path, git.path.clone());
    args.allow_insecure_http |= git.allow_insecure_http;
    merge_git(&mut args.git, git);
    args.allow_loopback |= allow_loopback;
    merge_keys(&mut args.decryption, age, args.allow_commands)?;
    let settings = &mut args.decryption;
    merge_settings(&mut settings.service_account_annotation, &flux.service_account_annotations);
    merge_settings(&mut settings.pod_annotation, &flux.pod_annotations);
    merge_settings(&mut settings.pod_label, &flux.pod_labels);
    if args.flux_manifests.is_none() {
        args.flux_manifests = flux.manifests.take();
        fill(&mut args.flux_manifests_sha256, flux.sha256.take());
    }
    args.install.fill(flux, apply_kustomize, policies);
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

/// Credentials for Git are one thing: a flag for them puts all of the document's out of force.
fn merge_git(args: &mut GitArgs, git: GitSection) {
    let shown = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
    if !args.names_credentials() {
        fill(&mut args.username, git.username);
        args.password_file = shown(git.password_file);
        args.bearer_token_file = shown(git.bearer_token_file);
        args.tls_crt_file = git.tls_crt_file;
        args.tls_key_file = git.tls_key_file;
        args.private_key_file = git.private_key_file;
        args.generate_private_key |= git.generate_private_key;
        if let Some(app) = git.github_app {
            args.github_app_id = Some(app.id);
            args.github_app_installation_id = app.installation_id;
            args.github_app_installation_owner = app.installation_owner;
            args.github_app_private_key_file = Some(app.private_key_file);
            args.github_app_base_url = app.base_url;
        }
    }
    if let (None, Some(proxy)) = (&args.proxy, git.proxy) {
        args.proxy = Some(proxy.url);
        args.proxy_username = proxy.username;
        args.proxy_password_file = shown(proxy.password_file);
    }
    if args.verify_keys.is_empty() {
        args.verify_keys = git.verify_keys;
    }
    fill(&mut args.ca_file, git.ca_file);
    fill(&mut args.secret_name, git.secret_name);
    fill(&mut args.known_hosts_file, git.known_hosts_file);
}

/// What Flux decrypts with. A flag that says where identities come from puts all of the document's sources out of force.
fn merge_keys(args: &mut DecryptionArgs, age: AgeSection, allow_commands: bool) -> Result<(), Failure> {
    let sources = !args.names_keys();
    if sources {
        if let (Some(field), false) = (age.commands().first(), allow_commands) {
            return Err(Failure::usage("the document has a command, which is not run unless you say so")
                .because_of(*field)
                .hint("read it, then: --allow-commands"));
        }
        let files = age.key_file.iter().chain(&age.key_files);
        args.age_key_file = files.map(|path| path.display().to_string()).collect();
        args.age_key_env.extend(age.key_environment);
        args.age_key_cmd.extend(age.key_command);
        args.age_key_from_context = age.key_from_context;
        args.store_command = age.store_command;
        args.read_back_command = age.read_back_command;
        args.generate_age_key |= age.generate;
    }
    if args.recovery.is_empty() && !args.no_recovery {
        args.recovery = age.recovery;
        args.no_recovery = age.no_recovery;
    }
    for (name, path) in age.entries {
        if !args.sops_entry.iter().any(|pair| pair.name == name) {
            args.sops_entry.push(Pair { name, value: path.display().to_string() });
        }
    }
    for namespace in age.namespaces {
        if !args.decryption_namespace.iter().any(|(name, _)| *name == namespace.name) {
            args.decryption_namespace.push((namespace.name, namespace.key_file));
        }
    }
    args.share_key |= age.share_key;
    args.global_age_key |= age.global_key;
    Ok(())
}

/// Labels or annotations: those that no flag says.
fn merge_settings(flags: &mut Vec<Setting>, section: &SettingsSection) {
    for (controller, values) in section {
        for (key, value) in values {
            if !flags.iter().any(|flag| flag.controller == *controller && flag.key == *key) {
                let (controller, key) = (controller.clone(), key.clone());
                flags.push(Setting { controller, key, value: Some(value.clone()) });
            }
        }
    }
}

pub(super) fn fill<T>(flag: &mut Option<T>, field: Option<T>) {
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
flux: {multitenant: true, registry: mirror, imagePullSecret: pull, proxy: 'http://p:1', noProxy: n, caFile: ca, openshift: true}
applyKustomize: own
policies: {action: deny, allowUsers: [jane]}
";

    #[test]
    fn fields_stand_where_no_flag_does() {
        let (args, connection) = merged(&[], SPEC).unwrap();
        assert_eq!(args.url.as_deref(), Some("https://h/r"));
        assert_eq!((args.branch.as_deref(), args.wait), (Some("next"), Some(false)));
        assert_eq!(args.git.password_file.as_deref(), Some("p"));
        assert_eq!(connection.context.as_deref(), Some("infra"));
        assert_eq!((args.worker.len(), args.worker_kubeconfig.len()), (1, 1));
        let install = args.install.request().unwrap();
        assert!(install.multitenant && install.openshift);
        assert_eq!(
            (install.registry.as_deref(), install.image_pull_secret.as_deref()),
            (Some("mirror"), Some("pull"))
        );
        assert_eq!((install.proxy.as_deref(), install.no_proxy.as_deref()), (Some("http://p:1"), Some("n")));
        assert_eq!((install.ca_file, install.kustomize), (Some("ca".into()), Some("own".into())));
        let policies = install.policies.unwrap();
        assert!(policies.deny && policies.allowed_users == ["jane"]);
    }

    #[test]
    fn flags_win() {
        let words = [
            "--registry=mine",
            "--policies=warn",
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
        assert_eq!(args.install.registry.as_deref(), Some("mine"));
        assert!(args.install.policies.is_some() && args.install.policy_allow_user.is_empty());
        // Another kind of credentials, not both.
        assert_eq!((args.git.bearer_token_file.as_deref(), args.git.password_file), (Some("t"), None));
        assert_eq!(args.worker, [Pair { name: "a".to_owned(), value: "mine".to_owned() }]);
    }

    #[test]
    fn every_way_to_the_repository_is_said_by_fields_as_well() {
        let spec = "{git: {url: https://h/r, tlsCrtFile: c, tlsKeyFile: k, verifyKeys: [a, b], \
            githubApp: {id: '1', installationOwner: o, privateKeyFile: p, baseUrl: https://g/api/v3}, \
            proxy: {url: 'http://p:1', username: u, passwordFile: f}}}";
        let found = merged(&[], spec).unwrap().0.git.request();
        assert_eq!((found.tls_crt_file, found.tls_key_file), (Some("c".into()), Some("k".into())));
        assert_eq!(
            (found.github_app.id.as_deref(), found.github_app.installation_owner.as_deref()),
            (Some("1"), Some("o"))
        );
        assert_eq!(
            (found.proxy.as_deref(), found.proxy_password_file.as_deref()),
            (Some("http://p:1"), Some("f"))
        );
        assert_eq!(found.verify_keys.len(), 2);
        let flags = ["--bearer-token-file", "t", "--proxy", "http://q:1"];
        let found = merged(&flags, spec).unwrap().0.git.request();
        assert!(
            found.tls_crt_file.is_none() && found.github_app.id.is_none() && found.proxy_username.is_none()
        );
    }

    #[test]
    fn keys_and_settings_of_controllers_are_said_by_fields_as_well() {
        let spec = "{age: {keyFiles: [a, b], keyEnvironment: E, keyFromContext: old, entries: {sops.vault-token: t}, \
            namespaces: [{name: apps}, {name: other, keyFile: o}], shareKey: true, globalKey: true, noRecovery: true}, \
            flux: {serviceAccountAnnotations: {kustomize-controller: {a: x, b: y}}}}";
        let flags = [
            "--service-account-annotation",
            "kustomize-controller=a=flag",
            "--decryption-namespace",
            "other=f",
        ];
        let found = merged(&flags, spec).unwrap().0.decryption;
        assert_eq!((found.age_key_file.len(), found.age_key_env.len()), (2, 1));
        assert_eq!(found.age_key_from_context.as_deref(), Some("old"));
        assert!(found.share_key && found.global_age_key && found.no_recovery);
        assert_eq!(found.sops_entry, [Pair { name: "sops.vault-token".to_owned(), value: "t".to_owned() }]);
        assert_eq!(
            found.decryption_namespace,
            [("other".to_owned(), Some("f".into())), ("apps".to_owned(), None)]
        );
        let values = found.service_account_annotation.iter().map(|one| one.value.as_deref().unwrap());
        assert_eq!(values.collect::<Vec<_>>(), ["flag", "y"]);
    }

    #[test]
    fn a_command_runs_only_when_it_is_allowed() {
        let spec = "{git: {url: https://h/r}, age: {keyCommand: show CANARY}}";
        let refused = merged(&[], spec).unwrap_err();
        assert!(!format!("{refused:?}").contains("CANARY"));
        let allowed = merged(&["--allow-commands"], spec).unwrap().0.decryption;
        assert_eq!(allowed.age_key_cmd, ["show CANARY"]);
        // A flag makes the field void.
        assert!(merged(&["--age-key-file", "k"], spec).unwrap().0.decryption.age_key_cmd.is_empty());
        for field in ["storeCommand", "readBackCommand"] {
            assert!(merged(&[], &format!("{{age: {{{field}: show CANARY}}}}")).is_err());
        }
    }
}

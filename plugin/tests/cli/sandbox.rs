//! A folder of its own with what bootstrap needs, and the binary run in it with a cleared environment.

use kubiya_policies::sops::age::Identity;
use secrecy::ExposeSecret as _;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A token that must never be seen in any output.
pub(crate) const CANARY: &str = "CANARY-0a1b2c3d4e5f";

pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
    identity: Identity,
}

impl Sandbox {
    /// With a good key, kubeconfig (hub and worker01, neither of which answers) and Flux manifest.
    pub(crate) fn new() -> Self {
        let sandbox = Self { dir: tempfile::tempdir().unwrap(), identity: Identity::generate() };
        let key = sandbox.identity.expose_line().expose_secret();
        sandbox.write("age.agekey", &format!("# created: today\n{key}\n"));
        sandbox.write("flux.yaml", &flux_manifest("flux-system"));
        sandbox.write("config", &kubeconfig("https://127.0.0.1:1"));
        std::os::unix::fs::symlink(binary(), sandbox.path("kubectl-kubiya")).unwrap();
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes creation rules for everything, for the key of the sandbox.
    pub(crate) fn write_rules(&self, name: &str) {
        let recipient = self.identity.recipient().unwrap();
        self.write(
            name,
            &format!("creation_rules:\n  - encrypted_regex: ^(data|stringData)$\n    age: {recipient}\n"),
        );
    }

    /// Runs `bootstrap` with good arguments, overridden or extended by the given ones.
    pub(crate) fn bootstrap(&self, more: &[&str]) -> String {
        self.run(&Self::arguments(None, more))
    }

    /// Runs `bootstrap` with good arguments but for one flag.
    pub(crate) fn bootstrap_without(&self, flag: &str) -> String {
        self.run(&Self::arguments(Some(flag), &[]))
    }

    /// Good arguments for `bootstrap`, less one flag, and those given.
    pub(crate) fn arguments<'a>(without: Option<&str>, more: &[&'a str]) -> Vec<&'a str> {
        let good = [
            ("--url", "https://git.invalid/gitops.git"),
            ("--age-key-file", "age.agekey"),
            ("--flux-manifests", "flux.yaml"),
            ("--kubeconfig", "config"),
        ];
        let kept = good.into_iter().filter(|(flag, _)| Some(*flag) != without && !more.contains(flag));
        let kept = kept.flat_map(|(flag, value)| [flag, value]);
        ["bootstrap"].into_iter().chain(kept).chain(more.iter().copied()).collect()
    }

    /// Runs `kubectl-kubiya` and returns stdout, stderr and exit code, with this folder's path masked.
    /// Whatever happens, the folder's files and the canary stay where they are.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        self.run_as("kubectl-kubiya", words)
    }

    /// `kubectl-kubiya` in the folder, with nothing of the environment but what it needs.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_as("kubectl-kubiya", words)
    }

    fn command_as(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.path(name));
        command.args(words).current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.dir.path()).env("PATH", self.dir.path()).env("COLUMNS", "100");
        command.stdin(std::process::Stdio::null());
        command
    }

    pub(crate) fn run_as(&self, name: &str, words: &[&str]) -> String {
        let before = self.files();
        let output = self.command_as(name, words).output().unwrap();
        assert_eq!(before, self.files(), "files were written");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let all = format!("{stdout}{stderr}");
        let key = self.identity.expose_line().expose_secret();
        assert!(!all.contains(CANARY) && !all.contains(key), "a secret was shown:\n{all}");
        let code = output.status.code().map_or("signal".to_owned(), |code| code.to_string());
        let shown = format!("{stdout}------- stderr\n{stderr}------- exit code {code}\n");
        shown.replace(self.dir.path().to_str().unwrap(), "[DIR]")
    }

    /// Runs without the check that nothing is written.
    pub(crate) fn change(&self, words: &[&str]) -> String {
        let mut command = Command::new(self.path("kubectl-kubiya"));
        command.args(words).current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.dir.path()).env("PATH", self.dir.path());
        let output = command.output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stderr).replace(self.dir.path().to_str().unwrap(), "[DIR]");
        let text = text.replace(binary().canonicalize().unwrap().to_str().unwrap(), "[BINARY]");
        format!("{text}------- exit code {}\n", output.status.code().unwrap_or(-1))
    }

    pub(crate) fn recipient(&self) -> String {
        self.identity.recipient().unwrap()
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, found);
                }
                found.insert(path);
            }
        }
        let mut found = BTreeSet::new();
        walk(self.dir.path(), &mut found);
        found
    }
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kubectl-kubiya"))
}

/// A kubeconfig with the contexts `hub` and `worker01`, both with a token.
pub(crate) fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: hub\n\
         clusters:\n- name: c\n  cluster: {{server: \"{server}\", insecure-skip-tls-verify: true}}\n\
         - name: w\n  cluster: {{server: \"{server}\"}}\n\
         users:\n- name: u\n  user: {{token: {CANARY}}}\n\
         contexts:\n- name: hub\n  context: {{cluster: c, user: u}}\n- name: worker01\n  context: {{cluster: w, user: u}}\n"
    )
}

/// The least that passes as Flux.
pub(crate) fn flux_manifest(namespace: &str) -> String {
    let mut text = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
    for (kind, group) in [("GitRepository", "source"), ("Kustomization", "kustomize")] {
        let plural = if kind == "GitRepository" { "gitrepositories" } else { "kustomizations" };
        text += &format!(
            "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
             metadata:\n  name: {plural}.{group}.toolkit.fluxcd.io\n\
             spec:\n  group: {group}.toolkit.fluxcd.io\n  scope: Namespaced\n\
             \u{20} names: {{kind: {kind}, plural: {plural}}}\n  versions: [{{name: v1}}]\n"
        );
        text += &format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {group}-controller\n  namespace: {namespace}\n"
        );
    }
    text
}

//! A hub without Flux, a worker, a Git repository on a server, a key: what each test starts from.

use kubiya_policies::sops::age::Identity;
use kubiya_testdata::git_server::{GitServer, Options};
use kubiya_testdata::harness::{Rig, workspace_bin};
use kubiya_testdata::parts::PartSet;
use secrecy::ExposeSecret as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub(crate) struct World {
    pub(crate) rig: &'static Rig,
    pub(crate) identity: Identity,
    pub(crate) server: GitServer,
    dir: tempfile::TempDir,
    /// What no output may hold, besides the identity.
    hidden: Vec<String>,
    // Flux is there once for a whole cluster: tests take turns.
    _turn: File,
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_server(Options::default())
    }

    /// With a Git server that lets in only who has these credentials.
    pub(crate) fn with_server(options: Options) -> Self {
        let rig = Rig::shared(PartSet::Test);
        let turn = rig.flux_turn().unwrap();
        rig.uninstall_flux().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let hidden = options.credentials.iter().map(|(_, password)| password).chain(&options.token);
        let hidden = hidden.cloned().collect();
        let server = GitServer::start_with(&dir.path().join("server"), options).unwrap();
        server.create_repo("gitops", None).unwrap();
        let world = Self { rig, identity: Identity::generate(), server, dir, hidden, _turn: turn };
        world.write("age.agekey", &world.key_file());
        for folder in ["path", "flux-plugins", "repo/clusters/infra"] {
            std::fs::create_dir_all(world.path(folder)).unwrap();
        }
        let binary = env!("CARGO_BIN_EXE_kubectl-kubiya");
        std::os::unix::fs::symlink(binary, world.path("path/kubectl-kubiya")).unwrap();
        std::os::unix::fs::symlink(binary, world.path("flux-plugins/flux-kubiya")).unwrap();
        world.git(&["init", "--quiet", "--initial-branch=main"]);
        // By its folder, which asks nobody for a password.
        world.git(&["remote", "add", "origin", world.server.path("gitops").to_str().unwrap()]);
        world.write("repo/clusters/infra/first.yaml", &config_map("first"));
        world.push();
        world
    }

    /// Something else that no output may hold.
    pub(crate) fn hide(&mut self, secret: &str) {
        self.hidden.push(secret.to_owned());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("gitops")
    }

    /// Where the repository is on the server.
    pub(crate) fn server_path(&self) -> PathBuf {
        self.server.path("gitops")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn write_program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        self.write(name, text);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn key_file(&self) -> String {
        format!("{}\n", self.identity.expose_line().expose_secret())
    }

    /// Commits all of the repository's work tree and pushes it.
    pub(crate) fn push(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", "a change"]);
        self.git(&["push", "--quiet", "origin", "main"]);
    }

    /// Writes a Secret into the repository, encrypted by the real sops for an identity.
    pub(crate) fn write_encrypted(&self, name: &str, manifest: &str, identity: &Identity) {
        self.write(name, manifest);
        let recipient = identity.recipient().unwrap();
        let arguments =
            ["encrypt", "--in-place", "--age", &recipient, "--encrypted-regex", "^(data|stringData)$"];
        let file = self.path(name);
        let output = self.command(&self.rig.bin("sops")).args(arguments).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The arguments of a good bootstrap, and more.
    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<String> {
        let manifests = self.rig.info().flux_manifests.display().to_string();
        let url = self.url();
        let mut words = vec!["kubiya", "bootstrap"];
        for (flag, value) in [
            ("--context", "hub"),
            ("--url", &*url),
            ("--path", "clusters/infra"),
            ("--age-key-file", "age.agekey"),
            ("--flux-manifests", &*manifests),
        ] {
            if !more.contains(&flag) {
                words.extend([flag, value]);
            }
        }
        words.push("--allow-loopback");
        words.extend(more);
        words.into_iter().map(str::to_owned).collect()
    }

    /// `kubectl kubiya bootstrap`, by the real kubectl.
    pub(crate) fn bootstrap(&self, more: &[&str]) -> Said {
        let kubectl = self.rig.bin("kubectl");
        self.said(self.command(&kubectl).args(self.arguments(more)).output().unwrap())
    }

    /// `kubectl kubiya …`, by the real kubectl.
    pub(crate) fn kubiya(&self, words: &[&str]) -> Said {
        let kubectl = self.rig.bin("kubectl");
        self.said(self.command(&kubectl).arg("kubiya").args(words).output().unwrap())
    }

    /// `flux kubiya bootstrap`, by the real flux CLI.
    pub(crate) fn flux_bootstrap(&self, before: &[&str], more: &[&str]) -> Said {
        let flux = self.rig.bin("flux");
        self.said(self.command(&flux).args(before).args(self.arguments(more)).output().unwrap())
    }

    /// Begins a bootstrap and leaves it running. Not through kubectl: signals must reach the plugin.
    pub(crate) fn begin_bootstrap(&self, more: &[&str]) -> Child {
        let words: Vec<String> = self.arguments(more).into_iter().skip(1).collect();
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_kubectl-kubiya")));
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What the hub has at a JSON path, empty where there is nothing.
    pub(crate) fn hub(&self, object: &[&str], jsonpath: &str) -> String {
        let output = format!("jsonpath={jsonpath}");
        let words = ["get", "--ignore-not-found", "-o", &output].into_iter().chain(object.iter().copied());
        self.rig.hub().run(words).unwrap()
    }

    /// Names and resource versions of everything that bootstrap writes: equal when nothing was written.
    pub(crate) fn versions(&self) -> String {
        let kinds = "namespaces,clusterroles,clusterrolebindings,customresourcedefinitions";
        let versions = "{range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
        let cluster = self.hub(&[kinds, "-l", "app.kubernetes.io/part-of=flux"], versions);
        // A status is no write of ours: the generation of what has one, the version of the rest.
        let spec = "{range .items[*]}{.kind} {.metadata.name} {.metadata.generation}{\"\\n\"}{end}";
        let mut all = cluster + &self.hub(&["deployments,networkpolicies", "-n", "flux-system"], spec);
        all += &self.hub(&["secrets,serviceaccounts", "-n", "flux-system"], versions);
        if !self.hub(&["crd", "gitrepositories.source.toolkit.fluxcd.io"], "{.metadata.name}").is_empty() {
            all += &self.hub(&["gitrepositories,kustomizations", "-n", "flux-system"], spec);
        }
        all
    }

    /// Turns output into text, and makes sure that the private key is not in it.
    pub(crate) fn said(&self, output: Output) -> Said {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said = Said {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        let key = self.identity.expose_line().expose_secret();
        for secret in self.hidden.iter().map(String::as_str).chain([key]) {
            assert!(!said.stdout.contains(secret) && !said.stderr.contains(secret), "a secret was shown");
        }
        said
    }

    /// A program in an environment of its own.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let bin = &self.rig.info().bin_dir;
        let path = std::env::join_paths([&self.path("path"), bin, Path::new("/usr/bin"), Path::new("/bin")])
            .unwrap();
        command.env_clear().env("PATH", path).current_dir(self.dir.path());
        command.env("HOME", self.dir.path()).env("KUBECONFIG", &self.rig.info().kubeconfig);
        command.env("FLUXCD_PLUGINS", self.path("flux-plugins"));
        command.env("GIT_CONFIG_NOSYSTEM", "1").stdin(Stdio::null());
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@example.com");
        }
        command
    }

    /// Applies manifests to the hub.
    pub(crate) fn apply(&self, text: &str) {
        self.write("applied.yaml", text);
        let file = self.path("applied.yaml").display().to_string();
        self.rig.hub().run(["apply", "-f", &file]).unwrap();
    }

    /// The hook that judges pushes on the Git server.
    pub(crate) fn server_hook(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let hook = self.server.path("gitops").join("hooks/pre-receive");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        std::fs::write(&hook, text).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Another repository on the server; gives its URL.
    pub(crate) fn create_repo(&self, name: &str) -> String {
        self.server.create_repo(name, None).unwrap();
        self.server.url(name)
    }

    /// Commits all of a folder and pushes it.
    pub(crate) fn publish(&self, folder: &str, url: &str) {
        let folder = self.path(folder).display().to_string();
        for words in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "--all"],
            &["commit", "--quiet", "-m", "a change"],
            &["push", "--quiet", url, "main"],
        ] {
            self.git(&[&["-C", &folder], words].concat());
        }
    }

    /// Host and port of the hub's API server.
    pub(crate) fn hub_address(&self) -> String {
        let words = ["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
        self.rig.hub().run(words).unwrap().trim_start_matches("https://").to_owned()
    }

    pub(crate) fn git(&self, words: &[&str]) {
        self.git_line(words);
    }

    /// What a command of Git prints in the clone.
    pub(crate) fn git_line(&self, words: &[&str]) -> String {
        let output =
            self.command(Path::new("git")).args(words).current_dir(self.path("repo")).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// The test programs of the hook and the rig must be built; the message says how.
#[test]
fn the_programs_of_the_workspace_are_built() {
    assert!(workspace_bin("kubiya-rig").is_ok());
}

pub(crate) fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\n")
}

pub(crate) fn secret(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: default\nstringData:\n  password: {value}\n"
    )
}

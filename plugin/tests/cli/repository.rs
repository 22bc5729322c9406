//! A GitOps repository with rules and a key, and the commands on its files. No output may show a secret.

use kubiya_policies::sops::age::Identity;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;
use secrecy::ExposeSecret as _;
use std::path::PathBuf;
use std::process::Command;

/// Secrets that no output may show.
pub(crate) const CANARIES: [&str; 3] = ["CANARY-one-1f2e", "CANARY-two-3d4c", "CANARY-three-5b6a"];

/// A Secret with comments, quotes and blocks.
pub(crate) const SECRET: &str = "\
# The database of the shop
apiVersion: v1
kind: Secret
metadata:
  name: db   # used by shop

stringData:
  # rotated each quarter
  user: \"CANARY-one-1f2e\"
  password: 'CANARY-two-3d4c'   # long enough

  ca: |
    first line
    CANARY-three-5b6a
";

pub(crate) struct Repository<'e> {
    pub(crate) git: GitRepo<'e>,
    identity: Identity,
}

impl<'e> Repository<'e> {
    /// With a rule for `apps/`, and the key in `age.agekey`, which Git ignores.
    pub(crate) fn new(env: &'e TestEnv) -> Self {
        let git = GitRepo::init(env, "gitops");
        let identity = Identity::generate();
        let repository = Self { git, identity };
        repository.key_at("age.agekey");
        repository.git.write(".gitignore", "age.agekey\n");
        let recipient = repository.recipient();
        repository.rules(&format!(
            "creation_rules:\n  - path_regex: ^apps/\n    encrypted_regex: ^(data|stringData)$\n    age: {recipient}\n"
        ));
        repository
    }

    pub(crate) fn rules(&self, text: &str) {
        self.git.write(".sops.yaml", text);
    }

    pub(crate) fn recipient(&self) -> String {
        self.identity.recipient().unwrap()
    }

    pub(crate) fn key_at(&self, path: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        self.git.write(path, self.identity.expose_line().expose_secret());
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(path), mode).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.git.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A command in the repository, with keys only where a test puts them.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.git.command(env!("CARGO_BIN_EXE_kubectl-kubiya"));
        command.args(words).env("COLUMNS", "100");
        command
    }

    /// Runs `kubectl-kubiya`; stdout, stderr and exit code with names that differ between runs masked.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        self.finish(&mut self.command(words))
    }

    pub(crate) fn finish(&self, command: &mut Command) -> String {
        let shown = self.git.env().run(command).to_string();
        let key = self.identity.expose_line().expose_secret();
        for canary in CANARIES.iter().chain([&key]) {
            assert!(!shown.contains(canary), "a secret was shown:\n{shown}");
        }
        shown.replace(&self.recipient(), "[RECIPIENT]")
    }

    /// What the real sops makes of a file: its values as JSON, by its own keys.
    pub(crate) fn sops_json(&self, path: &str) -> serde_json::Value {
        let mut command = self.git.command("sops");
        command.args(["decrypt", "--output-type", "json", path]).env("SOPS_AGE_KEY_FILE", "age.agekey");
        command.env("SOPS_DISABLE_VERSION_CHECK", "1");
        let output = command.output().expect("sops is on PATH; scripts/test puts it there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

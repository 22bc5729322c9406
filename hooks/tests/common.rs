//! What the tests share: a server with the hook, a clone, and files to push.

use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;
use std::path::{Path, PathBuf};

/// The value that must never be shown, in every bad file of these tests.
pub(crate) const CANARY: &str = "canary-Zx81-hunter2";

/// A Secret in plain text.
pub(crate) fn plain_secret() -> String {
    named_secret("db")
}

/// A Secret in plain text with a name of its own, and so a content of its own.
pub(crate) fn named_secret(name: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  password: {CANARY}\n")
}

/// The program under test.
pub(crate) fn hook() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kubiya-hook"))
}

/// The files that every check must let pass, encrypted ones with their `.sops.yaml` among them.
pub(crate) fn good_corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/corpus/good")
}

/// Copies the good files to the top of a work tree.
pub(crate) fn copy_good_corpus(repo: &GitRepo<'_>) {
    for entry in std::fs::read_dir(good_corpus()).unwrap() {
        let entry = entry.unwrap();
        repo.write(entry.file_name().to_str().unwrap(), std::fs::read(entry.path()).unwrap());
    }
}

/// A server whose bare repository has the hook, and a clone with a first commit pushed.
pub(crate) struct World<'e> {
    pub(crate) server: GitRepo<'e>,
    pub(crate) clone: GitRepo<'e>,
}

impl<'e> World<'e> {
    pub(crate) fn new(env: &'e TestEnv) -> Self {
        Self::with_server(env, "server.git")
    }

    pub(crate) fn with_server(env: &'e TestEnv, name: &str) -> Self {
        let server = GitRepo::init_bare(env, name);
        server.hook("pre-receive", hook());
        let clone = GitRepo::init(env, "clone");
        let _ = clone.ok([Path::new("remote"), Path::new("add"), Path::new("origin"), server.path()]);
        let _ = clone.commit_file("README.md", "hello\n");
        let _ = clone.ok(["push", "--quiet", "origin", "main"]);
        Self { server, clone }
    }

    /// Pushes, with what Git prints on success taken away.
    pub(crate) fn push<const N: usize>(&self, arguments: [&str; N]) -> Transcript {
        let mut all = vec!["push", "--quiet", "origin"];
        all.extend(arguments);
        self.clone.git(all)
    }

    /// The name of a commit that a ref of the server points at; empty where there is none.
    pub(crate) fn on_server(&self, name: &str) -> String {
        String::from_utf8_lossy(self.server.git(["rev-parse", "--verify", "--quiet", name]).stdout())
            .trim()
            .to_owned()
    }
}

/// What the remote said of one thing: the lines in question.
pub(crate) fn lines_with(transcript: &Transcript, word: &str) -> Vec<String> {
    let lines = transcript.stderr();
    lines.lines().filter(|line| line.contains(word)).map(ToOwned::to_owned).collect()
}

/// Two recipients of age, whose private keys nobody has.
pub(crate) const ALICE: &str = "age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77";
pub(crate) const MALLORY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// A `.sops.yaml` with one rule.
pub(crate) fn rule(path_regex: &str, recipients: &str) -> String {
    format!("creation_rules:\n  - path_regex: {path_regex}\n    age: {recipients}\n")
}

impl World<'_> {
    /// Gives the server a configuration. `text` is what follows `kind`.
    pub(crate) fn configure(&self, text: &str) {
        let file = self.clone.env().root().join("hook.yaml");
        let head = "apiVersion: kubiya.dev/v1alpha1\nkind: HookConfig\nidentity: {pusher: PUSHER}\n";
        std::fs::write(&file, format!("{head}{text}")).unwrap();
        let _ = self.server.ok([Path::new("config"), Path::new("kubiya.config"), &file]);
    }

    /// Pushes as somebody whom the server knows.
    pub(crate) fn push_as<const N: usize>(&self, who: &str, arguments: [&str; N]) -> Transcript {
        let mut command = self.clone.command("git");
        command.args(["push", "--quiet", "origin"]).args(arguments).env("PUSHER", who);
        self.clone.env().run(&mut command)
    }
}

/// A server whose main branch wants what is under `vault/` encrypted.
pub(crate) fn governed(env: &TestEnv) -> World<'_> {
    let world = World::new(env);
    world.clone.write("apps/web.yaml", "kind: ConfigMap\napiVersion: v1\n");
    world.clone.commit_file(".sops.yaml", rule("^vault/", ALICE));
    let _ = world.push(["main"]).success();
    world
}

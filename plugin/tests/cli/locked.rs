//! A folder with rules, a key and a file that sops encrypted; a folder in memory of its own; editors made of
//! a few lines of shell.

use kubiya_policies::sops::age::Identity;
use secrecy::ExposeSecret as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A value that must never be seen in any output, nor stay in any file.
pub(crate) const CANARY: &str = "CANARY-5e6f7a8b9c0d";

pub(crate) const PLAIN: &str = "\
apiVersion: v1
kind: Secret
metadata:
    name: db
stringData:
    # who
    user: CANARY-5e6f7a8b9c0d
    pin: \"5\"
    pem: |
        one
        two
";

pub(crate) struct Locked {
    dir: tempfile::TempDir,
    pub(crate) memory: tempfile::TempDir,
    identity: Identity,
}

impl Locked {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let locked = Self { dir, memory, identity: Identity::generate() };
        locked.write("age.agekey", locked.identity.expose_line().expose_secret());
        locked.rule("^(data|stringData)$", &[&locked.recipient()]);
        locked.write("db.yaml", PLAIN);
        locked.sops(&["encrypt", "-i", "db.yaml"]);
        locked
    }

    pub(crate) fn rule(&self, regex: &str, recipients: &[&str]) {
        let rule = format!(
            "creation_rules:\n- path_regex: db|new|env|ini|json\n  encrypted_regex: {regex}\n  age: {}\n",
            recipients.join(",")
        );
        self.write(".sops.yaml", &rule);
    }

    pub(crate) fn recipient(&self) -> String {
        self.identity.recipient().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// An editor that runs these lines of shell; `$1` is the file.
    pub(crate) fn editor(&self, lines: &str) {
        self.write("editor", &format!("#!/bin/sh\nPATH=/usr/bin:/bin\nset -e\n{lines}\n"));
        std::fs::set_permissions(self.path("editor"), std::fs::Permissions::from_mode(0o700)).unwrap();
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kubiya"));
        command.args(words).current_dir(self.path("")).env_clear().stdin(Stdio::null());
        command.env("HOME", self.path("")).env("PATH", "/nowhere").env("COLUMNS", "100");
        command.env("SOPS_AGE_KEY_FILE", self.path("age.agekey"));
        command.env("XDG_RUNTIME_DIR", self.memory.path()).env("EDITOR", self.path("editor"));
        command
    }

    /// Runs it; stdout, stderr and exit code, with the folders masked. No value is in it.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        self.run_with(words, "")
    }

    /// Runs it with a value on standard input.
    pub(crate) fn run_with(&self, words: &[&str], stdin: &str) -> String {
        self.write("stdin", stdin);
        let input = std::fs::File::open(self.path("stdin")).unwrap();
        let output = self.command(words).stdin(input).output().unwrap();
        std::fs::remove_file(self.path("stdin")).unwrap();
        self.shown(&output)
    }

    pub(crate) fn shown(&self, output: &std::process::Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let all = format!(
            "{}------- stderr\n{}------- exit code {}\n",
            text(&output.stdout),
            text(&output.stderr),
            output.status.code().map_or("signal".to_owned(), |code| code.to_string())
        );
        assert!(!all.contains(CANARY), "a secret was shown:\n{all}");
        all.replace(self.path("").to_str().unwrap().trim_end_matches('/'), "[DIR]")
            .replace(self.memory.path().to_str().unwrap(), "[MEMORY]")
    }

    /// The plain text, by the real sops.
    pub(crate) fn decrypted(&self, name: &str) -> String {
        self.sops(&["decrypt", name])
    }

    pub(crate) fn sops(&self, words: &[&str]) -> String {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).map(|folder| folder.join("sops")).find(|file| file.is_file());
        let sops = found.expect("`sops` is not on PATH: run the tests by scripts/test");
        let mut command = Command::new(sops);
        command.args(words).current_dir(self.path("")).env_clear().env("HOME", self.path(""));
        command.env("SOPS_AGE_KEY_FILE", self.path("age.agekey")).env("SOPS_DISABLE_VERSION_CHECK", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Keys of the lines that a change took out of a file, without `lastmodified`: two changes may be made in
    /// one second.
    pub(crate) fn changed(before: &str, after: &str) -> Vec<String> {
        let gone = before.lines().filter(|line| !after.lines().any(|other| other == *line));
        let keys = gone.map(|line| line.trim().split([':', '=', ' ']).next().unwrap().to_owned());
        keys.filter(|key| !key.contains("lastmodified")).collect()
    }

    /// Starts an editor that says when it runs, and then waits.
    pub(crate) fn waiting(&self) -> (Child, PathBuf) {
        self.editor("cp \"$1\" \"$1~\"; echo \"$1\" > running.part; mv running.part running; while kill -0 $PPID 2>/dev/null; do sleep 0.05; done");
        let child =
            self.command(&["edit", "db.yaml"]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.path("running").exists() {
            assert!(Instant::now() < deadline, "the editor was not started");
            std::thread::sleep(Duration::from_millis(20));
        }
        let file = PathBuf::from(self.read("running").trim());
        std::fs::remove_file(self.path("running")).unwrap();
        (child, file)
    }

    /// Files below the work folder or the memory folder in which the canary is.
    pub(crate) fn left_in_clear(&self) -> Vec<PathBuf> {
        fn look(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    look(&path, found);
                } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(CANARY) {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        look(&self.path(""), &mut found);
        look(self.memory.path(), &mut found);
        found
    }
}

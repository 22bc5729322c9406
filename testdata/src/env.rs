//! A machine of its own for a test: nothing of the user's environment, fixed clock and identity, and output
//! that is the same everywhere.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A folder with a home, and commands that see nothing else. Removed when it is dropped.
#[derive(Debug)]
pub struct TestEnv {
    _folder: TempDir,
    root: PathBuf,
    /// Seconds since the first commit of the test, so that commits have the same names in every run.
    clock: AtomicU32,
}

/// When the clock of a test starts: 2001-02-03 04:05:06 UTC.
const EPOCH: u32 = 981_173_106;

impl TestEnv {
    /// An empty machine.
    #[must_use]
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test cannot go on without it")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("kubiya-").tempdir().expect("a folder for the test");
        let root = folder.path().canonicalize().expect("the folder is there");
        std::fs::create_dir(root.join("home")).expect("a home for the test");
        Self { _folder: folder, root, clock: AtomicU32::new(0) }
    }

    /// The folder that everything is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A command in this environment, started in the root folder. Its clock is a second later than that of
    /// the command before.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let now = format!("{} +0000", EPOCH + self.clock.fetch_add(1, Ordering::Relaxed));
        let home = self.root.join("home");
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("TMPDIR", &self.root)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_COUNT", "3")
            .env("GIT_CONFIG_KEY_0", "init.defaultBranch")
            .env("GIT_CONFIG_VALUE_0", "main")
            .env("GIT_CONFIG_KEY_1", "advice.detachedHead")
            .env("GIT_CONFIG_VALUE_1", "false")
            .env("GIT_CONFIG_KEY_2", "commit.gpgSign")
            .env("GIT_CONFIG_VALUE_2", "false")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", "true")
            .env("GIT_AUTHOR_NAME", "Test")
            .env("GIT_AUTHOR_EMAIL", "test@example.com")
            .env("GIT_AUTHOR_DATE", &now)
            .env("GIT_COMMITTER_NAME", "Test")
            .env("GIT_COMMITTER_EMAIL", "test@example.com")
            .env("GIT_COMMITTER_DATE", &now)
            .stdin(std::process::Stdio::null());
        command
    }

    /// Runs a command to its end.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test cannot go on without it")]
    pub fn run(&self, command: &mut Command) -> Transcript {
        let output = command.output().expect("the program can be started");
        Transcript { output, root: self.root.to_string_lossy().into_owned() }
    }
}

impl Default for TestEnv {
    fn default() -> Self {
        Self::new()
    }
}

/// What a command printed and how it ended. Shown whole, for snapshots: standard output, standard error
/// after a rule, the exit status where it is not 0. The root folder is `$ROOT`; blanks at line ends are gone.
#[derive(Clone, Debug)]
#[must_use = "snapshot the output, or say that the command has to succeed"]
pub struct Transcript {
    output: Output,
    root: String,
}

impl Transcript {
    /// The exit code; `None` after a signal.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// Standard output as it is.
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        &self.output.stdout
    }

    /// Standard error as text, normalised.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.normalised(&self.output.stderr)
    }

    /// Ends the test unless the command succeeded; gives its output without the last line end.
    #[expect(clippy::panic, clippy::missing_panics_doc, reason = "a test cannot go on without it")]
    pub fn success(self) -> String {
        if !self.output.status.success() {
            panic!("the command has to succeed:\n{self}");
        }
        String::from_utf8_lossy(&self.output.stdout).trim_end().to_owned()
    }

    fn normalised(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace(&self.root, "$ROOT");
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stdout = self.normalised(&self.output.stdout);
        let stderr = self.stderr();
        f.write_str(&stdout)?;
        if !stderr.is_empty() {
            write!(f, "{}------- stderr -------\n{stderr}", if stdout.is_empty() { "" } else { "\n" })?;
        }
        if !self.output.status.success() {
            write!(f, "\n[{}]", self.output.status)?;
        }
        Ok(())
    }
}

//! Git repositories for tests, made by the real `git`.

use crate::env::{TestEnv, Transcript};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository, with a work tree or bare.
#[derive(Clone, Debug)]
pub struct GitRepo<'e> {
    env: &'e TestEnv,
    path: PathBuf,
    git_dir: PathBuf,
}

impl<'e> GitRepo<'e> {
    /// Makes an empty repository with a work tree.
    pub fn init(env: &'e TestEnv, name: impl AsRef<OsStr>) -> Self {
        let path = env.root().join(name.as_ref());
        let _ = env.run(env.command("git").arg("init").arg("--quiet").arg(&path)).success();
        Self { env, git_dir: path.join(".git"), path }
    }

    /// Makes an empty bare repository, as on a server. Names of more folders are made as needed.
    pub fn init_bare(env: &'e TestEnv, name: impl AsRef<OsStr>) -> Self {
        let path = env.root().join(name.as_ref());
        let _ = env.run(env.command("git").args(["init", "--quiet", "--bare"]).arg(&path)).success();
        Self { env, git_dir: path.clone(), path }
    }

    /// Takes a folder that is a work tree already, such as a linked one or a clone.
    pub fn at(env: &'e TestEnv, name: impl AsRef<OsStr>) -> Self {
        let path = env.root().join(name.as_ref());
        Self { env, git_dir: path.join(".git"), path }
    }

    /// Takes a folder that is a bare repository already.
    pub fn bare_at(env: &'e TestEnv, name: impl AsRef<OsStr>) -> Self {
        let path = env.root().join(name.as_ref());
        Self { env, git_dir: path.clone(), path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its environment.
    #[must_use]
    pub fn env(&self) -> &'e TestEnv {
        self.env
    }

    /// A command in the repository's folder.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.env.command(program);
        command.current_dir(&self.path);
        command
    }

    /// Runs `git` with these arguments.
    pub fn git<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Transcript {
        self.env.run(self.command("git").args(arguments))
    }

    /// Runs `git`, which has to succeed, and gives its output without the last line end.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        self.git(arguments).success()
    }

    /// Writes a file, with the folders it needs. The path may be any bytes.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test cannot go on without it")]
    pub fn write(&self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        let file = self.path.join(OsStr::from_bytes(path.as_ref()));
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).expect("a folder for the file");
        }
        std::fs::write(file, content).expect("the file can be written");
    }

    /// Makes a symbolic link.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test cannot go on without it")]
    pub fn link(&self, path: &str, target: &str) {
        symlink(target, self.path.join(path)).expect("the link can be made");
    }

    /// Stages everything and commits it; gives the commit's name.
    pub fn commit_all(&self, message: &str) -> String {
        let _ = self.ok(["add", "--all"]);
        let _ = self.ok(["commit", "--quiet", "--allow-empty", "--no-verify", "--message", message]);
        self.ok(["rev-parse", "HEAD"])
    }

    /// Writes one file and commits it; gives the commit's name.
    pub fn commit_file(&self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> String {
        self.write(path, content);
        self.commit_all("change")
    }

    /// Links a program into the repository's hooks under the name of a hook.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test cannot go on without it")]
    pub fn hook(&self, name: &str, program: &Path) {
        let hooks = self.git_dir.join("hooks");
        std::fs::create_dir_all(&hooks).expect("a folder for hooks");
        symlink(program, hooks.join(name)).expect("the hook can be linked");
    }
}

//! The real sops, in a folder of its own.

use super::check::identity;
use super::recipe;
use kubiya_policies::sops::store::Format;
use secrecy::ExposeSecret as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) struct Sops {
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// What sops said.
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Sops {
    /// In memory, where the system has a folder for that.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        std::fs::write(folder.path().join(".sops.yaml"), recipe::configuration()).unwrap();
        for number in 0..recipe::COUNT {
            std::fs::create_dir(folder.path().join(number.to_string())).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut programs = std::env::split_paths(&path).map(|folder| folder.join("sops"));
        let program = programs.find(|program| program.is_file());
        let program = program
            .unwrap_or_else(|| panic!("`sops` is not on PATH: use scripts/test or scripts/differential"));
        Self { folder, program }
    }

    pub(crate) fn run(&self, verb: &str, recipe: usize, format: Format, bytes: &[u8]) -> Said {
        let extension = match format {
            Format::Yaml => "yaml",
            Format::Json => "json",
            Format::Dotenv => "env",
            Format::Ini => "ini",
            Format::Binary => "bin",
        };
        let file = format!("{recipe}/document.{extension}");
        std::fs::write(self.folder.path().join(&file), bytes).unwrap();
        let output = Command::new(&self.program)
            .args([verb, &file])
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("SOPS_DISABLE_VERSION_CHECK", "1")
            .env("SOPS_AGE_KEY", identity().expose_line().expose_secret())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Said { ok: output.status.success(), stdout: output.stdout, stderr }
    }
}

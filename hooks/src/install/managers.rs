//! Other programs that manage the hooks of a clone, and what to write into their files.

use crate::git::configuration::effective;
use bstr::ByteSlice as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A program that manages the hooks of a clone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// husky: `core.hooksPath` leads to a folder that it makes anew.
    Husky,
    /// lefthook: it writes the hooks anew, and takes others' away.
    Lefthook,
    /// The pre-commit framework: it runs what was there before it, and so does ours.
    PreCommit,
}

const LEFTHOOK: [&str; 5] =
    ["lefthook.yml", "lefthook.yaml", "lefthook.toml", "lefthook.json", ".lefthook.yml"];

impl Manager {
    /// The manager of a work tree.
    pub fn of(top: &Path) -> Option<Self> {
        let folder = effective(top, "core.hooksPath").unwrap_or_default();
        if folder.as_bytes().split(|byte| *byte == b'/').any(|name| name == b".husky") {
            Some(Manager::Husky)
        } else if LEFTHOOK.iter().any(|name| top.join(name).is_file()) {
            Some(Manager::Lefthook)
        } else if top.join(".pre-commit-config.yaml").is_file() {
            Some(Manager::PreCommit)
        } else {
            None
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Manager::Husky => "husky",
            Manager::Lefthook => "lefthook",
            Manager::PreCommit => "the pre-commit framework",
        }
    }

    /// Whether it takes hooks away that others put into its place.
    pub fn owns_hooks(self) -> bool {
        self != Manager::PreCommit
    }

    /// Whether the files of the work tree tell it to run us as a hook.
    pub fn runs_us(self, top: &Path, hook: &str) -> bool {
        let says =
            |name: &str| std::fs::read(top.join(name)).is_ok_and(|text| text.find(b"kubiya-hook").is_some());
        match self {
            Manager::Husky => says(&format!(".husky/{hook}")),
            Manager::Lefthook => LEFTHOOK.iter().any(|name| says(name)),
            Manager::PreCommit => says(".pre-commit-config.yaml"),
        }
    }

    /// What to write where, so that everybody who has the manager has the hook.
    pub fn snippet(self) -> &'static str {
        match self {
            Manager::Husky => HUSKY,
            Manager::Lefthook => LEFTHOOK_YAML,
            Manager::PreCommit => PRE_COMMIT,
        }
    }
}

const HUSKY: &str = "\
for hook in pre-commit pre-merge-commit commit-msg pre-push; do
  echo \"kubiya-hook $hook \\\"\\$@\\\"\" >> .husky/$hook
done";

const LEFTHOOK_YAML: &str = "\
# lefthook.yml
pre-commit:
  commands:
    kubiya-hook: {run: kubiya-hook pre-commit}
pre-merge-commit:
  commands:
    kubiya-hook: {run: kubiya-hook pre-merge-commit}
commit-msg:
  commands:
    kubiya-hook: {run: 'kubiya-hook commit-msg {1}'}
pre-push:
  commands:
    kubiya-hook: {run: 'kubiya-hook pre-push {0}', use_stdin: true}";

const PRE_COMMIT: &str = "\
# .pre-commit-config.yaml
default_install_hook_types: [pre-commit, pre-merge-commit, commit-msg, pre-push]
repos:
  - repo: local
    hooks:
      - id: kubiya-hook
        name: no plaintext secrets
        language: system
        entry: kubiya-hook pre-commit
        pass_filenames: false
        always_run: true
        require_serial: true
        stages: [pre-commit, pre-merge-commit, pre-push]
      - id: kubiya-hook-message
        name: no plaintext secrets in the message
        language: system
        entry: kubiya-hook commit-msg
        stages: [commit-msg]";

//! The local control plane: a hub cluster and worker clusters of real parts, as processes.
//!
//! [`supervisor`] runs it in the foreground and takes it down again; everything that a run leaves on
//! the disk is in one [`run_dir`], so that the next start can clean up after one that was killed.

pub mod certificates;
pub mod cluster;
pub mod detached;
pub mod kubeconfig;
pub mod port;
pub mod process;
pub mod run_dir;
pub mod supervisor;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The name of the infra cluster: its context, and its folder in the run folder.
pub const HUB: &str = "hub";

/// The name of the worker with this number, counted from 1.
#[must_use]
pub fn worker_name(number: usize) -> String {
    format!("worker{number:02}")
}

/// What somebody who uses a running rig must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RigInfo {
    /// The name of the run.
    pub id: String,
    /// The process that keeps it up.
    pub supervisor: run_dir::ProcessId,
    /// Whether it stays until somebody stops it, rather than until the end of its standard input.
    pub detached: bool,
    /// The folder of the run; it goes when the rig goes.
    pub run_dir: PathBuf,
    /// The logs of all processes, one file each.
    pub log_dir: PathBuf,
    /// The programs: kubectl, sops, age-keygen and so on.
    pub bin_dir: PathBuf,
    /// All clusters in one file: the contexts `hub`, `worker01` and so on.
    pub kubeconfig: PathBuf,
    /// The kubeconfig of the hub alone.
    pub hub: PathBuf,
    /// The kubeconfigs of the workers, each alone, by name.
    pub workers: BTreeMap<String, PathBuf>,
    /// Flux's install manifest for the controllers that this rig can run.
    pub flux_manifests: PathBuf,
}

impl RigInfo {
    /// The file in the run folder that holds this.
    pub(crate) const FILE: &'static str = "rig.json";

    /// Reads what a running rig wrote.
    ///
    /// # Errors
    /// When the file is missing or is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} describes no rig", path.display()))
    }
}

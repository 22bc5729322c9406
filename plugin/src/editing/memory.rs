//! Which folders are in memory, so that a clear copy never reaches a disk.

use std::path::{Path, PathBuf};

/// Folders for a clear copy: those in memory, and the one on a disk for whoever allows it.
pub(super) fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folders.extend(variable("XDG_RUNTIME_DIR"));
    folders.push(PathBuf::from("/dev/shm"));
    folders.push(PathBuf::from(format!("/run/user/{}", rustix::process::getuid().as_raw())));
    folders.push(std::env::temp_dir());
    folders.push(PathBuf::from("/tmp"));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| folder.is_absolute() && folder.is_dir() && seen.insert(folder.clone()));
    folders
}

/// Whether a folder is on a file system that has no disk.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(folder: &Path) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of Linux (statfs(2)).
    const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(folder)
        .is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|kind| MEMORY.contains(&kind)))
}

/// Other systems do not tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_folder: &Path) -> bool {
    false
}

//! The folder of one run, and what a killed run leaves behind.
//!
//! A run folder is locked as long as its supervisor lives: the kernel gives the lock back however the
//! supervisor ends. A folder whose lock can be taken is a leftover, and the processes that its list
//! names are killed if they still are the same processes.

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, getuid, kill_process_group};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LOCK: &str = "lock";
const PROCESSES: &str = "processes";

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl ProcessId {
    /// The process that has this number now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let (started, zombie) = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        (!zombie).then_some(Self { pid, started })
    }

    /// Whether exactly this process still runs. A process that has ended and that nobody has asked
    /// about does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// Start time and whether it is a zombie, from `/proc/PID/stat`. The second field is the program's name
/// in parentheses and may itself contain any character.
fn parse_stat(stat: &str) -> Option<(u64, bool)> {
    let fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect::<Vec<_>>();
    // The first field here is the third of the file; the start time is the twenty-second.
    Some((fields.get(19)?.parse().ok()?, *fields.first()? == "Z"))
}

/// The folder of all runs of this user: below the temporary folder, for this user alone.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else.
pub fn base() -> Result<PathBuf> {
    let user = getuid().as_raw();
    let base = std::env::temp_dir().join(format!("kubiya-rig-{user}"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&base)
        .with_context(|| format!("cannot make {}", base.display()))?;
    let metadata = fs::symlink_metadata(&base)?;
    if !metadata.is_dir() || metadata.uid() != user || metadata.mode() & 0o077 != 0 {
        bail!("{} is not a folder that only this user can enter", base.display());
    }
    Ok(base)
}

/// A run folder that is in use.
pub struct RunDir {
    path: PathBuf,
    id: String,
    _lock: File,
}

impl RunDir {
    /// Cleans up after killed runs, then makes a new folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(base: &Path) -> Result<Self> {
        // Nobody may look for leftovers between the making of a folder and the taking of its lock.
        let _guard = lock(&base.join(LOCK), FlockOperation::LockExclusive)?;
        clean(base)?;
        let path = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(8)
            .tempdir_in(base)
            .with_context(|| format!("cannot make a folder in {}", base.display()))?
            .keep();
        let lock = lock(&path.join(LOCK), FlockOperation::NonBlockingLockExclusive)?;
        let id = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { path, id, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Adds a process to the list of those that end with this run. It must lead a process group.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn record(&self, pid: u32, name: &str) -> Result<()> {
        let Some(process) = ProcessId::of(pid) else { return Ok(()) };
        let mut list = OpenOptions::new().create(true).append(true).open(self.path.join(PROCESSES))?;
        writeln!(list, "{} {} {name}", process.pid, process.started)?;
        Ok(())
    }

    /// Removes the folder.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove(&self) -> Result<()> {
        // The lock file goes with the rest. Nobody may take what remains for a leftover meanwhile.
        let _guard = match self.path.parent() {
            Some(base) => Some(lock(&base.join(LOCK), FlockOperation::LockExclusive)?),
            None => None,
        };
        fs::remove_dir_all(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

/// All run folders, and whether each is in use.
///
/// # Errors
/// When the folder of all runs cannot be read.
pub fn list(base: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let _guard = lock(&base.join(LOCK), FlockOperation::LockExclusive)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(base)? {
        let path = entry?.path();
        if path.is_dir() {
            let free = lock(&path.join(LOCK), FlockOperation::NonBlockingLockExclusive).is_ok();
            found.push((path, !free));
        }
    }
    found.sort();
    Ok(found)
}

/// Kills the processes of dead runs and removes their folders. Says which.
///
/// # Errors
/// When the folder of all runs cannot be read, or a process does not go.
pub fn clean_leftovers(base: &Path) -> Result<Vec<PathBuf>> {
    let _guard = lock(&base.join(LOCK), FlockOperation::LockExclusive)?;
    clean(base)
}

fn clean(base: &Path) -> Result<Vec<PathBuf>> {
    let mut cleaned = Vec::new();
    for entry in fs::read_dir(base)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        if lock(&path.join(LOCK), FlockOperation::NonBlockingLockExclusive).is_ok() {
            kill_all(&recorded(&path))?;
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            cleaned.push(path);
        }
    }
    Ok(cleaned)
}

/// The processes that a run folder lists.
fn recorded(run: &Path) -> Vec<ProcessId> {
    let text = fs::read_to_string(run.join(PROCESSES)).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some(ProcessId { pid: fields.next()?.parse().ok()?, started: fields.next()?.parse().ok()? })
        })
        .collect()
}

fn kill_all(processes: &[ProcessId]) -> Result<()> {
    for process in processes.iter().filter(|process| process.is_alive()) {
        signal_group(process.pid, Signal::KILL);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(alive) = processes.iter().find(|process| process.is_alive()) {
        if Instant::now() > deadline {
            bail!("process {} of an earlier run does not end", alive.pid);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Sends a signal to the group that a process leads. That it is gone already is no failure.
pub(crate) fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, signal);
    }
}

fn lock(path: &Path, operation: FlockOperation) -> Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    flock(&file, operation).with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    #[test]
    fn a_program_name_may_look_like_fields() {
        let fields = (4..=30).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(parse_stat(&format!("7 (a) Z 1 2) S {fields}")), Some((22, false)));
        assert_eq!(parse_stat(&format!("7 (a) Z {fields}")), Some((22, true)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn a_run_in_use_is_left_alone_and_a_dead_one_is_cleaned() {
        let base = tempfile::tempdir().unwrap();
        let first = RunDir::create(base.path()).unwrap();
        let mut child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        first.record(child.id(), "sleep").unwrap();
        let process = ProcessId::of(child.id()).unwrap();

        let second = RunDir::create(base.path()).unwrap();
        assert!(first.path().is_dir(), "the first run is still in use");
        assert!(process.is_alive());
        assert_eq!(list(base.path()).unwrap().iter().filter(|(_, used)| *used).count(), 2);

        // As the kernel does when the supervisor is killed: the lock goes, the folder stays.
        let RunDir { path, _lock: held, .. } = first;
        drop(held);
        let cleaned = clean_leftovers(base.path()).unwrap();
        assert_eq!(cleaned, std::slice::from_ref(&path));
        assert!(!path.exists());
        assert!(!process.is_alive());
        assert!(second.path().is_dir());
        child.wait().unwrap();
        second.remove().unwrap();
    }

    #[test]
    fn another_process_under_a_recorded_number_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let run = base.path().join("dead");
        fs::create_dir(&run).unwrap();
        let process = ProcessId::of(child.id()).unwrap();
        fs::write(run.join(PROCESSES), format!("{} {} other\n", process.pid, process.started + 1)).unwrap();
        clean_leftovers(base.path()).unwrap();
        assert!(process.is_alive());
        assert!(!run.exists());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

//! The processes of one rig: started with a log each, listed for those who clean up, ended in order.

use super::run_dir::{RunDir, signal_group};
use anyhow::{Context as _, Result};
use rustix::process::Signal;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a process may take to end before it is killed. Nothing of a rig is worth saving.
const GRACE: Duration = Duration::from_secs(4);

/// The order in which processes end: those that use others go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A controller of Flux, which comes and goes with its Deployment.
    Guest,
    /// A client of an API server, without which the cluster is broken.
    Client,
    /// An API server.
    Server,
    /// The store.
    Store,
}

/// One process that was started.
#[derive(Clone, Debug)]
pub struct Handle {
    /// What it is called in messages and logs.
    pub name: String,
    /// Its number.
    pub pid: u32,
    /// Its log.
    pub log: PathBuf,
}

impl Handle {
    /// The end of its log, for an error message.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log, 20)
    }
}

struct Entry {
    handle: Handle,
    rank: Rank,
    child: Child,
}

/// All processes of a rig. Clones share them.
#[derive(Clone)]
pub struct Processes {
    run: Arc<RunDir>,
    logs: PathBuf,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Processes {
    /// No processes yet.
    ///
    /// # Errors
    /// When the folder of the logs cannot be made.
    pub fn new(run: Arc<RunDir>) -> Result<Self> {
        let logs = run.path().join("log");
        fs::create_dir_all(&logs)?;
        Ok(Self { run, logs, entries: Arc::default() })
    }

    /// The folder of the logs.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Starts a process in a group of its own, so that Ctrl-C in the terminal reaches only the
    /// supervisor, with a cleared environment but for what the command sets.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, name: &str, rank: Rank, mut command: Command) -> Result<Handle> {
        let log = self.logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        let handle = Handle { name: name.to_owned(), pid: child.id(), log };
        // Into the list first: whatever fails from here on, the process is not forgotten.
        self.lock().push(Entry { handle: handle.clone(), rank, child });
        self.run.record(handle.pid, name)?;
        Ok(handle)
    }

    /// How a process ended, if it has; nothing also for one that was stopped on purpose.
    #[must_use]
    pub fn exited(&self, handle: &Handle) -> Option<ExitStatus> {
        let mut entries = self.lock();
        let entry = entries.iter_mut().find(|entry| entry.handle.pid == handle.pid)?;
        entry.child.try_wait().ok().flatten()
    }

    /// The first process other than a guest that has ended, which none of them should.
    #[must_use]
    pub fn casualty(&self) -> Option<(Handle, ExitStatus)> {
        let mut entries = self.lock();
        entries.iter_mut().filter(|entry| entry.rank != Rank::Guest).find_map(|entry| {
            let status = entry.child.try_wait().ok().flatten()?;
            Some((entry.handle.clone(), status))
        })
    }

    /// Ends one process and waits until it is gone.
    pub async fn stop(&self, handle: &Handle) {
        let entry = {
            let mut entries = self.lock();
            let position = entries.iter().position(|entry| entry.handle.pid == handle.pid);
            position.map(|position| entries.remove(position))
        };
        if let Some(entry) = entry {
            end(vec![entry]).await;
        }
    }

    /// Ends all processes, rank by rank, and waits until they are gone.
    pub async fn stop_all(&self) {
        let mut entries = std::mem::take(&mut *self.lock());
        for rank in [Rank::Guest, Rank::Client, Rank::Server, Rank::Store] {
            let (now, later) = entries.into_iter().partition(|entry| entry.rank == rank);
            entries = later;
            end(now).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks all of them to end, kills those that do not, and reaps them.
async fn end(mut entries: Vec<Entry>) {
    let running =
        |entries: &mut Vec<Entry>| entries.retain_mut(|entry| matches!(entry.child.try_wait(), Ok(None)));
    running(&mut entries);
    for entry in &entries {
        signal_group(entry.handle.pid, Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while !entries.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
        running(&mut entries);
    }
    for entry in &mut entries {
        signal_group(entry.handle.pid, Signal::KILL);
        let _ = entry.child.wait();
    }
}

/// The last lines of a file.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all = text.lines().collect::<Vec<_>>();
    let from = all.len().saturating_sub(lines);
    all.get(from..).unwrap_or_default().join("\n")
}

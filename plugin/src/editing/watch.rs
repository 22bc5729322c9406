//! Signals while a clear copy is there: it is wiped before the process ends.

use super::ClearCopy;
use kubiya_hook::edge::{Console, Failure, Kind};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long an editor has to end by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// Holds the clear copy, and watches for signals as long as the process lives.
///
/// While an editor runs, an interrupt of the terminal is the editor's own. SIGTERM and SIGHUP end the editor
/// too. Dropping it wipes the copy, also when that is because of a panic.
pub(crate) struct Watch {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    copy: Mutex<Option<ClearCopy>>,
    /// The process of the editor, or 0.
    editor: AtomicI32,
    ending: AtomicBool,
    /// Held while a file is put in its place.
    writing: Mutex<()>,
}

impl Watch {
    /// Begins to watch. From now on the signals end the process here, and nowhere else.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub(crate) fn start() -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = mpsc::channel();
        let watched = shared.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if until_ended(&watched, &ready).is_ok() {
                    watched.end();
                }
            })
            .map_err(|error| Failure::unverified("cannot watch for signals").because(&error))?;
        is_ready.recv().map_err(|_| Failure::unverified("cannot watch for signals"))?;
        Ok(Self { shared })
    }

    /// Makes the clear copy, so that no signal comes between it and its being known. Gives its file.
    ///
    /// # Errors
    /// Those of making it.
    pub(crate) fn keep(&self, make: impl FnOnce() -> Result<ClearCopy, Failure>) -> Result<PathBuf, Failure> {
        let mut place = lock(&self.shared.copy);
        let copy = make()?;
        let file = copy.file().to_owned();
        *place = Some(copy);
        Ok(file)
    }

    /// Says that an editor runs.
    pub(crate) fn editor_runs(&self, pid: u32) {
        self.shared.editor.store(i32::try_from(pid).unwrap_or(0), Ordering::SeqCst);
    }

    /// Says that the editor ended. Does not come back where the process is ending.
    pub(crate) fn editor_ended(&self) {
        self.shared.editor.store(0, Ordering::SeqCst);
        while self.shared.ending.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    /// No signal ends the process while this is held.
    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        lock(&self.shared.writing)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(lock(&self.shared.copy).take());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Comes back when a signal says that the process is to end.
fn until_ended(shared: &Shared, ready: &mpsc::Sender<()>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let _ = ready.send(());
        loop {
            let from_terminal = tokio::select! {
                _ = interrupt.recv() => true,
                _ = quit.recv() => true,
                _ = terminate.recv() => false,
                _ = hang_up.recv() => false,
            };
            if !from_terminal || shared.editor.load(Ordering::SeqCst) == 0 {
                return Ok(());
            }
        }
    })
}

impl Shared {
    /// Ends the editor, wipes the copy and ends the process.
    fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        for signal in [Signal::TERM, Signal::KILL] {
            let deadline = Instant::now() + PATIENCE;
            let Some(editor) = Pid::from_raw(self.editor.load(Ordering::SeqCst)) else { break };
            let _ = kill_process(editor, signal);
            while self.editor.load(Ordering::SeqCst) != 0 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _writing = lock(&self.writing);
        drop(lock(&self.copy).take());
        let failure = Failure::new(Kind::Interrupted, "interrupted; the clear copy is removed");
        let code = Console::of_process().finish(Err(failure));
        std::process::exit(i32::from(code));
    }
}

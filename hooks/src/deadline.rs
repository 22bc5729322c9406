//! An end to judging: what is not decided in time is refused.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Ends the process with the code that `late` gives, unless this is dropped before.
#[derive(Debug)]
pub struct Deadline {
    /// Dropping it tells the thread that waits.
    _kept: mpsc::Sender<()>,
}

impl Deadline {
    /// Starts the clock.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn start(after: Duration, late: impl FnOnce() -> u8 + Send + 'static) -> std::io::Result<Self> {
        let (kept, dropped) = mpsc::channel::<()>();
        let wait = move || {
            if dropped.recv_timeout(after) == Err(RecvTimeoutError::Timeout) {
                exit(late());
            }
        };
        std::thread::Builder::new().name("deadline".to_owned()).spawn(wait)?;
        Ok(Self { _kept: kept })
    }
}

#[expect(clippy::exit, reason = "the thread that judges cannot be asked to stop in the middle of a file")]
fn exit(code: u8) {
    std::process::exit(i32::from(code));
}

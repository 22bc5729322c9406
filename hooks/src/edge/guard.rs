//! A panic is a failure like any other: said by its place, never by its message, which may quote a file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Runs a program and gives its exit code; where it panics, that of `refuse`, which gets the place of
/// the fault in the source.
pub fn guarded(program: impl FnOnce() -> u8, refuse: impl FnOnce(&str) -> u8) -> u8 {
    static PLACE: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place.unwrap_or_default();
    }));
    let outcome = catch_unwind(AssertUnwindSafe(program));
    // The next panic is somebody else's again.
    let _ = std::panic::take_hook();
    outcome.unwrap_or_else(|_| refuse(&PLACE.lock().unwrap_or_else(PoisonError::into_inner)))
}

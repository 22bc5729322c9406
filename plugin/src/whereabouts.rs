//! Where a run stands, for the moment in which somebody interrupts it.

use std::sync::{Mutex, PoisonError};

static NOW: Mutex<Option<String>> = Mutex::new(None);

/// Notes what begins now, in words that go on after "stopped ".
pub(crate) fn at(text: impl Into<String>) {
    *NOW.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
}

/// What was noted last.
pub(crate) fn last() -> Option<String> {
    NOW.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

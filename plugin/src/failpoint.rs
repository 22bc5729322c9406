//! Places at which a development build can be made to die as by `kill -9`, so that tests can show that the next run
//! goes on from there. Nothing of it is in a release build.

/// `KUBIYA_FAILPOINT=N` dies at the N-th place that is passed; `KUBIYA_FAILPOINT_LOG=FILE` lists what was passed.
#[cfg(debug_assertions)]
pub(crate) fn at(name: &str) {
    use std::io::Write as _;
    use std::sync::{Mutex, PoisonError};
    static PASSED: Mutex<usize> = Mutex::new(0);
    let log = std::env::var_os("KUBIYA_FAILPOINT_LOG");
    let wanted = std::env::var("KUBIYA_FAILPOINT").ok().and_then(|text| text.parse::<usize>().ok());
    if log.is_none() && wanted.is_none() {
        return;
    }
    // One thread at a time, so that lines are whole and in order.
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    *passed += 1;
    let number = *passed;
    if let Some(log) = log
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(log)
    {
        let _ = writeln!(file, "{number} {name}");
    }
    if wanted == Some(number) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn at(_name: &str) {}

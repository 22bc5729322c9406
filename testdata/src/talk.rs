//! What the rig tells the person who waits for it: lines on stderr, never on stdout.

use std::io::Write as _;

/// Writes one line to stderr. Nobody may be listening any more (a detached rig outlives its
/// terminal), and that is no reason to fail.
pub(crate) fn say(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
}

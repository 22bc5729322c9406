//! What both binaries share at their edge: exit codes, the one failure type, the two streams,
//! and names made safe to show.
//!
//! stdout is data, stderr is talk. Nothing else in the workspace prints.

mod console;
mod failure;
mod guard;
mod shown;

pub use console::{Color, Console, Stream, Style};
pub use failure::{Failure, Kind, Outcome};
pub use guard::guarded;
pub use shown::{in_shell, shown, wrapped};

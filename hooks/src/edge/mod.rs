//! What both binaries share at their edge: exit codes, the one failure type, and the two streams.
//!
//! stdout is data, stderr is talk. Nothing else in the workspace prints.

mod console;
mod failure;
mod guard;

pub use console::{Color, Console, Stream, Style};
pub use failure::{Failure, Kind, Outcome};
pub use guard::guarded;

//! Changing the plain text of encrypted files: in an editor, or one value at a time.
//!
//! The text is sealed with the data key of before, so that only what changed changes in the file. A clear copy
//! for an editor is in memory where the system can do that, is wiped however the run ends, and what a killed
//! run left is wiped by the next one.

mod clear_copy;
mod document;
mod editor;
mod leftovers;
mod memory;
mod watch;

pub(crate) use clear_copy::ClearCopy;
pub(crate) use document::{Document, NewPlain, Sealed};
pub(crate) use editor::Editor;
pub(crate) use leftovers::wipe_leftovers;
pub(crate) use watch::Watch;

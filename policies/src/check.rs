//! The one entrance: rules + SOPS + detection → findings.

mod class;
mod governed;
mod judge;
mod prefilter;

pub use crate::contract::{Input, Reference, Report, Role};
pub use class::{PathClass, PathKind, path_class};
pub use governed::{Content, Reason, must_encrypt};

use crate::detect::Sink;
use crate::sops::store::Format;

/// Judges a file.
///
/// Total: any bytes give a report. Time and memory are bounded by the size of the file and the limits of the
/// YAML layer. Nothing in the report, nor in its `Debug`, is a value of the file.
pub fn check(input: &Input<'_>) -> Report {
    check_as(input, None)
}

/// The same for a file that is stored in another way than its name says.
pub fn check_as(input: &Input<'_>, format: Option<Format>) -> Report {
    let mut class = path_class(input.path, input.rules);
    if let Some(format) = format {
        class.format = format;
        class.yaml_like |= matches!(format, Format::Yaml | Format::Json);
    }
    let mut sink = Sink::new(input.path);
    if !input.bytes.is_empty() {
        let interest = prefilter::look(input, &class);
        if interest.any() {
            judge::file(input, &class, interest, &mut sink);
        }
    }
    sink.into_report()
}

#[cfg(test)]
mod tests;

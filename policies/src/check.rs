//! The one entrance: rules + SOPS + detection → findings.

mod chart;
mod class;
mod governed;
mod judge;
mod prefilter;

pub use crate::contract::{Input, Reference, Report, Role};
pub use chart::{CHART_FILE, ChartFile, MOST_CHART_BYTES, check_chart, is_chart_template};
pub use class::{PathClass, PathKind, path_class};
pub use governed::{Content, Reason, must_encrypt};

use crate::detect::Sink;
use crate::finding::Severity;
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

/// What is said of a file that is larger than what the caller reads: only a search for a few words is made. An error
/// where the file must be encrypted, or where these words are in it; else a warning.
pub fn check_oversized(input: &Input<'_>) -> Report {
    let class = path_class(input.path, input.rules);
    let mut sink = Sink::new(input.path);
    let severity = if prefilter::look(input, &class).any() { Severity::Error } else { Severity::Warning };
    let message = "cannot be judged: it is larger than what this server reads".to_owned();
    sink.add(crate::builtin::BEYOND_LIMITS, severity, (None, String::new(), None), message);
    sink.into_report()
}

#[cfg(test)]
mod tests;

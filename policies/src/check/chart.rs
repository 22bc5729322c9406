//! What the files of a chart make together: a literal of one that a template of another puts into a Secret.

use super::judge::{PlainValue, plain_values};
use crate::builtin as codes;
use crate::contract::Role;
use crate::finding::{Finding, Place, Severity};
use crate::sops::portable;
use crate::template::{Kind, Parts};
use crate::words::has;
use crate::yaml::Source;
use std::collections::HashSet;

/// The file that makes a chart of a folder.
pub const CHART_FILE: &[u8] = b"Chart.yaml";

/// Bytes of all files of a chart that are judged together.
pub const MOST_CHART_BYTES: usize = 16 << 20;

/// A file of a chart.
#[derive(Clone, Copy, Debug)]
pub struct ChartFile<'a> {
    /// Path in the repository.
    pub path: &'a [u8],
    /// The content.
    pub bytes: &'a [u8],
}

/// Whether a file is one of a chart's templates, by its path; else templates may read it.
pub fn is_chart_template(path: &[u8]) -> bool {
    let mut folders = path.split(|byte| *byte == b'/').rev().skip(1);
    folders.any(|folder| folder == b"templates")
}

/// Judges what the files of a chart make together; what each shows by itself is [`check`](super::check)'s. Charts in it
/// are a part of it, as Helm has it. `files` are the chart's own and those of charts in it, with each `Chart.yaml`.
pub fn check_chart(files: &[ChartFile<'_>]) -> Vec<Finding> {
    let templates = || files.iter().filter(|file| is_chart_template(file.path));
    let calls = |file: &ChartFile<'_>| has!(file.bytes, "include") || has!(file.bytes, "template");
    let reads = |file: &ChartFile<'_>| has!(file.bytes, ".Files");
    let speaks = templates().any(|file| has!(file.bytes, "ecret"));
    if !speaks || !templates().any(|file| calls(file) || reads(file)) {
        return Vec::new();
    }
    if files.iter().map(|file| file.bytes.len()).sum::<usize>() > MOST_CHART_BYTES {
        return files.iter().find(|file| is_chart_file(file.path)).map(too_large).into_iter().collect();
    }
    let sources: Vec<_> = files.iter().map(|file| Source::new(file.bytes)).collect();
    let mut parts = Parts::default();
    let paths: Vec<_> = files.iter().map(|file| String::from_utf8_lossy(file.path)).collect();
    for ((file, source), path) in files.iter().zip(&sources).zip(&paths) {
        // What is encrypted may go where it likes.
        let readable = !portable::may_be_sealed(file.bytes) && !is_chart_file(file.path);
        let kind = if is_chart_template(file.path) { Kind::Template } else { Kind::File };
        parts.add(path, if readable { source.text() } else { "" }, kind);
    }
    let bases = bases(files);
    let base = |number: usize| {
        let path: &str = paths.get(number).map(AsRef::as_ref).unwrap_or_default();
        let around = bases.iter().filter(|base| path.starts_with(base.as_str()));
        around.max_by_key(|base| base.len()).map(String::as_str).unwrap_or_default()
    };
    let (mut found, mut known) = (Vec::new(), HashSet::new());
    parts.fill(base, |number, filled| {
        for PlainValue { made, document, key_path } in plain_values(&filled.text, Role::File) {
            let Some(origin) = filled.origin(&made) else { continue };
            let Some((other, written)) = parts.other(number, &origin.written) else { continue };
            let (Some(file), Some(source), Some(by)) =
                (files.get(other), sources.get(other), sources.get(number))
            else {
                continue;
            };
            // Of a file that is read, the whole of it goes there; of several, the first is named.
            let is_template = is_chart_template(file.path);
            let span = source.span(&if is_template { written } else { 0..0 });
            if known.insert((other, span.line, is_template.then(|| key_path.clone()))) {
                let line = by.span(&parts.within(number, &origin.site)).line;
                let template = paths.get(number).map(AsRef::as_ref).unwrap_or_default();
                let message = format!("{template}, line {line}, puts this into a Secret");
                let place = Place { path: file.path.to_owned(), document, key_path, span: Some(span) };
                found.push(Finding {
                    code: codes::TEMPLATE_SECRET,
                    severity: Severity::Error,
                    place,
                    message,
                });
            }
        }
    });
    found
}

fn is_chart_file(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next() == Some(CHART_FILE)
}

/// The folders of the charts, with a slash behind each that is not the root.
fn bases(files: &[ChartFile<'_>]) -> Vec<String> {
    let charts = files.iter().filter(|file| is_chart_file(file.path));
    charts
        .filter_map(|file| file.path.strip_suffix(CHART_FILE))
        .map(|folder| String::from_utf8_lossy(folder).into_owned())
        .collect()
}

fn too_large(file: &ChartFile<'_>) -> Finding {
    let place = Place { path: file.path.to_owned(), document: None, key_path: String::new(), span: None };
    let message = "cannot be judged: the chart's files are more than what is read together".to_owned();
    Finding { code: codes::BEYOND_LIMITS, severity: Severity::Warning, place, message }
}

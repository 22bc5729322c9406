//! Secrets that come about where a template is filled in.

use super::{Judge, is_secret_by_role, is_template};
use crate::builtin as codes;
use crate::contract::Role;
use crate::detect::Sink;
use crate::detect::literal::{is_base64_literal, is_literal};
use crate::detect::secret::{self, Context, What};
use crate::finding::Severity;
use crate::sops::metadata::Metadata;
use crate::template::Filled;
use crate::yaml::{KeyPath, Limits, Source, readings, tolerant};
use std::ops::Range;

impl Judge<'_> {
    /// Literals that reach a Secret through variables, named templates, maps and loops of the same file.
    pub(super) fn filled(&self, sink: &mut Sink<'_>) {
        let text = self.source.text();
        if !self.class.yaml_like || !is_template(text) {
            return;
        }
        let Some(filled) = Filled::of(text) else { return };
        if filled.is_cut {
            let counts = self.class.governed() || self.interest.secrets;
            let severity = if counts { Severity::Error } else { Severity::Warning };
            let at = (None, String::new(), Some(self.source.span(&(0..0))));
            let message = "cannot be judged: the template makes more of itself than what is read";
            sink.add(codes::BEYOND_LIMITS, severity, at, message);
        }
        for value in plain_values(&filled.text, self.input.role) {
            self.made(&filled, value, sink);
        }
    }

    /// A value in the filled template. What is found where it stands is not found again.
    fn made(&self, filled: &Filled, value: PlainValue, sink: &mut Sink<'_>) {
        let Some(origin) = filled.origin(&value.made) else { return };
        let (site, written) = (self.source.span(&origin.site), self.source.span(&origin.written));
        let known = [codes::PLAIN_SECRET, codes::TEMPLATE_SECRET, codes::EMBEDDED_SECRET];
        if known.iter().any(|code| sink.lines_with(*code).contains(&site.line)) {
            return;
        }
        let message = match site.line == written.line {
            true => "a value of a Secret is plaintext where the template is filled in".to_owned(),
            false => format!("the template puts this into a Secret at line {}", site.line),
        };
        sink.add_unless_known(
            codes::TEMPLATE_SECRET,
            Severity::Error,
            (value.document, value.key_path, Some(written)),
            message,
        );
    }
}

/// A plaintext value of a Secret in a filled template.
pub(in crate::check) struct PlainValue {
    /// Where it is in what was made.
    pub(in crate::check) made: Range<usize>,
    pub(in crate::check) document: Option<u32>,
    pub(in crate::check) key_path: String,
}

/// The plaintext values of Secrets in a filled template.
pub(in crate::check) fn plain_values(text: &str, role: Role) -> Vec<PlainValue> {
    let source = Source::new(text.as_bytes());
    let streams = readings(&source, Limits::DEFAULT);
    let whole = streams.iter().any(|(_, stream)| stream.errors().is_empty());
    let mut found = Vec::new();
    for (_, stream) in &streams {
        for (document, root) in stream.documents() {
            let has_metadata = Metadata::of_document(root).is_some();
            let is_secret = is_secret_by_role(role, root);
            let hits = secret::find(root, Context { has_metadata, is_secret }).into_iter();
            found.extend(hits.filter(|hit| hit.what != What::NoMetadata).map(|hit| PlainValue {
                made: hit.span.bytes,
                document: Some(document.index),
                key_path: hit.key_path.to_string(),
            }));
        }
        for error in stream.errors().iter().filter(|_| !whole) {
            let region = text.get(error.region.clone()).unwrap_or_default();
            for field in tolerant::secret_fields(region) {
                let value = field.value.as_str();
                let literal =
                    if field.section == "data" { is_base64_literal(value) } else { is_literal(value) };
                if literal && crate::sops::value::parse(value).is_err() {
                    let start = error.region.start;
                    let range = start + field.range.start..start + field.range.end;
                    let key_path = KeyPath::of(&[field.section, &field.key]).to_string();
                    found.push(PlainValue { made: range, document: Some(error.document), key_path });
                }
            }
        }
    }
    found
}

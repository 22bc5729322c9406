//! Where findings are gathered.

use crate::builtin as codes;
use crate::contract::{Reference, Report};
use crate::finding::{Code, Finding, Place, Severity, Span};

/// Findings of one weight that are kept for one file. More say nothing new.
const MOST: usize = 1000;

/// Gathers the findings of one file: each once, within bounds.
pub(crate) struct Sink<'a> {
    path: &'a [u8],
    findings: Vec<Finding>,
    references: Vec<Reference>,
    seen: std::collections::HashMap<(Code, Option<u32>, String, usize), usize>,
    counts: [usize; 3],
    /// Which kinds were found in which documents.
    kinds: std::collections::HashSet<(Code, Option<u32>)>,
    /// The gravest of what was found at each place.
    gravest: std::collections::HashMap<Option<usize>, Severity>,
    /// Documents with an error in them.
    refused: std::collections::HashSet<Option<u32>>,
    /// By which name a plain value was told at a place: readings may differ in whether it is a template's.
    plain: std::collections::HashMap<usize, Code>,
}

/// One fault, with another remedy each.
const PLAIN: [Code; 2] = [codes::PLAIN_SECRET, codes::TEMPLATE_SECRET];

impl<'a> Sink<'a> {
    pub(crate) fn new(path: &'a [u8]) -> Self {
        Self {
            path,
            findings: Vec::new(),
            references: Vec::new(),
            seen: Default::default(),
            counts: [0; 3],
            kinds: Default::default(),
            gravest: Default::default(),
            refused: Default::default(),
            plain: Default::default(),
        }
    }

    /// Adds a finding, unless the same was found before, in another reading for instance; then the graver counts.
    pub(crate) fn add(
        &mut self,
        code: Code,
        severity: Severity,
        (document, key_path, span): (Option<u32>, String, Option<Span>),
        message: impl Into<String>,
    ) {
        let start = span.as_ref().map(|span| span.bytes.start);
        let at = start.unwrap_or(0);
        if PLAIN.contains(&code)
            && let Some(start) = start
            && *self.plain.entry(start).or_insert(code) != code
        {
            return;
        }
        if severity == Severity::Error {
            self.refused.insert(document);
        }
        let count = &mut self.counts[severity as usize];
        match self
            .seen
            .get(&(code, document, key_path.clone(), at))
            .and_then(|known| self.findings.get_mut(*known))
        {
            Some(known) if known.severity < severity => {
                let gravest = self.gravest.entry(start).or_insert(severity);
                *gravest = severity.max(*gravest);
                known.severity = severity;
                known.message = message.into();
                return;
            }
            Some(_) => return,
            None if *count >= MOST => return,
            None => {}
        }
        *count += 1;
        self.kinds.insert((code, document));
        let gravest = self.gravest.entry(start).or_insert(severity);
        *gravest = severity.max(*gravest);
        self.seen.insert((code, document, key_path.clone(), at), self.findings.len());
        let place = Place { path: self.path.to_owned(), document, key_path, span };
        self.findings.push(Finding { code, severity, place, message: message.into() });
    }

    /// Adds a finding unless something as grave was found at the same place before: one fault, one finding.
    pub(crate) fn add_unless_known(
        &mut self,
        code: Code,
        severity: Severity,
        at: (Option<u32>, String, Option<Span>),
        message: impl Into<String>,
    ) {
        let start = at.2.as_ref().map(|span| span.bytes.start);
        let known = self.gravest.get(&start).is_some_and(|known| *known >= severity);
        if !known {
            self.add(code, severity, at, message);
        }
    }

    /// The lines on which findings of that kind were made.
    pub(crate) fn lines_with(&self, code: Code) -> std::collections::HashSet<u32> {
        let found = self.findings.iter().filter(|finding| finding.code == code);
        found.filter_map(|finding| finding.place.span.as_ref()).map(|span| span.line).collect()
    }

    /// Whether a finding of that kind was made in the document.
    pub(crate) fn has(&self, code: Code, document: Option<u32>) -> bool {
        self.kinds.contains(&(code, document))
    }

    pub(crate) fn refer(&mut self, reference: Reference) {
        if self.references.len() < MOST * 10 && !self.references.contains(&reference) {
            self.references.push(reference);
        }
    }

    /// Whether something was found in the document.
    pub(crate) fn has_errors_in(&self, document: Option<u32>) -> bool {
        self.refused.contains(&document)
    }

    /// The report, in the order of the file.
    pub(crate) fn into_report(mut self) -> Report {
        let at = |finding: &Finding| finding.place.span.as_ref().map_or(0, |span| span.bytes.start);
        self.findings
            .sort_by(|a, b| (at(a), a.code, &a.place.key_path).cmp(&(at(b), b.code, &b.place.key_path)));
        Report { findings: self.findings, references: self.references }
    }
}

//! What a judge says about a snapshot.

use super::Unreadable;
use crate::git::ObjectId;
use kubiya_policies::check::Report;
use kubiya_policies::finding::{Finding, Severity};

/// A finding, and the content that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The finding; its path is the one of the file at hand.
    pub finding: Finding,
    /// The content; `None` in a work tree.
    pub content: Option<ObjectId>,
}

/// Something that could not be judged, so that nobody can say that it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// The file that stands in the way.
    pub path: Vec<u8>,
    /// Why.
    pub reason: String,
    /// The files that cannot be judged because of it; empty where it is the file itself.
    pub files: Vec<Vec<u8>>,
}

impl From<Unreadable> for Unverified {
    fn from(unreadable: Unreadable) -> Self {
        Self { path: unreadable.path, reason: unreadable.reason, files: Vec::new() }
    }
}

/// What a judge says about a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was found, by path.
    pub found: Vec<Found>,
    /// What could not be judged.
    pub unverified: Vec<Unverified>,
}

impl Verdict {
    /// Whether something found stops a commit or a push.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|found| found.finding.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.unverified.is_empty()
    }

    /// Takes another verdict in.
    pub fn append(&mut self, mut other: Verdict) {
        self.found.append(&mut other.found);
        self.unverified.append(&mut other.unverified);
    }

    /// Puts together what was judged in parts of one snapshot.
    #[must_use]
    pub fn of_parts(parts: impl IntoIterator<Item = Verdict>) -> Self {
        let mut whole = Verdict::default();
        parts.into_iter().for_each(|part| whole.append(part));
        // A file that several parts refer to was judged in each of them.
        whole.settle();
        whole
    }

    /// Gives every path as the caller wants it named.
    pub fn rename(&mut self, name: impl Fn(&[u8]) -> Vec<u8>) {
        let found = self.found.iter_mut().map(|found| &mut found.finding.place.path);
        let unverified = self.unverified.iter_mut();
        let unverified = unverified
            .flat_map(|unverified| std::iter::once(&mut unverified.path).chain(&mut unverified.files));
        for path in found.chain(unverified) {
            *path = name(path);
        }
    }

    /// Adds a report for a file. The report may come from another path with the same content.
    pub(super) fn add(&mut self, path: &[u8], content: Option<ObjectId>, report: &Report) {
        for finding in &report.findings {
            let mut finding = finding.clone();
            finding.place.path = path.to_owned();
            self.found.push(Found { finding, content });
        }
    }

    /// Notes that a file cannot be judged because of its rules: once for each `.sops.yaml`.
    pub(super) fn add_ungoverned(&mut self, path: &[u8], config: &[u8], reason: &str) {
        let same = |unverified: &&mut Unverified| unverified.path == config && !unverified.files.is_empty();
        match self.unverified.iter_mut().find(same) {
            Some(unverified) if unverified.files.iter().any(|file| file == path) => {}
            Some(unverified) => unverified.files.push(path.to_owned()),
            None => self.unverified.push(Unverified {
                path: config.to_owned(),
                reason: reason.to_owned(),
                files: vec![path.to_owned()],
            }),
        }
    }

    /// Puts the findings into the order of their files, each once: a file may be judged in two roles.
    pub(super) fn settle(&mut self) {
        let place = |found: &Found| {
            let place = &found.finding.place;
            let at = place.span.as_ref().map_or(0, |span| span.bytes.start);
            (place.path.clone(), at, found.finding.code, place.key_path.clone())
        };
        self.found.sort_by_cached_key(place);
        self.found.dedup_by(|a, b| place(a) == place(b));
    }
}

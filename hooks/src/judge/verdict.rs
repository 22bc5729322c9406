//! What a judge says about a snapshot.

use super::policy::Unusable;
use super::{Seen, Unreadable};
use crate::edge::Kind;
use crate::git::ObjectId;
use kubiya_policies::builtin;
use kubiya_policies::finding::{Code, Finding, Place, Severity};
use kubiya_policies::values::Subject;

/// How a finding stands to what was there before and to what the operator decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It counts.
    #[default]
    New,
    /// The same value was there before: an old debt.
    Debt,
    /// The baseline lists it.
    Baseline,
    /// Its path is exempt.
    Exempt,
}

/// A finding, and the content that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The finding; its path is the one of the file at hand.
    pub finding: Finding,
    /// The content; `None` in a work tree.
    pub content: Option<ObjectId>,
    /// What it is about.
    pub subject: Subject,
    /// How it stands to what was there before.
    pub standing: Standing,
}

impl Found {
    /// A finding about the form or the history of a file, not about a value in it.
    pub fn about(
        path: &[u8],
        content: Option<ObjectId>,
        code: Code,
        severity: Severity,
        message: String,
    ) -> Self {
        let place = Place { path: path.to_owned(), document: None, key_path: String::new(), span: None };
        let finding = Finding { code, severity, place, message };
        Self { finding, content, subject: Subject::Form, standing: Standing::New }
    }
}

/// Something that could not be judged, so that nobody can say that it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// The file that stands in the way.
    pub path: Vec<u8>,
    /// Why.
    pub reason: String,
    /// Line and column of what is wrong in it, where that is known.
    pub position: Option<(u32, u32)>,
    /// The commit of a push whose tree has it so.
    pub commit: Option<ObjectId>,
    /// The files that cannot be judged because of it; empty where it is the file itself.
    pub files: Vec<Vec<u8>>,
}

impl From<Unreadable> for Unverified {
    fn from(unreadable: Unreadable) -> Self {
        let (path, reason) = (unreadable.path, unreadable.reason);
        Self { path, reason, position: None, commit: None, files: Vec::new() }
    }
}

/// For what kind of reason something is refused: findings, or that it cannot be verified. `None` where it is not.
pub fn refusal<'f>(found: impl Iterator<Item = &'f Found>, unverified: &[Unverified]) -> Option<Kind> {
    let mut kind = (!unverified.is_empty()).then_some(Kind::Unverified);
    for found in found.filter(|found| found.finding.severity == Severity::Error) {
        match found.finding.code {
            builtin::UNREADABLE | builtin::BEYOND_LIMITS => kind = Some(Kind::Unverified),
            _ => return Some(Kind::Findings),
        }
    }
    kind
}

/// What a judge says about a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was found, by path.
    pub found: Vec<Found>,
    /// What could not be judged.
    pub unverified: Vec<Unverified>,
    /// Files that may have a SOPS block.
    pub sealed: Vec<(Vec<u8>, ObjectId)>,
    /// Such files that one parent of a merge has and another has not.
    pub joined: Vec<(Vec<u8>, ObjectId)>,
}

impl Verdict {
    /// Whether something found stops a commit or a push.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|found| found.finding.severity == Severity::Error)
    }

    /// For what kind of reason it is refused; `None` where it is not.
    pub fn refusal(&self) -> Option<Kind> {
        refusal(self.found.iter(), &self.unverified)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.unverified.is_empty()
    }

    /// Takes another verdict in.
    pub fn append(&mut self, mut other: Verdict) {
        self.found.append(&mut other.found);
        self.unverified.append(&mut other.unverified);
        self.sealed.append(&mut other.sealed);
        self.joined.append(&mut other.joined);
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

    /// Takes the weight of everything, as all of it was there before.
    pub fn call_it_debt(&mut self) {
        self.unverified.clear();
        let errors = self.found.iter_mut().filter(|found| found.finding.severity == Severity::Error);
        for found in errors {
            found.finding.severity = Severity::Warning;
            found.finding.message.push_str(", as it was before");
            found.standing = Standing::Debt;
        }
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

    /// Adds what was seen of a file. It may come from another path with the same content.
    pub(super) fn add(&mut self, path: &[u8], content: Option<ObjectId>, seen: &Seen) {
        for (finding, subject) in seen.report.findings.iter().zip(&seen.subjects) {
            let mut finding = finding.clone();
            finding.place.path = path.to_owned();
            self.found.push(Found { finding, content, subject: subject.clone(), standing: Standing::New });
        }
        if let Some(content) = content.filter(|_| seen.sealed) {
            self.sealed.push((path.to_owned(), content));
        }
    }

    /// Notes that a file cannot be judged because of its rules: once for each `.sops.yaml`.
    pub(super) fn add_ungoverned(&mut self, path: &[u8], config: &[u8], why: &Unusable) {
        let same = |unverified: &&mut Unverified| unverified.path == config && !unverified.files.is_empty();
        match self.unverified.iter_mut().find(same) {
            Some(unverified) if unverified.files.iter().any(|file| file == path) => {}
            Some(unverified) => unverified.files.push(path.to_owned()),
            None => self.unverified.push(Unverified {
                path: config.to_owned(),
                reason: why.reason.clone(),
                position: why.position,
                commit: None,
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
        self.found.sort_by_cached_key(|found| (place(found), std::cmp::Reverse(found.finding.severity)));
        self.found.dedup_by(|a, b| place(a) == place(b));
        self.sealed.sort_unstable();
        self.sealed.dedup();
    }
}

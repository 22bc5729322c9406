//! From files to findings: which rules govern a file, what other files it drags in, what is known already.
//!
//! The one judge is [`kubiya_policies::check`]. This module feeds it: from a commit, from the index or from
//! a work tree, each behind [`Snapshot`]. Nothing here knows how any of them is stored.

pub mod debt;
mod policy;
mod roles;
mod snapshot;
mod union;
mod verdict;

pub use snapshot::{Entry, Overlay, Snapshot, Unreadable};
pub use verdict::{Found, Standing, Unverified, Verdict, refusal};

use crate::git::{EntryKind, ObjectId};
use kubiya_policies::check::{self, Input, PathClass, PathKind, Report, Role};
use kubiya_policies::rules::Rules;
use kubiya_policies::sops::portable;
use kubiya_policies::values::{Subject, subjects};
use policy::{Policies, Policy};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// A file to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path from the root of the snapshot.
    pub path: Vec<u8>,
    /// What is there.
    pub entry: Entry,
}

/// What decides a verdict: nothing else may.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    content: ObjectId,
    class: PathClass,
    rules: Option<[u8; 32]>,
    role: Role,
}

/// What was seen of a content under one set of rules.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    report: Report,
    /// What each finding is about.
    subjects: Vec<Subject>,
    /// Whether it may have a SOPS block.
    sealed: bool,
}

/// Judges files, and each content once under the same rules however many commits and paths hold it.
#[derive(Default)]
pub struct Judge {
    policies: Policies,
    reports: HashMap<Key, Rc<Seen>>,
    checks: usize,
    /// Bytes of a file that are read.
    most_bytes: Option<u64>,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("checks", &self.checks).finish_non_exhaustive()
    }
}

impl Judge {
    /// A judge who has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A judge who reads no files larger than this: they cannot be judged.
    #[must_use]
    pub fn with_limit(mut self, most_bytes: Option<u64>) -> Self {
        self.most_bytes = most_bytes;
        self
    }

    /// How often a content was really looked at; what was known is not counted.
    pub fn checks(&self) -> usize {
        self.checks
    }

    /// Judges the files of one snapshot, and the files of the same snapshot that they name.
    pub fn judge<S: Snapshot>(&mut self, snapshot: &S, files: impl IntoIterator<Item = File>) -> Verdict {
        self.judge_beside::<S, S>(snapshot, &[], files)
    }

    /// The same, where the rules of elders, such as the commit that a branch is at, count beside the snapshot's
    /// own: what any of them wants encrypted must be.
    pub fn judge_beside<S: Snapshot, E: Snapshot>(
        &mut self,
        snapshot: &S,
        elders: &[E],
        files: impl IntoIterator<Item = File>,
    ) -> Verdict {
        let mut sitting =
            Sitting { judge: self, snapshot, elders, done: HashSet::new(), verdict: Verdict::default() };
        let mut roles = roles::Roles::default();
        for file in files {
            sitting.file(&file, Role::File);
            for role in roles.of(&mut sitting, &file.path) {
                sitting.file(&file, role);
            }
        }
        sitting.verdict.settle();
        sitting.verdict
    }

    /// Judges content that no path leads to.
    pub fn judge_pathless(&mut self, id: ObjectId, bytes: &[u8]) -> Verdict {
        let mut verdict = Verdict::default();
        match self.seen(Some(id), b"", || Ok(bytes), None, Role::File) {
            Ok(seen) => verdict.add(b"", Some(id), &seen),
            Err(unreadable) => verdict.unverified.push(unreadable.into()),
        }
        verdict
    }

    /// The rule that is for a path in a snapshot, in a form that tells it from others.
    pub fn rule_for<S: Snapshot>(&mut self, snapshot: &S, path: &[u8]) -> Option<([u8; 32], usize)> {
        let policy = self.policies.governing(snapshot, path).ok()?;
        let rules = policy.rules()?;
        rules.for_path(path).map(|(number, _)| (rules.fingerprint(), number))
    }

    /// The rules that govern a path in a snapshot; `None` where there are none that can be used.
    pub fn rules_for<S: Snapshot>(&mut self, snapshot: &S, path: &[u8]) -> Option<Rules> {
        self.policies.governing(snapshot, path).ok()?.rules().cloned()
    }

    /// What a content shows, from memory if it was looked at before.
    fn seen<B: std::ops::Deref<Target = [u8]>>(
        &mut self,
        id: Option<ObjectId>,
        path: &[u8],
        bytes: impl FnOnce() -> Result<B, Unreadable>,
        rules: Option<&Rules>,
        role: Role,
    ) -> Result<Rc<Seen>, Unreadable> {
        let key = id.map(|content| Key {
            content,
            class: check::path_class(path, rules),
            rules: rules.map(Rules::fingerprint),
            role,
        });
        if let Some(seen) = key.as_ref().and_then(|key| self.reports.get(key)) {
            return Ok(Rc::clone(seen));
        }
        let bytes = bytes()?;
        if self.most_bytes.is_some_and(|most| bytes.len() as u64 > most) {
            return Err(Unreadable::in_words(path, "it is larger than what this server reads"));
        }
        self.checks += 1;
        let report = check::check(&Input { path, bytes: &bytes, rules, role });
        let subjects = subjects(path, &bytes, &report.findings);
        let seen = Rc::new(Seen { report, subjects, sealed: portable::may_be_sealed(&bytes) });
        if let Some(key) = key {
            self.reports.insert(key, Rc::clone(&seen));
        }
        Ok(seen)
    }
}

/// The judging of one snapshot.
struct Sitting<'j, 's, S, E> {
    judge: &'j mut Judge,
    snapshot: &'s S,
    elders: &'s [E],
    /// What was judged in which role: files may name each other in circles.
    done: HashSet<(Vec<u8>, Role)>,
    verdict: Verdict,
}

impl<S: Snapshot, E: Snapshot> Sitting<'_, '_, S, E> {
    fn file(&mut self, file: &File, role: Role) {
        if !self.done.insert((file.path.clone(), role)) {
            return;
        }
        match self.look(file, role) {
            Ok(seen) => {
                self.verdict.add(&file.path, file.entry.id, &seen);
                for reference in &seen.report.references {
                    self.reference(&reference.path, reference.role);
                }
            }
            Err(unreadable) => self.verdict.unverified.push(unreadable.into()),
        }
    }

    /// What one file shows by all rules that govern it.
    fn look(&mut self, file: &File, role: Role) -> Result<Rc<Seen>, Unreadable> {
        // A link's name claims nothing about its blob, which is the target's path.
        let is_link = file.entry.kind == EntryKind::Symlink;
        let path: &[u8] = if is_link { b"" } else { &file.path };
        let snapshot = self.snapshot;
        let bytes = || snapshot.read(&file.path, file.entry);
        let policy = self.judge.policies.governing(snapshot, &file.path)?;
        let own = self.judge.seen(file.entry.id, path, bytes, policy.rules(), role)?;
        if is_link || !is_governable(path) {
            return Ok(own);
        }
        if let Policy::Unusable { config, reason } = &*policy {
            // What would pass under any rules is good whatever these say.
            let passes = match Rules::strictest(path) {
                Some(rules) => {
                    let seen = self.judge.seen(file.entry.id, path, bytes, Some(&rules), role)?;
                    !union::asks_more(&seen, &own)
                }
                None => false,
            };
            if !passes {
                self.verdict.add_ungoverned(&file.path, config, reason);
            }
        }
        let mut all = own;
        for elder in self.elders {
            let elder = self.judge.policies.governing(elder, &file.path)?;
            let Some(rules) = elder.rules() else { continue };
            if policy.rules().map(Rules::fingerprint) != Some(rules.fingerprint()) {
                let seen = self.judge.seen(file.entry.id, path, bytes, Some(rules), role)?;
                all = union::with(all, &seen);
            }
        }
        Ok(all)
    }

    /// Judges what a file names, where it is there; where it is not, building it fails, too.
    fn reference(&mut self, path: &[u8], role: Role) {
        match snapshot::follow(self.snapshot, path) {
            Ok(Some(file)) => self.file(&file, role),
            Ok(None) => {}
            Err(unreadable) => self.verdict.unverified.push(unreadable.into()),
        }
    }
}

/// Whether rules may decide about a file: not about rules themselves, nor about prose and program text.
fn is_governable(path: &[u8]) -> bool {
    !matches!(check::path_class(path, None).kind, PathKind::SopsConfig | PathKind::Inert)
}

//! From files to findings: which rules govern a file, what other files it drags in, what is known already.
//!
//! The one judge is [`kubiya_policies::check`]. This module feeds it: from a commit, from the index or from
//! a work tree, each behind [`Snapshot`]. Nothing here knows how any of them is stored.

mod apart;
mod charts;
pub mod debt;
mod joined;
mod message;
mod policy;
mod roles;
mod snapshot;
mod union;
mod verdict;

pub use snapshot::{Entry, Overlay, Snapshot, Unreadable};
pub use verdict::{Found, Standing, Unverified, Verdict, refusal};

use crate::git::{EntryKind, ObjectId};
use kubiya_policies::check::{self, Input, PathClass, PathKind, Report, Role};
use kubiya_policies::finding::Severity;
use kubiya_policies::rules::Rules;
use kubiya_policies::sops::portable;
use kubiya_policies::values::{Subject, subjects};
use policy::{Policies, Policy};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    report: Report,
    /// What each finding is about.
    subjects: Vec<Subject>,
    /// Whether it may have a SOPS block.
    sealed: bool,
    /// Whether it may be what a kustomization makes a Secret of: neither encrypted nor an object of its own.
    may_be_source: bool,
}

/// What was seen of a content; empty until somebody has looked at it, and locked while somebody does.
type Slot = Arc<Mutex<Option<Arc<Seen>>>>;

impl Seen {
    fn of(input: &Input<'_>) -> Self {
        let report = check::check(input);
        let subjects = subjects(input.path, input.bytes, &report.findings);
        let sealed = portable::may_be_sealed(input.bytes);
        let may_be_source = match sealed {
            // A few words make no encryption: what would be said of it as a source?
            true => {
                check::check(&Input { role: Role::SecretSource, ..input.clone() }).worst()
                    == Some(Severity::Error)
            }
            false => roles::may_be_source(input.bytes),
        };
        Self { report, subjects, sealed, may_be_source }
    }

    fn of_oversized(input: &Input<'_>) -> Self {
        let report = check::check_oversized(input);
        let subjects = report.findings.iter().map(|_| Subject::Form).collect();
        Self { report, subjects, sealed: false, may_be_source: true }
    }
}

/// Judges files, and each content once under the same rules however many commits and paths hold it. Threads
/// share one judge.
#[derive(Default)]
pub struct Judge {
    policies: Policies,
    reports: Mutex<HashMap<Key, Slot>>,
    /// What kustomizations name outside of their folders, by content and path.
    outward: Mutex<roles::Outward>,
    /// What was found in charts, by content and path.
    charts: Mutex<charts::Known>,
    checks: AtomicUsize,
    /// Most reports are empty; this is all of them.
    nothing: Arc<Seen>,
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

    /// A judge who reads no files larger than this: only a few words are searched in them.
    #[must_use]
    pub fn with_limit(mut self, most_bytes: Option<u64>) -> Self {
        self.most_bytes = most_bytes;
        self
    }

    /// How often a content was really looked at; what was known is not counted.
    pub fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }

    /// Judges the files of one snapshot, and the files of the same snapshot that they name.
    pub fn judge<S: Snapshot>(&self, snapshot: &S, files: impl IntoIterator<Item = File>) -> Verdict {
        self.judge_beside::<S, S>(snapshot, &[], files)
    }

    /// The same, where the rules of elders, such as the commit that a branch is at, count beside the snapshot's
    /// own: what any of them wants encrypted must be.
    pub fn judge_beside<S: Snapshot, E: Snapshot>(
        &self,
        snapshot: &S,
        elders: &[E],
        files: impl IntoIterator<Item = File>,
    ) -> Verdict {
        let mut sitting = Sitting::new(self, snapshot, elders);
        let (mut roles, mut charts) = (roles::Roles::default(), charts::Charts::default());
        for file in files {
            let seen = sitting.file(&file, Role::File);
            if let Some(chart) = charts.of(&sitting, &file.path) {
                let found = sitting.chart(&chart);
                sitting.verdict.found.extend(found.iter().cloned());
            }
            let may_be_source = seen.is_none_or(|seen| seen.may_be_source);
            for (_, role) in roles.of(&mut sitting, &file.path, may_be_source) {
                sitting.reference(&file.path, role);
            }
        }
        sitting.verdict.settle();
        sitting.verdict
    }

    /// Judges content that no path leads to.
    pub fn judge_pathless(&self, id: ObjectId, bytes: &[u8]) -> Verdict {
        let mut verdict = Verdict::default();
        match self.seen(Some(id), b"", || Ok(bytes), None, Role::File) {
            Ok(seen) => verdict.add(b"", Some(id), &seen),
            Err(unreadable) => verdict.unverified.push(unreadable.into()),
        }
        verdict
    }

    /// The contents that were looked at and have no SOPS block.
    pub fn without_block(&self) -> HashSet<ObjectId> {
        let reports = locked(&self.reports);
        let without =
            reports.iter().filter(|(_, slot)| locked(slot).as_ref().is_some_and(|seen| !seen.sealed));
        without.map(|(key, _)| key.content).collect()
    }

    /// Judges content that neither a path nor a name leads to.
    pub fn judge_stream(&self, bytes: &[u8]) -> Verdict {
        let mut verdict = Verdict::default();
        match self.seen(None, b"", || Ok(bytes), None, Role::File) {
            Ok(seen) => verdict.add(b"-", None, &seen),
            Err(unreadable) => verdict.unverified.push(unreadable.into()),
        }
        verdict
    }

    /// The rule that is for a path in a snapshot, in a form that tells it from others.
    pub fn rule_for<S: Snapshot>(&self, snapshot: &S, path: &[u8]) -> Option<([u8; 32], usize)> {
        let rules = self.rules_for(snapshot, path)?;
        rules.for_path(path).map(|(number, _)| (rules.fingerprint(), number))
    }

    /// The rules that govern a path in a snapshot; `None` where there are none that can be used.
    pub fn rules_for<S: Snapshot>(&self, snapshot: &S, path: &[u8]) -> Option<Rules> {
        self.policies.governing(snapshot, path).ok()?.rules().cloned()
    }

    /// What a content shows, from memory if it was looked at before.
    fn seen<B: std::ops::Deref<Target = [u8]>>(
        &self,
        id: Option<ObjectId>,
        path: &[u8],
        bytes: impl FnOnce() -> Result<B, Unreadable>,
        rules: Option<&Rules>,
        role: Role,
    ) -> Result<Arc<Seen>, Unreadable> {
        let key = id.map(|content| Key {
            content,
            class: check::path_class(path, rules),
            rules: rules.map(Rules::fingerprint),
            role,
        });
        let slot = key.map(|key| Arc::clone(locked(&self.reports).entry(key).or_default()));
        // Who comes second waits here for the report of the first.
        let mut known = slot.as_deref().map(locked);
        if let Some(seen) = known.as_deref().and_then(Option::as_ref) {
            return Ok(Arc::clone(seen));
        }
        let bytes = bytes()?;
        self.checks.fetch_add(1, Ordering::Relaxed);
        let input = Input { path, bytes: &bytes, rules, role };
        let is_oversized = self.most_bytes.is_some_and(|most| bytes.len() as u64 > most);
        let seen = if is_oversized { Seen::of_oversized(&input) } else { Seen::of(&input) };
        let seen = if seen == *self.nothing { Arc::clone(&self.nothing) } else { Arc::new(seen) };
        if let Some(known) = &mut known {
            **known = Some(Arc::clone(&seen));
        }
        Ok(seen)
    }
}

/// Whoever panicked with the lock has left nothing half done behind it: reports are put in whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rules of a folder.
#[derive(Clone)]
struct Governing {
    own: Arc<Policy>,
    /// Those of elders that are others.
    elders: Arc<[Rules]>,
}

/// The judging of one snapshot.
struct Sitting<'j, 's, S, E> {
    judge: &'j Judge,
    snapshot: &'s S,
    elders: &'s [E],
    /// What was judged in which role: files may name each other in circles.
    done: HashSet<(Vec<u8>, Role)>,
    /// The rules of each folder: its own, and those of the elders.
    governing: HashMap<Vec<u8>, Governing>,
    verdict: Verdict,
}

impl<'j, 's, S: Snapshot, E: Snapshot> Sitting<'j, 's, S, E> {
    fn new(judge: &'j Judge, snapshot: &'s S, elders: &'s [E]) -> Self {
        let (done, governing) = (HashSet::new(), HashMap::new());
        Self { judge, snapshot, elders, done, governing, verdict: Verdict::default() }
    }

    /// Judges a file, unless it was judged in this role before. What it shows.
    fn file(&mut self, file: &File, role: Role) -> Option<Arc<Seen>> {
        if !self.done.insert((file.path.clone(), role)) {
            return None;
        }
        match self.look(file, role) {
            Ok(seen) => {
                self.verdict.add(&file.path, file.entry.id, &seen);
                for reference in &seen.report.references {
                    self.reference(&reference.path, reference.role);
                }
                Some(seen)
            }
            Err(unreadable) => {
                self.verdict.unverified.push(unreadable.into());
                None
            }
        }
    }

    /// What one file shows by all rules that govern it.
    fn look(&mut self, file: &File, role: Role) -> Result<Arc<Seen>, Unreadable> {
        // A link's name claims nothing about its blob, which is the target's path.
        let is_link = file.entry.kind == EntryKind::Symlink;
        let path: &[u8] = if is_link { b"" } else { &file.path };
        let (judge, snapshot) = (self.judge, self.snapshot);
        let look = |rules: Option<&Rules>| {
            let bytes = || snapshot.read(&file.path, file.entry);
            judge.seen(file.entry.id, path, bytes, rules, role)
        };
        let governing = self.governing(&file.path)?;
        let mut all = look(governing.own.rules())?;
        if is_link || !is_governable(path) {
            return Ok(all);
        }
        if let Policy::Unusable { config, why } = &*governing.own {
            // What would pass under any rules is good whatever these say.
            let strictest = Rules::strictest(path).map(|rules| look(Some(&rules))).transpose()?;
            if strictest.is_none_or(|seen| union::would_not_pass(&seen, &all)) {
                self.verdict.add_ungoverned(&file.path, config, why);
            }
        }
        for rules in governing.elders.iter() {
            all = union::with(all, &*look(Some(rules))?);
        }
        Ok(all)
    }

    fn governing(&mut self, path: &[u8]) -> Result<Governing, Unreadable> {
        let folder = policy::folders(path).next().unwrap_or_default();
        if let Some(known) = self.governing.get(folder) {
            return Ok(known.clone());
        }
        let policies = &self.judge.policies;
        let own = policies.governing(self.snapshot, path)?;
        let mut elders: Vec<Rules> = Vec::new();
        for elder in self.elders {
            let policy = policies.governing(elder, path)?;
            // Those that cannot be used have protected nothing.
            let Some(rules) = policy.rules() else { continue };
            let same = |other: &Rules| other.fingerprint() == rules.fingerprint();
            if !own.rules().into_iter().chain(&elders).any(same) {
                elders.push(rules.clone());
            }
        }
        let governing = Governing { own, elders: elders.into() };
        self.governing.insert(folder.to_owned(), governing.clone());
        Ok(governing)
    }

    /// Judges what a file names, where it is there; where it is not, building it fails, too.
    fn reference(&mut self, path: &[u8], role: Role) {
        match snapshot::follow(self.snapshot, path) {
            Ok(Some(file)) => drop(self.file(&file, role)),
            Ok(None) => {}
            Err(unreadable) => self.verdict.unverified.push(unreadable.into()),
        }
    }
}

/// Whether rules may decide about a file: not about rules themselves, nor about prose and program text.
fn is_governable(path: &[u8]) -> bool {
    !matches!(
        check::path_class(path, None).kind,
        PathKind::SopsConfig | PathKind::Misnamed | PathKind::Modules | PathKind::Inert
    )
}

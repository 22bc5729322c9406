//! From files to findings: which rules govern a file, what other files it drags in, what is known already.
//!
//! The one judge is [`kubiya_policies::check`]. This module feeds it: from a commit, from the index or from
//! a work tree, each behind [`Snapshot`]. Nothing here knows how any of them is stored.

mod apart;
mod policy;
mod roles;
mod snapshot;
mod verdict;

pub use snapshot::{Entry, Snapshot, Unreadable};
pub use verdict::{Found, Unverified, Verdict};

use crate::git::{EntryKind, ObjectId};
use kubiya_policies::check::{self, Input, PathClass, PathKind, Report, Role};
use kubiya_policies::rules::Rules;
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

/// The report of a content; empty until somebody has looked at it, and locked while somebody does.
type Slot = Arc<Mutex<Option<Arc<Report>>>>;

/// Judges files, and each content once under the same rules however many commits and paths hold it. Threads
/// share one judge.
#[derive(Default)]
pub struct Judge {
    policies: Policies,
    reports: Mutex<HashMap<Key, Slot>>,
    checks: AtomicUsize,
    /// Most reports are empty; this is all of them.
    nothing: Arc<Report>,
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

    /// How often a content was really looked at; what was known is not counted.
    pub fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }

    /// Judges the files of one snapshot, and the files of the same snapshot that they name.
    pub fn judge<S: Snapshot>(&self, snapshot: &S, files: impl IntoIterator<Item = File>) -> Verdict {
        let mut sitting = Sitting {
            judge: self,
            snapshot,
            done: HashSet::new(),
            governing: HashMap::new(),
            verdict: Verdict::default(),
        };
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
    pub fn judge_pathless(&self, id: ObjectId, bytes: &[u8]) -> Arc<Report> {
        self.report(Some(id), b"", || Ok(bytes), None, Role::File).unwrap_or_default()
    }

    /// The report of a content, from memory if it was judged before.
    fn report<B: std::ops::Deref<Target = [u8]>>(
        &self,
        id: Option<ObjectId>,
        path: &[u8],
        bytes: impl FnOnce() -> Result<B, Unreadable>,
        rules: Option<&Rules>,
        role: Role,
    ) -> Result<Arc<Report>, Unreadable> {
        let key = id.map(|content| Key {
            content,
            class: check::path_class(path, rules),
            rules: rules.map(Rules::fingerprint),
            role,
        });
        let slot = key.map(|key| Arc::clone(locked(&self.reports).entry(key).or_default()));
        // Who comes second waits here for the report of the first.
        let mut known = slot.as_deref().map(locked);
        if let Some(report) = known.as_deref().and_then(Option::as_ref) {
            return Ok(Arc::clone(report));
        }
        let bytes = bytes()?;
        self.checks.fetch_add(1, Ordering::Relaxed);
        let report = check::check(&Input { path, bytes: &bytes, rules, role });
        let report = if report == *self.nothing { Arc::clone(&self.nothing) } else { Arc::new(report) };
        if let Some(known) = &mut known {
            **known = Some(Arc::clone(&report));
        }
        Ok(report)
    }
}

/// Whoever panicked with the lock has left nothing half done behind it: reports are put in whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The judging of one snapshot.
struct Sitting<'j, 's, S> {
    judge: &'j Judge,
    snapshot: &'s S,
    /// What was judged in which role: files may name each other in circles.
    done: HashSet<(Vec<u8>, Role)>,
    /// The rules of each folder.
    governing: HashMap<Vec<u8>, Arc<Policy>>,
    verdict: Verdict,
}

impl<S: Snapshot> Sitting<'_, '_, S> {
    fn file(&mut self, file: &File, role: Role) {
        if !self.done.insert((file.path.clone(), role)) {
            return;
        }
        match self.look(file, role) {
            Ok(report) => {
                self.verdict.add(&file.path, file.entry.id, &report);
                for reference in &report.references {
                    self.reference(&reference.path, reference.role);
                }
            }
            Err(unreadable) => self.verdict.unverified.push(unreadable.into()),
        }
    }

    /// The report of one file by the rules that govern it.
    fn look(&mut self, file: &File, role: Role) -> Result<Arc<Report>, Unreadable> {
        // A link's name claims nothing about its blob, which is the target's path.
        let is_link = file.entry.kind == EntryKind::Symlink;
        let path: &[u8] = if is_link { b"" } else { &file.path };
        let policy = self.governing(&file.path)?;
        if let Policy::Unusable { config, reason } = &*policy
            && !is_link
            && is_governable(path)
        {
            self.verdict.add_ungoverned(&file.path, config, reason);
        }
        let snapshot = self.snapshot;
        let bytes = || snapshot.read(&file.path, file.entry);
        self.judge.report(file.entry.id, path, bytes, policy.rules(), role)
    }

    fn governing(&mut self, path: &[u8]) -> Result<Arc<Policy>, Unreadable> {
        let folder = policy::folders(path).next().unwrap_or_default();
        if let Some(known) = self.governing.get(folder) {
            return Ok(Arc::clone(known));
        }
        let policy = self.judge.policies.governing(self.snapshot, path)?;
        self.governing.insert(folder.to_owned(), Arc::clone(&policy));
        Ok(policy)
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
    !matches!(
        check::path_class(path, None).kind,
        PathKind::SopsConfig | PathKind::Misnamed | PathKind::Modules | PathKind::Inert
    )
}

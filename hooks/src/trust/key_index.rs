//! Data keys that are carried elsewhere. A wrapped key opens every file that it stands in, for whoever can
//! unwrap it: a copy takes a secret under other rules, and who leaves keeps the key of what is not encrypted anew.

use crate::git::{EntryKind, GitError, ObjectId, Repository, TreeSnapshot};
use crate::judge::{Found, Judge, Snapshot as _};
use crate::report::shown;
use kubiya_policies::builtin;
use kubiya_policies::check::{self, PathKind};
use kubiya_policies::finding::Severity;
use kubiya_policies::sops::portable::{Sealed, may_be_sealed};
use kubiya_policies::sops::recipient::Recipient;
use kubiya_policies::sops::store::Format;
use kubiya_policies::values::ValueHash;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// Names below a folder, with the data keys of the files there.
type Listing = Rc<[(Vec<u8>, ValueHash)]>;

/// How many files and folders are remembered, so that memory does not grow with history.
const REMEMBERED: usize = 4096;

/// Knows which data keys are in which files. A folder is gone through when a file brings a data key that was
/// not at its path before, and then once.
#[derive(Debug)]
pub struct KeyIndex<'r> {
    repository: &'r Repository,
    sealed: HashMap<(ObjectId, Format), Option<Rc<Sealed>>>,
    keys: HashMap<(ObjectId, Format), Rc<[ValueHash]>>,
    folders: HashMap<ObjectId, Listing>,
    /// Contents that need not be read, as the judge has: asked for when the first folder is gone through.
    without_block: Option<HashSet<ObjectId>>,
}

/// Deeper than any path a file system takes.
const DEEPEST: usize = 2048;

impl<'r> KeyIndex<'r> {
    /// An index of nothing yet.
    pub fn new(repository: &'r Repository) -> Self {
        Self {
            repository,
            sealed: HashMap::new(),
            keys: HashMap::new(),
            folders: HashMap::new(),
            without_block: None,
        }
    }

    /// Judges files with a SOPS block that a commit brings: `tree` is its folder, `parents` those of its parents.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub fn judge(
        &mut self,
        judge: &Judge,
        tree: ObjectId,
        parents: &[ObjectId],
        files: &[(Vec<u8>, ObjectId)],
    ) -> Result<Vec<Found>, GitError> {
        let mut found = Vec::new();
        for (path, id) in files {
            let Some(now) = self.sealed(path, *id)? else { continue };
            let mut fresh: BTreeSet<ValueHash> = now.data_keys.clone();
            let mut leavers = BTreeSet::new();
            for parent in parents {
                let entry = TreeSnapshot::new(self.repository, *parent).entry(path).ok().flatten();
                let file = entry.filter(|entry| entry.kind == EntryKind::File).and_then(|entry| entry.id);
                let Some(before) = file.map(|id| self.sealed(path, id)).transpose()?.flatten() else {
                    continue;
                };
                fresh.retain(|key| !before.data_keys.contains(key));
                leavers.extend(now.leavers(&before).into_iter().map(Recipient::nameable));
            }
            if let Some(first) = leavers.first() {
                let message = format!("{} is taken out and keeps the data key", shown(first.as_bytes()));
                found.push(Found::about(path, Some(*id), builtin::KEPT_DATA_KEY, Severity::Error, message));
            }
            if !fresh.is_empty() {
                found.extend(self.elsewhere(judge, tree, path, *id, &fresh)?);
            }
        }
        Ok(found)
    }

    /// The finding about data keys that are at another path, too.
    fn elsewhere(
        &mut self,
        judge: &Judge,
        tree: ObjectId,
        path: &[u8],
        id: ObjectId,
        keys: &BTreeSet<ValueHash>,
    ) -> Result<Option<Found>, GitError> {
        self.without_block.get_or_insert_with(|| judge.without_block());
        let listing = self.folder(tree, 0)?;
        let others: BTreeSet<&[u8]> = listing
            .iter()
            .filter(|(other, key)| other != path && keys.contains(key))
            .map(|(other, _)| other.as_slice())
            .collect();
        let snapshot = TreeSnapshot::new(self.repository, tree);
        let rule = judge.rule_for(&snapshot, path);
        let foreign = others.iter().find(|other| judge.rule_for(&snapshot, other) != rule);
        let (severity, other, rules) = match (foreign, others.first()) {
            (Some(other), _) => (Severity::Error, other, ", which is under another rule"),
            (None, Some(other)) => (Severity::Warning, other, ""),
            (None, None) => return Ok(None),
        };
        let message = format!("its data key is also that of {}{rules}", shown(other));
        Ok(Some(Found::about(path, Some(id), builtin::SHARED_DATA_KEY, severity, message)))
    }

    fn sealed(&mut self, path: &[u8], id: ObjectId) -> Result<Option<Rc<Sealed>>, GitError> {
        let key = (id, Format::of_path(path));
        if let Some(sealed) = self.sealed.get(&key) {
            return Ok(sealed.clone());
        }
        let sealed = Sealed::of(path, &self.repository.blob(id)?).map(Rc::new);
        if self.sealed.len() >= REMEMBERED {
            self.sealed.clear();
        }
        self.sealed.insert(key, sealed.clone());
        Ok(sealed)
    }

    /// The data keys of all files below a folder.
    fn folder(&mut self, tree: ObjectId, depth: usize) -> Result<Listing, GitError> {
        if let Some(listing) = self.folders.get(&tree) {
            return Ok(Rc::clone(listing));
        }
        if depth > DEEPEST {
            return Err(GitError::TooDeep(tree));
        }
        let mut listing = Vec::new();
        for entry in self.repository.tree(tree)?.iter() {
            match entry.kind {
                EntryKind::Tree => {
                    let below = self.folder(entry.id, depth + 1)?;
                    let joined = |name: &[u8]| [entry.name, b"/", name].concat();
                    listing.extend(below.iter().map(|(name, key)| (joined(name), *key)));
                }
                EntryKind::File if check::path_class(entry.name, None).kind != PathKind::Inert => {
                    let keys = self.keys(entry.name, entry.id)?;
                    listing.extend(keys.iter().map(|key| (entry.name.to_owned(), *key)));
                }
                _ => {}
            }
        }
        let listing: Listing = listing.into();
        if self.folders.len() >= REMEMBERED {
            self.folders.clear();
        }
        self.folders.insert(tree, Rc::clone(&listing));
        Ok(listing)
    }

    fn keys(&mut self, name: &[u8], id: ObjectId) -> Result<Rc<[ValueHash]>, GitError> {
        let key = (id, Format::of_path(name));
        if let Some(keys) = self.keys.get(&key) {
            return Ok(Rc::clone(keys));
        }
        if self.without_block.as_ref().is_some_and(|without| without.contains(&id)) {
            return Ok(Rc::default());
        }
        let bytes = self.repository.blob(id)?;
        let sealed = if may_be_sealed(&bytes) { Sealed::of(name, &bytes) } else { None };
        let keys: Rc<[ValueHash]> =
            sealed.map(|sealed| sealed.data_keys.into_iter().collect()).unwrap_or_default();
        self.keys.insert(key, Rc::clone(&keys));
        Ok(keys)
    }
}

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
    origins: Origins,
}

/// For whom each encrypted value was encrypted before.
#[derive(Debug, Default)]
struct Origins {
    known: HashMap<ValueHash, Vec<Rc<Sealed>>>,
    /// Whether what was there before the push has been added.
    has_elders: bool,
}

impl Origins {
    /// Adds a file; one for the same recipients says all that there is to say.
    fn add(&mut self, file: &Rc<Sealed>) {
        for value in &file.values {
            let known = self.known.entry(*value).or_default();
            if !known.iter().any(|other| other.recipients == file.recipients) {
                known.push(Rc::clone(file));
            }
        }
    }

    /// Files that share an encrypted value with this one.
    fn of(&self, file: &Sealed) -> Vec<Rc<Sealed>> {
        file.values.iter().filter_map(|value| self.known.get(value)).flatten().cloned().collect()
    }
}

/// Who of those that a file was for is left out; by the word of the file that leaves out the fewest, as a copy that
/// was for fewer already is no news. `None` where no file has anything of it.
fn fewest_leavers(now: &Sealed, files: &[Rc<Sealed>]) -> Option<Vec<String>> {
    let same = files.iter().filter(|before| !now.values.is_disjoint(&before.values));
    let fewest = same.map(|before| now.leavers(before)).min_by_key(Vec::len)?;
    Some(fewest.into_iter().map(Recipient::nameable).collect())
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
            origins: Origins::default(),
        }
    }

    /// Judges files with a SOPS block that a commit brings: `tree` is its folder, `parents` those of its parents, and
    /// `elders` what was in the repository before the push.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub fn judge(
        &mut self,
        judge: &Judge,
        tree: ObjectId,
        parents: &[ObjectId],
        elders: &[ObjectId],
        files: &[(Vec<u8>, ObjectId)],
    ) -> Result<Vec<Found>, GitError> {
        self.without_block.get_or_insert_with(|| judge.without_block());
        let mut found = Vec::new();
        for (path, id) in files {
            let Some(now) = self.sealed(path, *id)? else { continue };
            let mut fresh: BTreeSet<ValueHash> = now.data_keys.clone();
            let mut leavers = BTreeSet::new();
            let mut stayed = false;
            for parent in parents {
                let entry = TreeSnapshot::new(self.repository, *parent).entry(path).ok().flatten();
                let file = entry.filter(|entry| entry.kind == EntryKind::File).and_then(|entry| entry.id);
                let Some(before) = file.map(|id| self.sealed(path, id)).transpose()?.flatten() else {
                    continue;
                };
                fresh.retain(|key| !before.data_keys.contains(key));
                // With the same wrapped key, or something of the same ciphertext, it is the file that was here.
                stayed |=
                    !now.values.is_disjoint(&before.values) || !now.data_keys.is_disjoint(&before.data_keys);
                leavers.extend(now.leavers(&before).into_iter().map(Recipient::nameable));
            }
            // A file that moved, or was away for a while, has its data key from where it was.
            if !stayed {
                leavers.extend(self.left_on_the_way(&now, parents, elders)?);
            }
            self.origins.add(&now);
            if let Some(first) = leavers.first() {
                let message = format!("{} is taken out and keeps the data key", shown(first.as_bytes()));
                found.push(Found::about(path, Some(*id), builtin::KEPT_DATA_KEY, Severity::Error, message));
            }
            if !fresh.is_empty() {
                found.extend(self.elsewhere(judge, tree, path, *id, &fresh, &[])?);
            }
        }
        Ok(found)
    }

    /// Judges encrypted files that one parent of a merge has and another has not: a data key that was in one
    /// place on each side may be in two places now.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub fn judge_joined(
        &mut self,
        judge: &Judge,
        tree: ObjectId,
        parents: &[ObjectId],
        files: &[(Vec<u8>, ObjectId)],
    ) -> Result<Vec<Found>, GitError> {
        self.without_block.get_or_insert_with(|| judge.without_block());
        let mut found = Vec::new();
        for (path, id) in files {
            let Some(now) = self.sealed(path, *id)? else { continue };
            let mut everywhere = true;
            for parent in parents {
                let before = self.keys_at(*parent, path)?;
                everywhere &= now.data_keys.iter().all(|key| before.contains(key));
            }
            if !everywhere {
                found.extend(self.elsewhere(judge, tree, path, *id, &now.data_keys, parents)?);
            }
        }
        Ok(found)
    }

    /// The data keys of the file at a path.
    fn keys_at(&mut self, tree: ObjectId, path: &[u8]) -> Result<Rc<[ValueHash]>, GitError> {
        let entry = TreeSnapshot::new(self.repository, tree).entry(path).ok().flatten();
        let file = entry.filter(|entry| entry.kind == EntryKind::File).and_then(|entry| entry.id);
        file.map_or_else(|| Ok(Rc::default()), |id| self.keys(path, id))
    }

    /// Who could open what is in a file when it was at another path, and cannot now.
    fn left_on_the_way(
        &mut self,
        now: &Sealed,
        parents: &[ObjectId],
        elders: &[ObjectId],
    ) -> Result<Vec<String>, GitError> {
        if !std::mem::replace(&mut self.origins.has_elders, true) {
            for elder in elders {
                self.below(*elder)?.iter().for_each(|sealed| self.origins.add(sealed));
            }
        }
        let known = fewest_leavers(now, &self.origins.of(now)).unwrap_or_default();
        if known.is_empty() {
            return Ok(known);
        }
        // Whom somebody else let in meanwhile, this branch has not taken out.
        let mut beside = Vec::new();
        for parent in parents {
            beside.extend(self.below(*parent)?);
        }
        Ok(fewest_leavers(now, &beside).unwrap_or(known))
    }

    /// All encrypted files below a folder.
    fn below(&mut self, tree: ObjectId) -> Result<Vec<Rc<Sealed>>, GitError> {
        let mut files = Vec::new();
        let listing = self.folder(tree, 0)?;
        let snapshot = TreeSnapshot::new(self.repository, tree);
        let paths: BTreeSet<&[u8]> = listing.iter().map(|(path, _)| path.as_slice()).collect();
        for path in paths {
            let id = snapshot.entry(path).ok().flatten().and_then(|entry| entry.id);
            files.extend(id.map(|id| self.sealed(path, id)).transpose()?.flatten());
        }
        Ok(files)
    }

    /// The finding about data keys that are at another path, too, unless one of the parents had them at both.
    fn elsewhere(
        &mut self,
        judge: &Judge,
        tree: ObjectId,
        path: &[u8],
        id: ObjectId,
        keys: &BTreeSet<ValueHash>,
        parents: &[ObjectId],
    ) -> Result<Option<Found>, GitError> {
        let listing = self.folder(tree, 0)?;
        let mut others: BTreeSet<&[u8]> = BTreeSet::new();
        for (other, key) in listing.iter().filter(|(other, key)| other != path && keys.contains(key)) {
            let mut as_it_was = false;
            for parent in parents {
                as_it_was |=
                    self.keys_at(*parent, path)?.contains(key) && self.keys_at(*parent, other)?.contains(key);
            }
            if !as_it_was {
                others.insert(other);
            }
        }
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

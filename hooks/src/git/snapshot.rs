//! A commit's folder and the index, as the judge looks at them.

use super::object::EntryKind;
use super::{GitError, IndexEntry, ObjectId, Repository, Tree};
use crate::judge::{Entry, File, Snapshot, Unreadable};
use kubiya_policies::detect::kustomize::{is_kustomization_name, may_reach_outside};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// The files of a commit.
#[derive(Debug)]
pub struct TreeSnapshot<'r> {
    repository: &'r Repository,
    root: ObjectId,
    /// Folders by their paths: what is asked for is asked for folder by folder.
    folders: RefCell<HashMap<Vec<u8>, Arc<Tree>>>,
}

impl<'r> TreeSnapshot<'r> {
    /// The files under a tree object.
    pub fn new(repository: &'r Repository, root: ObjectId) -> Self {
        Self { repository, root, folders: RefCell::default() }
    }

    /// The tree object.
    pub fn root(&self) -> ObjectId {
        self.root
    }

    fn find(&self, path: &[u8]) -> Result<Option<(EntryKind, ObjectId)>, GitError> {
        let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let Some(folder) = self.folder(&path[..name])? else { return Ok(None) };
        Ok(folder.find(&path[name..]).map(|entry| (entry.kind, entry.id)))
    }

    /// The folder of a path that is empty or ends with a slash.
    fn folder(&self, path: &[u8]) -> Result<Option<Arc<Tree>>, GitError> {
        if let Some(folder) = self.folders.borrow().get(path) {
            return Ok(Some(Arc::clone(folder)));
        }
        let mut folder = self.repository.tree(self.root)?;
        for name in path.strip_suffix(b"/").into_iter().flat_map(|path| path.split(|byte| *byte == b'/')) {
            let below = folder.find(name).filter(|entry| entry.kind == EntryKind::Tree);
            let Some(below) = below.map(|entry| entry.id) else { return Ok(None) };
            folder = self.repository.tree(below)?;
        }
        self.folders.borrow_mut().insert(path.to_owned(), Arc::clone(&folder));
        Ok(Some(folder))
    }
}

impl Snapshot for TreeSnapshot<'_> {
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        let found = self.find(path).map_err(|error| Unreadable::new(path, &error))?;
        Ok(found.map(|(kind, id)| Entry { kind, id: Some(id) }))
    }

    fn read(&self, path: &[u8], entry: Entry) -> Result<impl std::ops::Deref<Target = [u8]>, Unreadable> {
        read(self.repository, path, entry)
    }

    fn below(&self, folder: &[u8]) -> Result<Vec<File>, Unreadable> {
        let unreadable = |error: GitError| Unreadable::new(folder, &error);
        let (mut all, mut open) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = open.pop() {
            let Some(tree) = self.folder(&folder).map_err(unreadable)? else { continue };
            for entry in tree.iter() {
                let path = [&folder, entry.name].concat();
                match entry.kind {
                    EntryKind::Tree => open.push([&path, b"/".as_slice()].concat()),
                    EntryKind::Gitlink => {}
                    kind => all.push(File { path, entry: Entry { kind, id: Some(entry.id) } }),
                }
            }
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    fn reaching_kustomizations(&self) -> Result<Vec<File>, Unreadable> {
        let all = self.repository.reaching_kustomizations(self.root);
        let all = all.map_err(|error| Unreadable::new(b"", &error))?;
        let entry = |id| Entry { kind: EntryKind::File, id: Some(id) };
        Ok(all.iter().map(|(path, id)| File { path: path.clone(), entry: entry(*id) }).collect())
    }
}

/// The files of the index.
#[derive(Debug)]
pub struct IndexSnapshot<'r> {
    repository: &'r Repository,
    entries: &'r [IndexEntry],
}

impl<'r> IndexSnapshot<'r> {
    /// The entries, sorted by path.
    pub fn new(repository: &'r Repository, entries: &'r [IndexEntry]) -> Self {
        Self { repository, entries }
    }
}

impl Snapshot for IndexSnapshot<'_> {
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        let start = self.entries.partition_point(|entry| entry.path.as_slice() < path);
        let same = self.entries[start..].iter().take_while(|entry| entry.path == path);
        let found = same.into_iter().find(|entry| entry.staged);
        Ok(found.map(|entry| Entry { kind: entry.kind, id: Some(entry.id) }))
    }

    fn read(&self, path: &[u8], entry: Entry) -> Result<impl std::ops::Deref<Target = [u8]>, Unreadable> {
        read(self.repository, path, entry)
    }

    fn below(&self, folder: &[u8]) -> Result<Vec<File>, Unreadable> {
        let start = self.entries.partition_point(|entry| entry.path.as_slice() < folder);
        let below = self.entries[start..].iter().take_while(|entry| entry.path.starts_with(folder));
        let file = |entry: &IndexEntry| {
            let there = Entry { kind: entry.kind, id: Some(entry.id) };
            File { path: entry.path.clone(), entry: there }
        };
        Ok(below.filter(|entry| entry.staged).map(file).collect())
    }

    fn reaching_kustomizations(&self) -> Result<Vec<File>, Unreadable> {
        let name = |path: &[u8]| path.rsplit(|byte| *byte == b'/').next().is_some_and(is_kustomization_name);
        let mut all = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.staged && name(&entry.path)) {
            let there = Entry { kind: entry.kind, id: Some(entry.id) };
            match self.repository.blob(entry.id) {
                Ok(content) if may_reach_outside(&content) => {
                    all.push(File { path: entry.path.clone(), entry: there });
                }
                Ok(_) | Err(GitError::Missing(_)) => {}
                Err(error) => return Err(Unreadable::new(&entry.path, &error)),
            }
        }
        Ok(all)
    }
}

fn read<'r>(repository: &'r Repository, path: &[u8], entry: Entry) -> Result<super::Content<'r>, Unreadable> {
    let id = entry.id.ok_or_else(|| Unreadable::in_words(path, "it is no object"))?;
    repository.blob(id).map_err(|error| Unreadable::new(path, &error))
}

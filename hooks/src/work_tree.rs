//! Files as they are on the disk.

use crate::git::{EntryKind, Repository};
use crate::judge::{Entry, File, Snapshot, Unreadable};
use kubiya_policies::rules::FILE_NAME;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The files below a folder: the top of a Git work tree, or the root of the file system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkTree {
    base: PathBuf,
}

impl WorkTree {
    /// The work tree that a folder is in; the whole file system where it is in none.
    fn around(folder: &Path) -> Self {
        let top = Repository::open_at(folder).ok().and_then(|repository| {
            let top = repository.work_tree()?.canonicalize().ok()?;
            folder.starts_with(&top).then_some(top)
        });
        Self { base: top.unwrap_or_else(|| PathBuf::from("/")) }
    }

    fn on_disk(&self, path: &[u8]) -> PathBuf {
        self.base.join(OsStr::from_bytes(path))
    }

    fn relative(&self, absolute: &Path) -> Vec<u8> {
        absolute.strip_prefix(&self.base).unwrap_or(absolute).as_os_str().as_bytes().to_owned()
    }

    /// What the repository is called: its folder.
    pub fn name(&self) -> String {
        self.base.to_string_lossy().trim_end_matches('/').to_owned()
    }

    /// A path of this tree as a person in a folder would type it.
    pub fn named_from(&self, here: &Path, path: &[u8]) -> Vec<u8> {
        let absolute = self.on_disk(path);
        let named = absolute.strip_prefix(here).unwrap_or(&absolute);
        named.as_os_str().as_bytes().to_owned()
    }
}

fn kind(metadata: &std::fs::Metadata) -> Option<EntryKind> {
    let file_type = metadata.file_type();
    if file_type.is_file() {
        Some(EntryKind::File)
    } else if file_type.is_symlink() {
        Some(EntryKind::Symlink)
    } else if file_type.is_dir() {
        Some(EntryKind::Tree)
    } else {
        None
    }
}

impl Snapshot for WorkTree {
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        match self.on_disk(path).symlink_metadata() {
            // A socket or a device is nothing that Git would take.
            Ok(metadata) => Ok(kind(&metadata).map(|kind| Entry { kind, id: None })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(Unreadable::new(path, &error)),
        }
    }

    fn read(&self, path: &[u8], entry: Entry) -> Result<impl Deref<Target = [u8]>, Unreadable> {
        let file = self.on_disk(path);
        let bytes = match entry.kind {
            EntryKind::Symlink => std::fs::read_link(file).map(|target| target.into_os_string().into_vec()),
            _ => std::fs::read(file),
        };
        bytes.map_err(|error| Unreadable::new(path, &error))
    }

    fn below(&self, folder: &[u8]) -> Result<Vec<File>, Unreadable> {
        let mut all = Vec::new();
        if self.on_disk(folder).is_dir() {
            self.add_below(folder, &mut all)?;
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }
}

impl WorkTree {
    fn add_below(&self, folder: &[u8], into: &mut Vec<File>) -> Result<(), Unreadable> {
        let failed = |error: io::Error| Unreadable::new(folder, &error);
        for found in self.on_disk(folder).read_dir().map_err(failed)? {
            let found = found.map_err(failed)?;
            let name = found.file_name();
            let path = [folder, name.as_bytes()].concat();
            match self.entry(&path)? {
                Some(Entry { kind: EntryKind::Tree, .. }) if name != ".git" => {
                    self.add_below(&[&path, b"/".as_slice()].concat(), into)?;
                }
                Some(Entry { kind: EntryKind::Tree | EntryKind::Gitlink, .. }) | None => {}
                Some(entry) => into.push(File { path, entry }),
            }
        }
        Ok(())
    }
}

/// Files to be judged in one tree.
#[derive(Debug)]
pub struct Selection {
    /// The tree.
    pub tree: WorkTree,
    /// The files, each once, by path.
    pub files: Vec<File>,
    /// What could not be looked into.
    pub unreadable: Vec<Unreadable>,
}

/// Why a path cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// It cannot be read.
    #[error("{source}")]
    Io {
        /// The path as it was given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a device, a pipe or a socket.
    #[error("it is neither a file nor a folder")]
    NoFile(PathBuf),
}

impl SelectionError {
    /// The path as it was given.
    pub fn path(&self) -> &Path {
        match self {
            SelectionError::Io { path, .. } | SelectionError::NoFile(path) => path,
        }
    }
}

/// Which files of a folder are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Those that Git has, and those that it would take: not what `.gitignore` and the like exclude.
    #[default]
    NotIgnored,
    /// All.
    All,
}

/// The files at and below a path. A file that is named is looked at in any case.
///
/// # Errors
/// Where there is nothing to be read.
pub fn select(path: &Path, which: Which) -> Result<Selection, SelectionError> {
    let failed = |source| SelectionError::Io { path: path.to_owned(), source };
    let absolute = path.canonicalize().map_err(failed)?;
    let metadata = absolute.metadata().map_err(failed)?;
    if metadata.is_dir() {
        let tree = WorkTree::around(&absolute);
        return Ok(walk(tree, &absolute, which));
    }
    if !metadata.is_file() {
        return Err(SelectionError::NoFile(path.to_owned()));
    }
    let tree = WorkTree::around(absolute.parent().unwrap_or(&absolute));
    let entry = Entry { kind: EntryKind::File, id: None };
    let files = vec![File { path: tree.relative(&absolute), entry }];
    Ok(Selection { tree, files, unreadable: Vec::new() })
}

fn walk(tree: WorkTree, folder: &Path, which: Which) -> Selection {
    let mut selection = Selection { tree, files: Vec::new(), unreadable: Vec::new() };
    let honours = which == Which::NotIgnored;
    let mut walk = ignore::WalkBuilder::new(folder);
    walk.standard_filters(false)
        .parents(honours)
        .git_ignore(honours)
        .git_exclude(honours)
        .git_global(honours)
        .sort_by_file_name(OsStr::cmp)
        .filter_entry(|entry| entry.file_name() != ".git");
    for found in walk.build() {
        let found = found.and_then(|found| found.metadata().map(|metadata| (found, metadata)));
        match found {
            Ok((found, metadata)) => {
                if let Some(kind @ (EntryKind::File | EntryKind::Symlink)) = kind(&metadata) {
                    let path = selection.tree.relative(found.path());
                    selection.files.push(File { path, entry: Entry { kind, id: None } });
                }
            }
            Err(error) => {
                let path = place(&error).map(|path| selection.tree.relative(path)).unwrap_or_default();
                selection.unreadable.push(Unreadable::new(&path, &error));
            }
        }
    }
    if honours {
        selection.add_tracked(folder);
    }
    selection
}

/// Where an error of the walk is.
fn place(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => place(err),
        ignore::Error::Loop { child, .. } => Some(child),
        _ => None,
    }
}

impl Selection {
    /// Adds what Git has, however it is ignored. Where the index cannot be read, that is said.
    fn add_tracked(&mut self, folder: &Path) {
        let Ok(repository) = Repository::open_at(folder) else { return };
        if repository.work_tree().and_then(|top| top.canonicalize().ok()).as_ref() != Some(&self.tree.base) {
            return;
        }
        let entries = match repository.index() {
            Ok(index) => index.entries,
            Err(error) => return self.unreadable.push(Unreadable::new(&self.tree.relative(folder), &error)),
        };
        let below = self.tree.relative(folder);
        for entry in entries {
            let is_below = below.is_empty()
                || entry.path.strip_prefix(below.as_slice()).is_some_and(|rest| rest.starts_with(b"/"));
            if !is_below {
                continue;
            }
            // What is not there is not looked at: it is deleted, or not checked out.
            if let Ok(Some(entry_there)) = self.tree.entry(&entry.path)
                && matches!(entry_there.kind, EntryKind::File | EntryKind::Symlink)
            {
                self.files.push(File { path: entry.path, entry: entry_there });
            }
        }
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.files.dedup_by(|a, b| a.path == b.path);
    }
}

/// A file and its rules, as paths of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relative {
    /// The `.sops.yaml`.
    pub config: Vec<u8>,
    /// The file.
    pub path: Vec<u8>,
}

/// The nearest `.sops.yaml` at or above a file, which need not be there: where it is, what it says, and both
/// paths in their tree.
///
/// # Errors
/// Where it cannot be read.
pub fn governing(path: &Path) -> Result<Option<(PathBuf, Vec<u8>, Relative)>, SelectionError> {
    let failed = |source| SelectionError::Io { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let absolute = absolute.canonicalize().unwrap_or(absolute);
    let there = absolute.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let tree = WorkTree::around(there);
    let inside = |folder: &&Path| folder.starts_with(&tree.base);
    for folder in absolute.ancestors().skip(1).take_while(inside) {
        let config = folder.join(FILE_NAME);
        if config.symlink_metadata().is_ok() {
            let bytes = std::fs::read(&config)
                .map_err(|source| SelectionError::Io { path: config.clone(), source })?;
            let relative = Relative { config: tree.relative(&config), path: tree.relative(&absolute) };
            return Ok(Some((config, bytes, relative)));
        }
    }
    Ok(None)
}

/// A work tree with one file as somebody else has it: the content of a stream.
#[derive(Debug)]
pub struct WithFile {
    tree: WorkTree,
    path: Vec<u8>,
    content: Vec<u8>,
}

impl WithFile {
    /// A content that stands for the file at a path, which need not be there.
    ///
    /// # Errors
    /// Where its folder is not there.
    pub fn new(path: &Path, content: Vec<u8>) -> Result<Self, SelectionError> {
        let failed = |source| SelectionError::Io { path: path.to_owned(), source };
        let absolute = std::path::absolute(path).map_err(failed)?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        let folder = folder.canonicalize().map_err(failed)?;
        let tree = WorkTree::around(&folder);
        let name = absolute.file_name().ok_or_else(|| SelectionError::NoFile(path.to_owned()))?;
        let path = tree.relative(&folder.join(name));
        Ok(Self { tree, path, content })
    }

    /// What the repository is called: its folder.
    pub fn name(&self) -> String {
        self.tree.name()
    }

    /// The file.
    pub fn file(&self) -> File {
        File { path: self.path.clone(), entry: Entry { kind: EntryKind::File, id: None } }
    }
}

impl Snapshot for WithFile {
    fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        if path == self.path { Ok(Some(self.file().entry)) } else { self.tree.entry(path) }
    }

    fn read(&self, path: &[u8], entry: Entry) -> Result<impl Deref<Target = [u8]>, Unreadable> {
        if path == self.path {
            return Ok(std::borrow::Cow::Borrowed(self.content.as_slice()));
        }
        Ok(std::borrow::Cow::Owned(self.tree.read(path, entry)?.to_vec()))
    }

    fn below(&self, folder: &[u8]) -> Result<Vec<File>, Unreadable> {
        let mut all = self.tree.below(folder)?;
        if self.path.starts_with(folder) && !all.iter().any(|file| file.path == self.path) {
            all.push(self.file());
        }
        Ok(all)
    }
}

/// Puts the selections of one tree together, each file once.
pub fn merged(selections: Vec<Selection>) -> Vec<Selection> {
    let mut trees: BTreeMap<WorkTree, Selection> = BTreeMap::new();
    for mut selection in selections {
        match trees.get_mut(&selection.tree) {
            Some(known) => {
                known.files.append(&mut selection.files);
                known.unreadable.append(&mut selection.unreadable);
            }
            None => drop(trees.insert(selection.tree.clone(), selection)),
        }
    }
    let mut merged: Vec<_> = trees.into_values().collect();
    for selection in &mut merged {
        selection.files.sort_by(|a, b| a.path.cmp(&b.path));
        selection.files.dedup_by(|a, b| a.path == b.path);
    }
    merged
}

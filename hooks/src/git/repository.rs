//! A repository: objects, refs, index.

use super::command_line::CommandLine;
use super::index::Index;
use super::library::Library;
use super::object::{self, Commit, Content, EntryKind, Kind};
use super::tree::Tree;
use super::{GitError, ObjectId};
use kubiya_policies::detect::kustomize::{is_kustomization_name, may_reach_outside};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What a way of reading must be able to do.
pub(super) trait Backend: Send {
    /// The same repository for another thread.
    fn another(&self) -> Result<Box<dyn Backend>, GitError>;
    /// An object; `None` where there is none of that name.
    fn read(&self, id: ObjectId) -> Result<Option<(Kind, Content<'_>)>, GitError>;
    /// What an object is.
    fn kind(&self, id: ObjectId) -> Result<Option<Kind>, GitError>;
    /// What all refs and HEAD point at, tags not peeled.
    fn ref_tips(&self) -> Result<Vec<ObjectId>, GitError>;
    /// What the branches point at.
    fn branches(&self) -> Result<Vec<ObjectId>, GitError>;
    /// The commit of HEAD; `None` where the branch is unborn.
    fn head(&self) -> Result<Option<ObjectId>, GitError>;
    /// What a ref of this full name points at; `None` where there is none.
    fn reference(&self, name: &str) -> Result<Option<ObjectId>, GitError>;
    /// Whether the object was in the repository before the push that is going on.
    fn was_there(&self, id: ObjectId) -> Result<bool, GitError>;
    /// All objects that the push put into the quarantine.
    fn brought(&self) -> Result<Vec<ObjectId>, GitError>;
    /// The index that the environment names.
    fn index(&self) -> Result<Index, GitError>;
    /// Where the repository (of this work tree) is.
    fn git_dir(&self) -> &Path;
    /// Where its files are; `None` for a bare one.
    fn work_tree(&self) -> Option<&Path>;
}

/// How many bytes of folders are remembered, so that memory does not grow with history.
const REMEMBERED: usize = 4 << 20;

/// Folders of which it is remembered which kustomizations are in them, and the paths of these, in bytes.
const MOST_FOLDERS: usize = 20_000;
const MOST_PATHS: usize = 2 << 20;

/// No path that a file system takes is nested deeper, and no kustomization that is built.
const DEEPEST: usize = 256;

/// The folders that were read last.
#[derive(Default)]
struct Remembered {
    trees: HashMap<ObjectId, Arc<Tree>>,
    size: usize,
}

/// What is known of kustomizations.
#[derive(Default)]
struct Reaching {
    /// Those in a folder and below it that may reach out of their own, relative to it.
    folders: HashMap<ObjectId, Paths>,
    size: usize,
}

/// Paths with what is there, which several folders share.
type Paths = Arc<[(Vec<u8>, ObjectId)]>;

/// A repository, open for reading.
pub struct Repository {
    backend: Box<dyn Backend>,
    /// Shared by all threads: one lists what others look up.
    remembered: Arc<Mutex<Remembered>>,
    reaching: Arc<Mutex<Reaching>>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Repository").field(&self.git_dir()).finish()
    }
}

/// What is at the end of a chain of tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeled {
    /// The object that is no tag.
    pub id: ObjectId,
    /// What it is.
    pub kind: Kind,
    /// The tag objects on the way.
    pub tags: Vec<ObjectId>,
}

impl Repository {
    /// Opens the repository that Git's variables name, and looks at objects as they say: in a
    /// `pre-receive` hook those of the push are seen in no other way.
    ///
    /// # Errors
    /// Where neither libgit2 nor the `git` command can open it.
    pub fn open_from_env() -> Result<Self, GitError> {
        Self::either(Library::open_from_env(), CommandLine::open_from_env)
    }

    /// Opens the repository that a path is in, whatever Git's variables say.
    ///
    /// # Errors
    /// Where neither libgit2 nor the `git` command can open it.
    pub fn open_at(path: &Path) -> Result<Self, GitError> {
        Self::either(Library::open_at(path), || CommandLine::open_at(path))
    }

    fn either(
        library: Result<Library, git2::Error>,
        command_line: impl FnOnce() -> Result<CommandLine, super::ProcessError>,
    ) -> Result<Self, GitError> {
        let backend: Box<dyn Backend> = match library {
            Ok(library) => Box::new(library),
            Err(library) => match command_line() {
                Ok(command_line) => Box::new(command_line),
                Err(command) => return Err(GitError::Open { library, command }),
            },
        };
        Ok(Self { backend, remembered: Arc::default(), reaching: Arc::default() })
    }

    /// The same repository, opened for another thread.
    ///
    /// # Errors
    /// Where it cannot be opened again.
    pub fn another(&self) -> Result<Self, GitError> {
        Ok(Self {
            backend: self.backend.another()?,
            remembered: Arc::clone(&self.remembered),
            reaching: Arc::clone(&self.reaching),
        })
    }

    /// An object; `None` where there is none of that name.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn read(&self, id: ObjectId) -> Result<Option<(Kind, Content<'_>)>, GitError> {
        self.backend.read(id)
    }

    /// What an object is; `None` where there is none of that name.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn kind(&self, id: ObjectId) -> Result<Option<Kind>, GitError> {
        self.backend.kind(id)
    }

    /// A commit; `None` where there is none of that name.
    ///
    /// # Errors
    /// Where it is no commit or cannot be read.
    pub fn commit(&self, id: ObjectId) -> Result<Option<Commit>, GitError> {
        match self.backend.read(id)? {
            Some((Kind::Commit, bytes)) => Ok(Some(Commit::parse(id, &bytes)?)),
            Some(_) => Err(GitError::Malformed { id, what: "commit" }),
            None => Ok(None),
        }
    }

    /// The entries of a folder, sorted by the bytes of their names.
    ///
    /// # Errors
    /// Where it is missing, no tree, or cannot be read.
    pub fn tree(&self, id: ObjectId) -> Result<Arc<Tree>, GitError> {
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = remembered().trees.get(&id) {
            return Ok(Arc::clone(tree));
        }
        let tree = Arc::new(self.read_tree(id)?);
        let mut remembered = remembered();
        if remembered.size > REMEMBERED {
            *remembered = Remembered::default();
        }
        remembered.size += tree.size();
        remembered.trees.insert(id, Arc::clone(&tree));
        Ok(tree)
    }

    fn read_tree(&self, id: ObjectId) -> Result<Tree, GitError> {
        match self.backend.read(id)?.ok_or(GitError::Missing(id))? {
            (Kind::Tree, bytes) => Tree::parse(id, &bytes),
            _ => Err(GitError::Malformed { id, what: "tree" }),
        }
    }

    /// The kustomizations in a folder and all below it that may reach out of their own folders, by paths relative to it.
    /// A folder that is known is not gone through again; what a partial repository lacks is passed over.
    ///
    /// # Errors
    /// Where a folder or a kustomization cannot be read, or they are nested deeper than paths can be.
    pub fn reaching_kustomizations(&self, tree: ObjectId) -> Result<Paths, GitError> {
        self.reaching_below(tree, DEEPEST)
    }

    fn reaching_below(&self, tree: ObjectId, depth: usize) -> Result<Paths, GitError> {
        let known = || self.reaching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(paths) = known().folders.get(&tree) {
            return Ok(Arc::clone(paths));
        }
        let below = depth.checked_sub(1).ok_or(GitError::Malformed { id: tree, what: "tree" })?;
        let mut all = Vec::new();
        // Each is gone through once, so that it takes no room from those that are searched.
        let folder = match self.read_tree(tree) {
            Err(GitError::Missing(_)) => return Ok(all.into()),
            read => read?,
        };
        for entry in folder.iter() {
            match entry.kind {
                EntryKind::Tree => {
                    let inner = self.reaching_below(entry.id, below)?;
                    let inner = inner.iter().map(|(path, id)| ([entry.name, b"/", path].concat(), *id));
                    all.extend(inner);
                }
                EntryKind::File if is_kustomization_name(entry.name) => match self.blob(entry.id) {
                    Ok(content) if may_reach_outside(&content) => all.push((entry.name.to_owned(), entry.id)),
                    Ok(_) | Err(GitError::Missing(_)) => {}
                    Err(error) => return Err(error),
                },
                _ => {}
            }
        }
        let all: Paths = all.into();
        let mut known = known();
        if known.folders.len() > MOST_FOLDERS || known.size > MOST_PATHS {
            *known = Reaching::default();
        }
        known.size += all.iter().map(|(path, id)| path.len() + size_of_val(id)).sum::<usize>();
        known.folders.insert(tree, Arc::clone(&all));
        Ok(all)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// Where it is missing, no blob, or cannot be read.
    pub fn blob(&self, id: ObjectId) -> Result<Content<'_>, GitError> {
        match self.backend.read(id)?.ok_or(GitError::Missing(id))? {
            (Kind::Blob, bytes) => Ok(bytes),
            _ => Err(GitError::Malformed { id, what: "blob" }),
        }
    }

    /// Follows tags to what is no tag.
    ///
    /// # Errors
    /// Where something on the way is missing or cannot be read.
    pub fn peel(&self, id: ObjectId) -> Result<Peeled, GitError> {
        let mut peeled = Peeled { id, kind: Kind::Tag, tags: Vec::new() };
        loop {
            peeled.kind = self.kind(peeled.id)?.ok_or(GitError::Missing(peeled.id))?;
            if peeled.kind != Kind::Tag {
                return Ok(peeled);
            }
            let (_, bytes) = self.read(peeled.id)?.ok_or(GitError::Missing(peeled.id))?;
            peeled.tags.push(peeled.id);
            // The names are hashes of the contents, so this cannot go in circles.
            peeled.id = object::tag_target(peeled.id, &bytes)?;
        }
    }

    /// What all refs and HEAD point at, tags not peeled.
    ///
    /// # Errors
    /// Where refs cannot be listed.
    pub fn ref_tips(&self) -> Result<Vec<ObjectId>, GitError> {
        self.backend.ref_tips()
    }

    /// The commit of HEAD; `None` where the branch is unborn.
    ///
    /// # Errors
    /// Where HEAD cannot be read.
    pub fn head(&self) -> Result<Option<ObjectId>, GitError> {
        self.backend.head()
    }

    /// What the branches point at.
    ///
    /// # Errors
    /// Where refs cannot be read.
    pub fn branches(&self) -> Result<Vec<ObjectId>, GitError> {
        self.backend.branches()
    }

    /// What a ref points at, by its full name alone: whoever may make a branch or a tag of a like name must not
    /// take its place. `None` where there is none.
    ///
    /// # Errors
    /// Where refs cannot be read.
    pub fn reference(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        self.backend.reference(name)
    }

    /// The commits that are being merged into HEAD (`MERGE_HEAD`).
    pub fn merge_heads(&self) -> Vec<ObjectId> {
        let lines = std::fs::read(self.git_dir().join("MERGE_HEAD")).unwrap_or_default();
        lines.split(|byte| *byte == b'\n').filter_map(ObjectId::from_hex).collect()
    }

    /// Whether the object was in the repository before the push that is going on; `true` where none is.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub fn was_there(&self, id: ObjectId) -> Result<bool, GitError> {
        self.backend.was_there(id)
    }

    /// All objects that the push that is going on put into the quarantine, wanted or not.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub fn brought(&self) -> Result<Vec<ObjectId>, GitError> {
        self.backend.brought()
    }

    /// The index.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn index(&self) -> Result<Index, GitError> {
        self.backend.index()
    }

    /// Where the repository (of this work tree) is.
    pub fn git_dir(&self) -> &Path {
        self.backend.git_dir()
    }

    /// Where its files are; `None` for a bare one.
    pub fn work_tree(&self) -> Option<&Path> {
        self.backend.work_tree()
    }
}

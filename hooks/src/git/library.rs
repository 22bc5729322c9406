//! Reading through libgit2.

use super::command_line::CommandLine;
use super::environment::ObjectFolders;
use super::index::Index;
use super::object::{Content, Kind};
use super::repository::Backend;
use super::{GitError, ObjectId, settings};
use git2::{Odb, OdbLookupFlags};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct Library {
    repository: git2::Repository,
    /// Our own view of the objects: libgit2's does not unquote the list of alternates.
    objects: Arc<Odb<'static>>,
    /// What was there before the push, where a push is going on.
    before: Option<Arc<Odb<'static>>>,
    /// What the push brought.
    brought: Option<Arc<Odb<'static>>>,
    /// The file of the index, and where the repository is if not where Git's variables say.
    index: PathBuf,
    at: Option<PathBuf>,
}

impl Library {
    /// Opens what Git's variables name, as in a hook.
    pub(super) fn open_from_env() -> Result<Self, git2::Error> {
        settings::apply();
        let repository = git2::Repository::open_from_env()?;
        let index = std::env::var_os("GIT_INDEX_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
        let mut library = Self::with(repository, &ObjectFolders::from_env())?;
        library.index = index.unwrap_or(library.index);
        Ok(library)
    }

    /// Opens the repository that a path is in.
    pub(super) fn open_at(path: &Path) -> Result<Self, git2::Error> {
        settings::apply();
        let none: [&OsStr; 0] = [];
        let repository = git2::Repository::open_ext(path, git2::RepositoryOpenFlags::empty(), none)?;
        let library = Self::with(repository, &ObjectFolders::default())?;
        Ok(Self { at: Some(path.to_owned()), ..library })
    }

    fn with(repository: git2::Repository, folders: &ObjectFolders) -> Result<Self, git2::Error> {
        if is_partial(&repository) {
            return Err(git2::Error::from_str("the repository is a partial clone"));
        }
        // All refs count, not those of one namespace alone.
        repository.remove_namespace()?;
        let own = folders.own.clone().unwrap_or_else(|| repository.commondir().join("objects"));
        let own = std::slice::from_ref(&own);
        let objects = open_objects(own.iter().chain(&folders.alternates))?;
        let (before, brought) = if folders.quarantined {
            (Some(open_objects(folders.alternates.iter())?), Some(open_objects(own.iter())?))
        } else {
            (None, None)
        };
        let index = repository.path().join("index");
        Ok(Self { repository, objects, before, brought, index, at: None })
    }
}

/// Whether objects are left out until somebody asks for them, which only the `git` command does
/// (`remote.<name>.promisor`, partial-clone.txt).
fn is_partial(repository: &git2::Repository) -> bool {
    let Ok(config) = repository.config() else { return false };
    let Ok(mut entries) = config.entries(Some(r"^remote\..*\.promisor$")) else { return false };
    while let Some(entry) = entries.next() {
        if entry.is_ok_and(|entry| entry.value().is_ok_and(|value| !value.eq_ignore_ascii_case("false"))) {
            return true;
        }
    }
    false
}

fn open_objects<'p>(folders: impl Iterator<Item = &'p PathBuf>) -> Result<Arc<Odb<'static>>, git2::Error> {
    let objects = Odb::new()?;
    for folder in folders {
        let folder = folder.to_str().ok_or_else(|| git2::Error::from_str("the path is not UTF-8"))?;
        objects.add_disk_alternate(folder)?;
    }
    Ok(Arc::new(objects))
}

fn ours(id: git2::Oid) -> Option<ObjectId> {
    ObjectId::from_bytes(id.as_bytes())
}

fn theirs(id: ObjectId) -> Result<git2::Oid, GitError> {
    git2::Oid::from_bytes(id.as_bytes()).map_err(|source| GitError::Library { id, source })
}

fn kind(kind: git2::ObjectType) -> Option<Kind> {
    match kind {
        git2::ObjectType::Commit => Some(Kind::Commit),
        git2::ObjectType::Tree => Some(Kind::Tree),
        git2::ObjectType::Blob => Some(Kind::Blob),
        git2::ObjectType::Tag => Some(Kind::Tag),
        git2::ObjectType::Any => None,
    }
}

/// `None` for "there is no such object"; other errors stay errors.
fn found<T>(id: ObjectId, outcome: Result<T, git2::Error>) -> Result<Option<T>, GitError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(source) => Err(GitError::Library { id, source }),
    }
}

impl Backend for Library {
    /// libgit2 locks its databases of objects itself, so that all threads share what was mapped and unpacked.
    fn another(&self) -> Result<Box<dyn Backend>, GitError> {
        let repository = git2::Repository::open(self.repository.path()).map_err(GitError::Again)?;
        Ok(Box::new(Self {
            repository,
            objects: Arc::clone(&self.objects),
            before: self.before.clone(),
            brought: self.brought.clone(),
            index: self.index.clone(),
            at: self.at.clone(),
        }))
    }

    fn read(&self, id: ObjectId) -> Result<Option<(Kind, Content<'_>)>, GitError> {
        let Some(object) = found(id, self.objects.read(theirs(id)?))? else { return Ok(None) };
        let kind = kind(object.kind()).ok_or(GitError::Malformed { id, what: "object" })?;
        Ok(Some((kind, Content::Library(object))))
    }

    fn kind(&self, id: ObjectId) -> Result<Option<Kind>, GitError> {
        let header = found(id, self.objects.read_header(theirs(id)?))?;
        Ok(header.and_then(|(_, of)| kind(of)))
    }

    fn ref_tips(&self) -> Result<Vec<ObjectId>, GitError> {
        let references = self.repository.references().map_err(GitError::Refs)?;
        let mut tips: Vec<_> = self.head()?.into_iter().collect();
        let mut broken = 0;
        for reference in references {
            match reference {
                // A symbolic ref leads to another one of the list.
                Ok(reference) => tips.extend(reference.target().and_then(ours)),
                // What a broken ref holds is judged again; a few of them stop nothing.
                Err(source) => {
                    broken += 1;
                    if broken > 1000 {
                        return Err(GitError::Refs(source));
                    }
                }
            }
        }
        Ok(tips)
    }

    fn branches(&self) -> Result<Vec<ObjectId>, GitError> {
        let references = self.repository.references_glob("refs/heads/*").map_err(GitError::Refs)?;
        // A broken branch has no rules to protect.
        Ok(references.flatten().filter_map(|reference| reference.target().and_then(ours)).collect())
    }

    fn head(&self) -> Result<Option<ObjectId>, GitError> {
        match self.repository.head() {
            Ok(head) => Ok(head.target().and_then(ours)),
            Err(error)
                if matches!(error.code(), git2::ErrorCode::UnbornBranch | git2::ErrorCode::NotFound) =>
            {
                Ok(None)
            }
            Err(source) => Err(GitError::Refs(source)),
        }
    }

    fn reference(&self, name: &str) -> Result<Option<ObjectId>, GitError> {
        match self.repository.find_reference(name).and_then(|reference| reference.resolve()) {
            Ok(reference) => Ok(reference.target().and_then(ours)),
            Err(error)
                if matches!(error.code(), git2::ErrorCode::InvalidSpec | git2::ErrorCode::NotFound) =>
            {
                Ok(None)
            }
            Err(source) => Err(GitError::Refs(source)),
        }
    }

    fn was_there(&self, id: ObjectId) -> Result<bool, GitError> {
        let Some(before) = &self.before else { return Ok(true) };
        Ok(before.exists_ext(theirs(id)?, OdbLookupFlags::NO_REFRESH))
    }

    fn brought(&self) -> Result<Vec<ObjectId>, GitError> {
        let mut all = Vec::new();
        if let Some(brought) = &self.brought {
            let each = |id: &git2::Oid| {
                all.extend(ours(*id));
                true
            };
            brought.foreach(each).map_err(GitError::List)?;
        }
        Ok(all)
    }

    fn index(&self) -> Result<Index, GitError> {
        let bytes = match std::fs::read(&self.index) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Index::default()),
            Err(_) => Vec::new(),
        };
        // libgit2 opens no repository with longer names.
        if let Some(index) = Index::parse(&bytes, 20) {
            return Ok(index);
        }
        match &self.at {
            None => CommandLine::open_from_env()?.index(),
            Some(path) => CommandLine::open_at(path)?.index(),
        }
    }

    fn git_dir(&self) -> &Path {
        self.repository.path()
    }

    fn work_tree(&self) -> Option<&Path> {
        self.repository.workdir()
    }
}

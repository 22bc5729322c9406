//! What belongs to a repository and is not changed with it: tracked files that are not in the work tree, as a
//! sparse checkout leaves them out, and other repositories in it.

use crate::secrets::shown;
use bstr::ByteSlice as _;
use kubiya_hook::edge::Failure;
use kubiya_hook::git::{EntryKind, IndexEntry, Repository};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What a change of the work tree does not reach.
pub struct Elsewhere {
    repository: Option<Repository>,
    top: PathBuf,
    /// Tracked and not in the work tree.
    absent: Vec<IndexEntry>,
    /// Submodules: they have rules, keys and a history of their own.
    pub submodules: Vec<PathBuf>,
}

/// Shows how much there is.
impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elsewhere").field("submodules", &self.submodules).finish_non_exhaustive()
    }
}

impl Elsewhere {
    /// Looks at the index of a work tree.
    #[must_use]
    pub fn of(top: &Path) -> Self {
        let repository = Repository::open_at(top).ok();
        let index = repository.as_ref().and_then(|repository| repository.index().ok()).unwrap_or_default();
        let mut elsewhere =
            Self { repository, top: top.to_owned(), absent: Vec::new(), submodules: Vec::new() };
        for entry in index.entries {
            let path = top.join(OsStr::from_bytes(&entry.path));
            match entry.kind {
                EntryKind::Gitlink => elsewhere.submodules.push(path),
                _ if path.symlink_metadata().is_err() => elsewhere.absent.push(entry),
                _ => {}
            }
        }
        elsewhere
    }

    /// A key that goes must not be needed by what is out of sight.
    ///
    /// # Errors
    /// All files and rules that name it and are not in the work tree.
    pub fn must_not_name(&self, recipient: &str) -> Result<(), Failure> {
        let Some(repository) = &self.repository else { return Ok(()) };
        let names = |entry: &&IndexEntry| {
            // What cannot be read may name it.
            repository.blob(entry.id).map_or(true, |blob| blob.contains_str(recipient))
        };
        let named = self.absent.iter().filter(names).map(|entry| {
            let path = shown(&self.top.join(OsStr::from_bytes(&entry.path)));
            Failure::unverified("it is for the key that goes, and it is not in the work tree").at(path)
        });
        let named = named.collect::<Vec<_>>();
        if named.is_empty() {
            return Ok(());
        }
        let what = format!("{} tracked files would be left behind, so nothing was changed", named.len());
        Err(Failure::all(what, named)
            .hint("git sparse-checkout disable   # if the checkout is sparse")
            .hint("git status                    # if they were removed: commit that, or git restore FILE"))
    }
}

//! Which files Flux builds from a folder of the repository.

use kubiya_hook::git::{Content, EntryKind, GitError, ObjectId, Repository, Tree};
use serde::Deserialize as _;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The names under which kustomize looks for its file.
const KUSTOMIZATION: [&[u8]; 3] = [b"kustomization.yaml", b"kustomization.yml", b"Kustomization"];

/// The files of a commit.
pub(super) struct Files<'r> {
    repository: &'r Repository,
    root: ObjectId,
    /// What kustomizations build on that is not in the repository, with their folder.
    remote: RefCell<Vec<(String, String)>>,
}

/// A file that is built.
pub(super) struct Built<'r> {
    /// From the top of the repository.
    pub(super) path: String,
    pub(super) bytes: Content<'r>,
}

impl Built<'_> {
    /// Its documents, but for those that are no YAML: Flux will say so.
    pub(super) fn documents(&self) -> Vec<Value> {
        let Ok(text) = std::str::from_utf8(&self.bytes) else { return Vec::new() };
        let documents = serde_yaml::Deserializer::from_str(text).map_while(|d| Value::deserialize(d).ok());
        documents.filter(|document| !document.is_null()).collect()
    }
}

impl<'r> Files<'r> {
    pub(super) fn new(repository: &'r Repository, root: ObjectId) -> Self {
        Self { repository, root, remote: RefCell::default() }
    }

    /// What was met so far that is built on and is elsewhere: the folder, and where it is.
    pub(super) fn remote(&self) -> Vec<(String, String)> {
        self.remote.take()
    }

    /// What is at a path: a folder without slashes around it, empty for the root.
    fn find(&self, path: &str) -> Result<Option<(EntryKind, ObjectId)>, GitError> {
        let mut at = (EntryKind::Tree, self.root);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let (EntryKind::Tree, folder) = at else { return Ok(None) };
            let folder = self.repository.tree(folder)?;
            let Some(entry) = folder.find(name.as_bytes()) else { return Ok(None) };
            at = (entry.kind, entry.id);
        }
        Ok(Some(at))
    }

    fn folder(&self, path: &str) -> Result<Option<Arc<Tree>>, GitError> {
        match self.find(path)? {
            Some((EntryKind::Tree, id)) => self.repository.tree(id).map(Some),
            _ => Ok(None),
        }
    }

    /// A file's bytes; `None` where there is none.
    pub(super) fn read(&self, path: &str) -> Result<Option<Content<'r>>, GitError> {
        match self.find(path)? {
            Some((EntryKind::File, id)) => self.repository.blob(id).map(Some),
            _ => Ok(None),
        }
    }

    /// The files that Flux builds from a folder; `None` where there is no such folder.
    pub(super) fn built(&self, folder: &str) -> Result<Option<Vec<Built<'r>>>, GitError> {
        if self.folder(folder)?.is_none() {
            return Ok(None);
        }
        let mut files = Vec::new();
        self.build(folder, &mut BTreeSet::new(), &mut files)?;
        Ok(Some(files))
    }

    /// What a kustomization names or, where a folder has none, all manifests at and below it, as Flux makes one.
    fn build(
        &self,
        path: &str,
        seen: &mut BTreeSet<String>,
        files: &mut Vec<Built<'r>>,
    ) -> Result<(), GitError> {
        let Some(folder) = self.folder(path)?.filter(|_| seen.insert(path.to_owned())) else { return Ok(()) };
        let named = KUSTOMIZATION.iter().find_map(|name| folder.find(name));
        let Some(named) = named else {
            for entry in folder.iter() {
                let below = joined(path, &String::from_utf8_lossy(entry.name));
                match entry.kind {
                    EntryKind::Tree => self.build(&below, seen, files)?,
                    _ => self.file(&below, seen, files)?,
                }
            }
            return Ok(());
        };
        let kustomization = Built { path: path.to_owned(), bytes: self.repository.blob(named.id)? };
        let document = kustomization.documents().into_iter().next().unwrap_or_default();
        for list in ["resources", "components", "bases", "crds"] {
            for entry in document[list].as_array().into_iter().flatten().filter_map(Value::as_str) {
                // Elsewhere: kustomize takes it for a URL where no such file is there.
                if is_remote(entry) {
                    self.remote.borrow_mut().push((path.to_owned(), entry.to_owned()));
                }
                let Some(below) = resolved(path, entry) else { continue };
                match self.find(&below)? {
                    Some((EntryKind::Tree, _)) => self.build(&below, seen, files)?,
                    Some(_) => self.file(&below, seen, files)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn file(
        &self,
        path: &str,
        seen: &mut BTreeSet<String>,
        files: &mut Vec<Built<'r>>,
    ) -> Result<(), GitError> {
        let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end));
        if is_manifest && seen.insert(path.to_owned()) {
            files.extend(self.read(path)?.map(|bytes| Built { path: path.to_owned(), bytes }));
        }
        Ok(())
    }
}

/// What kustomize would fetch.
fn is_remote(entry: &str) -> bool {
    entry.contains("://") || entry.starts_with("git@") || entry.starts_with("github.com/")
}

/// A name below a folder.
pub(super) fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A path as a kustomization writes it, from the top of the repository; `None` where it leads out of it.
pub(super) fn resolved(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_testdata::env::TestEnv;
    use kubiya_testdata::git::GitRepo;

    fn built(repo: &GitRepo<'_>, folder: &str) -> Option<Vec<String>> {
        let repository = Repository::open_at(repo.path()).unwrap();
        let head = repository.head().unwrap().unwrap();
        let root = repository.commit(head).unwrap().unwrap().tree;
        let files = Files::new(&repository, root).built(folder).unwrap();
        files.map(|files| files.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn a_folder_without_a_kustomization_is_all_that_is_below_it() {
        let env = TestEnv::new();
        let repo = GitRepo::init(&env, "r");
        for path in ["a/x.yaml", "a/b/y.yml", "a/b/c/z.json", "a/README.md", "other/o.yaml"] {
            repo.write(path, "kind: A\n");
        }
        // Below it, a kustomization says what counts of its own folder.
        repo.write("a/k/kustomization.yaml", "resources: [in.yaml, ../../other, https://example.com/x]\n");
        repo.write("a/k/in.yaml", "kind: A\n");
        repo.write("a/k/out.yaml", "kind: A\n");
        repo.commit_all("all");
        let wanted = ["a/b/c/z.json", "a/b/y.yml", "a/k/in.yaml", "other/o.yaml", "a/x.yaml"];
        assert_eq!(built(&repo, "a").unwrap(), wanted);
        assert_eq!(built(&repo, "nowhere"), None);
        assert_eq!(built(&repo, "a/x.yaml"), None);
    }

    #[test]
    fn paths_stay_inside_and_circles_end() {
        assert_eq!(resolved("a/b", "../c/./d"), Some("a/c/d".to_owned()));
        assert_eq!(resolved("a", "../.."), None);
        let env = TestEnv::new();
        let repo = GitRepo::init(&env, "r");
        repo.write("a/kustomization.yaml", "resources: [../b, ../../outside]\n");
        repo.write("b/kustomization.yaml", "resources: [../a, f.yaml]\n");
        repo.write("b/f.yaml", "kind: A\n");
        repo.commit_all("all");
        assert_eq!(built(&repo, "a").unwrap(), ["b/f.yaml"]);
    }
}

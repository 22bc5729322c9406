//! Whose values a key could read: what must be changed at its source when that key has leaked.
//!
//! The files of the repository are read as they are, encrypted: no value is opened for it.

mod checklist;
mod object;
mod uses;

pub use checklist::{checklist, with_ticks};
pub use object::Origin;

use object::{Sealed, sealed_in};
use uses::{Reference, references_in};

use super::Scope;
use crate::files::Version;
use crate::secrets::{self, shown};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// A Secret, another object, or a whole file, with values that the key could read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposed {
    /// The file that they are in.
    pub path: String,
    /// The branch that it is on, where that is not the one that is checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The file from the top of the repository.
    #[serde(skip)]
    pub from_top: PathBuf,
    /// What in the file they belong to.
    #[serde(flatten)]
    pub origin: Origin,
    /// Keys of the values that are encrypted; none for a file that is one value.
    pub keys: Vec<String>,
    /// Where the repository uses them.
    pub used: Vec<Use>,
}

impl Exposed {
    /// In one line: whose values, which, and where they are used.
    #[must_use]
    pub fn line(&self) -> String {
        let whose = self.origin.title().map_or_else(String::new, |title| format!(" {title}"));
        let keys = if self.keys.is_empty() { "all of it".to_owned() } else { self.keys.join(", ") };
        let objects = self.used.iter().map(|used| used.object.as_str()).collect::<BTreeSet<_>>();
        let used = Vec::from_iter(objects).join(", ");
        let used = if used.is_empty() { used } else { format!("; used by {used}") };
        let branch = self.branch.as_ref().map(|branch| format!("{branch}: ")).unwrap_or_default();
        kubiya_hook::edge::shown(format!("{branch}{}{whose}: {keys}{used}", self.path).as_bytes())
    }

    /// Whether it has all the keys of another one, which is in the same file of another branch.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let same = (&self.from_top, &self.origin) == (&other.from_top, &other.origin);
        same && other.keys.iter().all(|key| self.keys.contains(key))
    }
}

/// A place that uses a Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// The file.
    pub path: String,
    /// The object in it, such as `Deployment shop/web`.
    pub object: String,
    /// The keys that lead to the reference, such as `spec.tls`.
    pub field: String,
    /// The key of the Secret, where one is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A Secret as others name it. The namespace is `None` where the manifest leaves it to a kustomization.
type Named = (Option<String>, String);

/// All that some recipients can read in the repository, in the order of the files, and where it is used. `branch` is
/// the one that the files are of, where it is not the one that is checked out.
///
/// A Secret is used where a manifest of its namespace, or one that does not say which, names it under a key
/// that is for Secrets; a file, where a `secretGenerator` reads it, and where the Secret that is made of it is.
/// What was changed or removed since is not in it: Git's history has that.
#[must_use]
pub fn exposed(scope: &Scope, recipients: &[&str], branch: Option<&str>) -> Vec<Exposed> {
    let readable = recipients.iter().flat_map(|recipient| scope.readable_by(recipient));
    let paths = readable.map(Path::to_owned).collect::<BTreeSet<_>>();
    let from_top = |path: &Path| path.strip_prefix(&scope.top).unwrap_or(path).to_owned();
    // The work tree of another branch is gone when this is read.
    let name = |path: &Path| if branch.is_some() { shown(&from_top(path)) } else { shown(path) };
    let found = paths.par_iter().map(|path| (path, of_file(path))).collect::<Vec<_>>();
    let manifests = secrets::files_below(std::slice::from_ref(&scope.top));
    let manifests = manifests.par_iter().filter_map(|path| {
        let version = Version::found(path.clone()).ok()?;
        let references = references_in(version.bytes());
        (!references.is_empty()).then(|| (path.clone(), references))
    });
    let by_name = Uses::of(manifests.collect(), &name);
    let exposed = found.into_iter().flat_map(|(path, sealed)| {
        let (by_name, name, from_top) = (&by_name, &name, &from_top);
        sealed.into_iter().map(move |Sealed { origin, keys }| {
            let used = by_name.of_origin(path, &origin);
            let branch = branch.map(str::to_owned);
            Exposed { path: name(path), branch, from_top: from_top(path), origin, keys, used }
        })
    });
    exposed.collect()
}

/// What is encrypted in a file. One that cannot be read is not left out.
fn of_file(path: &Path) -> Vec<Sealed> {
    let whole = || vec![Sealed { origin: Origin::default(), keys: Vec::new() }];
    Version::found(path.to_owned()).map_or_else(|_| whole(), |version| sealed_in(path, version.bytes()))
}

/// All references of a repository, by what they name.
struct Uses {
    secrets: BTreeMap<String, Vec<(Option<String>, Use)>>,
    /// Files that a `secretGenerator` reads, with the Secret that it makes.
    generated: BTreeMap<PathBuf, Vec<(Named, Use)>>,
}

impl Uses {
    fn of(manifests: Vec<(PathBuf, Vec<Reference>)>, shown: &dyn Fn(&Path) -> String) -> Self {
        let mut uses = Self { secrets: BTreeMap::new(), generated: BTreeMap::new() };
        for (path, references) in manifests {
            for reference in references {
                let Reference { object, field, key, namespace, name, generated_from } = reference;
                let used = Use { path: shown(&path), object, field, key };
                match generated_from {
                    Some(file) => {
                        let file = resolved(path.parent().unwrap_or(Path::new("/")), &file);
                        uses.generated.entry(file).or_default().push(((namespace, name), used));
                    }
                    None => uses.secrets.entry(name).or_default().push((namespace, used)),
                }
            }
        }
        uses
    }

    fn of_origin(&self, path: &Path, origin: &Origin) -> Vec<Use> {
        let mut found = BTreeSet::new();
        if let (Some("Secret"), Some(name)) = (origin.kind.as_deref(), &origin.name) {
            found.extend(self.of_secret(origin.namespace.as_ref(), name));
        }
        for ((namespace, name), used) in self.generated.get(path).into_iter().flatten() {
            found.insert(used.clone());
            // Its keys are the names of files, not those in them.
            found.extend(self.of_secret(namespace.as_ref(), name).map(|used| Use { key: None, ..used }));
        }
        found.into_iter().collect()
    }

    fn of_secret<'s>(
        &'s self,
        namespace: Option<&'s String>,
        name: &str,
    ) -> impl Iterator<Item = Use> + use<'s> {
        let named = self.secrets.get(name).into_iter().flatten();
        let same = move |there: &Option<String>| {
            namespace.is_none() || there.is_none() || there.as_ref() == namespace
        };
        named.filter(move |(there, _)| same(there)).map(|(_, used)| used.clone())
    }
}

/// A path in a kustomization, as the file that it leads to.
fn resolved(folder: &Path, path: &str) -> PathBuf {
    let mut resolved = folder.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved
}

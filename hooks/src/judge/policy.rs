//! Which `.sops.yaml` governs a path.

use super::{Entry, Snapshot, Unreadable};
use crate::git::{EntryKind, ObjectId};
use kubiya_policies::rules::{FILE_NAME, Problems, Rules};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the nearest `.sops.yaml` says.
#[derive(Debug)]
pub(super) enum Policy {
    /// There is none.
    None,
    /// Rules.
    Rules(Rules),
    /// There is one, and it cannot be used.
    Unusable { config: Vec<u8>, why: Unusable },
}

/// Why a `.sops.yaml` cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    /// In words.
    pub(super) reason: String,
    /// Line and column of the first thing that is wrong in it.
    pub(super) position: Option<(u32, u32)>,
}

impl From<&str> for Unusable {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), position: None }
    }
}

impl From<&Problems> for Unusable {
    fn from(problems: &Problems) -> Self {
        let Some(first) = problems.iter().next() else { return Self::from("it cannot be read") };
        let rest = problems.iter().skip(1).map(|problem| format!("; {problem}"));
        let reason = std::iter::once(first.what.clone()).chain(rest).collect();
        Self { reason, position: Some((first.span.line, first.span.column)) }
    }
}

impl Policy {
    pub(super) fn rules(&self) -> Option<&Rules> {
        match self {
            Policy::Rules(rules) => Some(rules),
            Policy::None | Policy::Unusable { .. } => None,
        }
    }
}

/// By content and path: what a rule's expression is matched with depends on where the file is.
type Read = HashMap<(ObjectId, Vec<u8>), Arc<Policy>>;

/// Reads each `.sops.yaml` once, for all threads.
pub(super) struct Policies {
    read: Mutex<Read>,
    none: Arc<Policy>,
}

impl Default for Policies {
    fn default() -> Self {
        Self { read: Mutex::default(), none: Arc::new(Policy::None) }
    }
}

impl Policies {
    /// The nearest `.sops.yaml` at or above the file's folder, in the same snapshot.
    pub(super) fn governing<S: Snapshot>(
        &self,
        snapshot: &S,
        path: &[u8],
    ) -> Result<Arc<Policy>, Unreadable> {
        for folder in folders(path) {
            let config = [folder, FILE_NAME.as_bytes()].concat();
            if let Some(entry) = snapshot.entry(&config)? {
                return self.of(snapshot, &config, entry);
            }
        }
        Ok(Arc::clone(&self.none))
    }

    fn of<S: Snapshot>(&self, snapshot: &S, config: &[u8], entry: Entry) -> Result<Arc<Policy>, Unreadable> {
        let key = entry.id.map(|id| (id, config.to_owned()));
        let read = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = key.as_ref().and_then(|key| read().get(key).cloned()) {
            return Ok(policy);
        }
        let policy = Arc::new(match entry.kind {
            EntryKind::File => match Rules::parse(config, &snapshot.read(config, entry)?) {
                Ok(rules) => Policy::Rules(rules),
                Err(problems) => unusable(config, &problems),
            },
            EntryKind::Symlink => unusable(config, "it is a symbolic link"),
            EntryKind::Tree => unusable(config, "it is a folder"),
            EntryKind::Gitlink => unusable(config, "it is a submodule"),
        });
        if let Some(key) = key {
            read().insert(key, Arc::clone(&policy));
        }
        Ok(policy)
    }
}

fn unusable(config: &[u8], why: impl Into<Unusable>) -> Policy {
    Policy::Unusable { config: config.to_owned(), why: why.into() }
}

/// The folders that hold a path, from the inmost to the root; with a trailing slash, the root empty.
pub(super) fn folders(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| &path[..=at]).chain([&path[..0]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_from_the_inmost_to_the_root() {
        let all: Vec<_> = folders(b"a/b/c.yaml").collect();
        assert_eq!(all, [&b"a/b/"[..], b"a/", b""]);
        assert_eq!(folders(b"c.yaml").collect::<Vec<_>>(), [b""]);
    }
}

//! Paths, objects and fields that only some people change. Encrypted is not authentic: with public recipients
//! anybody can write an encrypted file.

use super::policy_changes::PolicyWatch;
use crate::config::Protected;
use crate::git::{EntryKind, GitError, ObjectId, TreeSnapshot};
use crate::judge::{Found, Snapshot as _};
use kubiya_policies::builtin;
use kubiya_policies::finding::Severity;
use kubiya_policies::objects::{Part, parts};
use kubiya_policies::values::ValueHash;
use std::collections::{BTreeMap, BTreeSet};

/// What an update changes and may not.
///
/// # Errors
/// Where a folder cannot be read.
pub fn judge_protected(update: &PolicyWatch<'_>) -> Result<Vec<Found>, GitError> {
    let mut found = Vec::new();
    for protected in &update.config.protected {
        let wanted = |path: &[u8]| protected.paths.as_ref().is_none_or(|patterns| patterns.matches(path));
        for path in update.changed(wanted)? {
            let what = changed_parts(update, protected, &path);
            if !what.is_empty() && !update.may_change(&path, &protected.owners)? {
                let content = id(update, update.tip, &path);
                for part in what {
                    let reason =
                        protected.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                    let message = format!("only some people may change {part}{reason}");
                    let code = builtin::PROTECTED;
                    found.push(Found::about(&path, content, code, Severity::Error, message));
                }
            }
        }
    }
    Ok(found)
}

fn id(update: &PolicyWatch<'_>, tree: ObjectId, path: &[u8]) -> Option<ObjectId> {
    let entry = TreeSnapshot::new(update.repository, tree).entry(path).ok().flatten()?;
    (entry.kind != EntryKind::Tree).then_some(entry.id).flatten()
}

/// What of a file that changed is protected, in words.
fn changed_parts(update: &PolicyWatch<'_>, protected: &Protected, path: &[u8]) -> Vec<String> {
    if protected.kinds.is_empty() && protected.fields.is_empty() {
        return vec!["this file".to_owned()];
    }
    let parts = |tree: ObjectId| -> BTreeMap<Part, BTreeSet<ValueHash>> {
        let blob = id(update, tree, path).and_then(|id| update.repository.blob(id).ok());
        blob.map(|bytes| parts(&bytes, &protected.kinds, &protected.fields)).unwrap_or_default()
    };
    let (before, now) = (parts(update.before), parts(update.tip));
    let all: BTreeSet<&Part> = before.keys().chain(now.keys()).collect();
    let changed = all.into_iter().filter(|part| before.get(part) != now.get(part));
    let named =
        |part: &&Part| protected.names.as_ref().is_none_or(|names| names.matches(part.name.as_bytes()));
    changed.filter(named).map(in_words).collect()
}

fn in_words(part: &Part) -> String {
    if part.kind.is_empty() {
        return "this file, which cannot be read".to_owned();
    }
    let field = if part.field.is_empty() { String::new() } else { format!("`{}` of ", part.field) };
    format!("{field}{} {}", part.kind, part.name)
}

//! What a run that was killed left in a work tree, told from what the operator changed.

use super::checkout::Wanted;
use crate::files::Version;
use crate::secrets::{Keys, read, unlocked};
use kubiya_hook::git::work::WorkTree;
use kubiya_hook::git::{ObjectId, Repository, file_in};
use kubiya_policies::rules::{FILE_NAME, RecipientChange, change_recipients};
use kubiya_policies::sops::file::MacCheck;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Whose change it is.
pub(super) enum Change {
    /// Of a file that is not renewed.
    Unrelated,
    /// Ours: the same content for other recipients.
    Ours,
    /// Somebody else's.
    Theirs,
}

/// Tells whose a change is that is not committed. What cannot be told is the operator's.
pub(super) fn judge(tree: &WorkTree, head: ObjectId, path: &Path, wanted: &Wanted<'_>) -> Change {
    let Some(before) = committed(tree, head, path) else { return Change::Unrelated };
    let now = Version::read(&tree.top().join(path), None).map(|version| version.bytes().to_vec());
    if path.file_name().is_some_and(|name| name.as_bytes() == FILE_NAME.as_bytes()) {
        let names = |bytes: &[u8]| bstr::ByteSlice::find(bytes, wanted.old.as_bytes()).is_some();
        return match now {
            Ok(now) if changed_rules(&before, wanted.renewal.change).contains(&now) => Change::Ours,
            _ if names(&before) => Change::Theirs,
            _ => Change::Unrelated,
        };
    }
    let Some(old) = clear(path, &before, wanted.renewal.keys) else { return Change::Unrelated };
    let new = now.ok().and_then(|now| clear(path, &now, wanted.renewal.keys));
    if new.is_some_and(|new| new == old) { Change::Ours } else { Change::Theirs }
}

/// All that we could have made of rules.
fn changed_rules(before: &[u8], change: Option<RecipientChange<'_>>) -> Vec<Vec<u8>> {
    let one = change.and_then(|change| change_recipients(before, change).ok().flatten());
    one.into_iter().collect()
}

fn committed(tree: &WorkTree, head: ObjectId, path: &Path) -> Option<Vec<u8>> {
    let repository = Repository::open_at(tree.top()).ok()?;
    let root = repository.commit(head).ok()??.tree;
    let blob = file_in(&repository, root, path.as_os_str().as_bytes()).ok()??;
    Some(repository.blob(blob).ok()?.to_vec())
}

/// The clear content of an encrypted file that is sound.
fn clear(path: &Path, bytes: &[u8], keys: &dyn Keys) -> Option<Zeroizing<Vec<u8>>> {
    let secret = read(path, bytes, None, None).ok()?;
    secret.metadata()?;
    let key = unlocked(path, &secret, keys).ok()?;
    Some(secret.decrypt(&key, MacCheck::Required).ok()?.bytes)
}

/// Takes new versions away that were written beside files and never put in place. They hold ciphertext.
pub(super) fn sweep(top: &Path) {
    let walk = ignore::WalkBuilder::new(top)
        .hidden(false)
        .git_ignore(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walk.flatten() {
        let name = entry.file_name().to_string_lossy();
        let ours = name
            .strip_prefix(".kubiya-")
            .is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if ours && entry.file_type().is_some_and(|kind| kind.is_file()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

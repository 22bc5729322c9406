//! What a run that was killed left in a work tree, told from what the operator changed.

use super::checkout::Wanted;
use crate::files::Version;
use crate::secrets::{Keys, read, unlocked};
use bstr::ByteSlice as _;
use kubiya_hook::git::work::WorkTree;
use kubiya_hook::git::{ObjectId, Repository, file_in};
use kubiya_policies::rules::{FILE_NAME, RecipientChange, change_recipients};
use kubiya_policies::sops::file::MacCheck;
use kubiya_policies::sops::recipient::Recipient;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How the names begin of new versions that are written beside files.
const STAGED: &str = crate::files::STAGED;

/// Whose change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Of a file that is not renewed.
    Unrelated,
    /// Ours: the same content, for one or both of the two keys in place of one or both.
    Ours,
    /// Somebody else's.
    Theirs,
}

/// Tells whose a change is that is not committed, in the work tree or in the index. What cannot be told is the
/// operator's.
pub(super) fn judge(tree: &WorkTree, head: ObjectId, path: &Path, wanted: &Wanted<'_>) -> Change {
    let Some(before) = committed(tree, head, path) else { return Change::Unrelated };
    let on_disk = Version::read(&tree.top().join(path), None).ok().map(|version| version.bytes().to_vec());
    let staged = tree.staged(path);
    let both = [on_disk, staged].map(|now| of_bytes(path, &before, now.as_deref(), wanted));
    match both {
        [Change::Unrelated, Change::Unrelated] => Change::Unrelated,
        [Change::Theirs, _] | [_, Change::Theirs] => Change::Theirs,
        _ => Change::Ours,
    }
}

/// Whether all that lies between two commits is ours: nothing but rules and files for other recipients.
pub(super) fn is_ours(tree: &WorkTree, from: ObjectId, to: ObjectId, wanted: &Wanted<'_>) -> bool {
    let Ok(paths) = tree.changed_between(from, to) else { return false };
    paths.iter().all(|path| {
        let before = committed(tree, from, path);
        let now = committed(tree, to, path);
        before.is_some_and(|before| of_bytes(path, &before, now.as_deref(), wanted) == Change::Ours)
    })
}

fn of_bytes(path: &Path, before: &[u8], now: Option<&[u8]>, wanted: &Wanted<'_>) -> Change {
    if path.file_name().is_some_and(|name| name.as_bytes() == FILE_NAME.as_bytes()) {
        return match now {
            Some(now) if now == before || could_be(before, wanted).iter().any(|one| one == now) => {
                Change::Ours
            }
            _ if before.find(wanted.old.as_bytes()).is_some() => Change::Theirs,
            _ => Change::Unrelated,
        };
    }
    let Some(old) = Clear::of(path, before, wanted) else { return Change::Unrelated };
    if now.is_some_and(|now| now == before) {
        return Change::Ours;
    }
    let new = now.and_then(|now| Clear::of(path, now, wanted));
    if new.is_some_and(|new| new == old) { Change::Ours } else { Change::Theirs }
}

/// All that a rotation, or its way back, could have made of rules.
fn could_be(before: &[u8], wanted: &Wanted<'_>) -> Vec<Vec<u8>> {
    let (old, new) = (wanted.old, wanted.new);
    let changes = [
        RecipientChange::Add(old, new),
        RecipientChange::Replace(old, new),
        RecipientChange::Add(new, old),
        RecipientChange::Replace(new, old),
    ];
    changes.into_iter().filter_map(|change| change_recipients(before, change).ok().flatten()).collect()
}

fn committed(tree: &WorkTree, head: ObjectId, path: &Path) -> Option<Vec<u8>> {
    let repository = Repository::open_at(tree.top()).ok()?;
    let root = repository.commit(head).ok()??.tree;
    let blob = file_in(&repository, root, path.as_os_str().as_bytes()).ok()??;
    Some(repository.blob(blob).ok()?.to_vec())
}

/// What an encrypted file says, and to whom besides the two keys.
#[derive(PartialEq, Eq)]
struct Clear {
    bytes: Zeroizing<Vec<u8>>,
    others: BTreeSet<String>,
}

impl Clear {
    /// Opens a file that is sound.
    fn of(path: &Path, bytes: &[u8], wanted: &Wanted<'_>) -> Option<Self> {
        let keys: &dyn Keys = wanted.renewal.keys;
        let secret = read(path, bytes, None, None).ok()?;
        let recipients = secret.metadata()?.wrapped.iter().flatten().map(|key| &key.recipient);
        let two = |recipient: &&Recipient| matches!(recipient, Recipient::Age(age) if age.trim() == wanted.old || age.trim() == wanted.new);
        let others = recipients.filter(|recipient| !two(recipient)).map(|one| format!("{one:?}")).collect();
        let key = unlocked(path, &secret, keys).ok()?;
        Some(Self { bytes: secret.decrypt(&key, MacCheck::Required).ok()?.bytes, others })
    }
}

/// Takes new versions away that were written beside files and never put in place: by their names, and by one of the
/// two keys in them. They hold ciphertext.
pub(super) fn sweep(folders: &BTreeSet<PathBuf>, keys: [&str; 2]) {
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().as_bytes().starts_with(STAGED.as_bytes())) {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let names = |bytes: Vec<u8>| keys.iter().any(|key| bytes.find(key.as_bytes()).is_some());
        if is_file && std::fs::read(entry.path()).is_ok_and(names) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

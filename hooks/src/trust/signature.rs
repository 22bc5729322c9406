//! Who signed a commit, by the operator's list of SSH keys.

use crate::git::{ObjectId, verified_signer};
use std::path::Path;

/// Whether a commit has a good SSH signature of one of the people: the principal of their line in the list of
/// allowed signers, which is what `git verify-commit` names.
pub(super) fn is_signed_by(commit: ObjectId, people: &[String], allowed_signers: Option<&Path>) -> bool {
    let Some(list) = allowed_signers else { return false };
    verified_signer(commit, list).is_some_and(|signer| people.contains(&signer))
}

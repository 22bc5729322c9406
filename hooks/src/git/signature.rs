//! Signatures of commits, which the `git` command checks.

use super::{ObjectId, process};
use std::ffi::OsString;
use std::path::Path;

/// The principal whose SSH key signed a commit, by a list of allowed signers; `None` where it is not signed, or
/// by nobody of the list.
pub fn verified_signer(commit: ObjectId, allowed_signers: &Path) -> Option<String> {
    let mut list = OsString::from("gpg.ssh.allowedSignersFile=");
    list.push(allowed_signers);
    let mut command = process::git();
    command.arg("-c").arg(list);
    // `--format=%GS` names the principal of a good signature; `%G?` is `G` for one of the list alone.
    command.args([
        "show",
        "--no-patch",
        "--no-show-signature",
        "--format=%G?%x00%GS%x00%GF",
        &commit.to_string(),
    ]);
    let shown = process::output(command, b"").ok()?;
    let text = String::from_utf8(shown).ok()?;
    let mut fields = text.trim_end_matches('\n').split('\0');
    let (status, signer, key) = (fields.next()?, fields.next()?, fields.next()?);
    // A key of OpenPGP comes from whatever keyring there is; only those of the list count.
    (status == "G" && key.starts_with("SHA256:") && !signer.is_empty()).then(|| signer.to_owned())
}

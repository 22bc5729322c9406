//! The old identity in a file, encrypted to the new one: for what only it reads, such as Git's history.

use crate::files::{Batch, FileError, Staged};
use crate::secrets::file_failure;
use age::armor::{ArmoredReader, ArmoredWriter, Format};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::age::{Identity, public};
use secrecy::ExposeSecret as _;
use std::io::{Read as _, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Writes the file, for the owner alone, and reads it back. False where it is there already and holds the identity.
///
/// # Errors
/// Something else is there; it cannot be written; the new key is of a kind that age's files are not written for here.
pub(super) fn keep(path: &Path, old: &Identity, new: &Identity) -> Result<bool, Failure> {
    if path.symlink_metadata().is_ok() {
        return if holds(path, old, new) { Ok(false) } else { Err(file_failure(path, &FileError::Exists)) };
    }
    let bytes = encrypted(old, new).ok_or_else(|| {
        Failure::unverified("the old key cannot be encrypted to the new one, so it was kept nowhere")
            .at(path.display().to_string())
    })?;
    let mut batch = Batch::default();
    batch.add(Staged::new_file(path, &bytes).map_err(|error| file_failure(path, &error))?);
    if let Some((path, error)) = batch.put_in_place().into_iter().next() {
        return Err(file_failure(&path, &error));
    }
    if holds(path, old, new) {
        return Ok(true);
    }
    Err(Failure::unverified("the old key is not read back as it was kept, so nothing else was changed")
        .at(path.display().to_string()))
}

fn encrypted(old: &Identity, new: &Identity) -> Option<Vec<u8>> {
    let recipient = public(&new.recipient()?).ok()?;
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&*recipient)).ok()?;
    let armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).ok()?;
    let mut writer = encryptor.wrap_output(armored).ok()?;
    let line = Zeroizing::new(format!(
        "# public key: {}\n{}\n",
        old.recipient().unwrap_or_default(),
        old.expose_line().expose_secret()
    ));
    writer.write_all(line.as_bytes()).ok()?;
    writer.finish().ok()?.finish().ok()
}

fn holds(path: &Path, old: &Identity, new: &Identity) -> bool {
    let read = || -> Option<Zeroizing<String>> {
        let file = std::fs::File::open(path).ok()?;
        let decryptor = age::Decryptor::new(ArmoredReader::new(file)).ok()?;
        let mut reader = decryptor.decrypt(new.opener().into_iter()).ok()?;
        let mut text = Zeroizing::new(String::with_capacity(4096));
        reader.read_to_string(&mut text).ok()?;
        Some(text)
    };
    read().is_some_and(|text| text.lines().any(|line| line == old.expose_line().expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_key_is_kept_once_and_only_the_new_one_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.age");
        let [old, new, other] = [Identity::generate(), Identity::generate(), Identity::generate()];
        assert!(keep(&path, &old, &new).unwrap());
        assert!(!keep(&path, &old, &new).unwrap(), "it is there");
        assert!(!holds(&path, &old, &other));
        assert!(keep(&path, &other, &new).is_err(), "another key's place");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
        assert!(!text.contains(old.expose_line().expose_secret()));
    }
}

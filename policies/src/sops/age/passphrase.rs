//! Key files that are encrypted with a passphrase: age files themselves.

use std::io::Read as _;

use ::age::DecryptError;
use ::age::armor::ArmoredReader;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::identity::IdentityFileError;

/// The work that is done for a passphrase at most, as a power of two: age's own limit. age writes 18.
const MAX_WORK: u8 = 22;
/// A key file is a few lines.
const MAX_BYTES: u64 = 1 << 20;

/// Why a passphrase-protected key file does not open. It quotes neither the file nor the passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Another passphrase.
    #[error("the passphrase is wrong")]
    Wrong,
    /// The file is cut off, changed, or asks for more work than age accepts.
    #[error("the encrypted key file is damaged")]
    Damaged,
    /// It is encrypted for a key, not with a passphrase.
    #[error("the key file is encrypted for another key, not with a passphrase")]
    NotAPassphrase,
    /// What is in it is not a key file.
    #[error(transparent)]
    Content(#[from] IdentityFileError),
}

/// Whether a file is an age file, armored or not.
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.starts_with(b"age-encryption.org/v1")
        || bytes.trim_ascii_start().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// Decrypts an age file with a passphrase.
pub(super) fn open(bytes: &[u8], passphrase: &SecretString) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let decryptor =
        ::age::Decryptor::new(ArmoredReader::new(bytes)).map_err(|_| PassphraseError::Damaged)?;
    if !decryptor.is_scrypt() {
        return Err(PassphraseError::NotAPassphrase);
    }
    let mut identity = ::age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MAX_WORK);
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn ::age::Identity));
    let reader = reader.map_err(|error| match error {
        DecryptError::DecryptionFailed
        | DecryptError::KeyDecryptionFailed
        | DecryptError::NoMatchingKeys => PassphraseError::Wrong,
        _ => PassphraseError::Damaged,
    })?;
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
    reader.take(MAX_BYTES).read_to_end(&mut text).map_err(|_| PassphraseError::Damaged)?;
    Ok(text)
}

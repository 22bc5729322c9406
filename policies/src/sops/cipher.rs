//! Encrypting and decrypting one value: AES-256-GCM with a nonce of 32 bytes (`aes/cipher.go`).

use aes_gcm::aead::AeadInPlace as _;
use aes_gcm::aead::consts::U32;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit as _};
use zeroize::Zeroizing;

use super::keys::DataKey;
use super::value::{EncryptedValue, ValueType};

/// A source of randomness: fills a buffer.
pub type Random<'r> = dyn FnMut(&mut [u8]) + 'r;

/// A file's data key, ready for use.
pub struct Cipher(AesGcm<Aes256, U32>);

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher(…)")
    }
}

/// The value does not open: another data key, another place, or damage. Nothing tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not open with the file's data key at this place")]
pub struct DoesNotOpen;

impl Cipher {
    /// For a data key.
    pub fn new(key: &DataKey) -> Self {
        Self(AesGcm::new(key.expose().into()))
    }

    /// Encrypts bytes under a fresh nonce. `aad` is the place (see [`super::tree::Visit::aad`]).
    pub fn seal(&self, kind: ValueType, bytes: &[u8], aad: &str, random: &mut Random<'_>) -> EncryptedValue {
        let mut iv = [0; 32];
        random(&mut iv);
        self.seal_under(iv, kind, bytes, aad)
    }

    /// The same under a nonce, which is random and used once.
    pub(super) fn seal_under(
        &self,
        iv: [u8; 32],
        kind: ValueType,
        bytes: &[u8],
        aad: &str,
    ) -> EncryptedValue {
        let mut data = bytes.to_vec();
        // Only a text beyond 64 GiB fails; a tag of zeros would not open, and what we write is opened before.
        let tag = self
            .0
            .encrypt_in_place_detached(&iv.into(), aad.as_bytes(), &mut data)
            .map_or([0; 16], Into::into);
        EncryptedValue { data, iv, tag, kind }
    }

    /// Decrypts a value.
    ///
    /// # Errors
    ///
    /// It does not open here.
    pub fn open(&self, value: &EncryptedValue, aad: &str) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let mut bytes = Zeroizing::new(value.data.clone());
        self.0
            .decrypt_in_place_detached(&value.iv.into(), aad.as_bytes(), &mut bytes, &value.tag.into())
            .map_err(|_| DoesNotOpen)?;
        Ok(bytes)
    }
}

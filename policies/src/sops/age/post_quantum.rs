//! age's post-quantum keys (`age1pq1…`, `AGE-SECRET-KEY-PQ-1…`): the stanza `mlkem768x25519` is the file key
//! under HPKE (RFC 9180) in base mode, with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305 (`pq.go` of age 1.3).

use std::collections::HashSet;

use ::age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::super::recipient::Long;
use super::decode;
use super::x_wing::{Public, Secret, Shared};

const STANZA: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// A file key and the tag of its encryption.
const BODY_BYTES: usize = FILE_KEY_BYTES + 16;
const PUBLIC: &str = "age1pq";
const SECRET: &str = "AGE-SECRET-KEY-PQ-";

/// A public key.
#[derive(Clone)]
pub(super) struct Recipient(Public);

impl Recipient {
    /// Reads `age1pq1…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Public::of(&decode(text, PUBLIC)?).map(Self)
    }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = bech32::Hrp::parse(PUBLIC).map_err(|_| std::fmt::Error)?;
        bech32::encode_lower_to_fmt::<Long, _>(f, name, &self.0.to_bytes()).map_err(|_| std::fmt::Error)
    }
}

impl ::age::Recipient for Recipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let failed =
            || EncryptError::Io(std::io::Error::other("no key can be agreed on with this recipient"));
        let (encapsulated, shared) = self.0.encapsulate().ok_or_else(failed)?;
        let (cipher, nonce) = key_schedule(&shared).ok_or_else(failed)?;
        let body =
            cipher.encrypt(&nonce.into(), file_key.expose_secret().as_slice()).map_err(|_| failed())?;
        let args = vec![BASE64_STANDARD_NO_PAD.encode(encapsulated)];
        // age mixes such a stanza only with others that are safe against quantum computers.
        let labels = HashSet::from(["postquantum".to_owned()]);
        Ok((vec![Stanza { tag: STANZA.to_owned(), args, body }], labels))
    }
}

/// A private key.
pub(super) struct Identity(Secret);

impl Identity {
    /// Reads `AGE-SECRET-KEY-PQ-1…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Secret::of(&decode(text, SECRET)?).map(Self)
    }

    /// Its public key.
    pub(super) fn recipient(&self) -> Recipient {
        Recipient(self.0.public().clone())
    }
}

impl ::age::Identity for Identity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != STANZA {
            return None;
        }
        let shared = match stanza.args.as_slice() {
            [encapsulated] if stanza.body.len() == BODY_BYTES => {
                let encapsulated = BASE64_STANDARD_NO_PAD.decode(encapsulated).ok();
                encapsulated.and_then(|encapsulated| self.0.decapsulate(&encapsulated))
            }
            _ => None,
        };
        let Some((cipher, nonce)) = shared.and_then(|shared| key_schedule(&shared)) else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        // Another key's stanza shows only here: it does not open.
        let opened = cipher.decrypt(&nonce.into(), stanza.body.as_slice()).ok()?;
        let opened = Zeroizing::new(opened);
        Some(FileKey::try_init_with_mut(|file_key| {
            let bytes = opened.as_slice().try_into().map_err(|_| DecryptError::InvalidHeader)?;
            *file_key = bytes;
            Ok(())
        }))
    }
}

/// HPKE's name for the algorithms: X-Wing, HKDF-SHA256, ChaCha20-Poly1305.
const SUITE: [u8; 10] = *b"HPKE\x64\x7a\x00\x01\x00\x03";

/// RFC 9180, section 5.1, in base mode: without a shared secret of before. The nonce is that of the first
/// message, and there is no second.
fn key_schedule(shared: &Shared) -> Option<(ChaCha20Poly1305, [u8; 12])> {
    let mut context = vec![0];
    context.extend(extract(&[], b"psk_id_hash", &[]).0);
    context.extend(extract(&[], b"info_hash", INFO).0);
    let (_, secret) = extract(shared.as_slice(), b"secret", &[]);
    let mut key = Zeroizing::new([0; 32]);
    let mut nonce = [0; 12];
    expand(&secret, b"key", &context, key.as_mut_slice())?;
    expand(&secret, b"base_nonce", &context, &mut nonce)?;
    Some((ChaCha20Poly1305::new((&*key).into()), nonce))
}

/// `LabeledExtract` of RFC 9180, section 4.
fn extract(salt: &[u8], label: &[u8], input: &[u8]) -> ([u8; 32], Hkdf<Sha256>) {
    let labeled = Zeroizing::new([b"HPKE-v1".as_slice(), &SUITE, label, input].concat());
    let (hash, expander) = Hkdf::<Sha256>::extract(Some(salt), &labeled);
    (hash.into(), expander)
}

/// `LabeledExpand` of RFC 9180, section 4.
fn expand(secret: &Hkdf<Sha256>, label: &[u8], info: &[u8], out: &mut [u8]) -> Option<()> {
    let length = u16::try_from(out.len()).ok()?.to_be_bytes();
    secret.expand_multi_info(&[&length, b"HPKE-v1", &SUITE, label, info], out).ok()
}

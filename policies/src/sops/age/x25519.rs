//! age's classic keys (`age1…`, `AGE-SECRET-KEY-1…`): the stanza `X25519` is the file key under a key that two
//! numbers agree on (c2sp.org/age, "The X25519 recipient type").
//!
//! The crate `age` has it too, and takes up to twice as long: it climbs Montgomery's ladder where the same product is
//! had on Edwards's curve with vector instructions, and finds the owner's public key anew for each file.

use std::collections::HashSet;

use ::age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{aead_decrypt, aead_encrypt, hkdf};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use rand_core::{OsRng, RngCore as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::decode;

const STANZA: &str = "X25519";
const LABEL: &[u8] = b"age-encryption.org/v1/X25519";
/// A file key and the tag of its encryption.
const BODY_BYTES: usize = FILE_KEY_BYTES + 16;
const PUBLIC: &str = "age";
const SECRET: &str = "AGE-SECRET-KEY-";

type Secret = Zeroizing<[u8; 32]>;

/// A public key.
pub(super) struct Recipient([u8; 32]);

impl Recipient {
    /// Reads `age1…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        decode(text, PUBLIC)?.as_slice().try_into().ok().map(Self)
    }
}

impl ::age::Recipient for Recipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let mut secret = Secret::default();
        OsRng.try_fill_bytes(&mut *secret).map_err(|error| EncryptError::Io(std::io::Error::other(error)))?;
        let sender = public_of(&secret);
        let failed = || std::io::Error::other("no key can be agreed on with this recipient");
        let key = wrapping_key(&secret, &self.0, &sender, &self.0).ok_or_else(failed)?;
        let body = aead_encrypt(&key, file_key.expose_secret());
        let args = vec![BASE64_STANDARD_NO_PAD.encode(sender)];
        Ok((vec![Stanza { tag: STANZA.to_owned(), args, body }], HashSet::new()))
    }
}

/// A private key.
pub(super) struct Identity {
    secret: Secret,
    public: [u8; 32],
}

impl Identity {
    /// Reads `AGE-SECRET-KEY-1…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = decode(text, SECRET)?;
        let mut secret = Secret::default();
        if bytes.len() != secret.len() {
            return None;
        }
        secret.copy_from_slice(&bytes);
        let public = public_of(&secret);
        Some(Self { secret, public })
    }
}

impl ::age::Identity for Identity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != STANZA {
            return None;
        }
        let sender: Option<[u8; 32]> = match stanza.args.as_slice() {
            [sender] if stanza.body.len() == BODY_BYTES => {
                BASE64_STANDARD_NO_PAD.decode(sender).ok().and_then(|sender| sender.try_into().ok())
            }
            _ => None,
        };
        let key = sender.and_then(|sender| wrapping_key(&self.secret, &sender, &sender, &self.public));
        let Some(key) = key else { return Some(Err(DecryptError::InvalidHeader)) };
        // Another key's stanza shows only here: it does not open.
        let opened = Zeroizing::new(aead_decrypt(&key, FILE_KEY_BYTES, &stanza.body).ok()?);
        Some(FileKey::try_init_with_mut(|file_key| {
            let bytes = opened.as_slice().try_into().map_err(|_| DecryptError::InvalidHeader)?;
            *file_key = bytes;
            Ok(())
        }))
    }
}

fn public_of(secret: &Secret) -> [u8; 32] {
    EdwardsPoint::mul_base_clamped(**secret).to_montgomery().to_bytes()
}

/// What the file key is encrypted under. `None` where one side is a point of low order, which agrees on nothing.
fn wrapping_key(secret: &Secret, other: &[u8; 32], sender: &[u8; 32], owner: &[u8; 32]) -> Option<Secret> {
    let shared = agreed(secret, other);
    let nothing = shared.iter().fold(0, |any, byte| any | byte) == 0;
    let salt = [sender.as_slice(), owner].concat();
    (!nothing).then(|| Zeroizing::new(hkdf(&salt, LABEL, &*shared)))
}

/// X25519 (RFC 7748): the product on Edwards's curve, in constant time. Half of all numbers are on the twist of the
/// curve, which has no such form; they are no public key of anybody, and get the ladder.
fn agreed(secret: &Secret, other: &[u8; 32]) -> Secret {
    let other = MontgomeryPoint(*other);
    let mut product = match other.to_edwards(0) {
        Some(point) => {
            let mut product = point.mul_clamped(**secret);
            let agreed = product.to_montgomery();
            product.zeroize();
            agreed
        }
        None => other.mul_clamped(**secret),
    };
    let agreed = Zeroizing::new(product.to_bytes());
    product.zeroize();
    agreed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_that_of_the_ladder(secret: [u8; 32], other: [u8; 32]) -> bool {
        *agreed(&Zeroizing::new(secret), &other) == x25519_dalek::x25519(secret, other)
    }

    proptest! {
        #[test]
        fn what_is_agreed_on_is_what_the_ladder_gives(secret: [u8; 32], other: [u8; 32]) {
            prop_assert!(is_that_of_the_ladder(secret, other));
            let public = public_of(&Zeroizing::new(other));
            prop_assert_eq!(public, x25519_dalek::x25519(other, x25519_dalek::X25519_BASEPOINT_BYTES));
            prop_assert!(is_that_of_the_ladder(secret, public));
        }
    }

    #[test]
    fn numbers_at_the_edge_agree_as_on_the_ladder() {
        let of_ends = |first: u8, middle: u8, last: u8| {
            let mut number = [middle; 32];
            (number[0], number[31]) = (first, last);
            number
        };
        let last_bytes = [0x00, 0x7f, 0x80, 0xff];
        // Around 0, and around the prime 2^255 - 19: points of low order and numbers that are written twice.
        for last in last_bytes {
            for first in [0x00, 0x01, 0x02, 0xec, 0xed, 0xee, 0xff] {
                for middle in [0x00, 0xff] {
                    assert!(is_that_of_the_ladder([7; 32], of_ends(first, middle, last)));
                }
            }
        }
        let recipient = Recipient([0; 32]);
        assert!(::age::Recipient::wrap_file_key(&recipient, &FileKey::new(Box::new([7; 16]))).is_err());
    }

    #[test]
    fn the_crate_age_opens_what_is_wrapped_here_and_the_other_way_round() {
        let theirs = ::age::x25519::Identity::generate();
        let ours = Identity::parse(theirs.to_string().expose_secret()).unwrap();
        let public = theirs.to_public();
        let file_key = FileKey::new(Box::new([7; 16]));
        let opened = |identity: &dyn ::age::Identity, recipient: &dyn ::age::Recipient| {
            let (stanzas, _) = recipient.wrap_file_key(&file_key).unwrap();
            *identity.unwrap_stanzas(&stanzas).unwrap().unwrap().expose_secret()
        };
        let recipient = Recipient::parse(&public.to_string()).unwrap();
        assert_eq!(opened(&theirs, &recipient), [7; 16]);
        assert_eq!(opened(&ours, &public), [7; 16]);
    }
}

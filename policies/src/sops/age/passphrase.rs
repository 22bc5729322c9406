//! Key files that are encrypted with a passphrase: age files themselves.

use std::io::Read as _;

use ::age::DecryptError;
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
    let decryptor = ::age::Decryptor::new(super::armor(bytes)).map_err(|_| PassphraseError::Damaged)?;
    if !decryptor.is_scrypt() {
        return Err(PassphraseError::NotAPassphrase);
    }
    let mut identity = ::age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MAX_WORK);
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn ::age::Identity));
    let reader = reader.map_err(|error| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            PassphraseError::Wrong
        }
        _ => PassphraseError::Damaged,
    })?;
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
    reader.take(MAX_BYTES).read_to_end(&mut text).map_err(|_| PassphraseError::Damaged)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::{Identity, IdentityFile};
    use super::*;
    use secrecy::ExposeSecret as _;

    /// A key file of age-keygen under `correct horse`, by age 1.3 with little work.
    const PROTECTED: &str = "\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBLWXByMjFZNnBMSG5acWJM
VFJyZGp3IDgKV1FzRk44WEZnSXJab05ObWIvWUM3RHgzai9LTG1LcGZOdEZPTzhl
czJxYwotLS0gMmVhN2xvc0F0QWk5K2Ezd3JjMVc1ZFNNUDRYN3BydWZRcmdQYUFq
dGwxTQpl/pfvT/681WakVoWj9xcu3rYAgR/bw6QzehGaf3lwv2ZYg5Wd4C8MKZP0
G80UI8Mb9salBj+p/MdKyegdsqjpBN7OTJCEEvEbMcIlL3BVa11c52opgfYkSr4J
z4XXEEnjPQBEZQ6etb9fVM3WhGNb1ftBjuMVHdm2PirV/2chXfJyku9lyW/3Mli/
pYBtVFQSTCq8ouhbpjhVlkhP/m4jQzo41QQoExONhq8XVZf8jGVKzi3Js2tOEzWK
d98WRu6J5eLaKPwihZRihLfKDh058lYa6ugUd2Q=
-----END AGE ENCRYPTED FILE-----
";
    const PUBLIC: &str = "age1cjt09sujk7e8683fh5lyl9fzx6tpe49ssdvrn8y43n9ununee3xs03tauh";

    fn decrypt(bytes: &[u8], passphrase: &str) -> Result<IdentityFile, PassphraseError> {
        IdentityFile::decrypt(bytes, &SecretString::from(passphrase))
    }

    fn binary() -> Vec<u8> {
        let mut bytes = Vec::new();
        super::super::armor(PROTECTED.as_bytes()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_protected_key_file_of_age_opens_armored_and_not() {
        for bytes in [PROTECTED.as_bytes(), &binary()] {
            assert_eq!(IdentityFile::parse(bytes), Err(IdentityFileError::PassphraseProtected));
            assert_eq!(IdentityFile::parse_words(bytes), Err(IdentityFileError::PassphraseProtected));
            let file = decrypt(bytes, "correct horse").unwrap();
            assert_eq!(file.identities()[0].recipient().as_deref(), Some(PUBLIC));
        }
    }

    #[test]
    fn a_wrong_passphrase_is_told_from_damage() {
        assert_eq!(decrypt(PROTECTED.as_bytes(), "wrong"), Err(PassphraseError::Wrong));
        let good = binary();
        for cut in [30, good.len() - 1] {
            assert_eq!(decrypt(&good[..cut], "correct horse"), Err(PassphraseError::Damaged), "{cut}");
        }
        let mut flipped = good;
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(decrypt(&flipped, "correct horse"), Err(PassphraseError::Damaged));
    }

    #[test]
    fn what_is_encrypted_for_a_key_or_holds_none_is_said() {
        let key = Identity::generate().recipient().unwrap().parse::<::age::x25519::Recipient>().unwrap();
        let sealed = ::age::encrypt(&key, b"x").unwrap();
        assert_eq!(decrypt(&sealed, "x"), Err(PassphraseError::NotAPassphrase));
        let mut recipient = ::age::scrypt::Recipient::new(SecretString::from("x"));
        recipient.set_work_factor(2);
        let sealed = ::age::encrypt(&recipient, b"hunter2").unwrap();
        let error = decrypt(&sealed, "x").unwrap_err();
        assert!(matches!(error, PassphraseError::Content(IdentityFileError::Line { .. })));
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn several_identities_may_stand_on_a_line_of_the_variable() {
        let line = |identity: &Identity| identity.expose_line().expose_secret().to_owned();
        let (one, two) = (Identity::generate(), Identity::generate());
        let text = format!("  {} {}\n", line(&one), line(&two));
        assert_eq!(IdentityFile::parse_words(text.as_bytes()).unwrap().identities(), [one, two]);
        assert!(IdentityFile::parse(text.as_bytes()).is_err());
    }
}

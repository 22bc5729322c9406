//! ssh private keys as age identities.

use ::age::armor::ArmoredReader;
use secrecy::SecretString;

use super::super::keys::WrappedKey;
use super::identity::Identity;

/// An ssh private key from its file.
#[derive(Clone, Debug)]
pub enum SshKey {
    /// Ready for use.
    Open(Identity),
    /// Protected with a passphrase.
    Locked(LockedSshKey),
}

/// Why a file is no ssh key for age. It never quotes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshKeyProblem {
    /// Not an ssh private key, or a damaged one.
    #[error("it is not an ssh private key")]
    Malformed,
    /// An ssh key of another kind: age has ssh-ed25519 and ssh-rsa.
    #[error("age serves ssh keys of the kinds ssh-ed25519 and ssh-rsa only")]
    Kind,
    /// A passphrase in the old format, or a cipher that age does not read.
    #[error("its passphrase protection is not one that age reads; `ssh-keygen -p` writes the newer format")]
    Protection,
}

/// An ssh private key under its passphrase. Its public key can be read without.
#[derive(Clone)]
pub struct LockedSshKey {
    text: SecretString,
    key: ::age::ssh::EncryptedKey,
    recipient: String,
}

impl std::fmt::Debug for LockedSshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockedSshKey").field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

impl SshKey {
    /// Reads an ssh private key: OpenSSH's format, or PEM for RSA.
    ///
    /// # Errors
    ///
    /// It is none, of a kind that age does not have, or protected in a way that age does not read.
    pub fn parse(bytes: &[u8]) -> Result<Self, SshKeyProblem> {
        use ::age::ssh::{Identity as Ssh, ParseRecipientKeyError, Recipient, UnsupportedKey};
        let key = Ssh::from_buffer(bytes.trim_ascii_start(), None).map_err(|_| SshKeyProblem::Malformed)?;
        if let Ssh::Unsupported(UnsupportedKey::EncryptedPem | UnsupportedKey::EncryptedSsh(_)) = key {
            return Err(SshKeyProblem::Protection);
        }
        let recipient = Recipient::try_from(key.clone()).map_err(|problem| match problem {
            ParseRecipientKeyError::Unsupported(_) => SshKeyProblem::Kind,
            _ => SshKeyProblem::Malformed,
        })?;
        let recipient = recipient.to_string();
        let text = std::str::from_utf8(bytes).map_err(|_| SshKeyProblem::Malformed)?;
        let text = SecretString::from(text);
        match key {
            Ssh::Encrypted(key) => Ok(Self::Locked(LockedSshKey { text, key, recipient })),
            key => Ok(Self::Open(Identity::of_ssh(text, recipient, key))),
        }
    }

    /// Its public key.
    pub fn recipient(&self) -> String {
        match self {
            Self::Open(identity) => identity.recipient().unwrap_or_default(),
            Self::Locked(key) => key.recipient().to_owned(),
        }
    }
}

impl LockedSshKey {
    /// Its public key.
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// Whether a wrapped key is for this ssh key, so that nobody is asked for a passphrase in vain: the
    /// wrapped key says so by the first four bytes of the public key's hash.
    pub fn may_open(&self, wrapped: &WrappedKey) -> bool {
        let tag = Tag { recipient: &self.recipient, seen: false.into() };
        if let Ok(decryptor) = ::age::Decryptor::new(ArmoredReader::new(wrapped.enc.as_bytes())) {
            // It gives no key away, only looks.
            let _ = decryptor.decrypt(std::iter::once(&tag as &dyn ::age::Identity));
        }
        tag.seen.get()
    }

    /// Takes the protection away. `None` with another passphrase.
    pub fn open(&self, passphrase: &SecretString) -> Option<Identity> {
        let key = self.key.decrypt(passphrase.clone()).ok()?;
        Some(Identity::of_ssh(self.text.clone(), self.recipient.clone(), key.into()))
    }
}

/// Looks for stanzas that name an ssh key.
struct Tag<'r> {
    recipient: &'r str,
    seen: std::cell::Cell<bool>,
}

impl ::age::Identity for Tag<'_> {
    fn unwrap_stanza(
        &self,
        stanza: &age_core::format::Stanza,
    ) -> Option<Result<age_core::format::FileKey, ::age::DecryptError>> {
        use base64::Engine as _;
        use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
        use sha2::Digest as _;
        let (kind, key) = self.recipient.split_once(' ')?;
        let hash = sha2::Sha256::digest(BASE64_STANDARD.decode(key).ok()?);
        let tag = BASE64_STANDARD_NO_PAD.encode(&hash[..4]);
        if stanza.tag == kind && stanza.args.first() == Some(&tag) {
            self.seen.set(true);
        }
        None
    }
}

//! age: identities, and the key service that uses them.
//!
//! X25519, post-quantum and ssh keys are served here. Plugins are programs of their own and belong to whoever
//! may start one; [`wrap_with`] and [`unwrap_with`] are for them.

mod identity;
mod passphrase;
mod post_quantum;
mod ssh;
#[cfg(test)]
mod vectors;
mod x25519;
mod x_wing;

pub use identity::{Identity, IdentityFile, IdentityFileError, IdentityKind, LineProblem};
pub use passphrase::PassphraseError;
pub use ssh::{LockedSshKey, SshKey, SshKeyProblem};

use std::cell::Cell;
use std::io::{Read as _, Write as _};

use ::age::armor::{ArmoredReader, ArmoredWriter, Format};
use age_core::format::{FileKey, Stanza};
use bech32::primitives::decode::CheckedHrpstring;
use zeroize::Zeroizing;

use super::keys::{KeyBytes, KeyError, KeyService, WrappedKey};
use super::recipient::{Long, Recipient};
use super::shamir::SHARE_BYTES;

/// A key service over age identities. Wrapping needs none.
#[derive(Clone, Debug, Default)]
pub struct AgeKeys {
    identities: Vec<Identity>,
}

impl AgeKeys {
    /// A service that opens with these identities.
    pub fn new(identities: Vec<Identity>) -> Self {
        Self { identities }
    }

    /// The identities it opens with.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }
}

/// An age recipient as a rule or a file writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientKind {
    /// `age1…`
    X25519,
    /// `age1pq1…`
    PostQuantum,
    /// `age1NAME1…`: the program `age-plugin-NAME`.
    Plugin(String),
    /// `ssh-ed25519 …` or `ssh-rsa …`
    Ssh,
}

impl RecipientKind {
    /// Tells by the beginning, as sops does (`age/keysource.go`, `parseRecipient`). `None` for none of them.
    pub fn of(recipient: &str) -> Option<Self> {
        let name = recipient.rsplit_once('1').map(|(name, _)| name);
        match name {
            _ if recipient.starts_with("ssh-") => Some(Self::Ssh),
            Some("age") => Some(Self::X25519),
            Some("age1pq") => Some(Self::PostQuantum),
            Some(name) => name.strip_prefix("age1").map(|name| Self::Plugin(name.to_owned())),
            None => None,
        }
    }
}

/// The bytes of a key in Bech32 whose prefix is `name`.
fn decode(text: &str, name: &str) -> Option<Zeroizing<Vec<u8>>> {
    let decoded = CheckedHrpstring::new::<Long>(text).ok()?;
    (decoded.hrp().to_string() == name).then(|| Zeroizing::new(decoded.byte_iter().collect()))
}

fn age_only(recipient: &Recipient) -> Result<&str, KeyError> {
    match recipient {
        Recipient::Age(age) => Ok(age.trim()),
        other => Err(KeyError::NotServed(other.kind().to_owned())),
    }
}

/// Wraps for one recipient that is already taken apart.
///
/// # Errors
///
/// What the recipient reports: only plugins do.
pub fn wrap_with(
    public: &dyn ::age::Recipient,
    secret: &KeyBytes,
    recipient: &Recipient,
) -> Result<WrappedKey, ::age::EncryptError> {
    let encryptor = ::age::Encryptor::with_recipients(std::iter::once(public))?;
    let mut enc = Vec::new();
    let armor = ArmoredWriter::wrap_output(&mut enc, Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(secret.expose())?;
    writer.finish().and_then(ArmoredWriter::finish)?;
    let enc = String::from_utf8(enc).map_err(|_| std::io::Error::other("armor is ASCII"))?;
    Ok(WrappedKey { recipient: recipient.clone(), enc })
}

/// Reads an age file, armored or not. Blanks around the armor are none of it, as for age (`armor/armor.go`).
fn armor(bytes: &[u8]) -> ArmoredReader<impl std::io::BufRead> {
    let armored = bytes.trim_ascii();
    ArmoredReader::new(if armored.starts_with(b"-----BEGIN ") { armored } else { bytes })
}

/// Unwraps with the first of the identities that opens. `None` where none does.
///
/// What one of them reports does not keep the others from being tried, as the recipient that the file names
/// is only a label.
///
/// # Errors
///
/// The wrapped key is damaged, or none opens and one of them says so; what is in it is not a key.
pub fn unwrap_with<'i>(
    wrapped: &WrappedKey,
    identities: impl Iterator<Item = &'i dyn ::age::Identity>,
) -> Result<Option<KeyBytes>, KeyError> {
    let name = || wrapped.recipient.to_string();
    let decryptor = ::age::Decryptor::new_buffered(armor(wrapped.enc.as_bytes()))
        .map_err(|_| KeyError::Damaged(name()))?;
    let failed = Cell::new(false);
    let patient = identities.map(|identity| Patient { identity, failed: &failed }).collect::<Vec<_>>();
    let opened = decryptor.decrypt(patient.iter().map(|identity| identity as &dyn ::age::Identity));
    let reader = match opened {
        Ok(reader) => reader,
        Err(::age::DecryptError::NoMatchingKeys) if !failed.get() => return Ok(None),
        Err(_) => return Err(KeyError::Damaged(name())),
    };
    // One byte more than a share, so that a longer text is noticed.
    let limit = SHARE_BYTES as u64 + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    reader.take(limit).read_to_end(&mut bytes).map_err(|_| KeyError::Damaged(name()))?;
    KeyBytes::of(&bytes).map(Some).ok_or_else(|| KeyError::NotADataKey(name()))
}

/// An identity whose failure does not end the search.
struct Patient<'i> {
    identity: &'i dyn ::age::Identity,
    failed: &'i Cell<bool>,
}

impl ::age::Identity for Patient<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, ::age::DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, ::age::DecryptError>> {
        match self.identity.unwrap_stanzas(stanzas)? {
            Ok(file_key) => Some(Ok(file_key)),
            Err(_) => {
                self.failed.set(true);
                None
            }
        }
    }
}

/// A recipient taken apart, to encrypt to it with age.
///
/// # Errors
///
/// It is none, or a plugin's.
pub fn public(recipient: &str) -> Result<Box<dyn ::age::Recipient>, KeyError> {
    let bad = || KeyError::BadRecipient(recipient.to_owned());
    Ok(match RecipientKind::of(recipient).ok_or_else(bad)? {
        RecipientKind::X25519 => Box::new(x25519::Recipient::parse(recipient).ok_or_else(bad)?),
        RecipientKind::PostQuantum => Box::new(post_quantum::Recipient::parse(recipient).ok_or_else(bad)?),
        RecipientKind::Ssh => Box::new(recipient.parse::<::age::ssh::Recipient>().map_err(|_| bad())?),
        RecipientKind::Plugin(plugin) => {
            return Err(KeyError::NeedsPlugin { recipient: recipient.to_owned(), plugin });
        }
    })
}

impl KeyService for AgeKeys {
    fn wrap(&self, secret: &KeyBytes, recipient: &Recipient) -> Result<WrappedKey, KeyError> {
        let name = age_only(recipient)?;
        let public = public(name)?;
        wrap_with(&*public, secret, recipient).map_err(|_| KeyError::Wrap(name.to_owned()))
    }

    fn unwrap(&self, wrapped: &WrappedKey) -> Result<KeyBytes, KeyError> {
        let name = age_only(&wrapped.recipient)?;
        let usable = || self.identities.iter().filter_map(Identity::opener);
        unwrap_with(wrapped, usable())?.ok_or_else(|| {
            let tried = usable().count();
            let skipped = self.identities.len() - tried;
            KeyError::NoIdentity { recipient: name.to_owned(), tried, skipped }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sops::keys::DataKey;

    fn plugin_identity() -> Identity {
        let name = bech32::Hrp::parse("AGE-PLUGIN-YUBIKEY-").unwrap();
        let line = bech32::encode_upper::<Long>(name, &[7; 12]).unwrap();
        Identity::parse(&line).unwrap()
    }

    #[test]
    fn what_is_wrapped_opens_with_its_identity_alone() {
        let (mine, other) = (Identity::generate(), Identity::generate());
        let recipient = Recipient::Age(mine.recipient().unwrap());
        let key = KeyBytes::Whole(DataKey::new([9; 32]));
        let wrapped = AgeKeys::default().wrap(&key, &recipient).unwrap();
        assert!(wrapped.enc.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
        assert_eq!(AgeKeys::new(vec![other.clone(), mine]).unwrap(&wrapped).unwrap(), key);
        let error = AgeKeys::new(vec![other, plugin_identity()]).unwrap(&wrapped).unwrap_err();
        assert!(matches!(error, KeyError::NoIdentity { tried: 1, skipped: 1, .. }), "{error}");
        assert_eq!(format!("{key:?}"), "Whole(DataKey(…))");
    }

    #[test]
    fn any_text_is_encrypted_to_a_post_quantum_key_too() {
        let name = bech32::Hrp::parse("AGE-SECRET-KEY-PQ-").unwrap();
        let line = bech32::encode_upper::<Long>(name, &[7; 32]).unwrap();
        for identity in [Identity::parse(&line).unwrap(), Identity::generate()] {
            let public = public(&identity.recipient().unwrap()).unwrap();
            let encryptor = ::age::Encryptor::with_recipients(std::iter::once(&*public)).unwrap();
            let mut writer = encryptor.wrap_output(Vec::new()).unwrap();
            writer.write_all(b"text of any length, longer than a data key").unwrap();
            let file = writer.finish().unwrap();
            let mut reader =
                ::age::Decryptor::new(&file[..]).unwrap().decrypt(identity.opener().into_iter()).unwrap();
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "text of any length, longer than a data key");
        }
    }

    #[test]
    fn the_recipient_that_a_file_names_is_only_a_label() {
        let mine = Identity::generate();
        let keys = AgeKeys::new(vec![mine.clone()]);
        let key = KeyBytes::Whole(DataKey::new([9; 32]));
        let wrapped = keys.wrap(&key, &Recipient::Age(mine.recipient().unwrap())).unwrap();
        let wrapped = WrappedKey { recipient: Recipient::Age("somebody".into()), enc: wrapped.enc };
        assert_eq!(keys.unwrap(&wrapped).unwrap(), key);
    }

    #[test]
    fn bad_recipients_and_damage_are_told_apart() {
        let key = KeyBytes::Whole(DataKey::new([9; 32]));
        let keys = AgeKeys::new(vec![Identity::generate()]);
        let wrap = |recipient| keys.wrap(&key, &recipient).unwrap_err();
        assert!(matches!(wrap(Recipient::Pgp("AB".into())), KeyError::NotServed(_)));
        for bad in ["age1nope", "ssh-rsa A", "ssh-dss A", "age1pq1nope", "nothing", ""] {
            assert!(matches!(wrap(Recipient::Age(bad.into())), KeyError::BadRecipient(_)), "{bad}");
        }
        let needed = wrap(Recipient::Age("age1yubikey1qwe".into()));
        assert!(matches!(needed, KeyError::NeedsPlugin { plugin, .. } if plugin == "yubikey"));
        let recipient = Recipient::Age(keys.identities()[0].recipient().unwrap());
        let unwrap = |enc: &str| {
            keys.unwrap(&WrappedKey { recipient: recipient.clone(), enc: enc.into() }).unwrap_err()
        };
        assert!(matches!(unwrap("nothing"), KeyError::Damaged(_)));
        let public = keys.identities()[0].recipient().unwrap().parse::<::age::x25519::Recipient>().unwrap();
        let long = ::age::encrypt_and_armor(&public, &[1; 40]).unwrap();
        assert!(matches!(unwrap(&long), KeyError::NotADataKey(_)));
    }
}

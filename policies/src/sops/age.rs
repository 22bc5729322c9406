//! age: identities from key files, and the key service that uses them.

use std::io::Read as _;

use age::armor::ArmoredReader;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::{Zeroize as _, Zeroizing};

use super::keys::{DataKey, KeyError, KeyService, WrappedKey};
use super::recipient::{Long, Recipient};

/// What kind of identity a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// `AGE-SECRET-KEY-1…`: opened here.
    X25519,
    /// `AGE-SECRET-KEY-PQ-1…`: kept as it is; Flux and sops open it (sops 3.12, age 1.3).
    PostQuantum,
    /// `AGE-PLUGIN-…`: kept as it is; needs a plugin program, which Flux's controllers do not have.
    Plugin,
}

/// One age identity. `Debug` shows its kind and public key only.
#[derive(Clone)]
pub struct Identity {
    kind: IdentityKind,
    line: SecretString,
    native: Option<age::x25519::Identity>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("kind", &self.kind)
            .field("recipient", &self.recipient())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.line.expose_secret() == other.line.expose_secret()
    }
}

impl Eq for Identity {}

impl Identity {
    /// Reads one identity, without anything around it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, never the text.
    pub fn parse(line: &str) -> Result<Self, LineProblem> {
        let (kind, prefix) = if line.starts_with("AGE-SECRET-KEY-PQ-1") {
            (IdentityKind::PostQuantum, "AGE-SECRET-KEY-PQ-")
        } else if line.starts_with("AGE-SECRET-KEY-1") {
            (IdentityKind::X25519, "AGE-SECRET-KEY-")
        } else if line.starts_with("AGE-PLUGIN-") {
            (IdentityKind::Plugin, "AGE-PLUGIN-")
        } else if line.starts_with("age1") {
            return Err(LineProblem::PublicKey);
        } else if line.starts_with([' ', '\t']) {
            return Err(LineProblem::LeadingBlank);
        } else {
            return Err(LineProblem::NotAnIdentity);
        };
        let decoded = bech32::primitives::decode::CheckedHrpstring::new::<Long>(line);
        let well_formed = decoded.is_ok_and(|decoded| {
            let name = decoded.hrp().to_string();
            if kind == IdentityKind::Plugin {
                name.starts_with(prefix) && name.ends_with('-')
            } else {
                name == prefix
            }
        });
        if !well_formed {
            return Err(LineProblem::Malformed);
        }
        let native = match kind {
            IdentityKind::X25519 => Some(line.parse().map_err(|_| LineProblem::Malformed)?),
            _ => None,
        };
        Ok(Self { kind, line: SecretString::from(line), native })
    }

    /// Makes a new X25519 identity from the system's randomness.
    pub fn generate() -> Self {
        let native = age::x25519::Identity::generate();
        Self { kind: IdentityKind::X25519, line: native.to_string(), native: Some(native) }
    }

    /// Its kind.
    pub fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// The public key, where it can be told without a program of its own: for X25519.
    pub fn recipient(&self) -> Option<String> {
        self.native.as_ref().map(|identity| identity.to_public().to_string())
    }

    /// The identity as it stands in a key file, to write it into a Secret.
    pub fn expose_line(&self) -> &SecretString {
        &self.line
    }
}

/// What is wrong with a line of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// Blanks before the identity: sops and Flux refuse the whole file.
    #[error("begins with a blank, which sops and Flux refuse")]
    LeadingBlank,
    /// Not an age identity.
    #[error("is not an age identity, a comment or an empty line")]
    NotAnIdentity,
    /// A public key where a private one belongs.
    #[error("is a public key; a key file holds private ones (AGE-SECRET-KEY-1…)")]
    PublicKey,
    /// An identity with a typo or cut off.
    #[error("is a damaged age identity: its check sum does not fit")]
    Malformed,
    /// Not text.
    #[error("is not text in UTF-8")]
    NotUtf8,
}

/// Why a key file cannot be used. It never quotes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFileError {
    /// The file is encrypted with a passphrase.
    #[error("the key file is passphrase-protected")]
    PassphraseProtected,
    /// No identity in it.
    #[error("the key file holds no age identity")]
    Empty,
    /// A line that makes sops and Flux refuse the file.
    #[error("line {line} {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
}

/// The identities of a key file.
///
/// Read as sops (`age/keysource.go`) and, through it, Flux's kustomize-controller do: one identity a line,
/// empty lines and lines that begin with `#` skipped, a CR at the end tolerated; anything else on any line
/// makes the whole file useless, so it is an error here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFile {
    identities: Vec<Identity>,
}

impl IdentityFile {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// Passphrase-protected, without identity, or with a line that sops refuses.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityFileError> {
        if bytes.starts_with(b"age-encryption.org/v1")
            || bytes.trim_ascii_start().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
        {
            return Err(IdentityFileError::PassphraseProtected);
        }
        let mut identities = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let at = |problem| IdentityFileError::Line { line: index + 1, problem };
            let line = std::str::from_utf8(line).map_err(|_| at(LineProblem::NotUtf8))?;
            identities.push(Identity::parse(line).map_err(at)?);
        }
        if identities.is_empty() { Err(IdentityFileError::Empty) } else { Ok(Self { identities }) }
    }

    /// The identities, in the order of the file.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Gives the identities away.
    pub fn into_identities(self) -> Vec<Identity> {
        self.identities
    }
}

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

fn age_only(recipient: &Recipient) -> Result<&str, KeyError> {
    match recipient {
        Recipient::Age(age) => Ok(age),
        other => Err(KeyError::NotServed(other.kind().to_owned())),
    }
}

impl KeyService for AgeKeys {
    fn wrap(&self, key: &DataKey, recipient: &Recipient) -> Result<WrappedKey, KeyError> {
        let name = age_only(recipient)?;
        if name.starts_with("ssh-") || name.starts_with("age1pq1") {
            return Err(KeyError::NotServed("age (ssh or post-quantum)".to_owned()));
        }
        let public =
            name.parse::<age::x25519::Recipient>().map_err(|_| KeyError::BadRecipient(name.to_owned()))?;
        let enc =
            age::encrypt_and_armor(&public, key.expose()).map_err(|_| KeyError::Wrap(name.to_owned()))?;
        Ok(WrappedKey { recipient: recipient.clone(), enc })
    }

    fn unwrap(&self, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        let name = age_only(&wrapped.recipient)?;
        let damaged = || KeyError::Damaged(name.to_owned());
        let reader = ArmoredReader::new(wrapped.enc.as_bytes());
        let decryptor = age::Decryptor::new(reader).map_err(|_| damaged())?;
        let native =
            self.identities.iter().filter_map(|identity| identity.native.as_ref()).collect::<Vec<_>>();
        let opened = decryptor.decrypt(native.iter().map(|identity| *identity as &dyn age::Identity));
        let mut reader = opened.map_err(|error| match error {
            age::DecryptError::NoMatchingKeys | age::DecryptError::KeyDecryptionFailed => {
                KeyError::NoIdentity {
                    recipient: name.to_owned(),
                    tried: native.len(),
                    skipped: self.identities.len() - native.len(),
                }
            }
            _ => damaged(),
        })?;
        // One byte more than a key, so that a longer text is noticed.
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        reader.by_ref().take(33).read_to_end(&mut bytes).map_err(|_| damaged())?;
        let mut key: [u8; 32] =
            bytes.as_slice().try_into().map_err(|_| KeyError::NotADataKey(name.to_owned()))?;
        let data_key = DataKey::new(key);
        key.zeroize();
        Ok(data_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(identity: &Identity) -> String {
        identity.expose_line().expose_secret().to_owned()
    }

    fn bech32(hrp: &str, data: &[u8]) -> String {
        bech32::encode_upper::<Long>(bech32::Hrp::parse(hrp).unwrap(), data).unwrap()
    }

    #[test]
    fn a_key_file_is_read_as_sops_reads_it() {
        let one = Identity::generate();
        let pq = bech32("AGE-SECRET-KEY-PQ-", &[7; 32]);
        let plugin = bech32("AGE-PLUGIN-YUBIKEY-", &[7; 12]);
        let text = format!("# created: today\n\n{}\r\n{pq}\n{plugin}", line(&one));
        let file = IdentityFile::parse(text.as_bytes()).unwrap();
        let kinds = file.identities().iter().map(Identity::kind).collect::<Vec<_>>();
        assert_eq!(kinds, [IdentityKind::X25519, IdentityKind::PostQuantum, IdentityKind::Plugin]);
        assert_eq!(file.identities()[0], one);
        assert!(one.recipient().unwrap().starts_with("age1"));
        assert_eq!(file.identities()[1].recipient(), None);
        assert_eq!(line(&file.identities()[1]), pq);
        assert!(!format!("{file:?}").contains(&line(&one)[20..30]));
    }

    #[test]
    fn a_bad_line_is_named_by_number_and_never_quoted() {
        let good = line(&Identity::generate());
        let damaged = format!("{}Q", &good[..good.len() - 1]);
        let damaged = if damaged == good { format!("{}P", &good[..good.len() - 1]) } else { damaged };
        let public = Identity::generate().recipient().unwrap();
        let at = |line, problem| IdentityFileError::Line { line, problem };
        let table = [
            (format!("{good}\n {good}\n"), at(2, LineProblem::LeadingBlank)),
            (format!("#\n\n{good} \n"), at(3, LineProblem::Malformed)),
            (format!("{good}\nhunter2\n"), at(2, LineProblem::NotAnIdentity)),
            (format!("{good}\n \n"), at(2, LineProblem::LeadingBlank)),
            (damaged, at(1, LineProblem::Malformed)),
            (good.to_lowercase(), at(1, LineProblem::NotAnIdentity)),
            (public, at(1, LineProblem::PublicKey)),
            ("# nothing\n".to_owned(), IdentityFileError::Empty),
            (String::new(), IdentityFileError::Empty),
            ("age-encryption.org/v1\n-> scrypt x 18\n".to_owned(), IdentityFileError::PassphraseProtected),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nx\n".to_owned(), IdentityFileError::PassphraseProtected),
        ];
        for (text, wanted) in table {
            let error = IdentityFile::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error, wanted);
            assert!(!error.to_string().contains("hunter2") && !error.to_string().contains(&good[20..]));
        }
        assert_eq!(IdentityFile::parse(b"\xff\n").unwrap_err(), at(1, LineProblem::NotUtf8));
    }

    #[test]
    fn what_is_wrapped_opens_with_its_identity_alone() {
        let (mine, other) = (Identity::generate(), Identity::generate());
        let recipient = Recipient::Age(mine.recipient().unwrap());
        let key = DataKey::new([9; 32]);
        let wrapped = AgeKeys::default().wrap(&key, &recipient).unwrap();
        assert!(wrapped.enc.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
        assert_eq!(AgeKeys::new(vec![other.clone(), mine]).unwrap(&wrapped).unwrap(), key);
        let pq = Identity::parse(&bech32("AGE-SECRET-KEY-PQ-", &[7; 32])).unwrap();
        let error = AgeKeys::new(vec![other, pq]).unwrap(&wrapped).unwrap_err();
        assert!(matches!(error, KeyError::NoIdentity { tried: 1, skipped: 1, .. }), "{error}");
        assert_eq!(format!("{key:?}"), "DataKey(…)");
    }

    #[test]
    fn bad_recipients_and_damage_are_told_apart() {
        let key = DataKey::new([9; 32]);
        let keys = AgeKeys::new(vec![Identity::generate()]);
        let wrap = |recipient| keys.wrap(&key, &recipient).unwrap_err();
        assert!(matches!(wrap(Recipient::Pgp("AB".into())), KeyError::NotServed(_)));
        assert!(matches!(wrap(Recipient::Age("age1nope".into())), KeyError::BadRecipient(_)));
        assert!(matches!(wrap(Recipient::Age("ssh-rsa A".into())), KeyError::NotServed(_)));
        let recipient = Recipient::Age(keys.identities()[0].recipient().unwrap());
        let unwrap = |enc: &str| {
            keys.unwrap(&WrappedKey { recipient: recipient.clone(), enc: enc.into() }).unwrap_err()
        };
        assert!(matches!(unwrap("nothing"), KeyError::Damaged(_)));
        let public = keys.identities()[0].recipient().unwrap().parse::<age::x25519::Recipient>().unwrap();
        let long = age::encrypt_and_armor(&public, &[1; 40]).unwrap();
        assert!(matches!(unwrap(&long), KeyError::NotADataKey(_)));
    }
}

//! The one key file that bootstrap gives to Flux: read, proven, and merged with what is there.

use super::command::{CommandError, key_printed_by};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::age::{AgeKeys, Identity, IdentityFile, IdentityFileError, IdentityKind};
use kubiya_policies::sops::keys::{DataKey, KeyBytes, KeyError as ServiceError, KeyService as _};
use kubiya_policies::sops::recipient::Recipient;
use std::io::Read as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// An identity file is a few lines; more than this is some other file.
const MAX_BYTES: u64 = 1 << 20;

/// Where the age key is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// Standard input, written `-`.
    Stdin,
    /// A command that prints it.
    Command(CommandLine),
}

/// A command as it was typed. Never shown: a password may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine(String);

impl From<String> for CommandLine {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a command")
    }
}

/// Why there is no key. Never holds a part of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("cannot read the age key")]
    Read(#[source] std::io::Error),
    /// The command that should print it does not.
    #[error("there is no key")]
    Command(#[source] Box<CommandError>),
    /// It is too large for an identity file.
    #[error("too large for an age key file")]
    TooLarge,
    /// It is not an identity file.
    #[error("not an age key file")]
    Malformed(#[source] IdentityFileError),
    /// Flux's controllers cannot use it.
    #[error("identity {number} is a plugin identity: Flux's controllers have no age plugin to use it with")]
    Plugin {
        /// Which identity of the file, from 1.
        number: usize,
    },
    /// It does not open what is encrypted for it.
    #[error("identity {number} does not open what is encrypted for its own public key")]
    Unproven {
        /// Which identity of the file, from 1.
        number: usize,
        /// Why.
        source: ServiceError,
    },
}

impl KeyError {
    fn of_command(error: CommandError) -> Self {
        match error {
            CommandError::Output(error) => error,
            error => KeyError::Command(Box::new(error)),
        }
    }
}

impl KeySource {
    /// From the value of a flag.
    #[must_use]
    pub fn from_flag(value: &str) -> Self {
        if value == "-" { KeySource::Stdin } else { KeySource::File(PathBuf::from(value)) }
    }

    /// What to call it in messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            KeySource::File(path) => path.display().to_string(),
            KeySource::Stdin => "standard input".to_owned(),
            KeySource::Command(_) => "the command for the age key".to_owned(),
        }
    }

    /// Reads what is there, as it is.
    pub(super) fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        match self {
            KeySource::Stdin => read_all(std::io::stdin().lock()),
            KeySource::Command(CommandLine(text)) => key_printed_by(text).map_err(KeyError::of_command),
            KeySource::File(path) => read_all(std::fs::File::open(path).map_err(KeyError::Read)?),
        }
    }

    /// Reads identities that Flux can decrypt with.
    ///
    /// # Errors
    /// What cannot be read, what is no identity file, and identities that Flux cannot use.
    pub fn read(&self) -> Result<IdentityFile, KeyError> {
        proven(&self.bytes()?)
    }

    /// Whether others than the owner may read the file.
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        match self {
            KeySource::Stdin | KeySource::Command(_) => false,
            KeySource::File(path) => {
                std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o077 != 0)
            }
        }
    }

    /// The failure that the user sees.
    #[must_use]
    pub fn failure(&self, error: &KeyError) -> Failure {
        let failure = Failure::usage(error.to_string()).at(self.name());
        let failure = match std::error::Error::source(error) {
            Some(source) => failure.because(source),
            None => failure,
        };
        match (error, self) {
            (KeyError::Read(io), KeySource::File(path)) if io.kind() == std::io::ErrorKind::NotFound => {
                failure.hint(format!("make one: age-keygen -o {}", path.display()))
            }
            (KeyError::Malformed(IdentityFileError::PassphraseProtected), _) => failure
                .hint("age -d KEYFILE | … --age-key-file -   # Flux needs the key without the passphrase"),
            (KeyError::Malformed(_), _) => {
                failure.hint("it needs a line that begins with AGE-SECRET-KEY-1, as age-keygen writes it")
            }
            _ => failure,
        }
    }
}

/// Reads to the end, unless that is too far away for a file of keys.
pub(super) fn read_all(reader: impl std::io::Read) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(KeyError::Read)?;
    if read as u64 > MAX_BYTES { Err(KeyError::TooLarge) } else { Ok(bytes) }
}

/// Reads identities that Flux can decrypt with from what was at a place.
///
/// # Errors
/// What is no identity file, and identities that Flux cannot use.
pub fn proven(bytes: &[u8]) -> Result<IdentityFile, KeyError> {
    let file = IdentityFile::parse(bytes).map_err(KeyError::Malformed)?;
    for (index, identity) in file.identities().iter().enumerate() {
        prove(identity, index + 1)?;
    }
    Ok(file)
}

/// Wraps and unwraps a data key: the proof that Flux will be able to.
fn prove(identity: &Identity, number: usize) -> Result<(), KeyError> {
    if identity.kind() == IdentityKind::Plugin {
        return Err(KeyError::Plugin { number });
    }
    let Some(recipient) = identity.recipient() else { return Ok(()) };
    let keys = AgeKeys::new(vec![identity.clone()]);
    // Any key will do: nothing is encrypted with it.
    let sample = KeyBytes::Whole(DataKey::new([0x5a; 32]));
    keys.wrap(&sample, &Recipient::Age(recipient))
        .and_then(|wrapped| keys.unwrap(&wrapped))
        .map(|_| ())
        .map_err(|source| KeyError::Unproven { number, source })
}

/// The text of `age.agekey` with the given identities added to those it has. None is ever taken away,
/// and what holds them all already stays as it is, byte for byte.
#[must_use]
pub fn merged(existing: Option<(&str, &IdentityFile)>, new: &IdentityFile) -> Zeroizing<String> {
    use secrecy::ExposeSecret as _;
    let mut text = Zeroizing::new(existing.map(|(text, _)| text.to_owned()).unwrap_or_default());
    let known: &[Identity] = existing.map_or(&[], |(_, file)| file.identities());
    for identity in new.identities().iter().filter(|identity| !known.contains(identity)) {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        if let Some(recipient) = identity.recipient() {
            text.push_str(&format!("# public key: {recipient}\n"));
        }
        text.push_str(identity.expose_line().expose_secret());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn file(identities: &[&Identity]) -> IdentityFile {
        let lines: Vec<&str> = identities.iter().map(|i| i.expose_line().expose_secret()).collect();
        IdentityFile::parse(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn identities_are_added_and_none_is_lost() {
        let (old, new) = (Identity::generate(), Identity::generate());
        let text = merged(None, &file(&[&old]));
        assert_eq!(IdentityFile::parse(text.as_bytes()).unwrap(), file(&[&old]));
        let existing = format!("# kept\n{}", old.expose_line().expose_secret());
        let parsed = IdentityFile::parse(existing.as_bytes()).unwrap();
        let both = merged(Some((&existing, &parsed)), &file(&[&new, &old]));
        assert!(both.starts_with("# kept\n"));
        assert_eq!(IdentityFile::parse(both.as_bytes()).unwrap(), file(&[&old, &new]));
        // What holds all of them stays as it is, byte for byte.
        let parsed = IdentityFile::parse(both.as_bytes()).unwrap();
        assert_eq!(merged(Some((&both, &parsed)), &file(&[&new])).as_str(), both.as_str());
    }

    #[test]
    fn a_sound_identity_proves_itself() {
        assert!(prove(&Identity::generate(), 1).is_ok());
    }
}

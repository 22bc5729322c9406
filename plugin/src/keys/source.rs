//! The keys that bootstrap gives to Flux: read, proven, and merged with what is there.

use super::ask::{Ask, Terminal};
use super::command::{CommandError, key_printed_by};
use super::ring::{NOT_ASKED, TRIES, is_ssh_key};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::age::{
    AgeKeys, Identity, IdentityFile, IdentityFileError, IdentityKind, PassphraseError,
};
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
    /// A variable of the environment.
    Environment(String),
    /// What was read from somewhere else already, such as a cluster.
    Held(HeldKey),
}

/// Bytes that are or hold keys, and what to call the place they were read from.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// The place.
    pub name: String,
    /// What was there.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
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
    /// The variable is not there, or empty.
    #[error("the variable is not set")]
    Unset,
    /// It is protected with a passphrase, which nobody could be asked for, or which was wrong.
    #[error("{0}")]
    Passphrase(String),
    /// An ssh key. sops reads those of this machine; Flux's controllers read none from a Secret
    /// (`age/keysource.go`: an imported line is an age identity or an error).
    #[error("this is an ssh key, and Flux reads no ssh keys")]
    Ssh,
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
            KeySource::Environment(variable) => format!("the variable {variable}"),
            KeySource::Held(held) => held.name.clone(),
        }
    }

    /// Reads what is there, as it is.
    pub(super) fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        match self {
            KeySource::Stdin => read_all(std::io::stdin().lock()),
            KeySource::Command(CommandLine(text)) => key_printed_by(text).map_err(KeyError::of_command),
            KeySource::File(path) => read_all(std::fs::File::open(path).map_err(KeyError::Read)?),
            KeySource::Environment(variable) => match std::env::var_os(variable) {
                Some(value) if !value.is_empty() => Ok(Zeroizing::new(value.into_encoded_bytes())),
                _ => Err(KeyError::Unset),
            },
            KeySource::Held(held) => Ok(held.bytes.clone()),
        }
    }

    /// Reads identities that Flux can decrypt with. The passphrase of a protected file is asked for on the terminal.
    ///
    /// # Errors
    /// What cannot be read, what is no identity file, and identities that Flux cannot use.
    pub fn read(&self) -> Result<IdentityFile, KeyError> {
        self.read_asking(&Terminal)
    }

    fn read_asking(&self, ask: &dyn Ask) -> Result<IdentityFile, KeyError> {
        let bytes = self.bytes()?;
        if is_ssh_key(&bytes) {
            return Err(KeyError::Ssh);
        }
        let file = match self {
            KeySource::Environment(_) => IdentityFile::parse_words(&bytes),
            _ => IdentityFile::parse(&bytes),
        };
        let file = match file {
            Err(IdentityFileError::PassphraseProtected) => self.unlocked(&bytes, ask)?,
            other => other.map_err(KeyError::Malformed)?,
        };
        usable(&file)?;
        Ok(file)
    }

    /// Asks for the passphrase until it fits, or a few times.
    fn unlocked(&self, bytes: &[u8], ask: &dyn Ask) -> Result<IdentityFile, KeyError> {
        let question = format!("Passphrase for the key file {}:", self.name());
        for _ in 0..TRIES {
            let passphrase =
                ask.secret(&question).ok_or_else(|| KeyError::Passphrase(NOT_ASKED.to_owned()))?;
            match IdentityFile::decrypt(bytes, &passphrase) {
                Err(PassphraseError::Wrong) => ask.say("The passphrase is wrong."),
                Err(PassphraseError::Content(error)) => return Err(KeyError::Malformed(error)),
                other => return other.map_err(|error| KeyError::Passphrase(error.to_string())),
            }
        }
        Err(KeyError::Passphrase(PassphraseError::Wrong.to_string()))
    }

    /// Whether others than the owner may read the file.
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        match self {
            KeySource::Stdin | KeySource::Command(_) | KeySource::Environment(_) | KeySource::Held(_) => {
                false
            }
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
            (KeyError::Passphrase(_), _) => {
                failure.hint("age -d KEYFILE | … --age-key-file -   # or run it in a terminal")
            }
            (KeyError::Ssh, _) => failure
                .hint("ssh-to-age -private-key -i KEY > age.agekey   # an ed25519 key as an age identity; encrypt for its public half")
                .hint("or a key for Flux alone: age-keygen -o age.agekey"),
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
    usable(&file)?;
    Ok(file)
}

/// Whether Flux can decrypt with all identities of a file.
fn usable(file: &IdentityFile) -> Result<(), KeyError> {
    file.identities().iter().enumerate().try_for_each(|(index, identity)| prove(identity, index + 1))
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
    let known: &[Identity] = existing.map_or(&[], |(_, file)| file.identities());
    let missing: Vec<&Identity> = new.identities().iter().filter(|new| !known.contains(new)).collect();
    with_identities(existing.map(|(text, _)| text).unwrap_or_default(), &missing)
}

/// The text of an entry with identities written below what is there.
pub(crate) fn with_identities(text: &str, identities: &[&Identity]) -> Zeroizing<String> {
    use secrecy::ExposeSecret as _;
    let mut text = Zeroizing::new(text.to_owned());
    for identity in identities {
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

    /// Types one passphrase after the other.
    struct Types(std::sync::Mutex<Vec<&'static str>>);

    impl Ask for Types {
        fn secret(&self, _: &str) -> Option<secrecy::SecretString> {
            self.0.lock().unwrap().pop().map(Into::into)
        }
        fn line(&self, _: &str) -> Option<String> {
            None
        }
        fn say(&self, _: &str) {}
        fn warn(&self, _: &str, _: &str) {}
    }

    fn typing(passphrases: &[&'static str]) -> Types {
        Types(std::sync::Mutex::new(passphrases.iter().rev().copied().collect()))
    }

    fn held(bytes: &[u8]) -> KeySource {
        KeySource::Held(HeldKey { name: "here".to_owned(), bytes: Zeroizing::new(bytes.to_vec()) })
    }

    #[test]
    fn the_passphrase_of_a_protected_file_is_asked_for_and_a_wrong_one_asked_again() {
        let identity = Identity::generate();
        let mut recipient = age::scrypt::Recipient::new("hunter2".into());
        recipient.set_work_factor(2);
        let protected = age::encrypt(&recipient, identity.expose_line().expose_secret().as_bytes()).unwrap();
        let read = |typed: &[&'static str]| held(&protected).read_asking(&typing(typed));
        assert_eq!(read(&["wrong", "hunter2"]).unwrap().identities(), [identity]);
        for typed in [&[][..], &["wrong", "wrong", "wrong", "hunter2"]] {
            let error = held(&protected).read_asking(&typing(typed)).unwrap_err();
            assert!(matches!(error, KeyError::Passphrase(_)), "{error}");
        }
    }

    #[test]
    fn an_ssh_key_is_refused_with_what_flux_could_use_instead() {
        let key = b"-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n-----END OPENSSH PRIVATE KEY-----\n";
        let source = held(key);
        let error = source.read_asking(&typing(&[])).unwrap_err();
        let shown = format!("{:?}", source.failure(&error));
        assert!(shown.contains("Flux reads no ssh keys") && shown.contains("ssh-to-age"), "{shown}");
        assert!(!format!("{shown}{source:?}").contains("CANARY"));
    }

    #[test]
    fn several_identities_are_several_lines() {
        let identities = [Identity::generate(), Identity::generate()];
        let text = with_identities("", &identities.iter().collect::<Vec<_>>());
        assert_eq!(held(text.as_bytes()).read_asking(&typing(&[])).unwrap().identities(), identities);
        let error =
            held(format!("{}junk\n", text.as_str()).as_bytes()).read_asking(&typing(&[])).unwrap_err();
        assert!(matches!(error, KeyError::Malformed(_)), "{error}");
    }

    #[test]
    fn a_sound_identity_proves_itself() {
        assert!(prove(&Identity::generate(), 1).is_ok());
    }
}

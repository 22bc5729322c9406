//! The key service of the commands: everything at hand that may open a file, the least disturbing first.

use super::ask::Ask;
use super::command::KeyCommand;
use super::places::{Place, Surroundings};
use super::plugins::{self, Plugins, Talk};
use super::source::{KeyError as SourceError, KeySource};
use kubiya_policies::sops::age::{
    AgeKeys, Identity, IdentityFile, IdentityFileError, IdentityKind, LockedSshKey, PassphraseError, SshKey,
    SshKeyProblem,
};
use kubiya_policies::sops::keys::{KeyBytes, KeyError, KeyService, WrappedKey};
use kubiya_policies::sops::recipient::Recipient;
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use zeroize::Zeroizing;

/// How often a passphrase may be mistyped.
pub(super) const TRIES: usize = 3;

/// Identities from all places, and how to get at those that need a program or a person.
///
/// Identities that open by themselves are tried on a whole group of wrapped keys before anything else. Then
/// come, each only where it still matters: commands that print keys, passphrases of ssh keys that the group
/// names, age plugins, passphrases of key files. Nobody is asked twice for the same. It may be used from many
/// threads at once.
pub struct KeyRing {
    ask: Arc<dyn Ask>,
    /// What opens by itself. Replaced as a whole, so that many threads can open files at once.
    ready: RwLock<Arc<AgeKeys>>,
    rest: Mutex<Rest>,
    /// Where an own key file may be put, for a hint.
    pub(super) own_file: Option<PathBuf>,
}

/// Shows nothing of the keys.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("ready", &self.ready().identities()).finish_non_exhaustive()
    }
}

/// What needs more than a look, and what has been looked at.
#[derive(Default)]
struct Rest {
    unread: Vec<Place>,
    looked: Vec<Looked>,
    commands: Vec<(usize, KeyCommand)>,
    ssh_keys: Vec<(usize, LockedSshKey)>,
    files: Vec<(usize, Zeroizing<Vec<u8>>)>,
    plugins: Plugins,
}

/// A place, and what was there.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    /// What to call it.
    pub(super) name: String,
    /// What was there.
    pub(super) found: Found,
}

/// What was at a place. Public keys and problems only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: no file, no variable.
    Nothing,
    /// Identities: their public keys.
    Identities(Vec<String>),
    /// Something protected with a passphrase that was not asked for; an ssh key's public key is known.
    Protected(Option<String>),
    /// Something of no use.
    Problem(String),
    /// A command that nothing needed so far.
    NotRun,
}

/// Why what was found is no key. It quotes nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] SourceError),
    /// An ssh key that age does not serve.
    #[error(transparent)]
    Ssh(#[from] SshKeyProblem),
}

impl KeyRing {
    /// From the places where sops looks, and ours; they are read when the first key is asked for.
    #[must_use]
    pub fn ambient(surroundings: &Surroundings, ask: Arc<dyn Ask>) -> Self {
        let rest = Rest { unread: surroundings.places(), ..Rest::default() };
        Self { own_file: surroundings.default_file(), ..Self::with(rest, ask) }
    }

    /// The identities that open by themselves: no program is run for them and nobody is asked.
    #[must_use]
    pub fn undisturbed(&self) -> Arc<AgeKeys> {
        self.read_places(&mut self.rest());
        self.ready()
    }

    /// An empty ring, for the places that somebody named.
    pub(crate) fn explicit(ask: Arc<dyn Ask>) -> Self {
        Self::with(Rest::default(), ask)
    }

    fn with(rest: Rest, ask: Arc<dyn Ask>) -> Self {
        Self { ask, ready: RwLock::default(), rest: Mutex::new(rest), own_file: None }
    }

    /// Adds what was read at a place.
    pub(super) fn add(&self, name: &str, bytes: Zeroizing<Vec<u8>>) -> Result<(), Unusable> {
        let mut rest = self.rest();
        let index = rest.looked.len();
        rest.looked.push(Looked { name: name.to_owned(), found: Found::Nothing });
        self.take(&mut rest, index, bytes, IdentityFile::parse).map(|_| ())
    }

    /// Adds what somebody else read at a place; what is of no use there is of no harm here.
    pub fn offer(&self, name: &str, bytes: Zeroizing<Vec<u8>>) {
        let _ = self.add(name, bytes);
    }

    /// What was looked at so far.
    pub(super) fn looked(&self) -> Vec<Looked> {
        self.rest().looked.clone()
    }

    fn ready(&self) -> Arc<AgeKeys> {
        self.ready.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sorts content by what it is and what it needs, and gives the public keys of what is ready.
    fn take(
        &self,
        rest: &mut Rest,
        index: usize,
        bytes: Zeroizing<Vec<u8>>,
        parse: impl Fn(&[u8]) -> Result<IdentityFile, IdentityFileError>,
    ) -> Result<Vec<String>, Unusable> {
        if is_ssh_key(&bytes) {
            match SshKey::parse(&bytes)? {
                SshKey::Open(identity) => return Ok(self.make_ready(rest, index, &[identity])),
                SshKey::Locked(key) => {
                    rest.looked[index].found = Found::Protected(Some(key.recipient().to_owned()));
                    rest.ssh_keys.push((index, key));
                }
            }
            return Ok(Vec::new());
        }
        match parse(&bytes) {
            Ok(file) => Ok(self.make_ready(rest, index, file.identities())),
            Err(IdentityFileError::PassphraseProtected) => {
                rest.looked[index].found = Found::Protected(None);
                rest.files.push((index, bytes));
                Ok(Vec::new())
            }
            Err(error) => Err(SourceError::Malformed(error).into()),
        }
    }

    /// Adds identities, and gives their public keys.
    fn make_ready(&self, rest: &mut Rest, index: usize, new: &[Identity]) -> Vec<String> {
        let mut identities = self.ready().identities().to_vec();
        for identity in new.iter().filter(|identity| !self.ready().identities().contains(identity)) {
            rest.plugins.add(identity);
            identities.push(identity.clone());
        }
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(AgeKeys::new(identities));
        let public = new.iter().map(public).collect::<Vec<_>>();
        let found = &mut rest.looked[index].found;
        match found {
            Found::Identities(known) => known.extend(public.iter().cloned()),
            _ => *found = Found::Identities(public.clone()),
        }
        public
    }

    /// Reads the places, once.
    fn read_places(&self, rest: &mut Rest) {
        for place in std::mem::take(&mut rest.unread) {
            let index = rest.looked.len();
            rest.looked.push(Looked { name: place.name().to_owned(), found: Found::Nothing });
            if let Err(error) = self.read_place(rest, index, place) {
                rest.looked[index].found = Found::Problem(told(&error));
            }
        }
    }

    fn read_place(&self, rest: &mut Rest, index: usize, place: Place) -> Result<(), Unusable> {
        match place {
            Place::Unset { .. } => {}
            Place::File { path, .. } if !path.exists() => {}
            Place::File { path, .. } | Place::NamedFile { path, .. } => {
                let source = KeySource::File(path);
                let bytes = source.bytes()?;
                warn_if_open(&source, &*self.ask);
                self.take(rest, index, bytes, IdentityFile::parse)?;
            }
            Place::Value { value, .. } => {
                let bytes = Zeroizing::new(value.into_encoded_bytes());
                self.take(rest, index, bytes, IdentityFile::parse_words)?;
            }
            Place::Command { command, .. } => {
                rest.looked[index].found = Found::NotRun;
                rest.commands.push((index, command));
            }
        }
        Ok(())
    }

    /// Runs the commands for the recipients of a group until what they give opens it.
    fn ask_commands(&self, rest: &mut Rest, group: &[WrappedKey]) -> Option<KeyBytes> {
        let mut commands = std::mem::take(&mut rest.commands);
        let opened = commands.iter_mut().find_map(|(index, command)| {
            group.iter().find_map(|wrapped| {
                let Recipient::Age(recipient) = &wrapped.recipient else { return None };
                match command.run(recipient)? {
                    Ok(bytes) => match self.take(rest, *index, bytes, IdentityFile::parse) {
                        Ok(public) => command.gave(recipient, &public),
                        Err(error) => note(rest, *index, told(&error)),
                    },
                    Err(error) => note(rest, *index, told(&error)),
                }
                self.ready().unwrap_one(group).ok()
            })
        });
        rest.commands = commands;
        opened
    }

    /// Asks for the passphrases of ssh keys that the group is wrapped for.
    fn ask_for_ssh_keys(&self, rest: &mut Rest, group: &[WrappedKey]) -> Option<KeyBytes> {
        let fits = |key: &LockedSshKey| group.iter().any(|wrapped| key.may_open(wrapped));
        while let Some(at) = rest.ssh_keys.iter().position(|(_, key)| fits(key)) {
            let (index, key) = rest.ssh_keys.remove(at);
            let what = format!("Passphrase for the ssh key {}:", rest.looked[index].name);
            match self.unlocked(&what, |passphrase| key.open(passphrase).ok_or(PassphraseError::Wrong)) {
                Ok(identity) => {
                    self.make_ready(rest, index, &[identity]);
                    if let Ok(secret) = self.ready().unwrap_one(group) {
                        return Some(secret);
                    }
                }
                Err(problem) => rest.looked[index].found = Found::Problem(problem),
            }
        }
        None
    }

    /// Lets the plugins try; what they complain of goes into the errors.
    fn ask_plugins(&self, rest: &Rest, group: &[WrappedKey], errors: &mut [KeyError]) -> Option<KeyBytes> {
        let talk = Talk(self.ask.clone());
        for (wrapped, error) in group.iter().zip(errors) {
            if !matches!(wrapped.recipient, Recipient::Age(_)) {
                continue;
            }
            match rest.plugins.unwrap(wrapped, &talk) {
                Some(Ok(secret)) => return Some(secret),
                Some(Err(problem)) => *error = problem,
                None => {}
            }
        }
        None
    }

    /// Asks for the passphrases of key files.
    fn ask_for_files(
        &self,
        rest: &mut Rest,
        group: &[WrappedKey],
        errors: &mut [KeyError],
    ) -> Option<KeyBytes> {
        while !rest.files.is_empty() {
            let (index, bytes) = rest.files.remove(0);
            let what = format!("Passphrase for the key file {}:", rest.looked[index].name);
            match self.unlocked(&what, |passphrase| IdentityFile::decrypt(&bytes, passphrase)) {
                Ok(file) => {
                    self.make_ready(rest, index, file.identities());
                    if let Ok(secret) = self.ready().unwrap_one(group) {
                        return Some(secret);
                    }
                    let plugin = |identity: &Identity| identity.kind() == IdentityKind::Plugin;
                    if file.identities().iter().any(plugin)
                        && let Some(secret) = self.ask_plugins(rest, group, errors)
                    {
                        return Some(secret);
                    }
                }
                Err(problem) => rest.looked[index].found = Found::Problem(problem),
            }
        }
        None
    }

    /// Asks for a passphrase until it fits, or a few times.
    fn unlocked<T>(
        &self,
        question: &str,
        open: impl Fn(&SecretString) -> Result<T, PassphraseError>,
    ) -> Result<T, String> {
        for _ in 0..TRIES {
            let Some(passphrase) = self.ask.secret(question) else { return Err(NOT_ASKED.to_owned()) };
            match open(&passphrase) {
                Err(PassphraseError::Wrong) => self.ask.say("The passphrase is wrong."),
                other => return other.map_err(|error| error.to_string()),
            }
        }
        Err(PassphraseError::Wrong.to_string())
    }
}

/// The problem of a protected key where nobody answered.
pub(super) const NOT_ASKED: &str =
    "protected with a passphrase, and no passphrase was given: it is asked for on a terminal only";

impl KeyService for KeyRing {
    fn wrap(&self, secret: &KeyBytes, recipient: &Recipient) -> Result<WrappedKey, KeyError> {
        match AgeKeys::default().wrap(secret, recipient) {
            Err(KeyError::NeedsPlugin { .. }) => plugins::wrap(secret, recipient, &Talk(self.ask.clone())),
            other => other,
        }
    }

    fn unwrap(&self, wrapped: &WrappedKey) -> Result<KeyBytes, KeyError> {
        self.unwrap_one(std::slice::from_ref(wrapped)).map_err(|mut errors| {
            errors.pop().unwrap_or_else(|| KeyError::Damaged(wrapped.recipient.to_string()))
        })
    }

    fn unwrap_one(&self, group: &[WrappedKey]) -> Result<KeyBytes, Vec<KeyError>> {
        if let Ok(secret) = self.ready().unwrap_one(group) {
            return Ok(secret);
        }
        // One thread at a time from here on: what it gets from a person or a program serves the others.
        let mut rest = self.rest();
        self.read_places(&mut rest);
        if let Ok(secret) = self.ready().unwrap_one(group) {
            return Ok(secret);
        }
        if let Some(secret) = self.ask_commands(&mut rest, group) {
            return Ok(secret);
        }
        if let Some(secret) = self.ask_for_ssh_keys(&mut rest, group) {
            return Ok(secret);
        }
        let mut errors = match self.ready().unwrap_one(group) {
            Ok(secret) => return Ok(secret),
            Err(errors) => errors,
        };
        let opened = self.ask_plugins(&rest, group, &mut errors);
        opened.or_else(|| self.ask_for_files(&mut rest, group, &mut errors)).ok_or(errors)
    }
}

/// Warns of a key that others can read.
pub(super) fn warn_if_open(source: &KeySource, ask: &dyn Ask) {
    if source.is_open_to_others() {
        let name = source.name();
        ask.warn(&format!("{name}: others on this machine may read this key"), &format!("chmod 600 {name}"));
    }
}

/// Adds a problem to a place, unless it gave identities before.
fn note(rest: &mut Rest, index: usize, problem: String) {
    let found = &mut rest.looked[index].found;
    if !matches!(found, Found::Identities(_)) {
        *found = Found::Problem(problem);
    }
}

fn public(identity: &Identity) -> String {
    identity.recipient().unwrap_or_else(|| "an identity of a plugin".to_owned())
}

/// An error with its source, in one line.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

pub(super) fn is_ssh_key(bytes: &[u8]) -> bool {
    let first = bytes.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.trim_ascii_end().starts_with(b"-----BEGIN ")
        && first.trim_ascii_end().ends_with(b" PRIVATE KEY-----")
}

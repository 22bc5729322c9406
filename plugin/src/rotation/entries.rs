//! The entries of a Secret that hold age identities, and how they change in a rotation. Flux reads those whose names
//! end in `.agekey`, all of them, and ignores the others (kustomize-controller, `internal/decryptor`).

use crate::cluster::LiveSecret;
use crate::keys;
use kubiya_policies::sops::age::{Identity, IdentityFile, IdentityFileError};
use secrecy::SecretString;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// How the names end that Flux reads.
const READ: &str = ".agekey";
/// What is added to the name of an entry that Flux is not to read any more.
const RETIRED: &str = ".retired";
/// Where the identity is in the end.
const MAIN: &str = "age.agekey";

/// An entry that keeps Flux from decrypting anything.
#[derive(Debug, thiserror::Error)]
#[error("the entry `{entry}` is malformed, which keeps Flux from decrypting anything")]
pub struct MalformedEntry {
    /// Its name.
    pub entry: String,
    /// What is wrong with it.
    pub source: IdentityFileError,
}

/// Whether Flux has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// It is not in the Secret.
    No,
    /// It is there under a name that Flux ignores.
    Retired,
    /// Flux decrypts with it.
    Active,
}

/// Entries to be written; `None` takes one away.
pub type EntryChange = BTreeMap<String, Option<SecretString>>;

/// The entries of one Secret.
#[derive(Debug)]
pub struct Entries {
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    text: Zeroizing<String>,
    file: IdentityFile,
}

/// Shows nothing of the text.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Entries {
    /// Reads the entries of a Secret: those that Flux reads, and those that were retired.
    ///
    /// # Errors
    /// An entry that Flux reads is malformed.
    pub fn of(secret: &LiveSecret) -> Result<Self, MalformedEntry> {
        let mut entries = BTreeMap::new();
        for (name, bytes) in &secret.data {
            if !name.ends_with(READ) && !name.ends_with(&format!("{READ}{RETIRED}")) {
                continue;
            }
            match IdentityFile::parse(bytes) {
                Ok(file) => {
                    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
                    entries.insert(name.clone(), Entry { text, file });
                }
                // An entry without any identity is of no harm and of no use.
                Err(_) if bytes.iter().all(u8::is_ascii_whitespace) || name.ends_with(RETIRED) => {}
                Err(source) => return Err(MalformedEntry { entry: name.clone(), source }),
            }
        }
        Ok(Self { entries })
    }

    /// The identities that Flux decrypts with.
    pub fn active(&self) -> impl Iterator<Item = &Identity> {
        let active = self.entries.iter().filter(|(name, _)| !name.ends_with(RETIRED));
        active.flat_map(|(_, entry)| entry.file.identities())
    }

    /// The public keys of the identities that Flux decrypts with, each once.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        let mut all = self.active().filter_map(Identity::recipient).collect::<Vec<_>>();
        all.sort();
        all.dedup();
        all
    }

    /// Whether Flux has the identity of a recipient.
    #[must_use]
    pub fn held(&self, recipient: &str) -> Held {
        let names = self.entries.iter().filter(|(_, entry)| entry.holds(recipient));
        let held = names.map(|(name, _)| if name.ends_with(RETIRED) { Held::Retired } else { Held::Active });
        held.max().unwrap_or(Held::No)
    }

    /// The identity of a recipient, active or retired.
    #[must_use]
    pub fn identity(&self, recipient: &str) -> Option<&Identity> {
        let all = self.entries.values().flat_map(|entry| entry.file.identities());
        all.into_iter().find(|identity| identity.recipient().as_deref() == Some(recipient))
    }

    /// Puts an identity beside those that are there, in an entry of its own.
    #[must_use]
    pub fn with(&self, new: &Identity) -> EntryChange {
        let recipient = new.recipient().unwrap_or_default();
        if self.held(&recipient) == Held::Active {
            return EntryChange::new();
        }
        let mut change = EntryChange::from([(own_name(&recipient), Some(text_of(new)))]);
        change.extend(self.retired_names(&recipient).map(|name| (name.to_owned(), None)));
        change
    }

    /// Takes one identity out of what Flux reads, keeping it in an entry that Flux ignores; the other one becomes
    /// the main entry. What else the entries hold stays.
    #[must_use]
    pub fn retiring(&self, old: &str, new: &str) -> EntryChange {
        let mut change = EntryChange::new();
        if let (Some(identity), Held::Active) = (self.identity(old), self.held(old)) {
            change.insert(retired_name(old), Some(text_of(identity)));
        }
        let mut main = Zeroizing::new(String::new());
        for (name, entry) in self.entries.iter().filter(|(name, _)| !name.ends_with(RETIRED)) {
            let moves = name == MAIN || *name == own_name(new);
            let text = entry.without(|recipient| recipient == old || (moves && recipient == new));
            if name == MAIN {
                main = text;
            } else if !has_identity(&text) {
                change.insert(name.clone(), None);
            } else if *text != *entry.text {
                change.insert(name.clone(), Some(text.as_str().into()));
            }
        }
        if let Some(identity) = self.identity(new) {
            let rest = IdentityFile::parse(main.as_bytes()).ok();
            let file = IdentityFile::parse(exposed(identity).as_bytes());
            let text = match (&file, &rest) {
                (Ok(file), Some(rest)) => keys::merged(Some((main.as_str(), rest)), file),
                (Ok(file), None) => keys::merged(None, file),
                (Err(_), _) => main,
            };
            if self.entries.get(MAIN).is_none_or(|entry| entry.text.as_str() != text.as_str()) {
                change.insert(MAIN.to_owned(), Some(text.as_str().into()));
            }
        }
        change
    }

    /// Gives Flux a retired identity back.
    #[must_use]
    pub fn restoring(&self, recipient: &str) -> EntryChange {
        self.identity(recipient).map(|identity| self.with(identity)).unwrap_or_default()
    }

    /// Takes what is retired of a recipient away for good.
    #[must_use]
    pub fn dropping(&self, recipient: &str) -> EntryChange {
        self.retired_names(recipient).map(|name| (name.to_owned(), None)).collect()
    }

    /// Takes an identity away that nothing needs: those of its entries hold nothing else.
    #[must_use]
    pub fn without(&self, recipient: &str) -> EntryChange {
        let mut change = EntryChange::new();
        for (name, entry) in self.entries.iter().filter(|(_, entry)| entry.holds(recipient)) {
            let text = entry.without(|one| one == recipient);
            change.insert(name.clone(), has_identity(&text).then(|| text.as_str().into()));
        }
        change
    }

    fn retired_names(&self, recipient: &str) -> impl Iterator<Item = &str> {
        let names = self
            .entries
            .iter()
            .filter(move |(name, entry)| **name == retired_name(recipient) && entry.holds(recipient));
        names.map(|(name, _)| name.as_str())
    }
}

impl Entry {
    fn holds(&self, recipient: &str) -> bool {
        self.file.identities().iter().any(|identity| identity.recipient().as_deref() == Some(recipient))
    }

    /// The text without the identities of some recipients, and without the comments that name them.
    fn without(&self, gone: impl Fn(&str) -> bool) -> Zeroizing<String> {
        let mut kept = Zeroizing::new(String::with_capacity(self.text.len()));
        let leaves = self.file.identities().iter().filter_map(Identity::recipient).filter(|one| gone(one));
        let leaves = leaves.collect::<Vec<_>>();
        for line in self.text.split_inclusive('\n') {
            let is_comment = line.trim_start().starts_with('#');
            let identity = IdentityFile::parse(line.as_bytes()).ok();
            let recipient = identity.iter().flat_map(IdentityFile::identities).find_map(Identity::recipient);
            let named = is_comment && leaves.iter().any(|recipient| line.contains(recipient.as_str()));
            if !named && !recipient.is_some_and(|recipient| gone(&recipient)) {
                kept.push_str(line);
            }
        }
        kept
    }
}

fn has_identity(text: &str) -> bool {
    IdentityFile::parse(text.as_bytes()).is_ok_and(|file| !file.identities().is_empty())
}

/// The name of an entry for one identity; the last characters of the public key tell it from others.
fn own_name(recipient: &str) -> String {
    let start = recipient.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    format!("age-{}{READ}", &recipient[start..])
}

/// The name of the entry in which an identity is retired; others that end so are not ours.
fn retired_name(recipient: &str) -> String {
    format!("{}{RETIRED}", own_name(recipient))
}

fn exposed(identity: &Identity) -> &str {
    use secrecy::ExposeSecret as _;
    identity.expose_line().expose_secret()
}

fn text_of(identity: &Identity) -> SecretString {
    let text = match identity.recipient() {
        Some(recipient) => Zeroizing::new(format!("# public key: {recipient}\n{}\n", exposed(identity))),
        None => Zeroizing::new(format!("{}\n", exposed(identity))),
    };
    text.as_str().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn apply(secret: &LiveSecret, change: &EntryChange) -> LiveSecret {
        let mut secret = secret.clone();
        for (name, text) in change {
            match text {
                Some(text) => {
                    secret.data.insert(name.clone(), Zeroizing::new(text.expose_secret().as_bytes().to_vec()))
                }
                None => secret.data.remove(name),
            };
        }
        secret
    }

    fn names(secret: &LiveSecret) -> Vec<&str> {
        secret.data.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_key_comes_an_other_goes_and_what_else_is_there_stays() {
        let [old, new, other] = [Identity::generate(), Identity::generate(), Identity::generate()];
        let [o, n, r] = [&old, &new, &other].map(|identity| identity.recipient().unwrap());
        let text =
            format!("# created: today\n# public key: {o}\n{}\n# kept\n{}\n", exposed(&old), exposed(&other));
        let start =
            LiveSecret::of_entries(&[("age.agekey", &text), ("identity.asc", "PGP"), ("age.key", "ignored")]);
        let entries = Entries::of(&start).unwrap();
        assert_eq!((entries.held(&o), entries.held(&n)), (Held::Active, Held::No));

        let both = apply(&start, &entries.with(&new));
        let entries = Entries::of(&both).unwrap();
        assert_eq!(both.data["age.agekey"], start.data["age.agekey"]);
        assert_eq!(entries.recipients().len(), 3);
        assert!(entries.with(&new).is_empty(), "it is there");

        let retired = apply(&both, &entries.retiring(&o, &n));
        let entries = Entries::of(&retired).unwrap();
        assert_eq!(
            (entries.held(&o), entries.held(&n), entries.held(&r)),
            (Held::Retired, Held::Active, Held::Active)
        );
        let main = String::from_utf8(retired.data["age.agekey"].to_vec()).unwrap();
        assert!(
            main.contains("# kept") && !main.contains(&o) && main.contains(exposed(&new)),
            "{}",
            main.len()
        );
        let retired_name = format!("{}.retired", own_name(&o));
        assert_eq!(
            names(&retired),
            ["age-", "age.agekey", "age.key", "identity.asc"].map(|name| match name {
                "age-" => retired_name.as_str(),
                other => other,
            })
        );
        assert!(entries.retiring(&o, &n).is_empty(), "it is done");

        let restored = apply(&retired, &entries.restoring(&o));
        assert_eq!(Entries::of(&restored).unwrap().held(&o), Held::Active);
        assert!(!names(&restored).contains(&retired_name.as_str()));

        let done = apply(&retired, &entries.dropping(&o));
        assert_eq!(names(&done), ["age.agekey", "age.key", "identity.asc"]);
    }

    #[test]
    fn a_rotation_that_is_given_up_leaves_what_was_there() {
        let [old, new] = [Identity::generate(), Identity::generate()];
        let start = LiveSecret::of_entries(&[("age.agekey", &format!("{}\n", exposed(&old)))]);
        let both = apply(&start, &Entries::of(&start).unwrap().with(&new));
        let back = apply(&both, &Entries::of(&both).unwrap().without(&new.recipient().unwrap()));
        assert_eq!(back.data, start.data);
    }

    #[test]
    fn a_malformed_entry_is_told_by_its_name_alone() {
        let error = Entries::of(&LiveSecret::of_entries(&[("bad.agekey", "CANARY\n")])).unwrap_err();
        assert_eq!(error.entry, "bad.agekey");
        assert!(!format!("{error:?} {error}").contains("CANARY"));
    }
}

//! With what Flux is to decrypt: age identities, entries of other kinds, keys of other namespaces. All of it may be
//! left out: then it is a Flux that decrypts nothing, or goes on as it does.

use crate::flux::EntryKind;
use crate::keys::KeySource;
use crate::worker::is_label;
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::age::{Identity, IdentityFile};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The most that is read of an entry: the API server takes a Secret of 1 MiB.
const MAX_BYTES: u64 = 1 << 20;

/// What was asked for, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecryptionRequest {
    /// Where age identities come from, all of which Flux gets.
    pub keys: Vec<KeySource>,
    /// Entries of other kinds, by name and file.
    pub entries: Vec<(String, PathBuf)>,
    /// Other namespaces in which Kustomizations decrypt, each with the file of its own identity.
    pub namespaces: Vec<(String, Option<PathBuf>)>,
    /// Those namespaces get the main identities.
    pub share_key: bool,
}

/// Checked: identities that Flux can use, entries that it reads.
#[derive(Clone, Debug, Default)]
pub struct Decryption {
    /// The identities, each once.
    pub identities: Vec<Identity>,
    /// Entries of other kinds.
    pub entries: BTreeMap<String, SecretString>,
    /// The identities of other namespaces.
    pub namespaces: BTreeMap<String, Vec<Identity>>,
}

impl Decryption {
    /// Whether nothing was given for the namespace of Flux.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.entries.is_empty()
    }
}

impl DecryptionRequest {
    /// How often standard input is to be read.
    pub(super) fn stdin_count(&self) -> usize {
        let entries = self.entries.iter().filter(|(_, path)| path.as_os_str() == "-");
        self.keys.iter().filter(|key| **key == KeySource::Stdin).count() + entries.count()
    }

    /// Reads and checks everything. `own` is the namespace of Flux itself.
    pub(super) fn gather(&self, own: &str, problems: &mut Vec<Failure>) -> Decryption {
        let mut found = Decryption::default();
        for key in &self.keys {
            add(&mut found.identities, read(key, problems));
        }
        for (name, path) in &self.entries {
            match entry(name, path) {
                Ok(content) if !found.entries.contains_key(name) => {
                    found.entries.insert(name.clone(), content);
                }
                Ok(_) => problems.push(Failure::usage(format!("--sops-entry: `{name}` is named twice"))),
                Err(problem) => problems.push(problem),
            }
        }
        for (namespace, file) in &self.namespaces {
            let flag = "--decryption-namespace";
            if !is_label(namespace) {
                problems.push(Failure::usage(format!("{flag}: `{namespace}` is not a DNS label")));
            } else if namespace == own {
                problems.push(
                    Failure::usage(format!("{flag}: `{namespace}` is the namespace of Flux itself"))
                        .hint("--age-key-file FILE   # its key"),
                );
            } else if found.namespaces.contains_key(namespace) {
                problems.push(Failure::usage(format!("{flag}: `{namespace}` is named twice")));
            } else {
                let identities = self.of_namespace(namespace, file.as_deref(), &found, problems);
                found.namespaces.insert(namespace.clone(), identities);
            }
        }
        found
    }

    /// The identities for another namespace: its own, or those of Flux's where that was said.
    fn of_namespace(
        &self,
        namespace: &str,
        file: Option<&Path>,
        found: &Decryption,
        problems: &mut Vec<Failure>,
    ) -> Vec<Identity> {
        if !self.share_key {
            let source = KeySource::File(file.map_or_else(|| own_file(namespace), Path::to_owned));
            let identities = read(&source, problems);
            if identities.iter().any(|identity| found.identities.contains(identity)) {
                problems.push(
                    Failure::usage("it is the main key, and everybody who may read Secrets there could read it")
                        .at(format!("--decryption-namespace {namespace}"))
                        .hint("another file, which is made where it is not there: --decryption-namespace NAMESPACE=FILE")
                        .hint("--share-key   # if they may"),
                );
            }
            return identities;
        }
        if found.identities.is_empty() {
            problems
                .push(Failure::usage("--share-key: there is no key to share").hint("--age-key-file FILE"));
        }
        found.identities.clone()
    }
}

/// Where the identity of a namespace is when no file was named.
pub(crate) fn own_file(namespace: &str) -> PathBuf {
    PathBuf::from(format!("{namespace}.agekey"))
}

fn read(key: &KeySource, problems: &mut Vec<Failure>) -> Vec<Identity> {
    let read = key.read().map(IdentityFile::into_identities);
    read.map_err(|error| problems.push(key.failure(&error))).unwrap_or_default()
}

fn add(identities: &mut Vec<Identity>, more: Vec<Identity>) {
    for identity in more {
        if !identities.contains(&identity) {
            identities.push(identity);
        }
    }
}

/// An entry out of a file, under a name that Flux reads and with content that it takes.
fn entry(name: &str, path: &Path) -> Result<SecretString, Failure> {
    let wrong = |what: &str| Failure::usage(format!("--sops-entry {name}: {what}"));
    let kind = match EntryKind::of(name) {
        Some(EntryKind::Age) => {
            return Err(wrong("age keys are merged with those that are there").hint("--age-key-file FILE"));
        }
        Some(kind) => kind,
        None => {
            return Err(wrong("Flux reads no entry of this name")
                .hint("NAME.asc, sops.vault-token, sops.aws-kms, sops.azure-kv or sops.gcp-kms"));
        }
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
    };
    let place = path.display().to_string();
    read.map_err(|error| wrong("cannot read it").at(&place).because(&error))?;
    match (kind.problem(&bytes), std::str::from_utf8(&bytes)) {
        (None, Ok(text)) => Ok(SecretString::from(text.to_owned())),
        (problem, _) => Err(wrong(problem.unwrap_or("it is not text in UTF-8")).at(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn gathered(request: &DecryptionRequest) -> (Decryption, String) {
        let mut problems = Vec::new();
        let found = request.gather("flux-system", &mut problems);
        (found, problems.iter().flat_map(Failure::lines).collect::<Vec<_>>().join("\n"))
    }

    fn key_file(folder: &Path, name: &str, identities: &[&Identity]) -> KeySource {
        let path = folder.join(name);
        std::fs::write(&path, crate::keys::with_identities("", identities).as_bytes()).unwrap();
        KeySource::File(path)
    }

    #[test]
    fn identities_of_several_places_are_one_list_with_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = [(); 2].map(|()| Identity::generate());
        let keys = vec![key_file(folder.path(), "a", &[&one]), key_file(folder.path(), "b", &[&two, &one])];
        let (found, problems) = gathered(&DecryptionRequest { keys, ..DecryptionRequest::default() });
        assert_eq!((found.identities, problems.as_str()), (vec![one, two], ""));
    }

    #[test]
    fn nothing_is_needed() {
        let (found, problems) = gathered(&DecryptionRequest::default());
        assert!(found.is_empty() && problems.is_empty());
    }

    #[test]
    fn entries_have_names_that_flux_reads_and_content_that_it_takes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        std::fs::write(&path, "hvs.CANARY").unwrap();
        let with = |name: &str| DecryptionRequest {
            entries: vec![(name.to_owned(), path.clone())],
            ..DecryptionRequest::default()
        };
        let (found, problems) = gathered(&with("sops.vault-token"));
        assert_eq!(problems, "");
        assert_eq!(found.entries["sops.vault-token"].expose_secret(), "hvs.CANARY");
        for name in ["age.agekey", "vault", "x.asc", "sops.aws-kms"] {
            let (found, problems) = gathered(&with(name));
            assert!(found.entries.is_empty() && problems.contains("--sops-entry"), "{problems}");
            assert!(!problems.contains("CANARY"), "{problems}");
        }
    }

    #[test]
    fn the_main_key_is_shared_only_when_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (main, own) = (Identity::generate(), Identity::generate());
        let main_file = key_file(folder.path(), "main", &[&main]);
        let KeySource::File(path) = main_file.clone() else { panic!() };
        key_file(folder.path(), "own", &[&own]);
        let with = |file: Option<PathBuf>, share_key| DecryptionRequest {
            keys: vec![main_file.clone()],
            namespaces: vec![("apps".to_owned(), file)],
            share_key,
            ..DecryptionRequest::default()
        };
        let (_, problems) = gathered(&with(Some(path), false));
        assert!(problems.contains("it is the main key"), "{problems}");
        let (found, problems) = gathered(&with(Some(folder.path().join("own")), false));
        assert_eq!((&found.namespaces["apps"], problems.as_str()), (&vec![own], ""));
        let (found, problems) = gathered(&with(None, true));
        assert_eq!((&found.namespaces["apps"], problems.as_str()), (&vec![main], ""));
        let missing = DecryptionRequest { keys: Vec::new(), ..with(None, true) };
        assert!(gathered(&missing).1.contains("no key to share"));
    }
}

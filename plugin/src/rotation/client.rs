//! The key of a client, in a repository with a key per client: found by the folder that has the client's name.

use super::Scope;
use crate::secrets::Configs;
use kubiya_hook::edge::{Failure, shown};
use kubiya_policies::sops::recipient::Recipient;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Folders that are named in a message; more say nothing new.
const MOST: usize = 3;

/// Who reads which encrypted file, for telling the keys of clients apart.
#[derive(Debug)]
pub struct Clients {
    /// Encrypted files from the top of the repository, with the age recipients that they have or that their rule
    /// wants.
    files: Vec<(PathBuf, BTreeSet<String>)>,
}

impl Clients {
    /// Looks at the files of a repository and at their rules.
    ///
    /// # Errors
    /// A `.sops.yaml` that cannot be used.
    pub fn of(scope: &Scope, configs: &Configs) -> Result<Self, Failure> {
        let one = |(path, recipients): &(PathBuf, BTreeSet<String>)| {
            let mut recipients = recipients.clone();
            if let Some(governed) = configs.governing(path)?
                && let Some((_, rule)) = governed.rules.for_path(path.as_os_str().as_bytes())
            {
                recipients.extend(rule.recipients().filter_map(|recipient| match recipient {
                    Recipient::Age(recipient) => Some(recipient.trim().to_owned()),
                    _ => None,
                }));
            }
            Ok((path.strip_prefix(&scope.top).unwrap_or(path).to_owned(), recipients))
        };
        Ok(Self { files: scope.files.iter().map(one).collect::<Result<_, Failure>>()? })
    }

    /// The recipient that reads files of the client and no others. `new` is one that is coming, and is not meant.
    ///
    /// A recipient that reads other files too, such as that of an operator, is not the client's: the new key would
    /// be for those as well.
    ///
    /// # Errors
    /// No file is the client's, the client has no recipient of its own, or more than one.
    pub fn recipient(&self, client: &str, new: Option<&str>) -> Result<String, Failure> {
        if !self.files.iter().any(|(path, _)| is_of(client, path)) {
            return Err(self.unknown(client));
        }
        let own = self.own(client, new);
        match own.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(self.none_of_its_own(client, new)),
            several => {
                let failure =
                    Failure::usage(format!("{} keys are for files of {client} alone", several.len()));
                Err(several
                    .iter()
                    .fold(failure, |failure, one| failure.hint(format!("--old-recipient {one}"))))
            }
        }
    }

    /// A key that comes for a client must not be that of others.
    ///
    /// # Errors
    /// It reads files that are not the client's.
    pub fn must_be_unused_elsewhere(&self, client: &str, new: &str) -> Result<(), Failure> {
        let elsewhere = self.elsewhere(client, new);
        if elsewhere.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!("the new key is not for {client} alone"))
            .because_of(format!("{new} also reads files in {}", listed(&elsewhere)))
            .hint("--store-key FILE   # makes one"))
    }

    /// The recipients that read files of the client and no others.
    fn own(&self, client: &str, new: Option<&str>) -> Vec<&str> {
        let (mut inside, mut outside) = (BTreeSet::new(), BTreeSet::new());
        for (path, recipients) in &self.files {
            let side = if is_of(client, path) { &mut inside } else { &mut outside };
            side.extend(recipients.iter().map(String::as_str));
        }
        inside.difference(&outside).copied().filter(|own| Some(*own) != new).collect()
    }

    /// The folders, not the client's, in which a recipient reads files.
    fn elsewhere(&self, client: &str, recipient: &str) -> BTreeSet<&Path> {
        let read = self.files.iter().filter(|(_, recipients)| recipients.contains(recipient));
        let others = read.filter(|(path, _)| !is_of(client, path));
        others.filter_map(|(path, _)| path.parent()).collect()
    }

    fn unknown(&self, client: &str) -> Failure {
        let failure = Failure::usage(format!("no encrypted file is in a folder with the name {client}"));
        let names = self.names();
        if names.is_empty() {
            return failure
                .because_of("no folder has files with a key of their own")
                .hint("--old-recipient age1…   # the public key that goes");
        }
        names.iter().fold(failure, |failure, name| failure.hint(format!("--client {name}")))
    }

    fn none_of_its_own(&self, client: &str, new: Option<&str>) -> Failure {
        let files = self.files.iter().filter(|(path, _)| is_of(client, path));
        let all = files.flat_map(|(_, recipients)| recipients).map(String::as_str);
        let all = all.filter(|recipient| Some(*recipient) != new).collect::<BTreeSet<_>>();
        let failure = Failure::usage(format!("{client} has no key of its own"));
        if all.is_empty() {
            return failure.because_of("no age key that could go reads its files");
        }
        all.iter().fold(failure, |failure, recipient| {
            let elsewhere = listed(&self.elsewhere(client, recipient));
            failure
                .because_of(format!("{recipient} also reads files in {elsewhere}"))
                .hint(format!("--old-recipient {recipient}   # a new key for all of them"))
        })
    }

    /// The names of all clients with a key of their own. Of the folders that such a key is found by it is the one with
    /// the fewest files that the key does not read: a folder of many clients is none of them; then the outermost.
    fn names(&self) -> BTreeSet<String> {
        let (mut seen, mut best) = (BTreeSet::new(), BTreeMap::<&str, (usize, &str)>::new());
        let folders = self.files.iter().filter_map(|(path, _)| path.parent());
        for name in folders.flat_map(Path::iter).filter_map(OsStr::to_str) {
            if seen.insert(name)
                && let [own] = self.own(name, None).as_slice()
            {
                let of_name = self.files.iter().filter(|(path, _)| is_of(name, path));
                let unread = of_name.filter(|(_, recipients)| !recipients.contains(*own)).count();
                let known = best.entry(own).or_insert((unread, name));
                if unread < known.0 {
                    *known = (unread, name);
                }
            }
        }
        best.values().map(|(_, name)| shown(name.as_bytes())).collect()
    }
}

/// Whether a file is in a folder with the client's name, at whatever depth.
pub(super) fn is_of(client: &str, path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.iter().any(|name| name.as_bytes() == client.as_bytes()))
}

/// Some folders, for a message.
fn listed(folders: &BTreeSet<&Path>) -> String {
    let name = |folder: &&Path| match folder.as_os_str().as_bytes() {
        b"" => "the top folder".to_owned(),
        name => shown(name),
    };
    let mut names = folders.iter().take(MOST).map(name).collect::<Vec<_>>();
    if folders.len() > MOST {
        names.push(format!("{} more", folders.len() - MOST));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(files: &[(&str, &[&str])]) -> Clients {
        let one = |(path, recipients): &(&str, &[&str])| {
            (PathBuf::from(path), recipients.iter().map(|one| (*one).to_owned()).collect())
        };
        Clients { files: files.iter().map(one).collect() }
    }

    fn hints(result: Result<String, Failure>) -> Vec<String> {
        result.unwrap_err().hints().to_vec()
    }

    #[test]
    fn the_key_of_a_client_reads_files_of_that_client_alone() {
        let clients = clients(&[
            ("clients/a/values.enc.yaml", &["age-a", "age-ops"]),
            ("clusters/a/apps/db.yaml", &["age-a"]),
            ("clients/b/values.enc.yaml", &["age-b", "age-ops"]),
        ]);
        assert_eq!(clients.recipient("a", None).unwrap(), "age-a");
        assert_eq!(clients.recipient("b", None).unwrap(), "age-b");
        // A folder that holds files of both is nobody's.
        assert_eq!(
            hints(clients.recipient("clients", None)),
            ["--old-recipient age-b", "--old-recipient age-ops"]
        );
    }

    #[test]
    fn a_name_is_a_whole_folder_and_no_file() {
        let clients = clients(&[("clients/ab/x.yaml", &["age-ab"]), ("clients/b/ab", &["age-b"])]);
        assert_eq!(clients.recipient("ab", None).unwrap(), "age-ab");
        assert_eq!(hints(clients.recipient("a", None)), ["--client ab", "--client b"]);
    }

    #[test]
    fn a_key_that_others_have_too_is_not_the_clients() {
        let clients = clients(&[
            ("clients/a/x.yaml", &["age-both", "age-ops"]),
            ("clients/b/x.yaml", &["age-both", "age-ops"]),
            ("clients/c/x.yaml", &["age-c", "age-ops"]),
            ("clients/d/x.yaml", &["age-ops"]),
            ("root.yaml", &["age-ops"]),
        ]);
        let failure = clients.recipient("a", None).unwrap_err();
        assert_eq!(failure.lines(), ["a has no key of its own"]);
        assert_eq!(
            failure.causes(),
            [
                "age-both also reads files in clients/b",
                "age-ops also reads files in the top folder, clients/b, clients/c, 1 more",
            ]
        );
        assert_eq!(hints(clients.recipient("e", None)), ["--client c"]);
    }

    #[test]
    fn the_clients_that_there_are_are_told_by_their_folders() {
        let clients = clients(&[
            ("clients/a/apps/x.yaml", &["age-a", "age-ops"]),
            ("clients/a/y.yaml", &["age-a", "age-ops"]),
            ("clients/b/apps/x.yaml", &["age-b", "age-ops"]),
            ("clusters/a/x.yaml", &["age-a", "age-ops"]),
            ("clusters/x.yaml", &["age-ops"]),
        ]);
        assert_eq!(hints(clients.recipient("c", None)), ["--client a", "--client b"]);
    }

    #[test]
    fn of_several_keys_of_a_client_none_is_taken_unless_it_is_the_one_that_comes() {
        let clients = clients(&[
            ("clients/a/x.yaml", &["age-old", "age-new"]),
            ("clients/a/y.yaml", &["age-new"]),
            ("clients/b/x.yaml", &["age-b"]),
        ]);
        assert_eq!(
            hints(clients.recipient("a", None)),
            ["--old-recipient age-new", "--old-recipient age-old"]
        );
        assert_eq!(clients.recipient("a", Some("age-new")).unwrap(), "age-old");
        let failure = clients.recipient("b", Some("age-b")).unwrap_err();
        assert_eq!(failure.causes(), ["no age key that could go reads its files"]);
    }

    #[test]
    fn the_key_of_another_client_is_no_new_key() {
        let clients = clients(&[("a/x.yaml", &["age-a"]), ("b/x.yaml", &["age-b"])]);
        assert!(clients.must_be_unused_elsewhere("a", "age-new").is_ok());
        assert!(clients.must_be_unused_elsewhere("a", "age-a").is_ok());
        let failure = clients.must_be_unused_elsewhere("a", "age-b").unwrap_err();
        assert_eq!(failure.causes(), ["age-b also reads files in b"]);
    }
}

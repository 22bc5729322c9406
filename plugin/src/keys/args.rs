//! The flags by which keys are named.

use super::ask::{Ask, Terminal};
use super::from_cluster;
use super::places::Surroundings;
use super::ring::{KeyRing, Unusable, warn_if_open};
use super::source::KeySource;
use crate::cluster::ConnectionArgs;
use clap::Args;
use kubiya_hook::edge::Failure;
use std::sync::Arc;

/// Where the keys are that files are decrypted with. Without any of these flags it is where sops looks:
/// SOPS_AGE_KEY and its sisters, ~/.ssh and sops/age/keys.txt; and age.agekey at the top of the repository.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Keys")]
pub struct KeyArgs {
    /// File with age identities or an ssh key, or `-` for standard input; may be repeated. Then no key is
    /// looked for elsewhere
    #[arg(long, value_name = "FILE")]
    pub age_key_file: Vec<String>,
    /// Use the keys that Flux has: the Secret `sops-age` in the namespace of Flux. Then no key is looked for
    /// elsewhere
    #[arg(long)]
    pub from_cluster: bool,
}

impl KeyArgs {
    /// Gathers the keys. Named places are read now, with an error for each that gives none; all others when
    /// the first key is needed.
    ///
    /// # Errors
    /// A named place that cannot be read or holds no key; an unreachable cluster.
    pub async fn gather(&self, connection: &ConnectionArgs) -> Result<KeyRing, Failure> {
        let ask: Arc<dyn Ask> = Arc::new(Terminal);
        if self.age_key_file.is_empty() && !self.from_cluster {
            return Ok(KeyRing::ambient(&Surroundings::of_process(), ask));
        }
        let ring = self.named_files(&ask)?;
        if self.from_cluster {
            let mut problems = Vec::new();
            let entries = from_cluster::entries(connection).await?;
            let count = entries.len();
            for (name, bytes) in entries {
                if let Err(error) = ring.add(&name, bytes) {
                    problems.push(Failure::unverified("not an age key").at(name).because(&error));
                }
            }
            if problems.len() == count {
                return Err(Failure::all("the cluster has no age key that can be used", problems));
            }
        }
        Ok(ring)
    }

    fn named_files(&self, ask: &Arc<dyn Ask>) -> Result<KeyRing, Failure> {
        let ring = KeyRing::explicit(ask.clone());
        let mut problems = Vec::new();
        for flag in &self.age_key_file {
            let source = KeySource::from_flag(flag);
            warn_if_open(&source, &**ask);
            let added = source.bytes().map_err(Unusable::from);
            match added.and_then(|bytes| ring.add(&source.name(), bytes)) {
                Ok(()) => {}
                Err(Unusable::Read(error)) => problems.push(source.failure(&error)),
                Err(Unusable::Ssh(error)) => {
                    problems.push(Failure::usage(error.to_string()).at(source.name()));
                }
            }
        }
        if problems.is_empty() {
            Ok(ring)
        } else {
            Err(Failure::all(format!("{} key files cannot be used", problems.len()), problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_hook::edge::Console;
    use kubiya_policies::sops::age::{AgeKeys, Identity};
    use kubiya_policies::sops::keys::{DataKey, KeyBytes, KeyService as _};
    use kubiya_policies::sops::recipient::Recipient;
    use secrecy::ExposeSecret as _;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        keys: KeyArgs,
    }

    fn gather(words: &[&str]) -> Result<KeyRing, String> {
        let words = ["program"].iter().chain(words);
        let keys =
            <Program as clap::Parser>::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).keys;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(keys.gather(&ConnectionArgs::default())).map_err(|failure| {
            let (console, _, err) = Console::captured();
            console.finish(Err(failure));
            err.take()
        })
    }

    #[test]
    fn named_files_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let keys = [Identity::generate(), Identity::generate(), Identity::generate()];
        let paths = ["one", "two"].map(|name| folder.path().join(name).display().to_string());
        for (path, key) in paths.iter().zip(&keys) {
            std::fs::write(path, key.expose_line().expose_secret()).unwrap();
        }
        let ring = gather(&["--age-key-file", &paths[0], "--age-key-file", &paths[1]]).unwrap();
        let opens = keys.iter().map(|key| {
            let recipient = Recipient::Age(key.recipient().unwrap());
            let wrapped = AgeKeys::default().wrap(&KeyBytes::Whole(DataKey::new([1; 32])), &recipient);
            ring.unwrap(&wrapped.unwrap()).is_ok()
        });
        assert_eq!(opens.collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(ring.looked().len(), 2);
    }

    #[test]
    fn all_named_files_that_are_of_no_use_are_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name).display().to_string();
            std::fs::write(&path, text).unwrap();
            path
        };
        let text = write("text", "hunter2\n");
        let ssh =
            write("ssh", "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n");
        let missing = folder.path().join("missing").display().to_string();
        let words = ["--age-key-file", &text, "--age-key-file", &ssh, "--age-key-file", &missing];
        let shown = gather(&words).unwrap_err().replace(folder.path().to_str().unwrap(), "[DIR]");
        insta::assert_snapshot!(shown, @"
        error: 3 key files cannot be used
        problem: [DIR]/text: not an age key file
          cause: line 1 is not an age identity, a comment or an empty line
        problem: [DIR]/ssh: it is not an ssh private key
        problem: [DIR]/missing: cannot read the age key
          cause: No such file or directory (os error 2)

        hint: it needs a line that begins with AGE-SECRET-KEY-1, as age-keygen writes it
        hint: make one: age-keygen -o [DIR]/missing
        ");
    }
}

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
        let ring = self.named_files(ask)?;
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

    fn named_files(&self, ask: Arc<dyn Ask>) -> Result<KeyRing, Failure> {
        let ring = KeyRing::explicit(ask.clone());
        let mut problems = Vec::new();
        for flag in &self.age_key_file {
            let source = KeySource::from_flag(flag);
            warn_if_open(&source, &*ask);
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

//! A new age key: stored and read back before anything depends on it, with somebody who can decrypt when it is lost.

use super::args::BootstrapArgs;
use crate::files::{Batch, FileError, Staged};
use crate::rotation::{NewIdentity, Store};
use crate::secrets::file_failure;
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::recipient::age_recipient_problem;
use std::path::{Path, PathBuf};

/// What was made.
#[derive(Debug)]
pub(super) struct Made {
    /// The public half.
    pub(super) recipient: String,
    /// Where the private half is.
    pub(super) file: PathBuf,
    /// The rules that were written, where there were none.
    pub(super) rules: Option<PathBuf>,
}

/// Makes the key where its file is not there yet. `None` where nothing was to be made.
///
/// # Errors
/// Nobody who could decrypt without it, a file that cannot be written or is not read back as it was written.
pub(super) fn generate(args: &BootstrapArgs) -> Result<Option<Made>, Failure> {
    let Some(file) = args.age_key_file.as_deref().filter(|_| args.generate_age_key) else { return Ok(None) };
    let path = Path::new(file);
    if path.symlink_metadata().is_ok() {
        return Ok(None);
    }
    if args.export || !args.writes() {
        return Err(Failure::usage("--generate-age-key: a key is made only when it is put to use")
            .hint("without --dry-run, --diff and --export; or: age-keygen -o FILE"));
    }
    for recipient in &args.recovery {
        if let Some(why) = age_recipient_problem(recipient) {
            return Err(Failure::usage(format!("--recovery: no public key of age: {why}")));
        }
    }
    if args.recovery.is_empty() && !args.no_recovery {
        return Err(Failure::usage("--generate-age-key: who can decrypt when the new key is lost?")
            .hint("--recovery age1…   # the public half of a key that is kept elsewhere; may be repeated")
            .hint("--no-recovery where nobody is to"));
    }
    let identity = NewIdentity::generated(Store::File(path.to_owned()))?;
    identity.store()?;
    let rules = args.repo.as_deref().map(|repo| write_rules(repo, identity.recipient(), &args.recovery));
    let rules = rules.transpose()?.flatten();
    Ok(Some(Made { recipient: identity.recipient().to_owned(), file: path.to_owned(), rules }))
}

/// Writes a `.sops.yaml` for manifests, unless there is one: what is in it is somebody's decision.
fn write_rules(repo: &Path, recipient: &str, recovery: &[String]) -> Result<Option<PathBuf>, Failure> {
    let path = repo.join(kubiya_policies::rules::FILE_NAME);
    let staged = match Staged::new_file(&path, rules_text(recipient, recovery).as_bytes()) {
        Ok(staged) => staged,
        Err(FileError::Exists) => return Ok(None),
        Err(error) => return Err(file_failure(&path, &error)),
    };
    let mut batch = Batch::default();
    batch.add(staged);
    match batch.put_in_place().into_iter().next() {
        None => Ok(Some(path)),
        Some((path, error)) => Err(file_failure(&path, &error)),
    }
}

fn rules_text(recipient: &str, recovery: &[String]) -> String {
    let mut text =
        "creation_rules:\n  - path_regex: \\.ya?ml$\n    encrypted_regex: ^(data|stringData)$\n    age:\n"
            .to_owned();
    for one in [recipient].into_iter().chain(recovery.iter().map(String::as_str)) {
        text.push_str(&format!("      - {one}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_policies::rules::Rules;
    use kubiya_policies::sops::age::Identity;
    use kubiya_policies::sops::recipient::Recipient;

    #[test]
    fn the_rules_name_the_key_and_who_recovers() {
        let [one, other] = [(); 2].map(|()| Identity::generate().recipient().unwrap());
        let text = rules_text(&one, std::slice::from_ref(&other));
        let rules = Rules::parse(b".sops.yaml", text.as_bytes()).unwrap();
        let (_, rule) = rules.for_path(b"apps/db.yaml").unwrap();
        let named: Vec<String> = rule.recipients().map(Recipient::nameable).collect();
        assert_eq!(named, [one, other]);
        assert!(rules.problems().is_empty(), "{:?}", rules.problems());
    }
}

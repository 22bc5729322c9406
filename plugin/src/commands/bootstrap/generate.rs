//! New age keys: stored and read back before anything depends on them, with somebody who can decrypt when they are lost,
//! and with the creation rules that are for them.

use super::args::BootstrapArgs;
use super::decryption_args::DecryptionArgs;
use super::rules::{StagedRules, put_rule_of_namespace, with_recipients};
use crate::bootstrap::own_file;
use crate::keys::{Ask, KeySource, Terminal, key_read_back_by};
use crate::rotation::{NewIdentity, Store};
use kubiya_hook::edge::{Console, Failure};
use kubiya_policies::sops::age::Identity;
use kubiya_policies::sops::recipient::age_recipient_problem;
use std::path::{Path, PathBuf};

/// What was made.
#[derive(Debug)]
pub(super) struct Made {
    /// The public half.
    recipient: String,
    /// Where the private half is.
    place: String,
    /// For which namespace; `None` for Flux's own.
    namespace: Option<String>,
    /// The files with the rules that are for it now.
    rules: Vec<PathBuf>,
}

/// A key that is to be there, and is not yet.
struct Missing {
    namespace: Option<String>,
    store: Store,
}

/// Makes the keys that are asked for and not there yet. `own` is the namespace of Flux itself.
///
/// # Errors
/// Nobody who could decrypt without them, a place that cannot be written or is not read back as it was written, rules
/// that cannot be changed.
pub(super) fn generate(args: &BootstrapArgs, own: &str) -> Result<Vec<Made>, Failure> {
    generate_asking(args, own, &Terminal)
}

fn generate_asking(args: &BootstrapArgs, own: &str, ask: &dyn Ask) -> Result<Vec<Made>, Failure> {
    let wanted = &args.decryption;
    if wanted.generate_age_key && wanted.age_key_file.is_empty() && wanted.store_command.is_none() {
        return Err(Failure::usage("--generate-age-key: where it is to be kept is not said")
            .hint("--age-key-file FILE")
            .hint("--store-command COMMAND --read-back-command COMMAND   # a password manager or a vault"));
    }
    let missing = missing(wanted);
    if missing.is_empty() {
        return rules_of_namespaces(args, &[], &wanted.recovery).map(|()| Vec::new());
    }
    if args.exports() || !args.writes() {
        return Err(Failure::usage("a key that is not there yet is made only when it is put to use")
            .because_of(missing.iter().map(|one| one.store.name()).collect::<Vec<_>>().join(", "))
            .hint("without --dry-run, --diff, --export and --export-dir; or: age-keygen -o FILE"));
    }
    let recovery = recovery(wanted, ask)?;
    let mut made = Vec::new();
    for Missing { namespace, store } in missing {
        let place = store.name();
        let identity = NewIdentity::generated(store)?;
        let recipient = identity.recipient().to_owned();
        // Rules that cannot be changed are found out before there is a key.
        let staged = match (&args.repo, &namespace) {
            (Some(repo), None) => {
                let recipients: Vec<&str> = with_recovery(&recipient, &recovery).collect();
                with_recipients(repo, args.path.as_deref().unwrap_or_default(), own, &recipients)?
            }
            _ => StagedRules::default(),
        };
        identity.store()?;
        made.push(Made { recipient, place, namespace, rules: staged.put()? });
    }
    rules_of_namespaces(args, &made, &recovery)?;
    Ok(made)
}

/// The keys that are not there yet.
fn missing(wanted: &DecryptionArgs) -> Vec<Missing> {
    let is_missing = |path: &Path| path.symlink_metadata().is_err();
    let mut missing = Vec::new();
    if let (true, Some(put), Some(get)) =
        (wanted.generate_age_key, &wanted.store_command, &wanted.read_back_command)
    {
        // A store that has nothing under a name says so with its exit code.
        if !key_read_back_by(get).is_ok_and(|there| !there.trim_ascii().is_empty()) {
            missing.push(Missing {
                namespace: None,
                store: Store::Command { put: put.clone(), get: get.clone() },
            });
        }
    }
    if wanted.generate_age_key {
        let files = wanted.age_key_file.iter().filter(|file| *file != "-").map(Path::new);
        let files = files.filter(|path| is_missing(path));
        missing.extend(files.map(|path| Missing { namespace: None, store: Store::File(path.to_owned()) }));
    }
    if !wanted.share_key {
        for (namespace, file) in &wanted.decryption_namespace {
            let path = file.clone().unwrap_or_else(|| own_file(namespace));
            if is_missing(&path) {
                missing.push(Missing { namespace: Some(namespace.clone()), store: Store::File(path) });
            }
        }
    }
    missing
}

/// Who can decrypt when a made key is lost: by flags, or asked for.
fn recovery(wanted: &DecryptionArgs, ask: &dyn Ask) -> Result<Vec<String>, Failure> {
    let mut recovery = wanted.recovery.clone();
    if recovery.is_empty() && !wanted.no_recovery {
        let question =
            "Who can decrypt when the new key is lost? A public key of age that is kept elsewhere:";
        recovery
            .extend(ask.line(question).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
    }
    for recipient in &recovery {
        if let Some(why) = age_recipient_problem(recipient) {
            return Err(Failure::usage(format!("--recovery: no public key of age: {why}")));
        }
    }
    if recovery.is_empty() && !wanted.no_recovery {
        return Err(Failure::usage("who can decrypt when the new key is lost?")
            .hint("--recovery age1…   # the public half of a key that is kept elsewhere; may be repeated")
            .hint("--no-recovery where nobody is to"));
    }
    Ok(recovery)
}

/// A made key, and those who can decrypt without it.
fn with_recovery<'r>(recipient: &'r str, recovery: &'r [String]) -> impl Iterator<Item = &'r str> {
    std::iter::once(recipient).chain(recovery.iter().map(String::as_str))
}

/// In the clone, the files that a Kustomization of another namespace builds get a rule for the key of that namespace.
fn rules_of_namespaces(args: &BootstrapArgs, made: &[Made], recovery: &[String]) -> Result<(), Failure> {
    let wanted = &args.decryption;
    let Some(repo) = args.repo.as_deref().filter(|_| args.writes() && !args.exports() && !wanted.share_key)
    else {
        return Ok(());
    };
    for (namespace, file) in &wanted.decryption_namespace {
        let known = made.iter().find(|one| one.namespace.as_ref() == Some(namespace));
        let recipient = match known {
            Some(made) => made.recipient.clone(),
            None => {
                let source = KeySource::File(file.clone().unwrap_or_else(|| own_file(namespace)));
                let read = source.read().map_err(|error| source.failure(&error))?;
                read.identities().first().and_then(Identity::recipient).unwrap_or_default()
            }
        };
        let recipients: Vec<&str> = with_recovery(&recipient, recovery).collect();
        put_rule_of_namespace(repo, namespace, &recipients)?;
    }
    Ok(())
}

impl Made {
    /// Says what was made, and what is still to be done with it.
    pub(super) fn tell(&self, console: &mut Console) {
        let whose =
            self.namespace.as_ref().map(|name| format!(" of the namespace {name}")).unwrap_or_default();
        // A closed stderr is no reason to stop.
        let _ = console
            .err
            .line(&format!("a new age key{whose} is in {}; keep a copy of it elsewhere", self.place));
        let _ = console.err.line(&format!("its public half: {}", self.recipient));
        match &self.namespace {
            _ if !self.rules.is_empty() => {
                let files: Vec<String> = self.rules.iter().map(|path| path.display().to_string()).collect();
                console.hint(&format!("it is a recipient in {} now: commit and push that", files.join(", ")));
                console.hint("what is encrypted already is encrypted for it by: kubectl kubiya encrypt   # in the clone");
            }
            None => console.hint(
                "it belongs into the .sops.yaml of the repository, as a recipient; with --repo CLONE it is put there",
            ),
            Some(_) => console.hint(
                "it belongs into a rule of its own, the first of .sops.yaml, for the files of that namespace; with --repo CLONE it is put there",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_policies::rules::{FILE_NAME, Rules};
    use kubiya_policies::sops::recipient::Recipient;

    /// Answers a question, or nothing.
    struct Answers(Option<String>);

    impl Ask for Answers {
        fn secret(&self, _: &str) -> Option<secrecy::SecretString> {
            None
        }
        fn line(&self, _: &str) -> Option<String> {
            self.0.clone()
        }
        fn say(&self, _: &str) {}
        fn warn(&self, _: &str, _: &str) {}
    }

    fn args(words: &[&str]) -> BootstrapArgs {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            args: BootstrapArgs,
        }
        Only::parse_from([&["bootstrap", "--url", "https://h/r"], words].concat()).args
    }

    #[test]
    fn who_recovers_is_asked_for_where_somebody_can_be_asked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("k").display().to_string();
        let args =
            args(&["--age-key-file", &file, "--generate-age-key", "--repo", folder.path().to_str().unwrap()]);
        let recovery = Identity::generate().recipient().unwrap();
        for answer in [None, Some(String::new()), Some("age1nonsense".to_owned())] {
            assert!(generate_asking(&args, "flux-system", &Answers(answer)).is_err());
            assert!(!Path::new(&file).exists());
        }
        let made = generate_asking(&args, "flux-system", &Answers(Some(format!("{recovery}\n")))).unwrap();
        let rules = std::fs::read_to_string(folder.path().join(".sops.yaml")).unwrap();
        assert!(rules.contains(&recovery) && rules.contains(&made[0].recipient), "{rules}");
        // It is there now.
        assert!(generate_asking(&args, "flux-system", &Answers(None)).unwrap().is_empty());
    }

    #[test]
    fn a_store_takes_the_key_and_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let stored = folder.path().join("stored").display().to_string();
        let (put, get) = (format!("tee {stored}"), format!("cat {stored}"));
        let words =
            ["--generate-age-key", "--no-recovery", "--store-command", &put, "--read-back-command", &get];
        let made = generate_asking(&args(&words), "flux-system", &Answers(None)).unwrap();
        assert_eq!(made.len(), 1);
        assert!(std::fs::read_to_string(&stored).unwrap().contains(&made[0].recipient));
        assert!(generate_asking(&args(&words), "flux-system", &Answers(None)).unwrap().is_empty());
        // A store that forgets is found out before anything depends on the key.
        let words = [
            "--generate-age-key",
            "--no-recovery",
            "--store-command",
            "true",
            "--read-back-command",
            "false",
        ];
        assert!(generate_asking(&args(&words), "flux-system", &Answers(None)).is_err());
    }

    #[test]
    fn a_namespace_gets_an_identity_and_a_rule_for_what_it_builds() {
        let folder = tempfile::tempdir().unwrap();
        let repo = folder.path().join("repo");
        std::fs::create_dir_all(repo.join("clusters")).unwrap();
        let main = Identity::generate().recipient().unwrap();
        std::fs::write(repo.join(FILE_NAME), format!("creation_rules:\n  - age: {main}\n")).unwrap();
        let kustomization = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
            metadata: {name: a, namespace: apps}\nspec: {path: ./apps/a.b, decryption: {provider: sops}}\n";
        std::fs::write(repo.join("clusters/apps.yaml"), kustomization).unwrap();
        let file = folder.path().join("apps.agekey");
        let namespace = format!("apps={}", file.display());
        let repo_flag = repo.display().to_string();
        let words = ["--decryption-namespace", &namespace, "--no-recovery", "--repo", &repo_flag];
        let made = generate_asking(&args(&words), "flux-system", &Answers(None)).unwrap();
        let own = made[0].recipient.clone();
        let read = || std::fs::read(repo.join(FILE_NAME)).unwrap();
        let rules = Rules::parse(FILE_NAME.as_bytes(), &read()).unwrap();
        let named = |path: &[u8]| {
            rules.for_path(path).unwrap().1.recipients().map(Recipient::nameable).collect::<Vec<_>>()
        };
        assert_eq!(named(b"apps/a.b/db.yaml"), [own]);
        assert_eq!(named(b"apps/axb/db.yaml"), std::slice::from_ref(&main));
        assert_eq!(named(b"clusters/db.yaml"), [main]);
        let before = read();
        assert!(generate_asking(&args(&words), "flux-system", &Answers(None)).unwrap().is_empty());
        assert_eq!(before, read());
    }
}

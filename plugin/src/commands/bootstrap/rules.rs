//! The creation rules of a clone, for keys that were made.

use crate::files::{Batch, Staged, Version};
use crate::secrets::{file_failure, files_below};
use kubiya_hook::edge::Failure;
use kubiya_policies::rules::{FILE_NAME, NewRule, RecipientChangeError, Rules, add_recipient};
use serde::Deserialize as _;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What Flux encrypts in its manifests.
const SELECTOR: &str = "^(data|stringData)$";

/// New rules that are proven and not yet in their place.
#[derive(Default)]
pub(super) struct StagedRules(Vec<(PathBuf, Staged)>);

impl StagedRules {
    /// Puts them in their place, and gives their files.
    ///
    /// # Errors
    /// A file that cannot be written, or was changed meanwhile.
    pub(super) fn put(self) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = Vec::new();
        for (path, staged) in self.0 {
            put(&path, staged)?;
            paths.push(path);
        }
        Ok(paths)
    }
}

fn put(path: &Path, staged: Staged) -> Result<(), Failure> {
    let mut batch = Batch::default();
    batch.add(staged);
    match batch.put_in_place().into_iter().next() {
        None => Ok(()),
        Some((_, error)) => Err(file_failure(path, &error)),
    }
}

/// Rules in which somebody is a recipient of what Flux builds: the files of the sync, and of the Kustomizations in Flux's own
/// namespace that decrypt. The rules that count for these files get the recipients, and no other rule; where there is no
/// rule for them, one is added; where there is no file with rules, one is written.
///
/// # Errors
/// Rules that sops would refuse, or that do not tell where another recipient belongs.
pub(super) fn with_recipients(
    repo: &Path,
    sync_path: &str,
    own: &str,
    recipients: &[&str],
) -> Result<StagedRules, Failure> {
    let sync_path = sync_path.trim_start_matches("./").trim_matches('/');
    let mut folders = vec![if sync_path == "." { String::new() } else { sync_path.to_owned() }];
    folders.extend(folders_of(repo, own));
    let mut staged = StagedRules::default();
    let mut seen = Vec::new();
    for folder in &folders {
        let rules = nearest(repo, folder);
        if seen.contains(&rules) {
            continue;
        }
        let path = repo.join(&rules);
        if path.symlink_metadata().is_err() {
            let text = rules_text(recipients);
            let new =
                Staged::new_file(&path, text.as_bytes()).map_err(|error| file_failure(&path, &error))?;
            staged.0.push((path, new));
        } else {
            let version = Version::read(&path, None).map_err(|error| file_failure(&path, &error))?;
            let those = folders.iter().filter(|folder| nearest(repo, folder) == rules);
            let after = joined(repo, &rules, version.bytes(), &those.collect::<Vec<_>>(), recipients)?;
            if after != version.bytes() {
                let new = Staged::replacing(&version, &after).map_err(|error| file_failure(&path, &error))?;
                staged.0.push((path, new));
            }
        }
        seen.push(rules);
    }
    Ok(staged)
}

/// The file with the rules that count in a folder, from the repository: the nearest above, at the top where there is none.
fn nearest(repo: &Path, folder: &str) -> String {
    let mut at = folder;
    loop {
        let rules = if at.is_empty() { FILE_NAME.to_owned() } else { format!("{at}/{FILE_NAME}") };
        if at.is_empty() || repo.join(&rules).symlink_metadata().is_ok() {
            return rules;
        }
        at = at.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

/// The rules with recipients in those that count for the files of some folders.
fn joined(
    repo: &Path,
    rules: &str,
    bytes: &[u8],
    folders: &[&String],
    recipients: &[&str],
) -> Result<Vec<u8>, Failure> {
    let failed = |why: &dyn std::error::Error| {
        Failure::unverified(why.to_string())
            .at(repo.join(rules).display().to_string())
            .hint("without --repo the rules stay as they are, and the public half of the key is shown")
    };
    let mut paths = Vec::new();
    for folder in folders {
        // What may come there, and what is there.
        paths.push(in_folder(folder, "secret.yaml"));
        let files = files_below(&[repo.join(folder)]);
        let files = files.iter().filter_map(|file| file.strip_prefix(repo).ok()).filter_map(Path::to_str);
        paths.extend(files.filter(|file| !file.ends_with(FILE_NAME)).map(str::to_owned));
    }
    let known = Rules::parse(rules.as_bytes(), bytes).map_err(|error| failed(&error))?;
    if !paths.iter().any(|path| known.for_path(path.as_bytes()).is_some()) {
        return folders.iter().rev().try_fold(bytes.to_vec(), |bytes, folder| {
            let rule = NewRule {
                comment: format!("what Flux decrypts in {}", if folder.is_empty() { "." } else { folder }),
                path_regex: regex_of(below(rules, folder)),
                encrypted_regex: SELECTOR.to_owned(),
                recipients: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
            };
            rule.put_first(&bytes).map_err(|error| failed(&error))
        });
    }
    recipients.iter().try_fold(bytes.to_vec(), |bytes, recipient| {
        let paths = paths.iter().map(String::as_bytes);
        match add_recipient(rules.as_bytes(), &bytes, paths, recipient) {
            Ok(after) => Ok(after.unwrap_or(bytes)),
            Err(error @ RecipientChangeError::Unproven) => {
                Err(failed(&error).because_of("a list of recipients is shared with rules for other files"))
            }
            Err(error) => Err(failed(&error)),
        }
    })
}

fn in_folder(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A folder as the rules of a file above it name it.
fn below<'f>(rules: &str, folder: &'f str) -> &'f str {
    let base = rules.strip_suffix(FILE_NAME).unwrap_or_default().trim_end_matches('/');
    folder.strip_prefix(base).unwrap_or(folder).trim_start_matches('/')
}

/// A file of rules for manifests.
fn rules_text(recipients: &[&str]) -> String {
    let mut text =
        format!("creation_rules:\n  - path_regex: \\.ya?ml$\n    encrypted_regex: {SELECTOR}\n    age:\n");
    for one in recipients {
        text.push_str(&format!("      - {one}\n"));
    }
    text
}

/// Puts a rule first for each folder that the Kustomizations of another namespace build: for these recipients alone.
///
/// # Errors
/// Rules that sops would refuse, or that are written in a way in which none can be put first.
pub(super) fn put_rule_of_namespace(
    repo: &Path,
    namespace: &str,
    recipients: &[&str],
) -> Result<(), Failure> {
    folders_of(repo, namespace).iter().try_for_each(|folder| put_rule(repo, folder, recipients))
}

fn put_rule(repo: &Path, folder: &str, recipients: &[&str]) -> Result<(), Failure> {
    let path = repo.join(FILE_NAME);
    let before = std::fs::read(&path).unwrap_or_default();
    let rule = NewRule {
        comment: format!("what is in {folder} is for the key of its namespace"),
        path_regex: regex_of(folder),
        encrypted_regex: SELECTOR.to_owned(),
        recipients: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
    };
    let after = match rule.is_met(&before, format!("{folder}/secret.yaml").as_bytes()) {
        Ok(true) => return Ok(()),
        Ok(false) => rule.put_first(&before),
        Err(error) => Err(error),
    };
    let after = after.map_err(|error| {
        Failure::unverified(error.to_string())
            .at(path.display().to_string())
            .hint(format!("put this rule first:\n{}", rule.item("  ")))
    })?;
    let staged = if path.symlink_metadata().is_ok() {
        Version::read(&path, None).and_then(|version| Staged::replacing(&version, &after))
    } else {
        Staged::new_file(&path, &after)
    };
    put(&path, staged.map_err(|error| file_failure(&path, &error))?)
}

/// The expression for the manifests in a folder.
fn regex_of(folder: &str) -> String {
    if folder.is_empty() {
        return "\\.ya?ml$".to_owned();
    }
    let mut escaped = String::new();
    for character in folder.chars() {
        if "\\.+*?()|[]{}^$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    format!("^{escaped}/.*\\.ya?ml$")
}

/// The folders that Kustomizations of a namespace build and decrypt, by the files of a clone.
fn folders_of(repo: &Path, namespace: &str) -> Vec<String> {
    let mut folders = Vec::new();
    let files = files_below(&[repo.to_owned()]);
    let manifests = files.iter().filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"));
    for text in manifests.filter_map(|path| std::fs::read_to_string(path).ok()) {
        if !text.contains("kustomize.toolkit.fluxcd.io/") {
            continue;
        }
        let documents = serde_yaml::Deserializer::from_str(&text).map_while(|d| Value::deserialize(d).ok());
        for document in documents {
            let is_there =
                document["kind"] == "Kustomization" && document["metadata"]["namespace"] == namespace;
            let decrypts = !document["spec"]["decryption"].is_null();
            let folder = document["spec"]["path"].as_str().unwrap_or_default();
            let folder = folder.trim_start_matches("./").trim_end_matches('/');
            if is_there && decrypts && !folder.is_empty() {
                folders.push(folder.to_owned());
            }
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubiya_policies::rules::Rule;
    use kubiya_policies::sops::age::Identity;
    use kubiya_policies::sops::recipient::Recipient;

    fn recipients<const N: usize>() -> [String; N] {
        [(); N].map(|()| Identity::generate().recipient().unwrap())
    }

    fn named(rules: &[u8], path: &str) -> Vec<String> {
        let rules = Rules::parse(FILE_NAME.as_bytes(), rules).unwrap();
        let rule = rules.for_path(path.as_bytes()).map(|(_, rule)| rule);
        rule.into_iter().flat_map(Rule::recipients).map(Recipient::nameable).collect()
    }

    /// A clone with files, and its rules after two recipients were added for what Flux builds of `clusters/infra`.
    fn after(
        files: &[(&str, &str)],
        recipients: &[&str],
    ) -> Result<(tempfile::TempDir, Vec<PathBuf>), String> {
        let repo = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = repo.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let staged = with_recipients(repo.path(), "./clusters/infra/", "flux-system", recipients);
        let staged = staged.map_err(|failure| format!("{failure:?}"))?;
        let paths = staged.put().unwrap();
        let again = with_recipients(repo.path(), "./clusters/infra/", "flux-system", recipients).unwrap();
        assert!(again.0.is_empty(), "a second time changes something");
        Ok((repo, paths))
    }

    #[test]
    fn a_clone_without_rules_gets_some() {
        let [one, other] = recipients();
        let (repo, paths) = after(&[], &[&one, &other]).unwrap();
        let rules = std::fs::read(&paths[0]).unwrap();
        assert_eq!(paths, [repo.path().join(FILE_NAME)]);
        assert_eq!(named(&rules, "apps/db.yaml"), [one, other]);
        assert!(Rules::parse(FILE_NAME.as_bytes(), &rules).unwrap().problems().is_empty());
    }

    #[test]
    fn rules_that_count_for_what_flux_builds_get_the_recipients_and_no_others() {
        let [new, recovery, ops, prod, laptop] = recipients();
        let rules = format!(
            "# who may read\ncreation_rules:\n  - path_regex: ^clusters/prod/\n    age: {ops},{prod}\n  \
             - path_regex: ^apps/\n    age: [\"{ops}\"] # apps\n  - path_regex: ^home/\n    age: {laptop}\n  - age: {ops}\n"
        );
        let kustomization = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
             metadata: {name: a, namespace: flux-system}\nspec: {path: ./apps/a, decryption: {provider: sops}}\n";
        let files = [(FILE_NAME, rules.as_str()), ("clusters/infra/apps.yaml", kustomization)];
        let (repo, paths) = after(&files, &[&new, &recovery]).unwrap();
        assert_eq!(paths, [repo.path().join(FILE_NAME)]);
        let text = std::fs::read_to_string(&paths[0]).unwrap();
        let wanted = rules
            .replace(&format!("[\"{ops}\"]"), &format!("[\"{ops}\", \"{new}\", \"{recovery}\"]"))
            .replace(&format!("  - age: {ops}\n"), &format!("  - age: {ops},{new},{recovery}\n"));
        assert_eq!(text, wanted);
    }

    #[test]
    fn where_no_rule_counts_one_is_added() {
        let [new, laptop] = recipients();
        let rules = format!("creation_rules:\n  - path_regex: ^home/\n    age: {laptop}\n");
        let (_repo, paths) = after(&[(FILE_NAME, &rules)], &[&new]).unwrap();
        let text = std::fs::read(&paths[0]).unwrap();
        assert_eq!(named(&text, "clusters/infra/db.yaml"), [new]);
        assert_eq!(named(&text, "home/db.yaml"), [laptop]);
        assert!(named(&text, "clusters/prod/db.yaml").is_empty());
    }

    #[test]
    fn the_nearest_rules_are_those_that_count() {
        let [new, ops, near] = recipients();
        let top = format!("creation_rules:\n  - age: {ops}\n");
        let own = format!("creation_rules:\n  - path_regex: ^infra/\n    age: {near}\n");
        let files = [(FILE_NAME, top.as_str()), ("clusters/.sops.yaml", &own)];
        let (repo, paths) = after(&files, &[&new]).unwrap();
        assert_eq!(paths, [repo.path().join("clusters/.sops.yaml")]);
        assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), own.replace(&near, &format!("{near},{new}")));
    }

    #[test]
    fn rules_that_do_not_tell_where_a_recipient_belongs_stay_and_that_is_said() {
        let [new, ops, other] = recipients();
        let groups = format!("creation_rules:\n  - key_groups: [{{age: [{ops}]}}, {{age: [{other}]}}]\n");
        let said = after(&[(FILE_NAME, &groups)], &[&new]).unwrap_err();
        assert!(
            said.contains("line 2: this rule has no single list") && said.contains("without --repo"),
            "{said}"
        );
        let shared =
            format!("creation_rules:\n  - path_regex: ^home/\n    age: &all [{ops}]\n  - age: *all\n");
        let said = after(&[(FILE_NAME, &shared)], &[&new]).unwrap_err();
        assert!(said.contains("is shared with rules for other files"), "{said}");
    }
}

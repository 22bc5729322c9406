//! What the repository will bring to the cluster, judged before it does.

use super::built::{Built, Files, joined, resolved};
use super::fight::{fight, own_flux};
use super::tenants::{broken, remote_base};
use crate::flux::{Served, SyncSpec};
use kubiya_hook::edge::Failure;
use kubiya_hook::git::GitError;
use kubiya_policies::rules::{FILE_NAME, Rule, Rules};
use kubiya_policies::sops::age::AgeKeys;
use kubiya_policies::sops::file::File;
use kubiya_policies::sops::keys::unlock;
use kubiya_policies::sops::recipient::Recipient;
use kubiya_policies::sops::store::{Format, StoreSettings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

/// With what the content is judged.
pub(super) struct Wanted<'w> {
    pub(super) sync: &'w SyncSpec,
    /// All keys that Flux will have, by namespace.
    pub(super) keys: &'w BTreeMap<String, AgeKeys>,
    /// The public halves of those that this run brings.
    pub(super) recipients: &'w [String],
    /// The public halves for other namespaces.
    pub(super) of_namespaces: &'w BTreeMap<String, Vec<String>>,
    /// What Flux's definitions serve.
    pub(super) served: &'w Served,
    /// Whether tenants are to be kept apart.
    pub(super) multitenant: bool,
    /// The Flux that is there comes out of this repository, as it should.
    pub(super) in_repository: bool,
    /// The clone that was named, whose work tree may be ahead of the branch.
    pub(super) clone: Option<&'w Path>,
}

/// What was found. What the sync itself would fail at is a problem; what another Kustomization would, a warning.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) problems: Vec<Failure>,
    pub(super) warnings: Vec<Failure>,
    /// Other namespaces in which a Kustomization decrypts, each with where one is.
    pub(super) elsewhere: BTreeMap<String, String>,
}

impl Judged {
    fn add(&mut self, is_root: bool, failure: Failure) {
        if is_root { self.problems.push(failure) } else { self.warnings.push(failure) }
    }
}

/// One Kustomization: a folder that is built.
struct Work {
    folder: String,
    /// Where it is named; `None` for the sync itself.
    named_in: Option<String>,
    /// With what it decrypts.
    opens: Opens,
    /// Whether it goes to the infra cluster, which serves Flux's kinds.
    to_hub: bool,
}

/// With what a Kustomization decrypts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Opens {
    /// It does not.
    Nothing,
    /// The Secret of ours in this namespace.
    Keys(String),
    /// Another Secret, or what its controller may.
    Unknown,
}

impl Opens {
    fn by(decryption: &Value, namespace: &str, secret: &str) -> Self {
        match &decryption["secretRef"]["name"] {
            _ if decryption.is_null() => Self::Nothing,
            name if *name == secret => Self::Keys(namespace.to_owned()),
            _ => Self::Unknown,
        }
    }
}

/// Judges what the sync builds, and what Kustomizations of the same repository build that it brings.
///
/// # Errors
/// An object of the repository cannot be read.
pub(super) fn judge(files: &Files<'_>, wanted: &Wanted<'_>) -> Result<Judged, GitError> {
    let mut judged = Judged::default();
    rules(files, wanted, &mut judged)?;
    let sync = wanted.sync;
    let opens = Opens::by(&sync.decryption, &sync.namespace, &sync.decryption_secret);
    let root = Work { folder: sync.path.clone(), named_in: None, opens, to_hub: true };
    let mut queue = VecDeque::from([root]);
    let (mut seen, mut read) = (BTreeSet::new(), BTreeSet::new());
    while let Some(work) = queue.pop_front() {
        let is_root = work.named_in.is_none();
        if !seen.insert((work.folder.clone(), work.opens.clone(), work.to_hub)) {
            continue;
        }
        if let (Opens::Keys(namespace), Some(place)) = (&work.opens, &work.named_in)
            && !wanted.keys.contains_key(namespace)
        {
            judged.elsewhere.entry(namespace.clone()).or_insert_with(|| place.clone());
        }
        let Some(built) = files.built(&work.folder)? else {
            judged.add(is_root, no_folder(&work, &wanted.sync.branch));
            continue;
        };
        if wanted.multitenant {
            judged.warnings.extend(files.remote().iter().map(|(path, url)| remote_base(path, url)));
        }
        let is_new = read.insert((work.folder.clone(), work.to_hub));
        for file in &built {
            let failure = match &work.opens {
                Opens::Nothing => undecrypted(file, work.named_in.as_deref()),
                Opens::Keys(namespace) => wanted.keys.get(namespace).and_then(|keys| locked(file, keys)),
                Opens::Unknown => None,
            };
            if let Some(failure) = failure {
                judged.add(is_root, failure);
            }
            // What its documents say does not depend on what decrypts them: once is enough.
            let documents = if is_new { file.documents() } else { Vec::new() };
            for document in documents {
                if work.to_hub {
                    if let Some(failure) = outdated(file, &document, wanted.served) {
                        judged.add(is_root, failure);
                    }
                    if let Some((is_fight, failure)) = fight(file, &document, wanted.sync) {
                        judged.add(is_fight, failure);
                    }
                    if wanted.multitenant {
                        judged.warnings.extend(broken(file, &document, &wanted.sync.namespace));
                    }
                    if !wanted.in_repository {
                        judged.warnings.extend(own_flux(file, &document, wanted.sync));
                    }
                }
                queue.extend(named_work(file, &document, wanted.sync));
            }
        }
    }
    Ok(judged)
}

fn no_folder(work: &Work, branch: &str) -> Failure {
    let folder = &work.folder;
    match &work.named_in {
        None => Failure::unverified(format!("the branch `{branch}` has no folder `{folder}`"))
            .hint("push it first, or name another: --path FOLDER"),
        Some(place) => {
            Failure::unverified(format!("its spec.path `{folder}` is not in the branch")).at(place.clone())
        }
    }
}

/// A Kustomization of the same repository, as work of its own.
fn named_work(file: &Built<'_>, document: &Value, sync: &SyncSpec) -> Option<Work> {
    let spec = &document["spec"];
    let is_flux = document["apiVersion"].as_str()?.starts_with("kustomize.toolkit.fluxcd.io/");
    let source = &spec["sourceRef"];
    let namespace = document["metadata"]["namespace"].as_str().unwrap_or(&sync.namespace);
    let same = source["kind"] == "GitRepository"
        && source["name"] == sync.namespace.as_str()
        && source["namespace"].as_str().unwrap_or(namespace) == sync.namespace;
    if !is_flux || document["kind"] != "Kustomization" || !same {
        return None;
    }
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    Some(Work {
        folder: resolved("", spec["path"].as_str().unwrap_or_default())?,
        named_in: Some(format!("{}: Kustomization {name}", file.path)),
        opens: Opens::by(&spec["decryption"], namespace, &sync.decryption_secret),
        to_hub: spec["kubeConfig"].is_null(),
    })
}

/// An encrypted file where nothing is decrypted.
fn undecrypted(file: &Built<'_>, kustomization: Option<&str>) -> Option<Failure> {
    let format = Format::of_path(file.path.as_bytes());
    File::read(&file.bytes, format, StoreSettings::default()).ok()?.metadata()?;
    let failure =
        Failure::unverified("it is encrypted, and Flux would refuse it: nothing is decrypted there");
    let failure = failure.at(file.path.clone());
    Some(match kustomization {
        None => failure
            .hint("give the key that opens it: --age-key-file FILE")
            .hint("or, where a key service of a cloud opens it: --service-account-annotation kustomize-controller=KEY=VALUE"),
        Some(place) => failure.because_of(format!("{place} has no spec.decryption")).hint(
            "write into its spec: decryption: {provider: sops, secretRef: {name: sops-age}}",
        ),
    })
}

/// Whether the keys open an encrypted file.
fn locked(file: &Built<'_>, keys: &AgeKeys) -> Option<Failure> {
    let format = Format::of_path(file.path.as_bytes());
    let read = File::read(&file.bytes, format, StoreSettings::default()).ok()?;
    let metadata = read.metadata()?;
    let locked = unlock(metadata, keys).err()?;
    let others = metadata.recipients().filter(|recipient| !matches!(recipient, Recipient::Age(_)));
    if others.count() > 0 {
        // Flux may have other means, such as a cloud's key service.
        return None;
    }
    let recipients = metadata.recipients().map(Recipient::nameable).collect::<Vec<_>>().join(", ");
    Some(
        Failure::unverified("none of the keys that Flux will have opens this file")
            .at(file.path.clone())
            .because_of(locked.to_string())
            .because_of(format!("it is for {recipients}"))
            .hint("give the key that opens it: --age-key-file FILE (keys on the cluster stay)")
            .hint("or encrypt the file for this key: add it to .sops.yaml, then kubectl kubiya encrypt"),
    )
}

/// Whether the keys that this run brings are in the rules that are for the folder.
fn rules(files: &Files<'_>, wanted: &Wanted<'_>, judged: &mut Judged) -> Result<(), GitError> {
    let mut folder = Some(wanted.sync.path.as_str());
    while let Some(at) = folder {
        let path = joined(at, FILE_NAME);
        if let Some(bytes) = files.read(&path)? {
            let missing = not_in_rules(&path, &bytes, wanted.recipients, "Flux");
            let ahead = wanted.clone.and_then(|clone| std::fs::read(clone.join(&path)).ok());
            match (missing, ahead) {
                (Some(_), Some(ahead))
                    if not_in_rules(&path, &ahead, wanted.recipients, "Flux").is_none() =>
                {
                    judged.warnings.push(not_pushed(&path, &wanted.sync.branch));
                }
                (missing, _) => judged.problems.extend(missing),
            }
            for (namespace, recipients) in wanted.of_namespaces {
                let whose = format!("Flux for the namespace `{namespace}`");
                judged.warnings.extend(not_in_rules(&path, &bytes, recipients, &whose));
            }
            return Ok(());
        }
        folder = (!at.is_empty()).then(|| at.rsplit_once('/').map_or("", |(above, _)| above));
    }
    Ok(())
}

/// The rules of the work tree name the key, and those of the branch do not yet.
fn not_pushed(path: &str, branch: &str) -> Failure {
    Failure::unverified(format!(
        "the rules that name the age key of Flux are not in the branch `{branch}` yet"
    ))
    .at(path)
    .hint("commit and push them: until then, what others encrypt is not for this key")
}

fn not_in_rules(path: &str, bytes: &[u8], recipients: &[String], whose: &str) -> Option<Failure> {
    let rules = match Rules::parse(path.as_bytes(), bytes) {
        Ok(rules) => rules,
        Err(problems) => {
            let said = problems.0.iter().map(|p| format!("{}:{}: {}", p.span.line, p.span.column, p.what));
            let failure = Failure::unverified("these creation rules cannot be used").at(path);
            return Some(said.fold(failure, Failure::because_of));
        }
    };
    let named = |recipient: &String| {
        let all = rules.rules().iter().flat_map(Rule::recipients);
        all.into_iter().any(|found| matches!(found, Recipient::Age(found) if found == recipient))
    };
    let known = !rules.has_creation_rules() || recipients.is_empty() || recipients.iter().any(named);
    (!known).then(|| {
        Failure::unverified(format!("no creation rule names the age key that {whose} is to get"))
            .at(path)
            .because_of(format!("its public half is {}", recipients.join(", ")))
            .hint("is it the right key? If it is: add its public half to .sops.yaml, and kubectl kubiya encrypt")
    })
}

/// Whether an object is of a version that Flux no longer serves.
fn outdated(file: &Built<'_>, document: &Value, served: &Served) -> Option<Failure> {
    let (api_version, kind) = (document["apiVersion"].as_str()?, document["kind"].as_str()?);
    let versions = served.instead_of(api_version, kind)?;
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let message = if versions.is_empty() {
        format!("{kind} {name}: this Flux has no such kind as {api_version} {kind}")
    } else {
        format!("{kind} {name}: this Flux serves {}, not {api_version}", versions.join(" and "))
    };
    Some(
        Failure::unverified(message)
            .at(file.path.clone())
            .hint("flux migrate -f .   # in the repository; then push"),
    )
}

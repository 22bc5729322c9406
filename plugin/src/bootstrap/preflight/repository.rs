//! Looking at the repository with what Flux will have, and judging what is in the branch.

use super::built::Files;
use super::content::{Judged, Wanted, judge};
use super::live::ForGit;
use crate::bootstrap::inputs::no_ssh_key;
use crate::bootstrap::plan::sync;
use crate::bootstrap::sops_age;
use crate::bootstrap::{Inputs, Preflight};
use crate::flux::Served;
use crate::git_access::{Look, LookError, proxy_of, read_back, signer_keys, signer_keys_of};
use kubiya_hook::edge::Failure;
use kubiya_hook::git::remote::{Access, BranchTip, Fetched, Refusal};
use kubiya_hook::git::{SignerKeys, Unsigned, signer};
use kubiya_policies::sops::age::{AgeKeys, Identity};
use std::collections::BTreeMap;

/// What a look at the branch came to.
pub(super) type Seen = Result<Option<Fetched>, LookError>;

/// The way to look with what was given; `None` where the cluster must be asked first.
pub(super) fn given_look(inputs: &Inputs) -> Option<Look> {
    let sync = &inputs.sync;
    (!inputs.git.data.is_empty()).then(|| Look::with(&sync.url, &sync.branch, &inputs.git))
}

/// The way to look with what Flux has already, or as anybody.
pub(super) fn later_look(inputs: &Inputs, for_git: &ForGit, found: &mut Preflight) -> Option<Look> {
    let sync = sync(inputs, &found.live);
    let proxy = inputs.git.access.proxy.clone().or_else(|| for_git.proxy.as_ref().and_then(proxy_of));
    let Some(name) = &sync.git_secret else {
        if sync.url.starts_with("ssh://") {
            found.problems.push(no_ssh_key());
            return None;
        }
        let access = Access { proxy, ..inputs.git.access.clone() };
        return Some(Look::given(&sync.url, &sync.branch, access));
    };
    let Some(data) = &for_git.credentials else {
        let missing =
            format!("the Secret {}/{name} with the credentials for Git is not there", sync.namespace);
        found.problems.push(
            Failure::unverified(missing)
                .hint("let it be written: --password-file, --bearer-token-file, or --private-key-file and --known-hosts-file"),
        );
        return None;
    };
    let look = read_back(data).map(|mut found| {
        found.access.proxy = proxy;
        Look::of_cluster(&sync.url, &sync.branch, found)
    });
    if look.is_none() {
        let why = format!("the key in the Secret {}/{name} is not put into a file here", sync.namespace);
        found.warnings.push(
            Failure::unverified(format!("the repository was not looked at: {why}"))
                .hint("name its file once more (--private-key-file, --tls-key-file, --github-app-private-key-file), or --repo CLONE"),
        );
    }
    look
}

/// The keys by which commits must be signed; `None` where any commit is taken.
pub(super) fn signers(inputs: &Inputs, for_git: &ForGit, found: &mut Preflight) -> Option<SignerKeys> {
    if let Some((_, entries)) = &inputs.git.signers {
        return Some(signer_keys_of(entries));
    }
    let sync = sync(inputs, &found.live);
    let name = sync.verify_secret?;
    let Some(data) = &for_git.signers else {
        let missing =
            format!("the Secret {}/{name} with the keys of those who sign is not there", sync.namespace);
        found.problems.push(Failure::unverified(missing).hint("--verify-keys FILE   # writes it"));
        return None;
    };
    Some(signer_keys(data.iter().map(|(name, bytes)| (name, bytes.as_slice()))))
}

/// Judges the answer of the repository, and what the branch holds.
pub(super) async fn judge_seen(
    inputs: &Inputs,
    seen: Option<Seen>,
    signers: Option<SignerKeys>,
    found: &mut Preflight,
) {
    let sync = &inputs.sync;
    let fetched = match seen {
        None => None,
        Some(Ok(Some(fetched))) => {
            found.tip = Some(fetched.tip.to_string());
            Some(fetched)
        }
        Some(Ok(None)) => {
            found.problems.push(
                Failure::unverified(format!("the repository {} has no branch `{}`", sync.url, sync.branch))
                    .hint("push it first, or name another: --branch NAME"),
            );
            None
        }
        Some(Err(error)) if error.is_refusal() => {
            found.problems.push(refused(inputs, &error));
            None
        }
        // Flux may reach what this machine does not; and a server may give its branches, but no part of a history.
        Some(Err(error)) => {
            if let Some(look) = &found.look
                && let Ok(BranchTip::Found(oid)) = look.tip().await
            {
                found.tip = Some(oid);
            }
            found.warnings.push(
                Failure::unverified(format!("cannot look at the repository from here: {error}"))
                    .hint("--repo CLONE looks at a clone instead"),
            );
            None
        }
    };
    let content = match &inputs.options.repo {
        None => fetched,
        Some(clone) => clone_of(clone, &sync.branch, found).await,
    };
    if let Some(content) = content {
        if let Some(keys) = signers {
            judge_signature(inputs, &content, &keys, found);
        }
        let elsewhere = judge_content(inputs, &content, found);
        judge_elsewhere(inputs, elsewhere, found).await;
    }
}

/// Whether Flux would take the tip.
fn judge_signature(inputs: &Inputs, content: &Fetched, keys: &SignerKeys, found: &mut Preflight) {
    let branch = &inputs.sync.branch;
    let Ok(Some((_, commit))) = content.repository.read(content.tip) else { return };
    match signer(&commit, keys) {
        Ok(who) => found.signed_by = Some(who),
        Err(error @ Unsigned::Unknown(_)) => found.warnings.push(
            Failure::unverified(format!(
                "whether the tip of `{branch}` is signed as Flux wants it is not known"
            ))
            .because(&error)
            .hint("signatures are checked by gpg and by ssh-keygen: are they on PATH?"),
        ),
        Err(error) => found.problems.push(
            Failure::unverified(format!(
                "the tip of `{branch}` would not be taken by Flux, which takes signed commits only"
            ))
            .at(content.tip.to_string())
            .because(&error)
            .hint("sign it: git commit --amend --no-edit -S, and push")
            .hint("or name the public key by which it is signed: --verify-keys FILE"),
        ),
    }
}

/// The branch of a clone on this machine.
async fn clone_of(clone: &std::path::Path, branch: &str, found: &mut Preflight) -> Option<Fetched> {
    let place = clone.display().to_string();
    let absolute = clone.canonicalize().unwrap_or_else(|_| clone.to_owned());
    let look = Look::given(&format!("file://{}", absolute.display()), branch, Access::default());
    match look.fetch().await {
        Ok(Some(fetched)) => return Some(fetched),
        Ok(None) => {
            let failure = Failure::usage(format!("--repo: it has no branch `{branch}`")).at(place);
            found
                .problems
                .push(failure.hint(format!("git -C {0} fetch origin {branch}:{branch}", clone.display())));
        }
        Err(error) => found.problems.push(Failure::usage("--repo: cannot read it").at(place).because(&error)),
    }
    None
}

fn judge_content(inputs: &Inputs, content: &Fetched, found: &mut Preflight) -> BTreeMap<String, String> {
    let recipients = |identities: &[Identity]| -> Vec<String> {
        identities.iter().filter_map(Identity::recipient).collect()
    };
    let decryption = &inputs.decryption;
    let own = std::iter::once((&inputs.sync.namespace, &decryption.identities));
    let keys = own.chain(&decryption.namespaces).map(|(namespace, given)| {
        // A malformed entry is said where the plan is made.
        let there = found.live.age_secrets.get(namespace).map(sops_age::active);
        let there = there.and_then(Result::ok).unwrap_or_default();
        (namespace.clone(), AgeKeys::new(given.iter().cloned().chain(there).collect()))
    });
    let of_namespaces = decryption.namespaces.iter();
    let wanted = Wanted {
        sync: &sync(inputs, &found.live),
        keys: &keys.collect(),
        recipients: &recipients(&decryption.identities),
        of_namespaces: &of_namespaces.map(|(name, own)| (name.clone(), recipients(own))).collect(),
        served: &Served::by(&inputs.flux.objects),
        multitenant: inputs.install.options.multitenant,
        in_repository: found.live.in_repository,
        clone: inputs.options.repo.as_deref(),
    };
    let tree = content.repository.commit(content.tip).map(|commit| commit.map(|commit| commit.tree));
    let judged = match tree {
        Ok(Some(tree)) => judge(&Files::new(&content.repository, tree), &wanted),
        Ok(None) => Ok(Judged::default()),
        Err(error) => Err(error),
    };
    match judged {
        Ok(judged) => {
            found.problems.extend(judged.problems);
            found.warnings.extend(judged.warnings);
            judged.elsewhere
        }
        Err(error) => {
            found.warnings.push(Failure::unverified("cannot read what the branch holds").because(&error));
            BTreeMap::new()
        }
    }
}

/// Other namespaces in which something is decrypted need a Secret there: Flux reads none of another namespace.
async fn judge_elsewhere(inputs: &Inputs, elsewhere: BTreeMap<String, String>, found: &mut Preflight) {
    let Some(hub) = found.hub.clone() else { return };
    let name = &inputs.sync.decryption_secret;
    for (namespace, place) in elsewhere {
        if let Ok(None) = hub.secret(&namespace, name).await {
            let what = format!("it decrypts with the Secret {namespace}/{name}, which is not there");
            found.warnings.push(
                Failure::unverified(what)
                    .at(place)
                    .because_of("Flux reads the Secret of the Kustomization's own namespace alone")
                    .hint(format!("--decryption-namespace {namespace}   # a key of its own; with --share-key the main one")),
            );
        }
    }
}

/// The repository does not let Flux in.
fn refused(inputs: &Inputs, error: &LookError) -> Failure {
    let failure = Failure::unverified(format!(
        "the repository {} does not accept what Flux will have to read it",
        inputs.sync.url
    ))
    .because(error);
    let failure = match error.refusal() {
        Some(Refusal::HostKey) => {
            return failure
                .hint("the server shows another key than the file of --known-hosts-file has: ask its operator whether it got a new one")
                .hint("if it did: take its lines out of that file, and add the new ones");
        }
        Some(Refusal::NotFound) => failure.hint(
            "is --url right? Many servers say the same of a repository that the credentials are not for",
        ),
        _ => failure,
    };
    if inputs.git.access.ssh.is_some() {
        let public = inputs.git.notes.iter().find(|(word, _)| *word != "host key").map(|(_, text)| text);
        let key = public.cloned().unwrap_or_default();
        return failure.hint(format!("add the deploy key to the repository (reading is enough): {key}"));
    }
    match (&inputs.sync.git_secret, inputs.git.data.is_empty()) {
        (None, true) => failure.hint(
            "for a private repository: --username NAME --password-file FILE, or --bearer-token-file FILE",
        ),
        _ => failure.hint("the user or the token needs the right to read this repository"),
    }
}

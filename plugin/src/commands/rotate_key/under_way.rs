//! What there is before anything is decided: clusters, branches, keys, and a rotation that is under way.

use super::RotateKeyArgs;
use crate::keys::{KeyRing, KeySource};
use crate::rotation::{
    Checkout, Commits, For, Held, Intent, Journal, NewIdentity, RETIRED_RECIPIENTS, ROTATION, Scope, Site,
    Way,
};
use crate::secrets::{Configs, shown};
use kubiya_hook::edge::Failure;
use kubiya_hook::git::work::{RemoteBranch, WorkTree};
use kubiya_policies::sops::age::Identity;
use std::collections::BTreeSet;
use tokio::runtime::Handle;

/// What is there before anything is decided.
pub(super) struct World<'w> {
    pub(super) runtime: &'w Handle,
    /// How this command is typed for the same cluster.
    pub(super) command: String,
    pub(super) sites: Vec<Site>,
    pub(super) tree: WorkTree,
    pub(super) upstream: RemoteBranch,
    pub(super) keys: &'w KeyRing,
    pub(super) journal: Option<Journal>,
}

/// The rotation that is under way, as the Secrets say.
pub(super) fn under_way(sites: &[Site]) -> Option<Intent> {
    let secrets = sites.iter().flat_map(|site| &site.secrets);
    let mut all =
        secrets.filter_map(|secret| Intent::of_text(secret.annotations.get(ROTATION)?)).collect::<Vec<_>>();
    // One that was given up while a Secret still says otherwise is given up.
    all.sort_by_key(|intent| !intent.given_up);
    all.into_iter().next()
}

/// Somebody else may have finished what this clone began: Flux has the new key, or one that came after it, and the
/// old one nowhere.
pub(super) fn forget_what_is_over(world: &mut World<'_>, dry_run: bool) -> Result<(), Failure> {
    let Some(journal) = world.journal.clone().filter(|_| under_way(&world.sites).is_none()) else {
        return Ok(());
    };
    let (mut old, mut later) = (false, false);
    for site in &world.sites {
        for secret in &site.secrets {
            let entries = site.entries(secret)?;
            let retired = secret.annotations.get(RETIRED_RECIPIENTS).map_or("", String::as_str);
            old |= entries.held(&journal.intent.old) != Held::No;
            later |= entries.held(&journal.intent.new) != Held::No;
            later |= retired.split(',').any(|one| one == journal.intent.old);
        }
    }
    if later && !old {
        world.journal = None;
        if !dry_run {
            Journal::remove(&world.tree);
        }
    }
    Ok(())
}

/// Whether anything shows that a rotation has begun that only the clone remembers.
pub(super) fn has_begun(world: &World<'_>, intent: &Intent, way: &Way) -> Result<bool, Failure> {
    for site in &world.sites {
        for secret in &site.secrets {
            if site.entries(secret)?.held(&intent.new) != Held::No {
                return Ok(true);
            }
        }
    }
    let mut commits = Commits::of(world.tree.top(), &intent.old, &intent.new, way.foreign())?;
    for checkout in checkouts(world, way) {
        let standing = commits.standing(checkout.tip()?)?;
        if standing.count(For::Both) + standing.count(For::New) > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A rotation that begins now.
pub(super) fn fresh(old: String, new: &str, way: &Way, world: &World<'_>) -> Intent {
    Intent {
        old,
        new: new.to_owned(),
        by: world.sites.first().map(Site::who).unwrap_or_default(),
        started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        compromised: way.compromised,
        given_up: false,
        keep_new: false,
        publish: way.publish(),
        old_out: None,
    }
}

/// The rotation that is to be gone on with: as the Secrets say, as the clone remembers, or as the flags name it.
pub(super) fn intent(args: &RotateKeyArgs, world: &World<'_>) -> Result<Intent, Failure> {
    if let Some(intent) = under_way(&world.sites) {
        return Ok(intent);
    }
    world.journal.as_ref().map(|journal| journal.intent.clone()).ok_or_else(nothing_under_way).or_else(
        |failure| {
            let Some(old) = args.old_key.old_recipient.clone() else { return Err(failure) };
            let identity = args.new_key.identity()?.ok_or(failure)?;
            Ok(fresh(old, identity.recipient(), &args.way, world))
        },
    )
}

pub(super) fn nothing_under_way() -> Failure {
    Failure::usage("no rotation is under way, as far as the Secrets and this clone know")
        .hint("kubectl kubiya rotate-key --store-key FILE   # begins one")
        .hint("--old-recipient age1… --new-age-key-file FILE   # names the two keys")
}

/// The identity of a recipient: Flux has it, or it is where it was stored.
pub(super) fn identity_of(
    args: &RotateKeyArgs,
    world: &World<'_>,
    recipient: &str,
) -> Result<Identity, Failure> {
    for site in &world.sites {
        for secret in &site.secrets {
            if let Some(identity) = site.entries(secret)?.identity(recipient) {
                return Ok(identity.clone());
            }
        }
    }
    let stored = world.journal.as_ref().and_then(|journal| journal.stored.clone());
    let stored = stored.and_then(|path| NewIdentity::given(&KeySource::File(path)).ok());
    let named = if args.new_key.store().is_none() { args.new_key.identity()? } else { None };
    let given = [stored, named].into_iter().flatten().map(|one| one.identity().clone());
    let at_hand = world.keys.undisturbed();
    let mut all = given.chain(at_hand.identities().iter().cloned());
    all.find(|identity| identity.recipient().as_deref() == Some(recipient)).ok_or_else(|| {
        Failure::unverified(format!("the private key of {recipient} is not found"))
            .hint("--new-age-key-file FILE         # where it is")
            .hint("--new-age-key-command COMMAND   # that prints it")
            .hint("kubectl kubiya rotate-key --abort   # if it is lost")
    })
}

/// The recipient that goes: named, or the one for which Flux has the key and files are.
pub(super) fn old(args: &RotateKeyArgs, world: &World<'_>, new: &str) -> Result<String, Failure> {
    let top = world.tree.top();
    let configs = Configs::new(None, Some(top.to_owned()));
    let scope = Scope::of(top, &configs)?;
    args.old_key.must_fit(&scope, &configs, new)?;
    if let Some(old) = args.old_key.named(&scope, &configs, new)? {
        return Ok(old);
    }
    let known = scope.files.iter().flat_map(|(_, recipients)| recipients).collect::<BTreeSet<_>>();
    let (mut both, mut is_there) = (BTreeSet::new(), false);
    for site in &world.sites {
        for secret in &site.secrets {
            let held = site.entries(secret)?.recipients();
            is_there |= held.iter().any(|recipient| recipient == new);
            let held = held.into_iter();
            both.extend(held.filter(|recipient| known.contains(recipient) && recipient != new));
        }
    }
    match both.len() {
        1 => Ok(both.into_iter().next().unwrap_or_default()),
        0 if is_there => {
            Err(Failure::usage("Flux has this key already, and no other one of the files").at(new.to_owned()))
        }
        0 => Err(Failure::unverified("Flux has no key of any file of this repository")
            .at(shown(top))
            .hint("--old-recipient age1…   # the public key that goes")
            .hint("kubectl kubiya check     # what is encrypted, and for whom")),
        more => Err(both.iter().fold(
            Failure::usage(format!("{more} keys of Flux read files of this repository")),
            |failure, one| failure.hint(format!("--old-recipient {one}")),
        )),
    }
}

pub(super) fn keep_holders(sites: &mut [Site], intent: &Intent) -> Result<(), Failure> {
    let problems = sites
        .iter_mut()
        .filter_map(|site| site.keep_holders(&intent.old, &intent.new).err())
        .collect::<Vec<_>>();
    if problems.is_empty() { Ok(()) } else { Err(Failure::all("Flux cannot decrypt at present", problems)) }
}

/// The branches that are rotated: the one that is checked out, and those that were named.
pub(super) fn checkouts(world: &World<'_>, way: &Way) -> Vec<Checkout> {
    let own = Checkout { tree: world.tree.clone(), branch: world.upstream.clone(), own: true };
    let others =
        way.branches.iter().filter(|branch| **branch != world.upstream.branch).map(|branch| Checkout {
            tree: world.tree.clone(),
            branch: RemoteBranch { remote: world.upstream.remote.clone(), branch: branch.clone() },
            own: false,
        });
    std::iter::once(own).chain(others).collect()
}

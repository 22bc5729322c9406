//! The end of the old key: out of what Flux reads, confirmed, then deleted.

use super::at_commit::For;
use super::awaiting::Unready;
use super::course::{Course, Ended, Step, noted, proposed, refuse_other};
use super::deed::Deed;
use super::followed::Followed;
use super::intent::{RETIRED_RECIPIENTS, ROTATION, short};
use super::journal::Journal;
use super::{GO_ON, Held, Scope, keeping};
use crate::cluster::LiveSecret;
use crate::failpoint;
use crate::secrets::{Configs, shown};
use kubiya_hook::edge::{Failure, Kind};
use std::path::PathBuf;
use std::time::Duration;

impl Course<'_> {
    /// Takes the old key away from Flux, on all clusters, unless something still needs it.
    ///
    /// # Errors
    /// What still needs it; a Kustomization that could not do without it, which has it back then.
    pub fn retire(&mut self) -> Result<Ended, Failure> {
        self.nothing_needs_it()?;
        self.keep_old()?;
        for site in 0..self.sites.len() {
            self.retire_on(site)?;
        }
        for site in 0..self.sites.len() {
            self.drop_on(site)?;
        }
        Journal::remove(&self.tree);
        Ok(Ended::Done)
    }

    /// All that still needs the old key, at once.
    ///
    /// # Errors
    /// What still needs it; nothing was changed.
    pub fn nothing_needs_it(&mut self) -> Result<(), Failure> {
        let mut problems = Vec::new();
        let wait = self.retire_after();
        let unread = self.intent.given_up && !self.intent.keep_new;
        if !self.intent.compromised && !unread {
            let idle = self.intent.idle_for(jiff::Timestamp::now());
            if idle.is_none_or(|idle| idle < wait) {
                let since = idle.map_or("it is still needed".to_owned(), |idle| {
                    format!("nothing has needed it for {}", words(idle))
                });
                problems.push(Failure::unverified(format!("the old key stays for {}", words(wait)))
                    .because_of(since)
                    .hint("kubectl kubiya rotate-key --retire --retire-after 0s   # if no revert or old branch will be deployed"));
            }
        }
        for index in 0..self.checkouts.len() {
            let branch = self.checkouts[index].branch.to_string();
            let standing = self.standing(index)?;
            for path in standing.paths(For::Old).chain(standing.paths(For::Both)) {
                problems.push(
                    Failure::unverified("the old key still reads it")
                        .at(format!("{branch}: {}", shown(path)))
                        .hint(GO_ON),
                );
            }
        }
        if self.way.drop_old {
            let top = self.tree.top();
            let scope = Scope::of(top, &Configs::new(None, Some(top.to_owned())))?;
            problems.extend(self.uncommitted(&scope).iter().map(|path| {
                Failure::unverified("only the old key reads it, and no commit has it")
                    .at(shown(path))
                    .hint("--keep-old FILE   # in place of --drop-old")
                    .hint(format!(
                        "kubectl kubiya rotate-key --no-cluster --new-age-key-file FILE {}",
                        shown(path)
                    ))
            }));
        }
        problems.extend(self.other_sources(source_needs_it));
        if self.way.keep_old.is_none() && !self.way.drop_old && !self.intent.given_up {
            problems.push(
                Failure::usage(
                    "where the old key is to be kept is not said: only it reads what is in Git's history",
                )
                .hint("--keep-old FILE   # a new file, encrypted to the new key")
                .hint("--drop-old        # if it is kept elsewhere, or nothing is to be read any more"),
            );
        }
        if problems.is_empty() {
            return self.applied_everywhere(Step::OldOut);
        }
        let count = problems.len();
        Err(Failure::all(format!("the old key cannot go yet: {count} reasons"), problems))
    }

    /// Sources that are not branches of ours, as `judge` sees them.
    pub(super) fn other_sources(&self, judge: fn(&str, &str, &Followed) -> Failure) -> Vec<Failure> {
        let mut problems = Vec::new();
        for site in &self.sites {
            for source in site.source_names() {
                let followed = self.followed(site, source);
                let name = source.to_string();
                if followed != Followed::Ours && !self.way.sources_done.contains(&name) {
                    problems.push(judge(&site.connection.context, &name, &followed));
                }
            }
        }
        problems
    }

    /// Keeps the old identity where the operator said, encrypted to the new one.
    fn keep_old(&mut self) -> Result<(), Failure> {
        let Some(path) = self.way.keep_old.clone() else { return Ok(()) };
        let old = self.sites.iter().flat_map(|site| site.secrets.iter().map(move |secret| (site, secret)));
        let mut identity = None;
        for (site, secret) in old {
            let live = self.runtime.block_on(site.connection.secret(&secret.namespace, &secret.name))?;
            if let Some(live) = live {
                identity = identity.or(site.entries(&live)?.identity(&self.intent.old).cloned());
            }
        }
        let Some(identity) = identity else { return Ok(()) };
        failpoint::at("before the old key is kept");
        if keeping::keep(&path, &identity, &self.new)? {
            self.talk.did(
                "kept",
                &format!("{} in {}, encrypted to the new key", short(&self.intent.old), path.display()),
            );
        }
        failpoint::at("after the old key is kept");
        Ok(())
    }

    fn retire_on(&mut self, site: usize) -> Result<(), Failure> {
        let (intent, who) = (self.intent.clone(), self.sites[site].who());
        let deed = Deed {
            name: "the old key is retired",
            reason: "KeyRetired",
            message: format!("{} is not read by Flux any more", intent.old),
            line: ("retired", format!("{} in", short(&intent.old))),
        };
        let changed = self.each_secret(site, &deed, |live, entries, place| {
            refuse_other(live, &intent, place)?;
            let data = entries.retiring(&intent.old, &intent.new);
            if data.is_empty() {
                return Ok(None);
            }
            let mut after = entries.recipients();
            after.retain(|recipient| *recipient != intent.old);
            let mut change = noted(&who, &after);
            change.data = data;
            // From now on no bootstrap brings it back.
            change.annotations.extend([retired(live, |all| with_retired(all, &intent.old, &intent.new))]);
            Ok(Some(change))
        })?;
        if !changed && !self.holds(site, |held| held == Held::Retired)? {
            return Ok(());
        }
        match self.reconcile(site, "without the old key") {
            Ok(()) => Ok(()),
            Err(unready) => self.give_back(site, unready),
        }
    }

    /// Whether no cluster's Flux reads the old key any more, although the rotation is not over: a run ended before
    /// it was confirmed, or before it was deleted.
    pub(super) fn is_retiring(&self) -> Result<bool, Failure> {
        let (mut active, mut any) = (false, false);
        for site in 0..self.sites.len() {
            active |= self.holds(site, |held| held == Held::Active)?;
            any = true;
        }
        Ok(any && !active)
    }

    /// Whether a Secret of a cluster holds the old key so.
    fn holds(&self, site: usize, so: impl Fn(Held) -> bool) -> Result<bool, Failure> {
        let here = &self.sites[site];
        for secret in &here.secrets {
            let live = self.runtime.block_on(here.connection.secret(&secret.namespace, &secret.name))?;
            if let Some(live) = live
                && so(here.entries(&live)?.held(&self.intent.old))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Somebody could not do without the old key: Flux has it back.
    fn give_back(&mut self, site: usize, unready: Unready) -> Result<(), Failure> {
        let (old, who) = (self.intent.old.clone(), self.sites[site].who());
        let deed = Deed {
            name: "the old key is back",
            reason: "KeyRestored",
            message: format!("{old} is back: without it something did not decrypt"),
            line: ("restored", format!("{} in", short(&old))),
        };
        self.each_secret(site, &deed, |live, entries, _| {
            let data = entries.restoring(&old);
            if data.is_empty() {
                return Ok(None);
            }
            let mut after = entries.recipients();
            after.push(old.clone());
            let mut change = noted(&who, &after);
            change.data = data;
            change.annotations.extend([retired(live, |all| without_retired(all, &old))]);
            Ok(Some(change))
        })?;
        // Everybody reads it again; what they say now is not what stopped us.
        let _ = self.reconcile(site, "with the old key again");
        Err(unready
            .failure
            .of_kind(Kind::Partial)
            .because_of("the old key is with Flux again")
            .hint("kubectl kubiya rotate-key --retire   # when this is mended"))
    }

    /// Deletes what was retired, and says so at the Secret.
    fn drop_on(&mut self, site: usize) -> Result<(), Failure> {
        let (intent, who) = (self.intent.clone(), self.sites[site].who());
        let deed = Deed {
            name: "the old key is deleted",
            reason: "KeyRotated",
            message: format!("{} has taken the place of {}", intent.new, intent.old),
            line: ("deleted", format!("{} from", short(&intent.old))),
        };
        let made = self.each_secret(site, &deed, |live, entries, place| {
            refuse_other(live, &intent, place)?;
            let data = entries.dropping(&intent.old);
            if data.is_empty() && !live.annotations.contains_key(ROTATION) {
                return Ok(None);
            }
            let mut change = noted(&who, &entries.recipients());
            change.data = data;
            change.annotations.insert(ROTATION.to_owned(), None);
            change.annotations.extend([retired(live, |all| with_retired(all, &intent.old, &intent.new))]);
            Ok(Some(change))
        });
        made.map(|_| ())
    }

    /// Branches of the remote on which files need the old key, besides those that were rotated.
    ///
    /// # Errors
    /// The remote cannot be reached.
    pub fn branches_left(&mut self) -> Result<Vec<(String, Vec<PathBuf>)>, Failure> {
        let mut left = Vec::new();
        let Some(remote) = self.checkouts.first().map(|checkout| checkout.branch.remote.clone()) else {
            return Ok(left);
        };
        // What is known already is better than nothing.
        let _ = self.tree.fetch(&remote, None);
        let there = self.tree.remote_branches(&remote).ok();
        let gone = |branch: &str| there.as_ref().is_some_and(|there| !there.iter().any(|one| one == branch));
        let all = self.tree.branches_of(&remote).unwrap_or_default();
        for (branch, tip) in all.into_iter().filter(|(branch, _)| !gone(&branch.branch)) {
            if self.checkouts.iter().any(|checkout| checkout.branch == branch) {
                continue;
            }
            let standing = self.commits.standing(tip)?;
            let paths = standing.paths(For::Old).map(std::path::Path::to_owned).collect::<Vec<_>>();
            if !paths.is_empty() {
                left.push((branch.branch, paths));
            }
        }
        Ok(left)
    }

    /// Branches of this rotation that were proposed and are still on the remote, each as it is deleted.
    #[must_use]
    pub fn proposals_left(&self) -> Vec<String> {
        let Some(remote) = self.checkouts.first().map(|checkout| &checkout.branch.remote) else {
            return Vec::new();
        };
        let ours = [&self.intent.old, &self.intent.new].map(|recipient| proposed(recipient));
        let there = self.tree.remote_branches(remote).unwrap_or_default();
        let there = there.into_iter().filter(|branch| ours.iter().any(|start| branch.starts_with(start)));
        there.map(|branch| format!("git push {remote} --delete {branch}")).collect()
    }
}

/// The annotation with the retired public keys, changed.
fn retired(live: &LiveSecret, change: impl Fn(Vec<&str>) -> Vec<String>) -> (String, Option<String>) {
    let all = live.annotations.get(RETIRED_RECIPIENTS).map_or("", String::as_str);
    let all = change(all.split(',').map(str::trim).filter(|one| !one.is_empty()).collect());
    (RETIRED_RECIPIENTS.to_owned(), (!all.is_empty()).then(|| all.join(",")))
}

/// One more; one that came back is no longer retired.
fn with_retired(mut all: Vec<&str>, old: &str, new: &str) -> Vec<String> {
    all.retain(|one| *one != new && *one != old);
    all.into_iter().chain([old]).map(str::to_owned).collect()
}

fn without_retired(all: Vec<&str>, old: &str) -> Vec<String> {
    all.into_iter().filter(|one| *one != old).map(str::to_owned).collect()
}

fn source_needs_it(context: &str, name: &str, followed: &Followed) -> Failure {
    let what = match followed {
        Followed::Otherwise { what, .. } => {
            format!("Flux decrypts {what} of this repository with the old key")
        }
        _ => "Flux decrypts what is there with the old key".to_owned(),
    };
    Failure::unverified(what)
        .at(format!("{name} of {context}"))
        .hint(format!("--source-done {name}   # when all of its files are for the new key"))
}

/// A length of time for people, such as `168h` or `4s`.
fn words(time: Duration) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", jiff::SignedDuration::from_secs(seconds))
}

//! Changes of who can open what: recipients and rules of `.sops.yaml` files, between what a ref was and what it
//! shall be.

use super::{Pusher, signature};
use crate::config::{Config, PolicyChanges};
use crate::git::{GitError, Kind, NewCommit, ObjectId, Repository, TreeSnapshot, changed_paths, files_below};
use crate::judge::{Entry, Found, Judge, Snapshot as _};
use crate::report::shown;
use kubiya_policies::builtin;
use kubiya_policies::check::{self, PathKind};
use kubiya_policies::finding::Severity;
use kubiya_policies::rules::change::{ChangeKind, changes, nobody_stays};
use kubiya_policies::rules::{FILE_NAME, Rules};
use kubiya_policies::sops::portable::may_be_sealed;
use std::collections::{BTreeSet, HashSet};

/// One ref update, as far as it matters whose word counts.
#[derive(Debug)]
pub struct PolicyWatch<'w> {
    /// The repository.
    pub repository: &'w Repository,
    /// The operator's word.
    pub config: &'w Config,
    /// Who pushes.
    pub pusher: &'w Pusher,
    /// The folder that the ref shall have.
    pub tip: ObjectId,
    /// The folder that it had; of a new ref the trusted one.
    pub before: ObjectId,
    /// The folder of the trusted reference.
    pub trusted: Option<ObjectId>,
    /// Folders in which what is there was accepted before.
    pub accepted: &'w [ObjectId],
    /// Whether a new ref has no commit in common with what was there: then it has not had what it lacks.
    pub unrelated: bool,
    /// What other refs have was accepted there: the commit that this ref was at, and those that others are at.
    /// `None` where that does not count, as on the trusted reference.
    pub elsewhere: Option<(ObjectId, &'w [ObjectId])>,
    /// The commits that the update brings.
    pub commits: &'w [NewCommit],
}

impl PolicyWatch<'_> {
    /// What the update changes, and what that weighs.
    ///
    /// # Errors
    /// Where a folder cannot be read.
    pub fn judge(&self, judge: &Judge) -> Result<Vec<Found>, GitError> {
        let mut found = Vec::new();
        for path in
            self.changed(|path| path.rsplit(|byte| *byte == b'/').next() == Some(FILE_NAME.as_bytes()))?
        {
            let may = self.may_change(&path, &self.config.policy_owners)?;
            self.config_file(judge, &path, may, &mut found)?;
        }
        Ok(found)
    }

    /// The paths that differ from everything that was accepted before.
    pub(super) fn changed(&self, wanted: impl Fn(&[u8]) -> bool) -> Result<BTreeSet<Vec<u8>>, GitError> {
        let mut all: Option<BTreeSet<Vec<u8>>> = None;
        for tree in std::iter::once(&self.before).chain(self.accepted) {
            let paths = changed_paths(self.repository, *tree, self.tip)?;
            let paths = paths.into_iter().filter(|path| wanted(path));
            all = Some(match all {
                Some(known) => paths.filter(|path| known.contains(path)).collect(),
                None => paths.collect(),
            });
            if all.as_ref().is_some_and(BTreeSet::is_empty) {
                break;
            }
        }
        let mut differ = BTreeSet::new();
        for path in all.unwrap_or_default() {
            let lacks = self.unrelated && self.entry(self.tip, &path).is_none();
            if !lacks && !self.is_elsewhere(&path)? {
                differ.insert(path);
            }
        }
        Ok(differ)
    }

    /// Whether another ref has a path as the tip has it, and has changed it since it left this ref: what it had
    /// then is the past, not a change that somebody accepted.
    fn is_elsewhere(&self, path: &[u8]) -> Result<bool, GitError> {
        let (Some((old, others)), Some(now)) = (self.elsewhere, self.entry(self.tip, path)) else {
            return Ok(false);
        };
        let has_it = |commit: ObjectId| -> Result<bool, GitError> {
            let commit = self.repository.commit(commit)?.ok_or(GitError::Missing(commit))?;
            Ok(self.entry(commit.tree, path) == Some(now))
        };
        for other in others {
            let other = self.repository.peel(*other)?;
            if other.kind != Kind::Commit || !has_it(other.id)? {
                continue;
            }
            let forks = forks(self.repository, old, other.id)?;
            let mut had = forks.iter().map(|fork| has_it(*fork));
            if !forks.is_empty() && !had.try_fold(false, |any, had| had.map(|had| any || had))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn entry(&self, tree: ObjectId, path: &[u8]) -> Option<Entry> {
        TreeSnapshot::new(self.repository, tree).entry(path).ok().flatten()
    }

    /// Whether the change of a path is the word of one of the people: of who pushes, or of who signed every
    /// commit that makes it.
    pub(super) fn may_change(&self, path: &[u8], people: &[String]) -> Result<bool, GitError> {
        if self.pusher.is_one_of(people) {
            return Ok(true);
        }
        let Some(list) = self.config.identity.allowed_signers.as_deref() else { return Ok(false) };
        let mut any = false;
        for commit in self.commits {
            if self.introduces(commit, path)? {
                any = true;
                if !signature::is_signed_by(commit.id, people, Some(list)) {
                    return Ok(false);
                }
            }
        }
        Ok(any)
    }

    /// Whether a commit gives a path a content, or takes it away, unlike any of its parents, or takes back what
    /// one of them did.
    fn introduces(&self, commit: &NewCommit, path: &[u8]) -> Result<bool, GitError> {
        let entry = |tree| TreeSnapshot::new(self.repository, tree).entry(path);
        let Ok(now) = entry(commit.tree) else { return Ok(true) };
        let is_same = |id: &ObjectId| -> Result<bool, GitError> {
            let other = self.repository.commit(*id)?.ok_or(GitError::Missing(*id))?;
            Ok(entry(other.tree).is_ok_and(|before| before == now))
        };
        let (mut same, mut others) = (Vec::new(), Vec::new());
        for parent in &commit.parents {
            if is_same(parent)? { same.push(*parent) } else { others.push(*parent) }
        }
        for (one, other) in same.iter().flat_map(|one| others.iter().map(move |other| (*one, *other))) {
            // A merge that keeps what was there where the parents parted undoes the change of the other one.
            for fork in forks(self.repository, one, other)? {
                if is_same(&fork)? {
                    return Ok(true);
                }
            }
        }
        Ok(same.is_empty() && (!commit.parents.is_empty() || now.is_some()))
    }

    fn config_file(
        &self,
        judge: &Judge,
        path: &[u8],
        may: bool,
        found: &mut Vec<Found>,
    ) -> Result<(), GitError> {
        let tip = TreeSnapshot::new(self.repository, self.tip);
        let before = self.read(self.before, path);
        let now = self.read(self.tip, path);
        let content = tip.entry(path).ok().flatten().and_then(|entry| entry.id);
        let mut told = Vec::new();
        match (&before, &now) {
            (Some(old), Some(new)) => {
                for change in changes(old, new) {
                    let replaced = change.kind == ChangeKind::RecipientsReplaced;
                    told.push((replaced, change.what));
                }
            }
            (Some(_), None) if content.is_none() => {
                told.push((false, "the rules are gone".to_owned()));
            }
            // Rules that cannot be used are a finding of their own; to mend them is no change.
            (_, None) | (None, Some(_)) if content.is_some() && before.is_none() && self.was_there(path) => {}
            (None, Some(_)) => {
                let above = TreeSnapshot::new(self.repository, self.before);
                if judge.rules_for(&above, path).is_some() {
                    told.push((false, "new rules for this folder, before those above it".to_owned()));
                }
            }
            (_, None) => {}
        }
        told.extend(self.effects(judge, path)?);
        for (replaced, what) in told {
            let severity = self.severity(replaced, may);
            let code = if replaced { builtin::POLICY_REPLACED } else { builtin::POLICY_CHANGED };
            found.push(Found::about(path, content, code, severity, what));
        }
        Ok(())
    }

    fn severity(&self, replaced: bool, may: bool) -> Severity {
        match self.config.policy_changes {
            PolicyChanges::Refuse => Severity::Error,
            _ if may => Severity::Warning,
            PolicyChanges::Owners => Severity::Error,
            PolicyChanges::Warn if replaced => Severity::Error,
            PolicyChanges::Warn => Severity::Warning,
        }
    }

    /// What the change does to the files that are there: by the rules of the trusted reference and of what the
    /// ref was, beside those of the new tip, whichever `.sops.yaml` they are in.
    fn effects(&self, judge: &Judge, config: &[u8]) -> Result<Vec<(bool, String)>, GitError> {
        let folder = &config[..config.len() - FILE_NAME.len()];
        let snapshot = |tree| TreeSnapshot::new(self.repository, tree);
        let elders = [snapshot(self.before), snapshot(self.trusted.unwrap_or(self.before))];
        let tip = snapshot(self.tip);
        let mut replaced: Vec<Vec<u8>> = Vec::new();
        let mut ungoverned: Vec<Vec<u8>> = Vec::new();
        let mut sealed = false;
        for path in files_below(self.repository, self.tip, folder)? {
            if check::path_class(&path, None).kind != PathKind::Plain {
                continue;
            }
            let rule = |rules: Rules| rules.for_path(&path).map(|(_, rule)| rule.clone());
            let old = elders.iter().filter_map(|elder| judge.rules_for(elder, &path).and_then(rule));
            let old: Vec<_> = old.filter(|rule| rule.recipients().next().is_some()).collect();
            if old.is_empty() {
                continue;
            }
            match judge.rules_for(&tip, &path).and_then(rule) {
                // Whoever has a word by one of the two keeps it.
                Some(new) if old.iter().all(|old| nobody_stays(old, &new)) => replaced.push(path),
                Some(_) => {}
                None => {
                    sealed |= self.is_sealed(&path);
                    ungoverned.push(path);
                }
            }
        }
        let sentence = |paths: &[Vec<u8>], what: &str| {
            let first = paths.first().map(|path| shown(path)).unwrap_or_default();
            let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
            format!("{what} {first}{more}")
        };
        let mut told = Vec::new();
        if !replaced.is_empty() {
            told.push((true, sentence(&replaced, "no recipient stays for")));
        }
        if !ungoverned.is_empty() {
            // Where no rule at all is left, nobody is; nor for an encrypted file without one, which the next push
            // could bring in plain.
            let gone = sealed || self.read(self.tip, config).is_none_or(|rules| rules.rules().is_empty());
            told.push((gone, sentence(&ungoverned, "no rule is left for")));
        }
        Ok(told)
    }

    /// Whether a file of the new tip may be encrypted.
    fn is_sealed(&self, path: &[u8]) -> bool {
        let tip = TreeSnapshot::new(self.repository, self.tip);
        let Ok(Some(entry)) = tip.entry(path) else { return false };
        tip.read(path, entry).is_ok_and(|bytes| may_be_sealed(&bytes))
    }

    fn was_there(&self, path: &[u8]) -> bool {
        self.entry(self.before, path).is_some()
    }

    fn read(&self, tree: ObjectId, path: &[u8]) -> Option<Rules> {
        let snapshot = TreeSnapshot::new(self.repository, tree);
        let entry = snapshot.entry(path).ok().flatten()?;
        Rules::parse(path, &snapshot.read(path, entry).ok()?).ok()
    }
}

/// The commits in the history of one at which that of the other left it.
fn forks(repository: &Repository, one: ObjectId, other: ObjectId) -> Result<Vec<ObjectId>, GitError> {
    let parents = |id: ObjectId| -> Result<Vec<ObjectId>, GitError> {
        Ok(repository.commit(id)?.map(|commit| commit.parents).unwrap_or_default())
    };
    let mut history = HashSet::new();
    let mut open = vec![one];
    while let Some(id) = open.pop() {
        if history.insert(id) {
            open.extend(parents(id)?);
        }
    }
    let (mut forks, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![other]);
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        if history.contains(&id) {
            forks.push(id);
        } else {
            open.extend(parents(id)?);
        }
    }
    Ok(forks)
}

//! A push: everything that it brings or makes reachable is judged before a ref moves.

mod elders;

use crate::config::Config;
use crate::edge::Kind as Refusal;
use crate::git::{
    self, GitError, Kind, NewCommit, ObjectId, RefUpdate, Repository, Tip, TreeSnapshot, introduced,
};
use crate::judge::{Entry, File, Found, Judge, Unverified, Verdict, refusal};
use crate::trust::{
    Baseline, BaselineError, KeyFileError, KeyIndex, PolicyWatch, Pusher, Ruling, is_for_gitops,
    judge_protected, key_of,
};
use bstr::ByteSlice as _;
use elders::Elders;
use kubiya_policies::finding::Severity;
use std::collections::{HashMap, HashSet};

/// Through what the content came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A commit.
    Commit {
        /// Its name.
        id: ObjectId,
        /// Whether a ref shall point at it: then amending it is enough, otherwise history must be rewritten.
        is_tip: bool,
        /// Whether it has no parent.
        is_root: bool,
    },
    /// A file or folder that a tag points at, or the tag's own message.
    Tagged(ObjectId),
    /// An object that the push brought and nothing leads to.
    Loose(ObjectId),
}

/// A finding in a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What was found.
    pub found: Found,
    /// The first thing of the push that carries it.
    pub carrier: Carrier,
    /// The number of the ref update that it belongs to; `None` for loose objects.
    pub update: Option<usize>,
    /// How many later commits of the push have it, too.
    pub again: usize,
}

/// What a judge says about a push.
#[derive(Clone, Debug, Default)]
pub struct PushVerdict {
    /// What was found, oldest commit first.
    pub pushed: Vec<Pushed>,
    /// What could not be judged.
    pub unverified: Vec<Unverified>,
}

impl PushVerdict {
    /// How many findings refuse the push.
    pub fn errors(&self) -> usize {
        self.pushed.iter().filter(|pushed| pushed.found.finding.severity == Severity::Error).count()
    }

    /// For what kind of reason the push is refused; `None` where it is not.
    pub fn refusal(&self) -> Option<Refusal> {
        refusal(self.pushed.iter().map(|pushed| &pushed.found), &self.unverified)
    }
}

/// On whose word a push is judged.
#[derive(Debug, Default)]
pub struct Terms {
    /// What the operator decided.
    pub config: Config,
    /// Who pushes.
    pub pusher: Pusher,
    /// What the repository is called.
    pub repository: String,
}

/// Why a push cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Something of the repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The list of what was there before cannot be used.
    #[error("the baseline {place}: {source}")]
    Baseline {
        /// Where it is.
        place: String,
        /// Why.
        source: BaselineError,
    },
    /// It cannot be read.
    #[error("the baseline {place}: {source}")]
    BaselineFile {
        /// Where it is.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// More commits than the server takes at once.
    #[error("the push has {commits} new commits, and the server takes {limit} at once")]
    TooMany {
        /// How many there are.
        commits: usize,
        /// How many it takes.
        limit: u64,
    },
}

/// Judges a push before its refs are updated. Reads only; deletions cost nothing.
///
/// # Errors
/// Where the push cannot be looked at as a whole: then nobody can say that it is good.
pub fn judge_push(
    repository: &Repository,
    judge: &mut Judge,
    updates: &[RefUpdate],
    terms: &Terms,
) -> Result<PushVerdict, PushError> {
    if updates.iter().all(|update| update.new.is_none()) {
        return Ok(PushVerdict::default());
    }
    let elders = Elders::of(repository, updates, terms.config.trusted_ref.as_deref())?;
    let mut folders: Vec<ObjectId> = elders.trusted.into_iter().collect();
    for new in updates.iter().filter_map(|update| update.new) {
        folders.extend(elders::folder(repository, new)?);
    }
    let ruling = Ruling::new(&terms.config, &terms.repository, || is_for_gitops(repository, &folders))
        .with_baseline(baseline(repository, &terms.config, elders.trusted)?);
    let mut push = Push {
        repository,
        judge,
        ruling: &ruling,
        elders,
        keys: KeyIndex::new(repository),
        seen: HashSet::new(),
        known: HashMap::new(),
        verdict: PushVerdict::default(),
    };
    let mut tips = Vec::new();
    for (number, update) in updates.iter().enumerate() {
        if let Some(new) = update.new.filter(|new| Some(*new) != update.old) {
            tips.extend(push.update(number, new)?);
        }
    }
    let commits = git::new_commits(repository, &tips)?;
    if let Some(limit) = terms.config.limits.new_commits.filter(|limit| commits.len() as u64 > *limit) {
        return Err(PushError::TooMany { commits: commits.len(), limit });
    }
    push.elders.add_boundary(repository, &commits)?;
    for commit in &commits {
        let is_tip = tips.iter().any(|tip| tip.commit == commit.id);
        push.commit(commit, is_tip)?;
    }
    for tip in &tips {
        push.authority(*tip, updates, &commits, terms)?;
    }
    push.loose()?;
    Ok(push.verdict)
}

/// The list of what was there before: a file of the server, or one of the trusted reference.
fn baseline(
    repository: &Repository,
    config: &Config,
    trusted: Option<ObjectId>,
) -> Result<Option<Baseline>, PushError> {
    let Some(named) = &config.baseline else { return Ok(None) };
    let (place, text) = match (&named.file, &named.trusted) {
        (Some(file), _) => {
            let place = file.display().to_string();
            let text = std::fs::read_to_string(file)
                .map_err(|source| PushError::BaselineFile { place: place.clone(), source })?;
            (place, text)
        }
        (None, Some(path)) => {
            let id = match trusted {
                Some(tree) => git::file_in(repository, tree, path.as_bytes())?,
                None => None,
            };
            // Not there yet, it lists nothing.
            let Some(id) = id else { return Ok(None) };
            (path.clone(), String::from_utf8_lossy(&repository.blob(id)?).into_owned())
        }
        (None, None) => return Ok(None),
    };
    let key = key_of(named.key.as_deref())?;
    Baseline::parse(key, &text).map(Some).map_err(|source| PushError::Baseline { place, source })
}

/// The part of a tag that its author wrote: what follows the first blank line.
fn message(tag: &[u8]) -> &[u8] {
    tag.find(b"\n\n").map_or(tag, |at| &tag[at + 2..])
}

/// What makes two findings the same fault, in whatever commits.
///
/// A debt and a new value at the same place are two.
type Fault = (Vec<u8>, u16, Option<u32>, String, Severity);

struct Push<'p> {
    repository: &'p Repository,
    judge: &'p mut Judge,
    ruling: &'p Ruling<'p>,
    elders: Elders<'p>,
    keys: KeyIndex<'p>,
    /// The contents that were judged with their paths.
    seen: HashSet<ObjectId>,
    /// Where each fault is in the verdict.
    known: HashMap<Fault, usize>,
    verdict: PushVerdict,
}

impl Push<'_> {
    /// Follows tags. Gives the commit, if there is one at the end; judges what else is there.
    fn update(&mut self, number: usize, new: ObjectId) -> Result<Option<Tip>, GitError> {
        let peeled = self.repository.peel(new)?;
        for tag in peeled.tags {
            self.content(tag, Carrier::Tagged(tag), Some(number))?;
        }
        let carrier = Carrier::Tagged(peeled.id);
        match peeled.kind {
            Kind::Commit => return Ok(Some(Tip { commit: peeled.id, update: number })),
            Kind::Tree => self.tree(peeled.id, &[], carrier, number)?,
            Kind::Blob | Kind::Tag => self.content(peeled.id, carrier, Some(number))?,
        }
        Ok(None)
    }

    fn commit(&mut self, commit: &NewCommit, is_tip: bool) -> Result<(), GitError> {
        let mut parents = Vec::new();
        for parent in &commit.parents {
            parents.extend(self.repository.commit(*parent)?.map(|parent| parent.tree));
        }
        let carrier = Carrier::Commit { id: commit.id, is_tip, is_root: commit.parents.is_empty() };
        self.tree(commit.tree, &parents, carrier, commit.update)
    }

    fn tree(
        &mut self,
        tree: ObjectId,
        parents: &[ObjectId],
        carrier: Carrier,
        update: usize,
    ) -> Result<(), GitError> {
        let files = introduced(self.repository, tree, parents)?;
        self.seen.extend(files.iter().map(|file| file.id));
        let snapshot = TreeSnapshot::new(self.repository, tree);
        let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
        let files = files
            .into_iter()
            .map(|file| File { path: file.path, entry: Entry { kind: file.kind, id: Some(file.id) } });
        let mut verdict = self.judge.judge_beside(&snapshot, self.elders.rules(update), files);
        verdict.found.extend(self.keys.judge(self.judge, tree, parents, &verdict.sealed)?);
        self.ruling.apply(self.judge, &snapshot, self.elders.contents(update), &paths, &mut verdict);
        self.add(verdict, carrier, Some(update));
        Ok(())
    }

    /// Judges what a ref update does that only some people may do.
    fn authority(
        &mut self,
        tip: Tip,
        updates: &[RefUpdate],
        commits: &[NewCommit],
        terms: &Terms,
    ) -> Result<(), GitError> {
        let is_new = updates.get(tip.update).is_some_and(|update| update.old.is_none());
        // A new name for what was there brings nothing.
        if is_new && commits.iter().all(|commit| commit.id != tip.commit) {
            return Ok(());
        }
        let Some(folder) = elders::folder(self.repository, tip.commit)? else { return Ok(()) };
        let Some(before) = self.elders.before(tip.update) else { return Ok(()) };
        let update = PolicyWatch {
            repository: self.repository,
            config: &terms.config,
            pusher: &terms.pusher,
            tip: folder,
            before,
            trusted: self.elders.trusted,
            accepted: &self.elders.accepted(is_new),
            commits,
        };
        let mut found = update.judge(self.judge)?;
        found.extend(judge_protected(&update)?);
        let mut verdict = Verdict { found, ..Verdict::default() };
        self.ruling.weigh(&mut verdict);
        let carrier = Carrier::Commit { id: tip.commit, is_tip: true, is_root: false };
        self.add(verdict, carrier, Some(tip.update));
        Ok(())
    }

    /// Judges an object that has no path: a blob, or the message of a tag.
    fn content(&mut self, id: ObjectId, carrier: Carrier, update: Option<usize>) -> Result<(), GitError> {
        if !self.seen.insert(id) {
            return Ok(());
        }
        let (kind, bytes) = self.repository.read(id)?.ok_or(GitError::Missing(id))?;
        let text = if kind == Kind::Tag { message(&bytes) } else { &bytes };
        let mut verdict = self.judge.judge_pathless(id, text);
        self.ruling.weigh(&mut verdict);
        self.add(verdict, carrier, update);
        Ok(())
    }

    /// Judges the blobs that came along although nothing of the push leads to them: they are stored, and
    /// some servers hand out any object that is asked for by name.
    fn loose(&mut self) -> Result<(), GitError> {
        for id in self.repository.brought()? {
            // `index-pack` completes thin packs with objects that were there before.
            if !self.seen.contains(&id)
                && self.repository.kind(id)? == Some(Kind::Blob)
                && !(self.repository.was_there(id)?)
            {
                self.content(id, Carrier::Loose(id), None)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, verdict: Verdict, carrier: Carrier, update: Option<usize>) {
        for found in verdict.found {
            let place = &found.finding.place;
            let path = match carrier {
                // Without a path, the object stands for it.
                Carrier::Loose(id) | Carrier::Tagged(id) if place.path.is_empty() => id.as_bytes().to_vec(),
                _ => place.path.clone(),
            };
            let severity = found.finding.severity;
            let fault = (path, found.finding.code.0, place.document, place.key_path.clone(), severity);
            match self.known.get(&fault).and_then(|at| self.verdict.pushed.get_mut(*at)) {
                Some(first) if first.carrier != carrier => first.again += 1,
                _ => {
                    self.known.insert(fault, self.verdict.pushed.len());
                    self.verdict.pushed.push(Pushed { found, carrier, update, again: 0 });
                }
            }
        }
        for unverified in verdict.unverified {
            let same =
                |known: &&mut Unverified| known.path == unverified.path && known.reason == unverified.reason;
            match self.verdict.unverified.iter_mut().find(same) {
                Some(known) => {
                    let new = unverified.files.into_iter().filter(|file| !known.files.contains(file));
                    let new: Vec<_> = new.collect();
                    known.files.extend(new);
                }
                None => self.verdict.unverified.push(unverified),
            }
        }
    }
}

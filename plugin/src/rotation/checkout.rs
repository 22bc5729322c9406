//! A branch of the repository, and the work tree in which its files are renewed.

use super::GO_ON;
use super::at_commit::{Commits, For, Standing};
use super::leftover::{Change, is_ours, judge, sweep};
use super::renew::{Renewal, Renewed, renew};
use super::scope::{Listing, rule_changes};
use crate::failpoint;
use crate::files::Batch;
use crate::secrets::{Configs, file_failure, shown};
use kubiya_hook::edge::{Failure, Kind};
use kubiya_hook::git::work::{Pushed, RemoteBranch, WorkTree};
use kubiya_hook::git::{ObjectId, ProcessError};
use std::path::PathBuf;

/// What a commit of ours says in its last lines, by which it is known again.
const TRAILER: &str = "Kubiya-Rotation: ";
/// How often files are renewed again because the branch moved on.
const TRIES: usize = 10;

/// A branch and its work tree.
#[derive(Debug)]
pub struct Checkout {
    /// The work tree.
    pub tree: WorkTree,
    /// The branch of the remote that Flux follows.
    pub branch: RemoteBranch,
    /// Whether the work tree is the operator's own.
    pub own: bool,
}

/// What is wanted of a branch.
pub struct Wanted<'w> {
    /// How the files are renewed.
    pub renewal: Renewal<'w>,
    /// The recipient whose files are meant.
    pub old: &'w str,
    /// The recipient that comes.
    pub new: &'w str,
    /// Whether a commit has what is wanted.
    pub met: &'w (dyn Fn(&Standing) -> bool + Sync),
    /// The message of the commit, without our trailer.
    pub message: &'w str,
    /// What the trailer says.
    pub trailer: &'w str,
    /// How far to go.
    pub publish: Publish,
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("message", &self.message).finish_non_exhaustive()
    }
}

/// What becomes of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// It is pushed to the branch.
    Push,
    /// It stays in the clone.
    Keep,
    /// It is pushed to a branch of its own, to be merged by others.
    Propose(String),
}

/// Where a branch is afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The branch has what is wanted; how many files were changed for it now.
    There {
        /// The commit.
        commit: ObjectId,
        /// Files that were changed by this call.
        changed: usize,
    },
    /// It will have it when the commit is pushed.
    Kept(ObjectId),
    /// It will have it when this branch is merged.
    Proposed(String),
}

impl Checkout {
    /// Brings the branch to where it has what is wanted: renews, commits, pushes; and if it moved on meanwhile,
    /// renews what came in.
    ///
    /// # Errors
    /// A file that cannot be renewed, a commit that a hook refuses, a push that is refused, commits and changes of
    /// the operator's in the way.
    pub fn publish(&self, wanted: &Wanted<'_>, commits: &mut Commits) -> Result<Published, Failure> {
        let mut changed = 0;
        for _ in 0..TRIES {
            let tip = self.tip()?;
            if (wanted.met)(&commits.standing(tip)?) {
                self.follow(tip, wanted, commits)?;
                return Ok(Published::There { commit: tip, changed });
            }
            if let Publish::Propose(branch) = &wanted.publish
                && self.is_proposed(branch, tip, wanted, commits)?
            {
                return Ok(Published::Proposed(branch.clone()));
            }
            let head = self.start_from(tip, wanted, commits)?;
            let commit = if (wanted.met)(&commits.standing(head)?) {
                head
            } else {
                let paths = self.renew_files(wanted)?;
                changed = paths.len();
                self.commit(wanted, &paths)?
            };
            if !(wanted.met)(&commits.standing(commit)?) {
                return Err(self.unmet(&commits.standing(commit)?, wanted.met));
            }
            if let Some(published) = self.hand_over(wanted, commit, changed, tip)? {
                return Ok(published);
            }
        }
        Err(Failure::new(Kind::Partial, format!("{} moved on {TRIES} times in a row", self.branch))
            .hint(GO_ON))
    }

    /// The tip of the branch as the remote has it.
    ///
    /// # Errors
    /// The remote cannot be reached, or has no such branch.
    pub fn tip(&self) -> Result<ObjectId, Failure> {
        let fetched = self.tree.fetch(&self.branch.remote, Some(&self.branch.branch));
        let tip = fetched.map_err(|error| git_failure("cannot fetch", &self.branch, &error))?;
        tip.ok_or_else(|| Failure::unverified(format!("there is no branch {}", self.branch)))
    }

    /// Gives the commit away. `None` where the branch moved on and all is to be done again.
    fn hand_over(
        &self,
        wanted: &Wanted<'_>,
        commit: ObjectId,
        changed: usize,
        tip: ObjectId,
    ) -> Result<Option<Published>, Failure> {
        let to = match &wanted.publish {
            Publish::Keep => return Ok(Some(Published::Kept(commit))),
            Publish::Push => self.branch.clone(),
            Publish::Propose(branch) => RemoteBranch { branch: branch.clone(), ..self.branch.clone() },
        };
        let replacing = match wanted.publish {
            Publish::Propose(_) => Some(self.proposed_before(&to, tip, wanted)?),
            _ => None,
        };
        failpoint::at("before push");
        let pushed = self.tree.push(&to, replacing);
        failpoint::at("after push");
        match (pushed.map_err(|error| git_failure("cannot push", &to, &error))?, &wanted.publish) {
            (Pushed::Done, Publish::Propose(branch)) => Ok(Some(Published::Proposed(branch.clone()))),
            (Pushed::Done, _) => Ok(Some(Published::There { commit, changed })),
            (Pushed::Rejected(said), Publish::Push) if self.tip()? == tip => Err(refused(&to, &said)),
            (Pushed::Rejected(said), Publish::Propose(_)) => Err(refused(&to, &said)),
            (Pushed::Rejected(_), _) => Ok(None),
        }
    }

    /// What is on the branch that is to be proposed; what others added to it is not to be lost.
    fn proposed_before(
        &self,
        to: &RemoteBranch,
        tip: ObjectId,
        wanted: &Wanted<'_>,
    ) -> Result<Option<ObjectId>, Failure> {
        // That it is not there is no failure.
        let Ok(Some(there)) = self.tree.fetch(&to.remote, Some(&to.branch)) else { return Ok(None) };
        let from = self.tree.merge_base(tip, there);
        if from.is_some_and(|from| is_ours(&self.tree, from, there, wanted)) {
            return Ok(Some(there));
        }
        Err(Failure::new(Kind::Partial, "the branch has commits of others, which would be lost")
            .at(to.to_string())
            .hint("merge it, or delete it and what is not wanted of it; then:")
            .hint(GO_ON))
    }

    /// Whether the branch that was proposed is there, up to date and has what is wanted.
    fn is_proposed(
        &self,
        branch: &str,
        tip: ObjectId,
        wanted: &Wanted<'_>,
        commits: &mut Commits,
    ) -> Result<bool, Failure> {
        // That it is not there is no failure.
        let Ok(Some(proposed)) = self.tree.fetch(&self.branch.remote, Some(branch)) else { return Ok(false) };
        Ok(self.tree.is_ancestor(tip, proposed) && (wanted.met)(&commits.standing(proposed)?))
    }

    /// What of the operator's is in the way in the work tree, before anything is changed.
    ///
    /// # Errors
    /// Commits that are not pushed; changes of the files that would be renewed.
    pub fn look(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let (tip, head) = (self.tip()?, self.head()?);
        let ahead = self.is_ahead(tip, head, wanted).map(|_| ());
        let results = [ahead, self.leftovers(head, wanted).map(|_| ())];
        let problems = results.into_iter().filter_map(Result::err).collect::<Vec<_>>();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Failure::all("the work tree is not as it must be", problems))
        }
    }

    /// Whether there are commits of ours that are not pushed. Those of the operator stop us, and so does what was
    /// added to ours.
    fn is_ahead(&self, tip: ObjectId, head: ObjectId, wanted: &Wanted<'_>) -> Result<bool, Failure> {
        let ahead = self
            .tree
            .messages(tip, head)
            .map_err(|error| git_failure("cannot look at", &self.branch, &error))?;
        if ahead.is_empty() || self.are_ours(&ahead, tip, head, wanted) {
            return Ok(!ahead.is_empty());
        }
        let what = format!("{} commits of the clone are not on {} yet", ahead.len(), self.branch);
        Err(Failure::usage(what)
            .at(shown(self.tree.top()))
            .because_of("they hold more than new keys, and would be pushed together with them, or be lost")
            .hint("git push   # or move them to another branch; then run this again"))
    }

    fn are_ours(&self, messages: &[String], tip: ObjectId, head: ObjectId, wanted: &Wanted<'_>) -> bool {
        let marked = messages.iter().all(|message| message.contains(TRAILER));
        let from = self.tree.merge_base(tip, head);
        marked && from.is_some_and(|from| is_ours(&self.tree, from, head, wanted))
    }

    /// Makes the work tree a good place to start from: at the tip, or at commits of ours on top of it.
    fn start_from(
        &self,
        tip: ObjectId,
        wanted: &Wanted<'_>,
        commits: &mut Commits,
    ) -> Result<ObjectId, Failure> {
        let head = self.head()?;
        let ahead = self.is_ahead(tip, head, wanted)?;
        let usable = self.tree.is_ancestor(tip, head) && (!ahead || (wanted.met)(&commits.standing(head)?));
        self.undo_leftovers(head, wanted)?;
        if usable || head == tip {
            return Ok(head);
        }
        // What is lost are commits of ours, which are made again from what is there now.
        failpoint::at("before moving to the tip");
        self.tree.move_to(tip).map_err(|error| {
            git_failure("cannot bring the work tree up to", &self.branch, &error)
                .hint("git pull --rebase   # then run this again")
        })?;
        Ok(tip)
    }

    fn head(&self) -> Result<ObjectId, Failure> {
        self.tree
            .resolve("HEAD")
            .ok_or_else(|| Failure::unverified("there is no commit yet").at(shown(self.tree.top())))
    }

    /// Moves the work tree to the tip where nothing is in the way: forward, or back from commits of ours that are not
    /// wanted any more. That it stays where it is is no failure.
    fn follow(&self, tip: ObjectId, wanted: &Wanted<'_>, commits: &mut Commits) -> Result<(), Failure> {
        let head = self.head()?;
        let forward = || self.tree.is_ancestor(head, tip);
        let ahead = self.tree.messages(tip, head).unwrap_or_default();
        let ours = !ahead.is_empty() && self.are_ours(&ahead, tip, head, wanted);
        if head != tip && (forward() || (ours && !(wanted.met)(&commits.standing(head)?))) {
            let _ = self.tree.move_to(tip);
        }
        Ok(())
    }

    /// Takes back what a run that was killed left in the work tree.
    fn undo_leftovers(&self, head: ObjectId, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let ours = self.leftovers(head, wanted)?;
        let top = self.tree.top();
        let committed =
            self.tree.committed().map_err(|error| git_failure("cannot look at", &self.branch, &error))?;
        let folders = committed.iter().filter_map(|path| Some(top.join(path.parent()?))).collect();
        sweep(&folders, [wanted.old, wanted.new]);
        if ours.is_empty() {
            return Ok(());
        }
        self.tree.restore(&ours).map_err(|error| git_failure("cannot restore files of", &self.branch, &error))
    }

    /// New versions of files that a run left that was killed before they were committed. Anything else that was
    /// changed there is the operator's, and stops us.
    fn leftovers(&self, head: ObjectId, wanted: &Wanted<'_>) -> Result<Vec<PathBuf>, Failure> {
        self.tree.refresh();
        let top = self.tree.top();
        let changed =
            self.tree.changed().map_err(|error| git_failure("cannot look at", &self.branch, &error))?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for path in changed {
            match judge(&self.tree, head, &path, wanted) {
                Change::Unrelated => {}
                Change::Ours => ours.push(path),
                Change::Theirs => theirs.push(
                    Failure::usage("it has changes that are not committed")
                        .at(shown(&top.join(path)))
                        .hint("git commit or git stash what is not committed, then run this again"),
                ),
            }
        }
        if theirs.is_empty() {
            return Ok(ours);
        }
        let what =
            format!("{} files that would be renewed have changes that are not committed", theirs.len());
        Err(Failure::all(what, theirs))
    }

    /// Puts new versions of rules and files in place, and gives the paths, from the top.
    fn renew_files(&self, wanted: &Wanted<'_>) -> Result<Vec<PathBuf>, Failure> {
        let top = self.tree.top();
        let configs = Configs::new(None, Some(top.to_owned()));
        let listing = Listing::of(&[], top, &configs)?;
        let committed =
            self.tree.committed().map_err(|error| git_failure("cannot look at", &self.branch, &error))?;
        // What is only staged is the operator's to commit.
        let is_committed = |path: &PathBuf| path.strip_prefix(top).is_ok_and(|path| committed.contains(path));
        let files = listing.files.into_iter().filter(is_committed).collect::<Vec<_>>();
        let (mut batch, mut paths) = (Batch::default(), Vec::new());
        for (path, renewed) in renew(&files, &listing.failures, &wanted.renewal, &configs, true)? {
            if let Renewed::Anew { staged: Some(staged), .. } = renewed {
                paths.push(path);
                batch.add(staged);
            }
        }
        if let Some(change) = wanted.renewal.change {
            let configs = listing.configs.into_iter().filter(is_committed).collect::<Vec<_>>();
            for (path, staged) in rule_changes(&configs, change)? {
                paths.push(path);
                batch.add(staged);
            }
        }
        failpoint::at("before files are put in place");
        put_in_place(batch)?;
        failpoint::at("after files are put in place");
        Ok(paths.into_iter().filter_map(|path| Some(path.strip_prefix(top).ok()?.to_owned())).collect())
    }

    fn commit(&self, wanted: &Wanted<'_>, paths: &[PathBuf]) -> Result<ObjectId, Failure> {
        if paths.is_empty() {
            return self.head();
        }
        let message = format!("{}\n\n{TRAILER}{}\n", wanted.message.trim_end(), wanted.trailer);
        failpoint::at("before commit");
        let commit = self.tree.commit(&message, paths).map_err(|error| {
            Failure::new(Kind::Partial, "the files have their new keys, but they could not be committed")
                .at(shown(self.tree.top()))
                .because(&error)
                .hint(GO_ON)
        });
        failpoint::at("after commit");
        commit
    }

    /// What keeps a commit from having what is wanted: what is for the old key alone, and where that is not all, what
    /// is for both.
    fn unmet(&self, standing: &Standing, met: &dyn Fn(&Standing) -> bool) -> Failure {
        let mut without_old = standing.clone();
        without_old.files.retain(|_, which| *which != For::Old);
        let both = if met(&without_old) { None } else { Some(standing.paths(For::Both)) };
        let behind = standing.paths(For::Old).chain(both.into_iter().flatten());
        let problems = behind.map(|path| {
            Failure::unverified("it still needs the old key and could not be renewed from the work tree")
                .at(shown(path))
        });
        Failure::all(format!("not all files of {} could be renewed", self.branch), problems.collect())
            .hint("git sparse-checkout disable   # files that are not in the work tree cannot be renewed")
    }
}

/// Puts all in place.
pub(crate) fn put_in_place(batch: Batch) -> Result<(), Failure> {
    let failed = batch.put_in_place();
    if failed.is_empty() {
        return Ok(());
    }
    let problems = failed.iter().map(|(path, error)| file_failure(path, error)).collect::<Vec<_>>();
    let what = format!("{} files could not be replaced; the others are: run the same again", problems.len());
    Err(Failure::all(what, problems).of_kind(Kind::Partial))
}

fn refused(to: &RemoteBranch, said: &str) -> Failure {
    Failure::new(Kind::Partial, format!("{to} does not take the push"))
        .because_of(said.to_owned())
        .hint(GO_ON)
        .hint("kubectl kubiya rotate-key --continue --pull-request   # by a branch that others merge")
}

pub(crate) fn git_failure(what: &str, branch: &RemoteBranch, error: &ProcessError) -> Failure {
    Failure::new(Kind::Partial, format!("{what} {branch}")).because(error).hint(GO_ON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn only_what_is_behind_is_named_where_not_all_could_be_renewed() {
        let branch = RemoteBranch { remote: "origin".to_owned(), branch: "main".to_owned() };
        let checkout = Checkout { tree: WorkTree::at(Path::new(".")), branch, own: true };
        let files = [("old.yaml", For::Old), ("both.yaml", For::Both), ("new.yaml", For::New)];
        let standing =
            Standing { files: files.map(|(path, which)| (path.into(), which)).into(), ..Standing::default() };
        let named = |met: &dyn Fn(&Standing) -> bool| {
            let text = format!("{:?}", checkout.unmet(&standing, met));
            files.map(|(path, _)| path).into_iter().filter(|path| text.contains(path)).collect::<Vec<_>>()
        };
        assert_eq!(named(&Standing::has_overlap), ["old.yaml"]);
        assert_eq!(named(&Standing::is_done), ["old.yaml", "both.yaml"]);
    }
}

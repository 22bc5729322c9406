//! What a rotation was asked for, kept in the clone between its runs. Nothing depends on it for safety: where a
//! rotation stands is read from Git and the clusters.

use super::{Foreign, Intent};
use clap::Args;
use kubiya_hook::edge::Failure;
use kubiya_hook::git::work::WorkTree;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a rotation goes its way.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Git and clusters")]
pub struct Way {
    /// Another cluster whose Flux decrypts with the key; may be repeated
    #[arg(long, value_name = "CONTEXT")]
    pub also_context: Vec<String>,
    /// Another branch of the repository that Flux follows; may be repeated
    #[arg(long = "branch", value_name = "BRANCH")]
    pub branches: Vec<String>,
    /// Push each commit to a branch of its own and stop: others merge it, --continue goes on
    #[arg(long, conflicts_with = "no_push")]
    pub pull_request: bool,
    /// Stop after each commit: you push it, --continue goes on
    #[arg(long)]
    pub no_push: bool,
    /// Push to the branch from now on, although the rotation was begun otherwise
    #[arg(long, conflicts_with_all = ["no_push", "pull_request"])]
    #[serde(skip)]
    pub push: bool,
    /// The message of the commits
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    /// A GitRepository that follows this repository although its URL is another one; may be repeated
    #[arg(long = "source", value_name = "NAMESPACE/NAME")]
    pub sources: Vec<String>,
    /// A source that Flux decrypts from and that no longer needs the old key, as you know; may be repeated
    #[arg(long = "source-done", value_name = "KIND/NAMESPACE/NAME")]
    pub sources_done: Vec<String>,
    /// A Kustomization that is not waited for, because it is suspended or fails; may be repeated
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub skip_wait: Vec<String>,
    /// What becomes of files that are also for keys of other kinds, such as KMS or PGP [default: stop]
    #[arg(long, value_name = "CHOICE", help_heading = None::<&str>)]
    pub foreign: Option<Foreign>,
    /// Somebody knows the old key: it goes as soon as nothing needs it, and the values that it reads are listed
    #[arg(long)]
    pub compromised: bool,
    /// How long the old key stays with Flux after nothing needs it: old branches and reverts bring old files back
    /// [default: 7 days]
    #[arg(long, value_name = "DURATION", value_parser = a_duration, verbatim_doc_comment)]
    pub retire_after: Option<String>,
    /// Where the old key is kept when Flux has it no more: a new file, encrypted to the new key
    #[arg(long, value_name = "FILE", conflicts_with = "drop_old")]
    pub keep_old: Option<PathBuf>,
    /// Keep the old key nowhere: what only it reads is lost
    #[arg(long)]
    pub drop_old: bool,
}

/// A duration that can be written down again.
fn a_duration(text: &str) -> Result<String, String> {
    crate::duration::parse(text).map(|_| text.to_owned())
}

impl Way {
    /// What is asked for now, and where nothing is, what was asked for before.
    #[must_use]
    pub fn or(self, before: Self) -> Self {
        let list = |now: Vec<String>, before: Vec<String>| if now.is_empty() { before } else { now };
        Self {
            also_context: list(self.also_context, before.also_context),
            branches: list(self.branches, before.branches),
            // One of them at a time.
            pull_request: self.pull_request || (before.pull_request && !self.no_push && !self.push),
            no_push: self.no_push || (before.no_push && !self.pull_request && !self.push),
            push: self.push,
            message: self.message.or(before.message),
            sources: list(self.sources, before.sources),
            sources_done: list(self.sources_done, before.sources_done),
            skip_wait: list(self.skip_wait, before.skip_wait),
            foreign: self.foreign.or(before.foreign),
            compromised: self.compromised || before.compromised,
            retire_after: self.retire_after.or(before.retire_after),
            keep_old: self.keep_old.or(if self.drop_old { None } else { before.keep_old }),
            drop_old: self.drop_old || before.drop_old,
        }
    }
}

impl Way {
    /// What becomes of files that are also for keys of other kinds.
    #[must_use]
    pub fn foreign(&self) -> Foreign {
        self.foreign.unwrap_or(Foreign::Stop)
    }

    /// How commits reach the branch, where they are not pushed to it.
    #[must_use]
    pub fn publish(&self) -> Option<String> {
        match (self.pull_request, self.no_push) {
            (true, _) => Some("pull-request".to_owned()),
            (_, true) => Some("no-push".to_owned()),
            _ => None,
        }
    }

    /// As it was begun, where nothing else is asked for: another clone has no journal.
    #[must_use]
    pub fn begun(mut self, publish: Option<&str>) -> Self {
        if self.publish().is_none() && !self.push {
            self.pull_request = publish == Some("pull-request");
            self.no_push = publish == Some("no-push");
        }
        self
    }
}

/// A rotation as its operator asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The two keys.
    pub intent: Intent,
    /// How.
    #[serde(default)]
    pub way: Way,
    /// The file in which the new identity is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<PathBuf>,
}

impl Journal {
    /// Reads the journal of a clone; `None` where there is none, or none that can be read: it is never needed.
    #[must_use]
    pub fn read(tree: &WorkTree) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path(tree).ok()?).ok()?).ok()
    }

    /// Writes it, in place of what was there, durably.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, tree: &WorkTree) -> Result<(), Failure> {
        let path = path(tree)?;
        let folder = path.parent().unwrap_or(&path).to_owned();
        let failed = |error: &std::io::Error| {
            Failure::unverified("cannot write what is under way")
                .at(path.display().to_string())
                .because(error)
        };
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        std::fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
        let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(|error| failed(&error))?;
        std::io::Write::write_all(&mut file, &text).map_err(|error| failed(&error))?;
        file.as_file().sync_all().map_err(|error| failed(&error))?;
        file.persist(&path).map_err(|error| failed(&error.error))?;
        Ok(())
    }

    /// Takes it away: nothing is under way.
    pub fn remove(tree: &WorkTree) {
        if let Ok(path) = path(tree) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Beside Git's own files, shared by all work trees of the clone.
fn path(tree: &WorkTree) -> Result<PathBuf, Failure> {
    let folder =
        tree.common_folder().map_err(|error| Failure::usage("not in a Git repository").because(&error))?;
    Ok(folder.join("kubiya/rotation.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_now_comes_first() {
        let before = Way {
            pull_request: true,
            branches: vec!["a".to_owned()],
            compromised: true,
            foreign: Some(Foreign::Skip),
            ..Way::default()
        };
        let now = Way { no_push: true, ..Way::default() };
        let both = now.or(before);
        assert_eq!((both.no_push, both.pull_request, both.compromised), (true, false, true));
        assert_eq!((both.branches.as_slice(), both.foreign()), (&["a".to_owned()][..], Foreign::Skip));
        let now = Way { foreign: Some(Foreign::Stop), ..Way::default() };
        assert_eq!(now.or(both).foreign(), Foreign::Stop);
    }
}

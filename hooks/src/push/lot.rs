//! The parts of a push that are judged one by one, by whatever thread has time.

use super::Carrier;
use super::elders::Elders;
use crate::git::{GitError, Introduced, Kind, ObjectId, Repository, TreeSnapshot};
use crate::judge::{Entry, File, Judge, Verdict};
use crate::spread::Work;
use bstr::ByteSlice as _;

/// Files that are judged together: enough that a thread has something to do, and that those of one folder are
/// mostly in one lot.
pub(super) const MOST_FILES: usize = 64;

/// What is judged, and where it belongs.
pub(super) struct Lot {
    pub(super) origin: Origin,
    pub(super) content: Content,
}

/// What a part of the push belongs to. By the number, parts of one commit come together again.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) number: usize,
    pub(super) carrier: Carrier,
    pub(super) update: Option<usize>,
}

pub(super) enum Content {
    /// Files of one tree.
    Files { tree: ObjectId, files: Vec<Introduced> },
    /// An object that no path leads to: a blob, or the message of a tag.
    Pathless(ObjectId),
    /// The message of a commit.
    Message(ObjectId),
}

/// What was found in a lot, or that it could not be judged.
pub(super) struct Judged {
    pub(super) origin: Origin,
    pub(super) verdict: Verdict,
}

/// Judges lots; each thread has its own repository, and all share one judge.
pub(super) struct Judging<'p> {
    pub(super) judge: &'p Judge,
    pub(super) elders: &'p Elders,
}

impl Work for Judging<'_> {
    type Tool = Repository;
    type Job = Lot;
    type Done = Judged;
    type Fault = GitError;

    fn another(&self, repository: &Repository) -> Result<Repository, GitError> {
        repository.another()
    }

    fn one(&self, repository: &Repository, lot: Lot) -> Result<Option<Judged>, GitError> {
        let verdict = match lot.content {
            Content::Files { tree, files } => {
                let file = |file: Introduced| {
                    let entry = Entry { kind: file.kind, id: Some(file.id) };
                    File { path: file.path, entry }
                };
                let elders = self.elders.rules(repository);
                let snapshot = TreeSnapshot::new(repository, tree);
                self.judge.judge_beside(&snapshot, &elders, files.into_iter().map(file))
            }
            Content::Pathless(id) | Content::Message(id) => self.pathless(repository, id)?,
        };
        let says = !verdict.is_empty() || !verdict.sealed.is_empty();
        Ok(says.then_some(Judged { origin: lot.origin, verdict }))
    }
}

impl Judging<'_> {
    fn pathless(&self, repository: &Repository, id: ObjectId) -> Result<Verdict, GitError> {
        let (kind, bytes) = repository.read(id)?.ok_or(GitError::Missing(id))?;
        Ok(match kind {
            Kind::Tag | Kind::Commit => Judge::judge_message(message(&bytes)),
            Kind::Blob | Kind::Tree => self.judge.judge_pathless(id, &bytes),
        })
    }
}

/// The part of a tag or a commit that its author wrote: what follows the first blank line.
fn message(object: &[u8]) -> &[u8] {
    object.find(b"\n\n").map_or(&[], |at| &object[at + 2..])
}

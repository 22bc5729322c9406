//! Judging many files of one snapshot by all cores.

use super::charts::Asked;
use super::{File, Judge, Snapshot, Verdict};
use crate::spread::{Work, spread};
use std::convert::Infallible;

/// Files that are judged together; those of one folder are mostly in one lot.
const MOST_FILES: usize = 64;

struct Apart<'j, S> {
    judge: &'j Judge,
    snapshot: &'j S,
    asked: Asked,
}

impl<S: Snapshot + Sync> Work for Apart<'_, S> {
    type Tool = ();
    type Job = Vec<File>;
    type Done = Verdict;
    type Fault = Infallible;

    fn another(&self, (): &()) -> Result<(), Infallible> {
        Ok(())
    }

    fn one(&self, (): &(), files: Vec<File>) -> Result<Option<Verdict>, Infallible> {
        let verdict = self.judge.judge_part::<S, S>(self.snapshot, &[], files, &self.asked);
        Ok((!verdict.is_empty()).then_some(verdict))
    }
}

impl Judge {
    /// As [`Judge::judge`], by all cores.
    pub fn judge_apart<S: Snapshot + Sync>(&self, snapshot: &S, files: Vec<File>) -> Verdict {
        let parts = spread(&Apart { judge: self, snapshot, asked: Asked::default() }, &(), |give| {
            let mut files = files.into_iter().peekable();
            while files.peek().is_some() {
                let lot: Vec<_> = files.by_ref().take(MOST_FILES).collect();
                let weight = lot.len();
                give(lot, weight)?;
            }
            Ok(())
        });
        match parts {
            Ok(parts) => Verdict::of_parts(parts),
        }
    }
}

//! The forms of a report on standard output.

use super::{checkstyle, github, gitlab, json, junit, sarif};
use crate::judge::Verdict;
use clap::ValueEnum;

/// A form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs: one object, with the version of its form in `schema`
    Json,
    /// SARIF 2.1.0, as code scanning takes it
    Sarif,
    /// `JUnit` XML: a failed test for each finding that stops a commit
    Junit,
    /// Annotations of a run of GitHub Actions
    Github,
    /// Code quality report of GitLab
    Gitlab,
    /// Checkstyle XML
    Checkstyle,
}

/// A report for programs could not be written: a fault of ours, whatever was found.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unwritable(String);

impl From<serde_json::Error> for Unwritable {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Unwritable {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl Format {
    /// The report for programs, without the last line end; `None` for the form for people. `count` is how many
    /// files or commits were judged.
    ///
    /// # Errors
    /// None that is known.
    pub fn report(self, verdict: &Verdict, count: usize) -> Result<Option<String>, Unwritable> {
        Ok(Some(match self {
            Format::Text => return Ok(None),
            Format::Json => json::report(verdict, count)?,
            Format::Sarif => sarif::report(verdict)?,
            Format::Junit => junit::report(verdict, count)?,
            Format::Github => github::report(verdict),
            Format::Gitlab => gitlab::report(verdict)?,
            Format::Checkstyle => checkstyle::report(verdict)?,
        }))
    }
}

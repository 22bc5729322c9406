//! Tables for people.

use crate::duration;
use crate::worker::{Added, Record, left};
use jiff::Timestamp;
use kubiya_hook::edge::Failure;

/// What came of many workers: one line each, those that failed last, so that they are seen.
pub(crate) fn outcomes<'a>(
    all: impl Iterator<Item = (&'a str, Result<&'a Added, &'a Failure>)>,
    now: Timestamp,
) -> String {
    let row = |name: &str, cells: [String; 4]| [vec![name.to_owned()], cells.to_vec()].concat();
    let (mut well, mut failed) = (Vec::new(), Vec::new());
    for (name, outcome) in all {
        match outcome {
            Ok(added) => {
                let record = &added.obtained.record;
                let word = if added.changed() > 0 { "changed" } else { "unchanged" };
                let who = added.obtained.username.clone().unwrap_or_else(|| "-".to_owned());
                let kind = record.kind.word().to_owned();
                well.push(row(name, [word.to_owned(), kind, expires(record, now), who]));
            }
            Err(failure) => {
                let why = failure.lines().join("; ");
                let why = why.strip_prefix(&format!("worker {name}: ")).unwrap_or(&why).to_owned();
                failed.push(row(name, ["failed".to_owned(), "-".to_owned(), "-".to_owned(), why]));
            }
        }
    }
    if well.is_empty() && failed.is_empty() {
        return String::new();
    }
    let header =
        ["NAME", "RESULT", "CREDENTIAL", "EXPIRES", "FLUX IS, OR WHY NOT"].map(str::to_owned).to_vec();
    columns(&[vec![header], well, failed].concat())
}

/// How long credentials live from now on.
pub(super) fn expires(record: &Record, now: Timestamp) -> String {
    match record.expires {
        None => "never".to_owned(),
        Some(end) if end <= now => "expired".to_owned(),
        Some(end) => duration::long(left(end, now)),
    }
}

/// Columns as kubectl sets them: three blanks between.
pub(super) fn columns(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("   ").trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Action, Applied};
    use crate::worker::{CredentialKind, Obtained, Scope};

    fn added(name: &str, action: Action) -> Added {
        let record = Record {
            worker: name.to_owned(),
            kind: CredentialKind::Minted,
            server: "https://w".to_owned(),
            cluster: None,
            expires: Some("2027-11-21T12:00:00Z".parse().unwrap()),
            token_secret: None,
            scope: Scope::Cluster,
            audience: None,
        };
        let username = Some("system:serviceaccount:kubiya-1f0c9e2a:flux".to_owned());
        let obtained = Obtained {
            record,
            kept: None,
            username,
            applied: Vec::new(),
            granted: None,
            warnings: Vec::new(),
        };
        let stored = vec![Applied::new("Secret", name.to_owned(), action)];
        Added { own_key: Vec::new(), obtained, stored, revoked: 0 }
    }

    #[test]
    fn those_that_failed_come_last_and_say_why() {
        let (one, two) = (added("a", Action::Created), added("worker02", Action::Unchanged));
        let failure = Failure::unverified("cannot reach the API server").at("worker b");
        let all = [("a", Ok(&one)), ("b", Err(&failure)), ("worker02", Ok(&two))];
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        insta::assert_snapshot!(outcomes(all.into_iter(), now));
        assert_eq!(outcomes(std::iter::empty(), now), "");
    }
}

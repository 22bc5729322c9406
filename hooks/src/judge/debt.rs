//! Old debts: a value that was there before, at the same path and under the same keys, stops nobody.

use super::{File, Found, Judge, Overlay, Snapshot, Standing, Verdict};
use crate::git::EntryKind;
use kubiya_policies::detect::kustomize::is_kustomization_name;
use kubiya_policies::finding::Severity;
use kubiya_policies::values::Subject;
use std::collections::{BTreeSet, HashMap};

/// A path, and the keys in it.
type Keys = (Vec<u8>, String);

/// Where a value is; of a whole file the keys of the first one say nothing.
fn place(found: &Found) -> Keys {
    let place = &found.finding.place;
    let keys = if matches!(found.subject, Subject::File(_)) { "" } else { &place.key_path };
    (place.path.clone(), keys.to_owned())
}

fn start(found: &Found) -> usize {
    found.finding.place.span.as_ref().map_or(0, |span| span.bytes.start)
}

/// Makes warnings of errors about values that were in one of the elders already.
///
/// The elder's file is judged by today's rules, in the part that its own repository gave it then: a file that
/// becomes the source of a Secret was no debt, and a new rule makes none of an old value.
pub fn forgive<S: Snapshot, E: Snapshot>(
    judge: &Judge,
    snapshot: &S,
    elders: &[E],
    changed: impl FnOnce() -> Vec<Vec<u8>>,
    verdict: &mut Verdict,
) {
    let errors = || verdict.found.iter().filter(|found| found.finding.severity == Severity::Error);
    let mut paths: BTreeSet<&[u8]> = errors().map(|found| found.finding.place.path.as_slice()).collect();
    if paths.is_empty() {
        return;
    }
    // What a kustomization made of a file elsewhere, it may have made of it then.
    let name = |path: &[u8]| path.rsplit(|byte| *byte == b'/').next().is_some_and(is_kustomization_name);
    let changed = changed();
    paths.extend(changed.iter().map(Vec::as_slice).filter(|path| name(path)));
    let mut all = Vec::new();
    for elder in elders {
        let mut before: HashMap<Keys, BTreeSet<(usize, Subject)>> = HashMap::new();
        let file = |path: &&[u8]| {
            let entry = elder.entry(path).ok().flatten()?;
            let is_file = matches!(entry.kind, EntryKind::File | EntryKind::Symlink);
            is_file.then(|| File { path: path.to_vec(), entry })
        };
        let files: Vec<_> = paths.iter().filter_map(file).collect();
        let then = Overlay { rules: snapshot, files: elder };
        for found in judge.judge_beside(&then, elders, files).found {
            before.entry(place(&found)).or_default().insert((start(&found), found.subject));
        }
        all.push(before);
    }
    // The same value once more, as in a copy of a Secret below it, is one that was not there.
    let mut seen: HashMap<(Keys, Subject), BTreeSet<usize>> = HashMap::new();
    for found in verdict.found.iter_mut().filter(|found| found.finding.severity == Severity::Error) {
        let starts = seen.entry((place(found), found.subject.clone())).or_default();
        starts.insert(start(found));
        let times = starts.len();
        let is_known = all.iter().filter_map(|before| before.get(&place(found))).any(|before| {
            let mut subjects = before.iter().map(|(_, subject)| subject);
            match found.subject {
                Subject::Value(_) => subjects.filter(|subject| **subject == found.subject).count() >= times,
                Subject::File(_) | Subject::Form => found.subject.is_known_by(&mut subjects),
            }
        });
        if is_known {
            found.finding.severity = Severity::Warning;
            found.finding.message.push_str(", as it was before");
            found.standing = Standing::Debt;
        }
    }
}

//! What a merge makes of files that it only brings together: one side names a file, and the other has it.

use super::roles::Roles;
use super::{File, Judge, Sitting, Snapshot, Verdict, snapshot};
use kubiya_policies::check::Role;

impl Judge {
    /// Judges the references that come into being when the parents of a merge come together. `files` are those
    /// that one parent has and another has not; by themselves, they were judged when they came.
    pub fn judge_joined<S: Snapshot, E: Snapshot, P: Snapshot>(
        &self,
        snapshot: &S,
        elders: &[E],
        parents: &[P],
        files: impl IntoIterator<Item = File>,
    ) -> Verdict {
        let mut sitting = Sitting::new(self, snapshot, elders);
        let mut roles = Roles::default();
        for file in files {
            let seen = sitting.look_again(&file);
            if let (Some(id), true) = (file.entry.id, seen.as_ref().is_some_and(|seen| seen.sealed)) {
                sitting.verdict.joined.push((file.path.clone(), id));
            }
            for reference in seen.iter().flat_map(|seen| &seen.report.references) {
                join(&mut sitting, parents, &file, &reference.path, reference.role);
            }
            let may_be_source = seen.is_none_or(|seen| seen.may_be_source);
            for (names, role) in roles.of(&mut sitting, &file.path, may_be_source) {
                join(&mut sitting, parents, &names, &file.path, role);
            }
        }
        sitting.verdict.settle();
        sitting.verdict
    }
}

/// Judges what a file names, unless it is so in a parent.
fn join<S: Snapshot, E: Snapshot, P: Snapshot>(
    sitting: &mut Sitting<'_, '_, S, E>,
    parents: &[P],
    names: &File,
    path: &[u8],
    role: Role,
) {
    let Ok(Some(target)) = snapshot::follow(sitting.snapshot, path) else { return };
    let has = |parent: &P, file: &File| parent.entry(&file.path).ok().flatten() == Some(file.entry);
    let as_it_was = |parent: &P| {
        let leads = snapshot::follow(parent, path).ok().flatten();
        has(parent, names) && leads.as_ref() == Some(&target)
    };
    if !parents.iter().any(as_it_was) {
        drop(sitting.file(&target, role));
    }
}

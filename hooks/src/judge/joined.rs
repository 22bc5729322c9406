//! What a merge makes of files that it only brings together: one side names a file, and the other has it.

use super::charts::Charts;
use super::roles::Roles;
use super::{File, Found, Judge, Sitting, Snapshot, Verdict, snapshot};
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
        let (mut roles, mut charts) = (Roles::default(), Charts::default());
        for file in files {
            let seen = sitting.look_again(&file);
            if let Some(chart) = charts.of(&sitting, &file.path) {
                self.join_chart(&mut sitting, parents, &chart);
            }
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

impl Judge {
    /// What the files of a chart make together that they made in no parent.
    fn join_chart<S: Snapshot, E: Snapshot, P: Snapshot>(
        &self,
        sitting: &mut Sitting<'_, '_, S, E>,
        parents: &[P],
        chart: &[u8],
    ) {
        let found = sitting.chart(chart);
        if found.is_empty() {
            return;
        }
        let before: Vec<_> =
            parents.iter().map(|parent| Sitting::<P, P>::new(self, parent, &[]).chart(chart)).collect();
        let same = |a: &Found, b: &Found| a.finding.place == b.finding.place && a.subject == b.subject;
        let is_known = |found: &&Found| before.iter().any(|all| all.iter().any(|known| same(known, found)));
        sitting.verdict.found.extend(found.iter().filter(|found| !is_known(found)).cloned());
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

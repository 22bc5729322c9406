//! What the files of a chart make together, by whichever of them it came about.

use super::policy::folders;
use super::{Entry, File, Found, Sitting, Snapshot, Standing};
use crate::git::{EntryKind, ObjectId};
use bstr::ByteSlice as _;
use kubiya_policies::check::{CHART_FILE, ChartFile, MOST_CHART_BYTES, check_chart};
use kubiya_policies::values::subjects;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What was found in charts, by the names of their folders' contents and their paths.
pub(super) type Known = HashMap<(ObjectId, Vec<u8>), Arc<[Found]>>;

/// Charts of which it is remembered.
const MOST_REMEMBERED: usize = 20_000;

/// The charts of one sitting.
#[derive(Default)]
pub(super) struct Charts {
    /// Whether a folder is one of a chart.
    folders: HashMap<Vec<u8>, bool>,
    /// Those that were asked for.
    asked: HashSet<Vec<u8>>,
}

impl Charts {
    /// The folder of the outermost chart that a file is part of, with its slash. Each comes once.
    pub(super) fn of<S: Snapshot, E: Snapshot>(
        &mut self,
        sitting: &Sitting<'_, '_, S, E>,
        path: &[u8],
    ) -> Option<Vec<u8>> {
        let mut chart = None;
        for folder in folders(path) {
            let is_chart = match self.folders.get(folder) {
                Some(known) => *known,
                None => {
                    let file = [folder, CHART_FILE].concat();
                    let is_chart = matches!(sitting.snapshot.entry(&file), Ok(Some(_)));
                    self.folders.insert(folder.to_owned(), is_chart);
                    is_chart
                }
            };
            if is_chart {
                chart = Some(folder);
            }
        }
        chart.filter(|chart| self.asked.insert(chart.to_vec())).map(<[u8]>::to_vec)
    }
}

impl<S: Snapshot, E: Snapshot> Sitting<'_, '_, S, E> {
    /// What the files of a chart make together.
    pub(super) fn chart(&mut self, folder: &[u8]) -> Arc<[Found]> {
        let path = folder.strip_suffix(b"/").unwrap_or(folder);
        let entry = self.snapshot.entry(path).ok().flatten();
        let key = entry.and_then(|entry| entry.id).map(|id| (id, path.to_owned()));
        let remembered = || super::locked(&self.judge.charts);
        if let Some(known) = key.as_ref().and_then(|key| remembered().get(key).cloned()) {
            return known;
        }
        let found: Arc<[Found]> = self.judge_chart(folder).into();
        if let Some(key) = key {
            let mut remembered = super::locked(&self.judge.charts);
            if remembered.len() > MOST_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(key, Arc::clone(&found));
        }
        found
    }

    fn judge_chart(&mut self, folder: &[u8]) -> Vec<Found> {
        let mut contents = vec![(chart_file(folder), Vec::new())];
        // Most of a repository may be below a chart, so that its templates are looked at first.
        for templates in TEMPLATES {
            self.read_below(&[folder, templates].concat(), &mut contents);
        }
        if contents.iter().any(|(_, bytes)| bytes.contains_str(".Files")) {
            self.read_below(folder, &mut contents);
        }
        let parts: Vec<_> =
            contents.iter().map(|(file, bytes)| ChartFile { path: &file.path, bytes }).collect();
        let found = check_chart(&parts).into_iter();
        let about = found.map(|finding| {
            let part = contents.iter().find(|(file, _)| file.path == finding.place.path);
            let bytes = part.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
            let subject =
                subjects(&finding.place.path, bytes, std::slice::from_ref(&finding)).into_iter().next();
            let content = part.and_then(|(file, _)| file.entry.id);
            subject.map(|subject| Found { finding, content, subject, standing: Standing::New })
        });
        about.flatten().collect()
    }

    /// Reads the files below a folder that are not there yet, up to what is judged together and the one beyond it. One
    /// that cannot be read is reported where it came, or was there before.
    fn read_below(&mut self, folder: &[u8], into: &mut Vec<(File, Vec<u8>)>) {
        let files = match self.snapshot.below(folder) {
            Ok(files) => files,
            Err(unreadable) => return self.verdict.unverified.push(unreadable.into()),
        };
        let known: HashSet<_> = into.iter().map(|(file, _)| file.path.clone()).collect();
        let mut size: usize = into.iter().map(|(_, bytes)| bytes.len()).sum();
        for file in files {
            if size > MOST_CHART_BYTES {
                return;
            }
            if file.entry.kind != EntryKind::File || known.contains(&file.path) {
                continue;
            }
            let bytes = self.snapshot.read(&file.path, file.entry).map(|bytes| bytes.to_vec());
            if let Ok(bytes) = bytes {
                size += bytes.len();
                into.push((file, bytes));
            }
        }
    }
}

/// Where a chart has its templates: its own, and those of charts in it.
const TEMPLATES: [&[u8]; 2] = [b"templates/", b"charts/"];

/// What makes a chart of a folder; nothing in it is read.
fn chart_file(folder: &[u8]) -> File {
    File { path: [folder, CHART_FILE].concat(), entry: Entry { kind: EntryKind::File, id: None } }
}

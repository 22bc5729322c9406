//! What bootstrap says on the way.

use crate::bootstrap::{Carried, Event, Inputs, TakenIn, Wait};
use crate::cluster::{Action, Applied, Connection};
use crate::commands::lines::Lines;
use crate::commands::worker::table;
use crate::flux::SyncSpec;
use crate::invocation::Invocation;
use crate::whereabouts;
use crate::worker::{Added, Count};
use jiff::Timestamp;
use kubiya_hook::edge::{Color, Failure, Stream};
use std::collections::BTreeMap;

/// More objects than this of one stage are counted, not listed.
const LISTED: usize = 6;

/// The talk of one run.
pub(super) struct Talk<'a>(Lines<'a>);

impl<'a> Talk<'a> {
    pub(super) fn new(stream: &'a mut Stream) -> Self {
        Self(Lines::new(stream))
    }

    fn say(&mut self, word: &str, color: Color, text: &str) {
        self.0.say(word, color, text);
    }

    pub(super) fn cluster(&mut self, role: &str, connection: &Connection) {
        let text =
            format!("{role}: {} ({}) as {}", connection.server, connection.version, connection.username);
        self.say("connected", Color::Green, &text);
    }

    pub(super) fn sync(&mut self, sync: &SyncSpec, tip: Option<&str>) {
        let path = if sync.path.is_empty() { "./" } else { &sync.path };
        let tip = tip.map(|oid| format!(" at {}", oid.get(..10).unwrap_or(oid))).unwrap_or_default();
        self.say("repository", Color::Green, &format!("{} {}{tip}, {path}", sync.url, sync.branch));
    }

    /// Something that people must see.
    pub(super) fn note(&mut self, word: &str, text: &str) {
        self.say(word, Color::Green, text);
    }

    /// What does not stop the run, with what to do about it.
    pub(super) fn warning(&mut self, warning: &Failure) {
        for line in warning.lines() {
            self.say("warning:", Color::Yellow, &line);
        }
        for cause in warning.causes() {
            self.say("cause:", Color::BrightBlack, &indented(cause));
        }
        for hint in warning.hints() {
            self.say("hint:", Color::Cyan, &indented(hint));
        }
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Begins { stage } => {
                whereabouts::at(format!("while it wrote: {}", stage.title));
            }
            Event::Applied { applied, .. } => {
                self.end_progress();
                self.applied_objects(applied, Action::word);
            }
            Event::Waiting { waits } => {
                whereabouts::at(format!("while it waited for {}", waits_text(waits)));
                self.progress(&waits_text(waits));
            }
            Event::Progress { message } => self.progress(message),
            Event::Waited { waits } => {
                self.end_progress();
                self.say("ready", Color::Green, &waits_text(waits));
            }
        }
    }

    fn applied_objects(&mut self, applied: &[Applied], word: fn(Action) -> &'static str) {
        for action in [Action::Created, Action::Configured, Action::Unchanged] {
            let those: Vec<&Applied> = applied.iter().filter(|a| a.action == action).collect();
            let color = if action == Action::Unchanged { Color::BrightBlack } else { Color::Green };
            if those.len() > LISTED {
                self.say(word(action), color, &count_by_kind(&those));
            } else {
                for one in those {
                    let note = one.not_checkable.map(|why| format!("   (not checkable: {why})"));
                    let text = format!("{} {}{}", one.kind, one.name, note.unwrap_or_default());
                    self.say(word(action), color, &text);
                }
            }
        }
        for one in applied {
            for note in &one.notes {
                self.say("note:", Color::Yellow, &format!("{} {}: {note}", one.kind, one.name));
            }
        }
    }

    /// The revision that Flux has applied.
    pub(super) fn applied(&mut self, revision: &str) {
        self.say("applied", Color::Green, revision);
    }

    /// Shows what is being waited for.
    pub(super) fn progress(&mut self, message: &str) {
        self.0.progress(message);
    }

    pub(super) fn end_progress(&mut self) {
        self.0.end_progress();
    }

    /// The clusters that answered; many of them are counted.
    pub(super) fn answered(&mut self, workers: &[(&str, &str)]) {
        if workers.len() > LISTED {
            self.say("connected", Color::Green, &format!("{} workers", workers.len()));
            return;
        }
        for (name, answered) in workers {
            self.say("connected", Color::Green, &format!("{name}: {answered}"));
        }
    }

    /// A worker that is not taken in, while the rest goes on.
    pub(super) fn left_out(&mut self, problem: &Failure) {
        for line in problem.lines() {
            self.say("left out", Color::Red, &line);
        }
    }

    /// How far it is with the workers.
    pub(super) fn count(&mut self, what: &str, count: Count) {
        self.0.count(what, count.done, count.of, count.failed);
    }

    /// What came of the workers: a few with what was written for each, many as a table.
    pub(super) fn taken_in(&mut self, taken: &TakenIn) {
        if taken.outcomes.len() > LISTED {
            let rows = taken.outcomes.iter().map(|(name, outcome)| (name.as_str(), outcome.as_ref()));
            self.0.block(&table::outcomes(rows, Timestamp::now()));
            return;
        }
        for (name, outcome) in &taken.outcomes {
            if let Ok(added) = outcome
                && added.changed() > 0
            {
                self.worker(name, added);
            }
        }
    }

    /// A worker that Flux reaches now.
    fn worker(&mut self, name: &str, added: &Added) {
        if let Some(username) = &added.obtained.username {
            let end = added.obtained.record.expires.map(|end| format!(", until {end}")).unwrap_or_default();
            self.say("proven", Color::Green, &format!("Flux is {username} on {name}{end}"));
        }
        for warning in &added.obtained.warnings {
            self.say("warning:", Color::Yellow, warning);
        }
        self.applied_objects(&added.stored, Action::word);
    }

    pub(super) fn dry_run(&mut self, carried: &Carried) {
        let word = |action| match action {
            Action::Created => "would create",
            Action::Configured => "would change",
            Action::Unchanged => "unchanged",
        };
        self.applied_objects(&carried.applied, word);
        let text = match carried.changed() {
            0 => "nothing would change".to_owned(),
            changed => {
                format!("{changed} of {} objects would change; nothing was written", carried.applied.len())
            }
        };
        self.say("dry run", Color::Cyan, &text);
    }

    pub(super) fn done(&mut self, carried: &Carried, inputs: &Inputs, invocation: &Invocation) {
        let context =
            inputs.hub.as_ref().map(|hub| format!(" --context {}", hub.context)).unwrap_or_default();
        let text = match carried.changed() {
            0 => format!("nothing to change: all {} are as they should be", objects(carried.applied.len())),
            changed => format!("{} written, {} unchanged", objects(changed), carried.applied.len() - changed),
        };
        self.say("done", Color::Green, &text);
        let look = match invocation {
            Invocation::Flux => format!("flux{context} get kustomizations"),
            _ => format!("kubectl{context} -n {} get gitrepositories,kustomizations", inputs.sync.namespace),
        };
        self.say("next:", Color::Cyan, &look);
    }
}

/// Lines after the first stand below the first.
fn indented(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("\n             ")
}

pub(super) fn objects(count: usize) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}

fn count_by_kind(applied: &[&Applied]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for one in applied {
        *kinds.entry(one.kind.as_str()).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("{} objects: {}", applied.len(), kinds.join(", "))
}

fn waits_text(waits: &[&Wait]) -> String {
    let names =
        |pick: fn(&Wait) -> Option<&str>| waits.iter().filter_map(|wait| pick(wait)).collect::<Vec<_>>();
    let deployments = names(|wait| match wait {
        Wait::RolledOut { name, .. } => Some(name),
        _ => None,
    });
    let definitions = names(|wait| match wait {
        Wait::Established(name) => Some(name),
        _ => None,
    });
    let mut parts = Vec::new();
    if !definitions.is_empty() {
        parts.push(format!("{} definitions served", definitions.len()));
    }
    if !deployments.is_empty() {
        parts.push(format!("rolled out: {}", deployments.join(", ")));
    }
    parts.join("; ")
}

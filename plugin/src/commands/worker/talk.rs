//! What the commands on workers say: lines on stderr.

use crate::cluster::{Action, Applied, Connection};
use crate::commands::lines::Lines;
use crate::worker::Count;
use kubiya_hook::edge::{Color, Stream};

/// The talk of one run.
pub(super) struct Talk<'a> {
    lines: Lines<'a>,
    dry_run: bool,
}

impl<'a> Talk<'a> {
    pub(super) fn new(stream: &'a mut Stream, dry_run: bool) -> Self {
        Self { lines: Lines::new(stream), dry_run }
    }

    pub(super) fn say(&mut self, word: &str, color: Color, text: &str) {
        self.lines.say(word, color, text);
    }

    /// How far it is.
    pub(super) fn count(&mut self, what: &str, count: Count) {
        self.lines.count(what, count.done, count.of, count.failed);
    }

    pub(super) fn end_progress(&mut self) {
        self.lines.end_progress();
    }

    pub(super) fn cluster(&mut self, role: &str, connection: &Connection) {
        let text =
            format!("{role}: {} ({}) as {}", connection.server, connection.version, connection.username);
        self.say("connected", Color::Green, &text);
    }

    pub(super) fn warning(&mut self, text: &str) {
        self.say("warning:", Color::Yellow, text);
    }

    /// What happened to objects, or would happen.
    pub(super) fn applied(&mut self, place: &str, applied: &[Applied]) {
        for one in applied {
            // What is in the repository is on no cluster.
            let place = if one.kind == "File" { "repository" } else { place };
            let word = match (one.action, self.dry_run) {
                (Action::Created, true) => "would create",
                (Action::Configured, true) => "would change",
                (action, _) => action.word(),
            };
            let color = if one.action == Action::Unchanged { Color::BrightBlack } else { Color::Green };
            let note = one.not_checkable.map(|why| format!("   (not checkable: {why})"));
            self.say(word, color, &format!("{place}: {} {}{}", one.kind, one.name, note.unwrap_or_default()));
            for note in &one.notes {
                self.say("note:", Color::Yellow, &format!("{} {}: {note}", one.kind, one.name));
            }
        }
    }

    pub(super) fn next(&mut self, command: &str) {
        self.say("next:", Color::Cyan, command);
    }
}

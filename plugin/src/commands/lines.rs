//! Lines about what is going on: a word and what it is about; a progress line where a person is watching, and a line
//! now and then where nobody is.

use indicatif::{ProgressBar, ProgressStyle};
use kubiya_hook::edge::{Color, Stream};
use std::time::{Duration, Instant};

/// How long a log may go without a line.
const SILENCE: Duration = Duration::from_secs(10);

/// The talk of one run, on stderr.
pub(super) struct Lines<'a> {
    stream: &'a mut Stream,
    progress: Option<ProgressBar>,
    /// Since when it was waited without a line, and what the last one said.
    waiting: Option<(Instant, String)>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(stream: &'a mut Stream) -> Self {
        Self { stream, progress: None, waiting: None }
    }

    /// One line. A closed stderr is no reason to stop.
    pub(super) fn say(&mut self, word: &str, color: Color, text: &str) {
        let word = self.stream.style().paint(&format!("{word:>12}"), color);
        let line = format!("{word} {text}");
        match &self.progress {
            Some(bar) => bar.suspend(|| {
                let _ = self.stream.line(&line);
            }),
            None => {
                let _ = self.stream.line(&line);
            }
        }
    }

    /// Shows what is being waited for.
    pub(super) fn progress(&mut self, message: &str) {
        if message.is_empty() {
            return;
        }
        if !self.stream.is_terminal() {
            self.progress_line(message);
            return;
        }
        let bar = self.progress.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner:>12} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        // Conditions may hold line ends; a progress line has one line.
        bar.set_message(message.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    /// Shows how far it is with many: a bar, where a person is watching.
    pub(super) fn count(&mut self, what: &str, done: usize, of: usize, failed: usize) {
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        if !self.stream.is_terminal() {
            self.progress_line(&format!("{what}: {done} of {of}{failed}"));
            return;
        }
        let bar = self.progress.get_or_insert_with(|| {
            let bar = ProgressBar::new(of as u64);
            let template = "{msg:>12} [{wide_bar}] {pos}/{len}{prefix} {elapsed}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        bar.set_message(what.to_owned());
        bar.set_prefix(failed);
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    }

    /// Lines as they are: a table.
    pub(super) fn block(&mut self, text: &str) {
        self.end_progress();
        let _ = self.stream.bytes(text.as_bytes());
    }

    /// Where nobody is watching, a line now and then, when there is something new to say.
    fn progress_line(&mut self, message: &str) {
        let waiting = self.waiting.get_or_insert_with(|| (Instant::now(), String::new()));
        if waiting.0.elapsed() >= SILENCE && waiting.1 != message {
            *waiting = (Instant::now(), message.to_owned());
            self.say("waiting", Color::Yellow, message);
        }
    }

    pub(super) fn end_progress(&mut self) {
        self.waiting = None;
        if let Some(bar) = self.progress.take() {
            bar.finish_and_clear();
        }
    }
}

impl crate::rotation::Talk for Lines<'_> {
    fn did(&mut self, word: &str, text: &str) {
        self.say(word, Color::Green, text);
    }

    fn warn(&mut self, text: &str) {
        self.say("warning:", Color::Yellow, text);
    }

    fn progress(&mut self, text: &str) {
        Lines::progress(self, text);
    }

    fn end_progress(&mut self) {
        Lines::end_progress(self);
    }
}

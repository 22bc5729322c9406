//! How far a long build is.

use crate::talk::say;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often a build says where it is when stderr is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// The progress of one `go build`: counted in packages.
pub(super) struct Progress {
    label: String,
    total: u64,
    done: u64,
    started: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts to show progress towards at most `total` packages.
    pub(super) fn start(label: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {elapsed} {msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(label.to_owned());
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        let now = Instant::now();
        Self { label: label.to_owned(), total, done: 0, started: now, said: now, bar }
    }

    /// One more package is being compiled.
    pub(super) fn package(&mut self, name: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.done.min(self.total));
                bar.set_message(name.rsplit('/').next().unwrap_or(name).to_owned());
            }
            None => self.now_and_then(),
        }
    }

    /// Something else happened, such as a download.
    pub(super) fn event(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.now_and_then(),
        }
    }

    fn now_and_then(&mut self) {
        if self.said.elapsed() >= PLAIN_EVERY {
            self.said = Instant::now();
            say(format!(
                "{}: {} of at most {} packages compiled, {} s",
                self.label,
                self.done,
                self.total,
                self.started.elapsed().as_secs()
            ));
        }
    }

    /// Ends the display and says how long it took.
    pub(super) fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(format!("{}: done in {} s", self.label, self.started.elapsed().as_secs()));
    }
}

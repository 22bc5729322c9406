//! How far a long call of Go is.

use crate::talk::say;
use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often a call says where it is when stderr is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// A call that takes less says nothing at its end.
const NOT_WORTH_A_WORD: Duration = Duration::from_secs(5);

/// Runs Go, shows what it downloads and, of at most `total`, compiles, and gives what it prints. What
/// else it had to say is in the error.
pub(super) fn follow(label: &str, total: Option<u64>, mut command: Command) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `go`")?;
    let mut stdout = child.stdout.take().context("no pipe")?;
    let stderr = child.stderr.take().context("no pipe")?;
    let printed = std::thread::spawn(move || {
        let mut printed = Vec::new();
        stdout.read_to_end(&mut printed).map(|_| printed)
    });
    let mut progress = Progress::start(label, total);
    let mut said = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        if let Some(module) = line.strip_prefix("go: downloading ") {
            progress.download(module);
        } else if line.contains(' ') {
            said.push(line);
        } else {
            progress.package(&line);
        }
    }
    let status = child.wait()?;
    progress.finish();
    if !status.success() {
        bail!("{label}: `go` failed ({status}):\n{}", said.join("\n"));
    }
    match printed.join() {
        Ok(printed) => Ok(printed?),
        Err(_) => bail!("{label}: the output of `go` was lost"),
    }
}

/// What is shown of one call.
struct Progress {
    label: String,
    total: Option<u64>,
    downloaded: u64,
    compiled: u64,
    started: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn start(label: &str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match total {
                Some(total) => (ProgressBar::new(total), "{prefix} {wide_bar} {pos}/{len} {elapsed} {msg}"),
                None => (ProgressBar::new_spinner(), "{prefix} {spinner} {elapsed} {msg}"),
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(label.to_owned());
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let now = Instant::now();
        Self { label: label.to_owned(), total, downloaded: 0, compiled: 0, started: now, said: now, bar }
    }

    /// One more package is being compiled.
    fn package(&mut self, name: &str) {
        self.compiled += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.compiled.min(self.total.unwrap_or_default()));
        }
        self.show(name.rsplit('/').next().unwrap_or(name));
    }

    /// One more module is being downloaded.
    fn download(&mut self, module: &str) {
        self.downloaded += 1;
        self.show(module);
    }

    fn show(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        } else if self.said.elapsed() >= PLAIN_EVERY {
            self.said = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            say(match self.total {
                Some(total) => format!(
                    "{}: {} of at most {total} packages compiled after {seconds} s",
                    self.label, self.compiled
                ),
                None => format!("{}: {} modules downloaded after {seconds} s", self.label, self.downloaded),
            });
        }
    }

    fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.started.elapsed() >= NOT_WORTH_A_WORD {
            say(format!("{}: done in {} s", self.label, self.started.elapsed().as_secs()));
        }
    }
}

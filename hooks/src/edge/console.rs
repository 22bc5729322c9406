//! The two streams of a process, each with its own decision about colour.

use colored::Colorize as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};

pub use colored::Color;

/// Whether a stream gets colour. Decided for each stream by itself, because stdout may be piped
/// while stderr is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    color: bool,
}

impl Style {
    /// No colour.
    #[must_use]
    pub fn plain() -> Self {
        Self { color: false }
    }

    /// Decides by the usual variables and by whether the stream is a terminal: `NO_COLOR` wins, then
    /// `CLICOLOR_FORCE`, then `CLICOLOR=0` and `TERM=dumb`, then the terminal.
    fn decide(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let color = if set("NO_COLOR").is_some() {
            false
        } else if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            true
        } else if set("CLICOLOR").as_deref() == Some("0") || set("TERM").as_deref() == Some("dumb") {
            false
        } else {
            is_terminal
        };
        Self { color }
    }

    /// Whether this stream gets colour.
    #[must_use]
    pub fn has_color(self) -> bool {
        self.color
    }

    /// The text in bold colour, or as it is where there is none.
    #[must_use]
    pub fn paint(self, text: &str, color: Color) -> String {
        if self.color { text.color(color).bold().to_string() } else { text.to_owned() }
    }

    /// The text in faint type, or as it is where there is no colour.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        if self.color { text.dimmed().to_string() } else { text.to_owned() }
    }
}

/// One output stream.
pub struct Stream {
    writer: Box<dyn Write + Send>,
    style: Style,
    terminal: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("style", &self.style).field("terminal", &self.terminal).finish()
    }
}

impl Stream {
    /// Writes one line.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(format!("{line}\n").as_bytes())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// How to style what goes to this stream.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether a person is watching: progress lines are for terminals only.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A stream into memory, and the handle to read it by: for tests.
    #[must_use]
    pub fn captured(style: Style) -> (Self, Captured) {
        let captured = Captured::default();
        (Self { writer: Box::new(captured.clone()), style, terminal: false }, captured)
    }
}

/// What a captured stream received.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// The text so far; the buffer is empty afterwards.
    #[must_use]
    pub fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// stdout for data, stderr for talk. Handed to every command.
#[derive(Debug)]
pub struct Console {
    /// Data.
    pub out: Stream,
    /// Talk: progress, warnings, errors, hints.
    pub err: Stream,
}

impl Console {
    /// The process's own streams; stdout is buffered, so flush it at the end.
    #[must_use]
    pub fn of_process() -> Self {
        // The crate decides by stdout alone; the decision is ours, for each stream.
        colored::control::set_override(true);
        let variable = |name: &str| std::env::var(name).ok();
        let out_terminal = io::stdout().is_terminal();
        let err_terminal = io::stderr().is_terminal();
        Self {
            out: Stream {
                writer: Box::new(io::BufWriter::new(io::stdout())),
                style: Style::decide(out_terminal, variable),
                terminal: out_terminal,
            },
            err: Stream {
                writer: Box::new(io::stderr()),
                style: Style::decide(err_terminal, variable),
                terminal: err_terminal,
            },
        }
    }

    /// Streams into memory, without colour: for tests. Returns what stdout and stderr receive.
    #[must_use]
    pub fn captured() -> (Self, Captured, Captured) {
        let (out, out_text) = Stream::captured(Style::plain());
        let (err, err_text) = Stream::captured(Style::plain());
        (Self { out, err }, out_text, err_text)
    }

    /// Writes `warning: …` to stderr; a closed stderr is no reason to stop.
    pub fn warn(&mut self, message: &str) {
        let label = self.err.style().paint("warning:", Color::Yellow);
        let _ = self.err.line(&format!("{label} {message}"));
    }

    /// Writes `hint: …` to stderr.
    pub fn hint(&mut self, message: &str) {
        let label = self.err.style().paint("hint:", Color::Cyan);
        let _ = self.err.line(&format!("{label} {message}"));
    }

    /// Ends a command: shows a failure, writes stdout out, gives the exit code. A reader that closed
    /// the pipe early (`| head`) is no error.
    pub fn finish(mut self, outcome: super::Outcome) -> u8 {
        let code = match outcome {
            Ok(code) => code,
            Err(failure) => {
                let _ = self.out.flush();
                let _ = failure.render(&mut self.err);
                failure.kind().exit_code()
            }
        };
        match self.out.flush() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let failure = super::Failure::unverified("cannot write to stdout").because(&error);
                let _ = failure.render(&mut self.err);
                code.max(failure.kind().exit_code())
            }
            _ => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(terminal: bool, variables: &[(&str, &str)]) -> bool {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Style::decide(terminal, variable).color
    }

    #[test]
    fn colour_follows_the_terminal_and_the_usual_variables() {
        assert!(decide(true, &[]));
        assert!(!decide(false, &[]));
        assert!(!decide(true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(decide(true, &[("NO_COLOR", "")]));
        assert!(decide(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!decide(true, &[("CLICOLOR_FORCE", "0"), ("TERM", "dumb")]));
        assert!(!decide(true, &[("CLICOLOR", "0")]));
    }
}

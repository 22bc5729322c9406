//! The one failure that reaches the user, and how it is shown.

use super::{Color, Stream};
use std::io;

/// What kind of failure it is; the exit code follows from it. Documented in the help of both binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Findings, differences, something about to expire: exit code 1.
    Findings,
    /// Wrong usage or bad input: exit code 2.
    Usage,
    /// A preflight failed, or something could not be verified: exit code 3.
    Unverified,
    /// A deadline passed: exit code 4.
    Timeout,
    /// Done in part; a re-run goes on: exit code 5.
    Partial,
    /// Interrupted by the user: exit code 130.
    Interrupted,
}

impl Kind {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Findings => 1,
            Kind::Usage => 2,
            Kind::Unverified => 3,
            Kind::Timeout => 4,
            Kind::Partial => 5,
            Kind::Interrupted => 130,
        }
    }
}

/// What a command gives back: the exit code when it has said all itself, or a failure to be shown.
pub type Outcome = Result<u8, Failure>;

/// A failure as the user sees it: what failed and where, why, and what to type next.
///
/// Made where a library error is converted at the edge; rendered once, by [`Failure::render`].
#[derive(Clone, Debug)]
pub struct Failure(Box<Detail>);

/// Boxed, because every `Result` of the edge would otherwise be as large as this.
#[derive(Clone, Debug)]
struct Detail {
    kind: Kind,
    message: String,
    place: Option<String>,
    causes: Vec<String>,
    problems: Vec<Failure>,
    hints: Vec<String>,
}

impl Failure {
    /// A failure of a kind. The message starts in lower case and has no full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Detail {
            kind,
            message: message.into(),
            place: None,
            causes: Vec::new(),
            problems: Vec::new(),
            hints: Vec::new(),
        }))
    }

    /// Wrong usage or bad input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A preflight failed, or something could not be verified.
    pub fn unverified(message: impl Into<String>) -> Self {
        Self::new(Kind::Unverified, message)
    }

    /// Many problems at once. One alone is returned as it is.
    pub fn all(message: impl Into<String>, mut problems: Vec<Failure>) -> Self {
        if problems.len() == 1 {
            return problems.remove(0);
        }
        let kind =
            problems.iter().map(Failure::kind).max_by_key(|k| k.exit_code()).unwrap_or(Kind::Unverified);
        let mut failure = Self::new(kind, message);
        failure.0.problems = problems;
        failure
    }

    /// Says where: `file:line:column`, an object, a cluster.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(place.into());
        self
    }

    /// Adds an error and everything that it names as its source.
    #[must_use]
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors repeat their source in their own text; say it once.
            if !self.0.causes.last().is_some_and(|last| last.ends_with(&text)) {
                self.0.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a cause in words.
    #[must_use]
    pub fn because_of(mut self, cause: impl Into<String>) -> Self {
        self.0.causes.push(cause.into());
        self
    }

    /// Adds what to type next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Changes what is said to type next, in each of its problems, too.
    #[must_use]
    pub fn map_hints(mut self, change: &dyn Fn(String) -> String) -> Self {
        self.0.hints = self.0.hints.into_iter().map(change).collect();
        self.0.problems = self.0.problems.into_iter().map(|problem| problem.map_hints(change)).collect();
        self
    }

    /// Keeps what is said to type next where it fits, in each of its problems, too.
    #[must_use]
    pub fn keep_hints(mut self, fits: &dyn Fn(&str) -> bool) -> Self {
        self.0.hints.retain(|hint| fits(hint));
        self.0.problems = self.0.problems.into_iter().map(|problem| problem.keep_hints(fits)).collect();
        self
    }

    /// The same failure with another exit code: what is a plain refusal before the first change is
    /// "done in part" after it.
    #[must_use]
    pub fn of_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Why, in words.
    #[must_use]
    pub fn causes(&self) -> &[String] {
        &self.0.causes
    }

    /// What to type next.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// What failed, a line for each problem, without causes and hints: for lists.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        if self.0.problems.is_empty() {
            let place = self.0.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
            return vec![format!("{place}{}", self.0.message)];
        }
        self.0.problems.iter().flat_map(Self::lines).collect()
    }

    /// Writes the failure: `error: …`, where, causes, a blank line, `hint: …`.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn render(&self, stream: &mut Stream) -> io::Result<()> {
        self.render_body(stream, "error")?;
        for problem in &self.0.problems {
            problem.render_body(stream, "problem")?;
        }
        let mut hints: Vec<&str> = Vec::new();
        for hint in self.0.problems.iter().flat_map(|p| &p.0.hints).chain(&self.0.hints) {
            if !hints.contains(&hint.as_str()) {
                hints.push(hint);
            }
        }
        if !hints.is_empty() {
            stream.line("")?;
        }
        for hint in hints {
            let label = stream.style().paint("hint:", Color::Cyan);
            stream.line(&format!("{label} {}", indent_after_first(hint, "      ")))?;
        }
        Ok(())
    }

    fn render_body(&self, stream: &mut Stream, label: &str) -> io::Result<()> {
        let label = stream.style().paint(&format!("{label}:"), Color::Red);
        let place = self.0.place.as_ref().map(|p| format!("{p}: ")).unwrap_or_default();
        stream.line(&format!("{label} {place}{}", self.0.message))?;
        for cause in &self.0.causes {
            stream.line(&format!("  cause: {}", indent_after_first(cause, "         ")))?;
        }
        Ok(())
    }
}

fn indent_after_first(text: &str, indent: &str) -> String {
    text.trim_end().lines().collect::<Vec<_>>().join(&format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::Style;

    fn rendered(failure: &Failure) -> String {
        let (mut stream, text) = Stream::captured(Style::plain());
        failure.render(&mut stream).unwrap();
        text.take()
    }

    #[test]
    fn says_what_where_why_and_what_to_type() {
        let io = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let failure = Failure::usage("cannot read the age key file")
            .at("./age.agekey")
            .because(&io)
            .hint("age-keygen -o age.agekey");
        insta::assert_snapshot!(rendered(&failure), @r"
        error: ./age.agekey: cannot read the age key file
          cause: no such file

        hint: age-keygen -o age.agekey
        ");
        assert_eq!(failure.kind().exit_code(), 2);
    }

    #[test]
    fn many_problems_are_said_at_once_and_hints_once() {
        let problems = vec![
            Failure::usage("first").hint("type this"),
            Failure::unverified("second").hint("type this").hint("and that"),
        ];
        let failure = Failure::all("2 problems, nothing was changed", problems);
        insta::assert_snapshot!(rendered(&failure), @r"
        error: 2 problems, nothing was changed
        problem: first
        problem: second

        hint: type this
        hint: and that
        ");
        assert_eq!(failure.kind(), Kind::Unverified);
    }

    #[test]
    fn one_problem_stands_for_itself() {
        let failure = Failure::all("1 problem", vec![Failure::usage("only")]);
        assert_eq!(rendered(&failure), "error: only\n");
    }
}

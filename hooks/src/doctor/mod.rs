//! Whether the hooks of a place are run, and refuse: what can be seen, and a proof with a false secret.

mod checks;
mod proof;

pub use checks::look;
pub use proof::{Proof, by_commit, by_push};

use serde::Serialize;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// Not as it should be, but the hook is run.
    Doubtful,
    /// Nobody can say.
    Unclear,
    /// The hook is not run, or does not refuse.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// How it stands.
    pub state: State,
    /// What was looked at.
    pub name: &'static str,
    /// What was seen.
    pub text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn new(state: State, name: &'static str, text: impl Into<String>) -> Self {
        Self { state, name, text: text.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<(&'static str, &Proof)> for Check {
    fn from((name, proof): (&'static str, &Proof)) -> Self {
        match proof {
            Proof::Refused => Check::new(State::Good, name, "a false secret was refused, by this hook"),
            Proof::Accepted { left: None } => {
                Check::new(State::Bad, name, "a false secret was accepted, and taken away again")
                    .hint("kubiya-hook install, where the repository is kept")
            }
            Proof::Accepted { left: Some(left) } => Check::new(
                State::Bad,
                name,
                format!("a false secret was accepted, and is still there: {left}"),
            )
            .hint("take it away, then: kubiya-hook install, where the repository is kept"),
            Proof::Unclear(said) => {
                Check::new(State::Unclear, name, format!("it was refused, but not by this hook: {said}"))
            }
        }
    }
}

//! What was decided, for those who watch over it: a log of decisions and a file of counters. No values, no keys
//! of values: a code, a path, and who pushed what where.

mod counters;
mod log;

pub use counters::{Count, count};
pub use log::{Line, LogError, write};

use crate::config::Enforcement;
use crate::judge::{Found, Standing};
use kubiya_policies::finding::Severity;

/// What became of a finding or a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Nothing was found.
    Passed,
    /// The push was refused for it.
    Refused,
    /// The push passed with a warning.
    Warned,
    /// It was judged and nothing was said.
    Shadow,
    /// The same value was there before.
    Debt,
    /// The baseline lists it.
    Baseline,
    /// Its path is exempt.
    Exempt,
    /// A push option got past it.
    Bypassed,
    /// A push option was used by who may not use it.
    Denied,
}

impl Decision {
    /// The word in logs and counters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Warned => "warned",
            Self::Shadow => "shadow",
            Self::Debt => "debt",
            Self::Baseline => "baseline",
            Self::Exempt => "exempt",
            Self::Bypassed => "bypassed",
            Self::Denied => "denied",
        }
    }

    /// What becomes of something that refuses a push.
    pub fn of_refusal(enforcement: Enforcement, bypassed: bool) -> Self {
        match enforcement {
            _ if bypassed => Self::Bypassed,
            Enforcement::Refuse => Self::Refused,
            Enforcement::Warn => Self::Warned,
            Enforcement::Shadow => Self::Shadow,
        }
    }

    /// What becomes of a finding; `None` where it is not worth a line.
    pub fn of(found: &Found, enforcement: Enforcement, bypassed: bool) -> Option<Self> {
        match (found.standing, found.finding.severity) {
            (Standing::Exempt, _) => Some(Self::Exempt),
            (Standing::Baseline, _) => Some(Self::Baseline),
            (_, Severity::Note) => None,
            (Standing::Debt, Severity::Warning) => Some(Self::Debt),
            (_, Severity::Warning) if enforcement == Enforcement::Shadow => Some(Self::Shadow),
            (_, Severity::Warning) => Some(Self::Warned),
            (_, Severity::Error) => Some(Self::of_refusal(enforcement, bypassed)),
        }
    }
}

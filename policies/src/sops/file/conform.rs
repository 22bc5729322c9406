//! Whether an encrypted file is as its rule says: without a key.

use super::kubernetes::is_nature;
use super::{File, Recipe};
use crate::finding::Severity;
use crate::sops::metadata::{Incomplete, Metadata};
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::recipient::{KeyGroup, Recipient};
use crate::sops::selector::Selector;
use crate::sops::store::Format;
use crate::sops::tree::{Stop, walk};
use crate::sops::value;

/// How a file differs from what its rule asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// It has no metadata.
    NotEncrypted,
    /// Its metadata is not whole.
    Metadata(Incomplete),
    /// A value that the rule's selector covers is not encrypted, or only looks so.
    Value(Covered),
    /// The rule names a recipient that cannot open the file.
    Missing(Recipient),
    /// The file names a recipient that the rule does not.
    Extra(Recipient),
    /// Recipients are the same, but grouped in another way.
    Groups,
    /// Another number of groups is needed to open the file than the rule asks for.
    Threshold {
        /// Fewer of them.
        fewer: bool,
    },
    /// Another selector, which leaves out values that the rule's covers; the file's, as `name: pattern`.
    Selector(String),
    /// Encrypted values are all that is authenticated, and the rule wants the others to be, too.
    MacOnlyEncrypted,
    /// The file is encrypted otherwise than its rule asks, and as strongly or more; in which way.
    Stronger(&'static str),
}

/// A value or comment that a selector covers and that is not encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The number of the document, from 0; 0 for formats without documents.
    pub document: u32,
    /// What is wrong, and where.
    pub problem: Problem,
    /// Whether it says what a Kubernetes object is: the object's own selector may cover it, and a rule's that was
    /// not made for objects is not meant to.
    pub is_nature: bool,
}

impl Deviation {
    /// How much it weighs: an error where the file is weaker than its rule, or for others than those of the rule.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Stronger(_) | Self::Threshold { fewer: false } => Severity::Note,
            Self::MacOnlyEncrypted => Severity::Warning,
            Self::Value(covered) if covered.problem.kind == ProblemKind::PlainComment => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// In half a sentence about the file.
impl std::fmt::Display for Deviation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotEncrypted => f.write_str("it is not encrypted"),
            Self::Metadata(incomplete) => write!(f, "its metadata is not whole: {incomplete}"),
            Self::Value(covered) => covered.problem.fmt(f),
            Self::Missing(recipient) => write!(f, "{recipient} cannot read it, and the rule says so"),
            Self::Extra(recipient) => write!(f, "{recipient} can read it, and the rule does not say so"),
            Self::Groups => f.write_str("its key groups are not those of the rule"),
            Self::Threshold { fewer: true } => f.write_str("fewer key groups open it than the rule asks for"),
            Self::Threshold { fewer: false } => {
                f.write_str("it needs more key groups than the rule asks for")
            }
            Self::Selector(selector) => {
                write!(f, "its selector ({selector}) leaves out what its rule's covers")
            }
            Self::MacOnlyEncrypted => f.write_str(
                "`mac_only_encrypted`: its plain values are not authenticated, and the rule wants them to be",
            ),
            Self::Stronger(what) => f.write_str(what),
        }
    }
}

impl File<'_> {
    /// How the file differs from what its rule asks; nothing where it conforms. See [`Deviation::severity`] for
    /// those that only say that it is encrypted in another way.
    ///
    /// Whether the wrapped keys are what they say, and the message authentication code, needs a key:
    /// see [`File::open`].
    pub fn deviations(&self, recipe: &Recipe) -> Vec<Deviation> {
        let Some(metadata) = self.metadata() else { return vec![Deviation::NotEncrypted] };
        let mut found = Vec::new();
        found.extend(metadata.whole().err().map(Deviation::Metadata));
        let values = self.uncovered_values(recipe).into_iter().filter(|covered| !covered.is_nature);
        found.extend(values.map(Deviation::Value));
        found.extend(of_metadata(metadata, recipe));
        found.extend(self.selector_deviation(recipe));
        found
    }

    /// Whether the file's selector is another one than the recipe's, and leaves out what that one covers.
    pub fn selector_deviation(&self, recipe: &Recipe) -> Option<Deviation> {
        let selector = self.metadata()?.effective_selector();
        let asked = recipe.selector_for(self.format);
        if self.format == Format::Binary || selector == asked {
            return None;
        }
        let (covered, wanted) = (self.coverage(&selector), self.coverage(&asked));
        let all = wanted.iter().zip(&covered).all(|(wanted, covered)| *covered || !wanted);
        Some(match all {
            true => {
                Deviation::Stronger("its selector is not its rule's, and covers all that the rule's does")
            }
            false => Deviation::Selector(format!("{}: {}", selector.name(), selector.pattern())),
        })
    }

    /// For every value and comment that is not empty, whether the selector covers it. What says what a
    /// Kubernetes object is does not count.
    fn coverage(&self, selector: &Selector) -> Vec<bool> {
        let mut coverage = Vec::new();
        for document in &self.parsed.documents {
            walk(document, selector, &mut |visit| {
                let empty = match visit.stop {
                    Stop::Leaf(plain, _) => plain.is_empty(),
                    Stop::Comment(comment) => comment.text.trim().is_empty(),
                };
                coverage.push(visit.covered && !empty && !is_nature(document, &visit));
            });
        }
        coverage
    }

    /// Values and comments that the recipe's selector covers and that are not encrypted.
    pub fn uncovered_values(&self, recipe: &Recipe) -> Vec<Covered> {
        let mut found = Vec::new();
        for (document, branch) in (0u32..).zip(&self.parsed.documents) {
            walk(branch, &recipe.selector_for(self.format), &mut |visit| {
                if !visit.covered {
                    return;
                }
                let (kind, site) = match visit.stop {
                    Stop::Leaf(plain, site) if !plain.is_empty() => {
                        match plain.as_text().filter(|text| value::claims(text)).map(value::parse) {
                            Some(Ok(_)) => return,
                            Some(Err(malformed)) => (ProblemKind::Malformed(malformed), site),
                            None => (ProblemKind::Plain, site),
                        }
                    }
                    Stop::Comment(comment) if !comment.text.trim().is_empty() => {
                        if value::parse(comment.text.trim()).is_ok() {
                            return;
                        }
                        (ProblemKind::PlainComment, comment.site)
                    }
                    _ => return,
                };
                let problem = Problem::at(kind, self.parsed.layout.span(site)).key(visit.key_path());
                found.push(Covered { document, problem, is_nature: is_nature(branch, &visit) });
            });
        }
        found
    }

    /// Values that the recipe's selector leaves plain, empty ones aside, in a plain file.
    pub fn uncovered(&self, recipe: &Recipe) -> Vec<(String, Plain)> {
        let mut values = Vec::new();
        for document in &self.parsed.documents {
            walk(document, &recipe.selector_for(self.format), &mut |visit| {
                if let (Stop::Leaf(plain, _), false) = (visit.stop, visit.covered)
                    && !plain.is_empty()
                {
                    values.push((visit.key_path(), plain.clone()));
                }
            });
        }
        values
    }

    /// Whether the recipe's selector covers any value or comment.
    pub fn covers_any(&self, recipe: &Recipe) -> bool {
        let mut any = false;
        for document in &self.parsed.documents {
            walk(document, &recipe.selector_for(self.format), &mut |visit| {
                any |= visit.covered
                    && match visit.stop {
                        Stop::Leaf(plain, _) => !plain.is_empty(),
                        Stop::Comment(comment) => !comment.text.trim().is_empty(),
                    };
            });
        }
        any
    }

    /// Keys of the values that the recipe's selector covers, in order: what would be encrypted.
    pub fn covered(&self, recipe: &Recipe) -> Vec<String> {
        let mut keys = Vec::new();
        for document in &self.parsed.documents {
            walk(document, &recipe.selector_for(self.format), &mut |visit| {
                if let (Stop::Leaf(plain, _), true) = (visit.stop, visit.covered)
                    && !plain.is_empty()
                {
                    keys.push(visit.key_path());
                }
            });
        }
        keys
    }
}

/// What the metadata alone says: recipients, groups, threshold, and what is authenticated. A recipe without any
/// recipient, as a rule is whose keys come from elsewhere, says nothing about them.
pub fn of_metadata(metadata: &Metadata, recipe: &Recipe) -> Vec<Deviation> {
    let mut found = Vec::new();
    if recipe.groups.iter().any(|group| !group.recipients.is_empty()) {
        recipients(&metadata.groups, &recipe.groups, &mut found);
        let needed = |given: Option<u32>, groups: usize| match groups {
            0 | 1 => 1,
            count => given.filter(|count| *count > 0).unwrap_or(u32::try_from(count).unwrap_or(u32::MAX)),
        };
        let in_file = needed(metadata.shamir_threshold, metadata.groups.len());
        let asked = needed(recipe.shamir_threshold, recipe.groups.len());
        if in_file != asked && !found.contains(&Deviation::Groups) {
            found.push(Deviation::Threshold { fewer: in_file < asked });
        }
    }
    match (metadata.mac_only_encrypted, recipe.mac_only_encrypted) {
        (true, false) => found.push(Deviation::MacOnlyEncrypted),
        (false, true) => found
            .push(Deviation::Stronger("its plain values are authenticated, which its rule does not ask for")),
        _ => {}
    }
    found
}

fn recipients(file: &[KeyGroup], rule: &[KeyGroup], found: &mut Vec<Deviation>) {
    let all = |groups: &[KeyGroup]| {
        groups.iter().flat_map(|group| group.recipients.iter().map(Recipient::identity)).collect::<Vec<_>>()
    };
    let (in_file, in_rule) = (all(file), all(rule));
    let before = found.len();
    found.extend(missing(&in_rule, &in_file).map(Deviation::Missing));
    found.extend(missing(&in_file, &in_rule).map(Deviation::Extra));
    let within = |groups: &[KeyGroup], others: &[KeyGroup]| {
        let filled = |group: &&KeyGroup| !group.recipients.is_empty();
        let same_number = groups.iter().filter(filled).count() == others.iter().filter(filled).count();
        same_number
            && groups.iter().filter(filled).zip(others.iter().filter(filled)).all(|(group, other)| {
                group.recipients.iter().all(|one| other.recipients.iter().any(|another| one.is(another)))
            })
    };
    if found.len() == before && !(within(file, rule) && within(rule, file)) {
        found.push(Deviation::Groups);
    }
}

fn missing(wanted: &[Recipient], there: &[Recipient]) -> impl Iterator<Item = Recipient> {
    let is_there = |recipient: &Recipient| there.iter().any(|other| other.is(recipient));
    let mut missing = wanted.iter().filter(|recipient| !is_there(recipient)).cloned().collect::<Vec<_>>();
    missing.sort();
    missing.dedup();
    missing.into_iter()
}

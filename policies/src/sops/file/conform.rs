//! Whether an encrypted file is as its rule says: without a key.

use super::{File, Recipe};
use crate::sops::metadata::Incomplete;
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::recipient::{KeyGroup, Recipient};
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
    Value(Problem),
    /// The rule names a recipient that cannot open the file.
    Missing(Recipient),
    /// The file names a recipient that the rule does not.
    Extra(Recipient),
    /// Recipients are the same, but grouped in another way, or another number of groups is needed.
    Groups,
    /// Another selector; the file's, as `name: pattern`.
    Selector(String),
    /// `mac_only_encrypted` differs.
    MacOnlyEncrypted,
}

impl File<'_> {
    /// How the file differs from what its rule asks; nothing where it conforms.
    ///
    /// Whether the wrapped keys are what they say, and the message authentication code, needs a key:
    /// see [`File::open`].
    pub fn deviations(&self, recipe: &Recipe) -> Vec<Deviation> {
        let Some(metadata) = self.metadata() else { return vec![Deviation::NotEncrypted] };
        let mut found = Vec::new();
        found.extend(metadata.whole().err().map(Deviation::Metadata));
        self.plain_values(recipe, &mut found);
        recipients(&metadata.groups, &recipe.groups, &mut found);
        let threshold = |given: Option<u32>, groups: usize| match groups {
            0 | 1 => 1,
            count => given.filter(|count| *count > 0).unwrap_or(u32::try_from(count).unwrap_or(u32::MAX)),
        };
        let same_threshold = threshold(metadata.shamir_threshold, metadata.groups.len())
            == threshold(recipe.shamir_threshold, recipe.groups.len());
        if !same_threshold && !found.contains(&Deviation::Groups) {
            found.push(Deviation::Groups);
        }
        let selector = metadata.effective_selector();
        if self.format != crate::sops::store::Format::Binary && selector != recipe.selector_for(self.format) {
            found.push(Deviation::Selector(format!("{}: {}", selector.name(), selector.pattern())));
        }
        if metadata.mac_only_encrypted != recipe.mac_only_encrypted {
            found.push(Deviation::MacOnlyEncrypted);
        }
        found
    }

    /// Covered values that are not encrypted.
    fn plain_values(&self, recipe: &Recipe, found: &mut Vec<Deviation>) {
        for document in &self.parsed.documents {
            walk(document, &recipe.selector_for(self.format), &mut |visit| {
                let (plain, site) = match visit.stop {
                    Stop::Leaf(plain, site) => (plain, site),
                    Stop::Comment(comment) => {
                        let text = comment.text.trim();
                        if visit.covered && !text.is_empty() && value::parse(text).is_err() {
                            let span = self.parsed.layout.span(comment.site);
                            let problem = Problem::at(ProblemKind::PlainComment, span);
                            found.push(Deviation::Value(problem.key(visit.key_path())));
                        }
                        return;
                    }
                };
                if !visit.covered || plain.is_empty() {
                    return;
                }
                let kind = match plain.as_text().filter(|text| value::claims(text)).map(value::parse) {
                    Some(Ok(_)) => return,
                    Some(Err(malformed)) => ProblemKind::Malformed(malformed),
                    None => ProblemKind::Plain,
                };
                let key_path = visit.key_path();
                found.push(Deviation::Value(Problem::at(kind, self.parsed.layout.span(site)).key(key_path)));
            });
        }
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

fn recipients(file: &[KeyGroup], rule: &[KeyGroup], found: &mut Vec<Deviation>) {
    let all = |groups: &[KeyGroup]| {
        groups.iter().flat_map(|group| group.recipients.iter().map(Recipient::identity)).collect::<Vec<_>>()
    };
    let (in_file, in_rule) = (all(file), all(rule));
    let before = found.len();
    found.extend(missing(&in_rule, &in_file).map(Deviation::Missing));
    found.extend(missing(&in_file, &in_rule).map(Deviation::Extra));
    let sets = |groups: &[KeyGroup]| {
        let sorted = |group: &KeyGroup| {
            let mut group = group.recipients.iter().map(Recipient::identity).collect::<Vec<_>>();
            group.sort();
            group.dedup();
            group
        };
        groups.iter().map(sorted).filter(|group| !group.is_empty()).collect::<Vec<_>>()
    };
    if found.len() == before && sets(file) != sets(rule) {
        found.push(Deviation::Groups);
    }
}

fn missing(wanted: &[Recipient], there: &[Recipient]) -> impl Iterator<Item = Recipient> {
    let mut missing =
        wanted.iter().filter(|recipient| !there.contains(recipient)).cloned().collect::<Vec<_>>();
    missing.sort();
    missing.dedup();
    missing.into_iter()
}

//! Values as hashes: enough to tell that a value is the one of before, and nothing that could be shown.

use std::collections::BTreeSet;
use std::ops::Range;

use bstr::ByteSlice as _;
use sha2::{Digest as _, Sha256};

use crate::builtin;
use crate::detect::literal::leaf_text;
use crate::finding::Finding;
use crate::sops::store::{self, Format};
use crate::yaml::{KeyPath, Limits, Sort, Source, leaves, readings};

/// The hash of a value. It stays in memory: a short value could be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueHash([u8; 32]);

/// Shows nothing.
impl std::fmt::Debug for ValueHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ValueHash(…)")
    }
}

impl ValueHash {
    /// Of parts; the length of each is in it, so that `a` and `bc` are not `ab` and `c`.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The bytes, for a keyed hash of them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One value.
    Value(ValueHash),
    /// All values of the file: it must be encrypted as a whole.
    File(BTreeSet<ValueHash>),
    /// No value: what is wrong is the file's form.
    Form,
}

impl Subject {
    /// Whether all of this is in one of those that were there before.
    pub fn is_known_by<'s>(&self, mut before: impl Iterator<Item = &'s Subject>) -> bool {
        match self {
            Self::Value(_) => before.any(|old| old == self),
            Self::File(now) => {
                !now.is_empty() && before.any(|old| matches!(old, Self::File(old) if now.is_subset(old)))
            }
            Self::Form => false,
        }
    }

    /// One hash for all of it; `None` where there is no value.
    pub fn whole(&self) -> Option<ValueHash> {
        match self {
            Self::Value(value) => Some(*value),
            Self::File(values) => {
                Some(ValueHash::of(&values.iter().map(|value| &value.0[..]).collect::<Vec<_>>()))
            }
            Self::Form => None,
        }
    }
}

/// What each of the findings of a file is about, in their order.
pub fn subjects(path: &[u8], bytes: &[u8], findings: &[Finding]) -> Vec<Subject> {
    let mut all: Option<BTreeSet<ValueHash>> = None;
    let subject = |finding: &Finding| match finding.code {
        builtin::METADATA
        | builtin::UNREADABLE
        | builtin::BEYOND_LIMITS
        | builtin::SOPS_CONFIG
        | builtin::RECIPIENTS
        | builtin::SELECTOR
        | builtin::HIDDEN_KIND
        | builtin::POINTER => Subject::Form,
        // The first plain value is named, and it stands for all.
        builtin::NOT_ENCRYPTED | builtin::GENERATOR_SOURCE => {
            Subject::File(all.get_or_insert_with(|| values(path, bytes)).clone())
        }
        _ => {
            let value = finding.place.span.as_ref().and_then(|span| value_at(bytes, &span.bytes));
            match value {
                Some(value) => Subject::Value(ValueHash::of(&[value])),
                None => Subject::File(all.get_or_insert_with(|| values(path, bytes)).clone()),
            }
        }
    };
    findings.iter().map(subject).collect()
}

/// The value that a finding's place means; `None` where the place is not where the value is.
fn value_at<'b>(bytes: &'b [u8], place: &Range<usize>) -> Option<&'b [u8]> {
    let value = bytes.get(place.clone()).filter(|value| !value.is_empty())?;
    if value.starts_with(b"-----BEGIN ") {
        // The place of a key is its first line.
        let rest = &bytes[place.start..];
        return Some(rest.find(b"-----END").map_or(rest, |end| &rest[..end]));
    }
    // What an alias stands for is written elsewhere.
    (!value.starts_with(b"*")).then_some(value)
}

/// All values of a file with the keys that lead to them. A file that has no keys is one value.
fn values(path: &[u8], bytes: &[u8]) -> BTreeSet<ValueHash> {
    let source = Source::new(bytes);
    let flat = match Format::of_path(path) {
        Format::Dotenv => Some(store::dotenv(source.text())),
        Format::Ini => Some(store::ini(source.text())),
        _ => None,
    };
    if let Some(flat) = flat {
        let entries = flat.entries.iter().filter(|entry| !entry.value.is_empty());
        return entries.map(|entry| located(&KeyPath::of(&entry.path()), &entry.value)).collect();
    }
    let mut found = BTreeSet::new();
    for (_, stream) in readings(&source, Limits::DEFAULT) {
        let tree = stream.documents().all(|(_, root)| root.sort() != Sort::Scalar);
        if !stream.errors().is_empty() || !tree {
            return BTreeSet::from([ValueHash::of(&[bytes])]);
        }
        for (_, root) in stream.documents() {
            leaves(root, &mut KeyPath::root(), &mut |path, node| {
                if let Some(text) = leaf_text(node).filter(|text| !text.is_empty()) {
                    found.insert(located(path, &text));
                }
            });
        }
    }
    found
}

fn located(path: &KeyPath, text: &str) -> ValueHash {
    ValueHash::of(&[path.to_string().as_bytes(), text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Input, Role, check};
    use crate::rules::Rules;

    fn subjects_of(path: &str, text: &str) -> Vec<Subject> {
        let rules = Rules::parse(b".sops.yaml", b"creation_rules:\n- {path_regex: ^s/, pgp: A}\n").unwrap();
        let input =
            Input { path: path.as_bytes(), bytes: text.as_bytes(), rules: Some(&rules), role: Role::File };
        subjects(path.as_bytes(), text.as_bytes(), &check(&input).findings)
    }

    fn known(path: &str, now: &str, before: &str) -> bool {
        let before = subjects_of(path, before);
        let now = subjects_of(path, now);
        assert!(!now.is_empty());
        now.iter().all(|subject| subject.is_known_by(before.iter()))
    }

    #[test]
    fn a_value_is_known_whatever_else_changed() {
        let secret = |name: &str, value: &str| {
            format!("# about {name}\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n  a: {value}\n")
        };
        assert!(known("x.yaml", &secret("one", "hunter2"), &secret("other", "hunter2")));
        assert!(!known("x.yaml", &secret("one", "hunter3"), &secret("one", "hunter2")));
    }

    #[test]
    fn a_file_is_known_where_no_value_is_new() {
        assert!(known("s/a.yaml", "# x\nb: two\na: one\n", "a: one\nb: two\n"));
        assert!(known("s/a.yaml", "a: one\n", "a: one\nb: two\n"));
        assert!(!known("s/a.yaml", "a: one\nb: two\nc: three\n", "a: one\nb: two\n"));
        assert!(!known("s/a.yaml", "a: two\nb: one\n", "a: one\nb: two\n"));
        assert!(known("s/a.env", "# x\nA=one\n", "A=one\nB=two\n"));
        assert!(!known("s/a.env", "A=three\n", "A=one\nB=two\n"));
        assert!(!known("s/token", "one\n", "two\n"));
    }

    #[test]
    fn what_an_alias_stands_for_and_the_body_of_a_key_are_the_value() {
        let secret = |value: &str| format!("x: &a {value}\nkind: Secret\nstringData: {{p: *a}}\n");
        assert!(known("x.yaml", &secret("hunter2"), &format!("# y\n{}", secret("hunter2"))));
        assert!(!known("x.yaml", &secret("hunter3"), &secret("hunter2")));
        let key = |body: &str| {
            format!(
                "-----BEGIN PRIVATE KEY-----\nVEhJUyBJUyBOT1QgQSBLRVkgQlVUIEEgRklYVFVSRQ{body}\n-----END PRIVATE KEY-----\n"
            )
        };
        assert!(known("a.pem", &key("=="), &format!("about\n{}", key("=="))));
        assert!(!known("a.pem", &key("AA"), &key("==")));
    }

    #[test]
    fn nothing_of_a_value_is_shown() {
        assert_eq!(format!("{:?}", ValueHash::of(&[b"hunter2"])), "ValueHash(…)");
    }
}

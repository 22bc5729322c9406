//! Values as hashes: enough to tell that a value is the one of before, and nothing that could be shown.

use std::collections::{BTreeMap, BTreeSet};
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    let mut scalars: Option<Scalars> = None;
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
        code => {
            let scalars = scalars.get_or_insert_with(|| Scalars::of(path, bytes));
            let is_key = [builtin::PGP_PRIVATE_KEY, builtin::PEM_PRIVATE_KEY].contains(&code);
            let place = finding.place.span.as_ref().map(|span| &span.bytes);
            match place.and_then(|place| value_at(bytes, scalars, place, is_key)) {
                Some(value) => Subject::Value(value),
                None => Subject::File(all.get_or_insert_with(|| values(path, bytes)).clone()),
            }
        }
    };
    findings.iter().map(subject).collect()
}

/// The value that a finding's place means, as a reader gets it; `None` where the place does not tell.
fn value_at(bytes: &[u8], scalars: &Scalars, place: &Range<usize>, is_key: bool) -> Option<ValueHash> {
    let value = bytes.get(place.clone()).filter(|value| !value.is_empty())?;
    let scalar = scalars.around(place.start);
    if let Some((start, text)) = scalar
        && start == place.start
    {
        return Some(text);
    }
    if is_key {
        // The place of a key is its first line. Where its end cannot be told, it is the whole scalar or file.
        let rest = &bytes[place.start..];
        let block = value.starts_with(b"-----BEGIN ").then(|| rest.find(b"-----END")).flatten();
        return block.map(|end| ValueHash::of(&[&unfolded(&rest[..end])])).or(scalar.map(|(_, text)| text));
    }
    // What an alias stands for is written elsewhere.
    (!value.starts_with(b"*")).then(|| ValueHash::of(&[value]))
}

/// A key without its line ends, written out or as escapes: the same key in any indentation and quotes.
fn unfolded(block: &[u8]) -> Vec<u8> {
    let lines = block.replace(b"\\r", b"").replace(b"\\n", b"");
    lines.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// The scalars of a file by the place where they, or the aliases of them, begin.
struct Scalars(BTreeMap<usize, (usize, ValueHash)>);

impl Scalars {
    fn of(path: &[u8], bytes: &[u8]) -> Self {
        let mut all: BTreeMap<usize, (usize, ValueHash)> = BTreeMap::new();
        if matches!(Format::of_path(path), Format::Dotenv | Format::Ini) {
            return Self(all);
        }
        let source = Source::new(bytes);
        for (_, stream) in readings(&source, Limits::DEFAULT) {
            for (_, root) in stream.documents().filter(|(_, root)| root.sort() != Sort::Scalar) {
                leaves(root, &mut KeyPath::root(), &mut |_, node| {
                    let Some(text) = leaf_text(node) else { return };
                    let place = source.original_range(&node.range());
                    let hash = ValueHash::of(&[text.as_bytes()]);
                    let known = all.entry(place.start).or_insert((place.end, hash));
                    if known.1 != hash {
                        // Readers differ: it is known where each of them gets what it got before.
                        *known = (known.0.max(place.end), ValueHash::of(&[&known.1.0, &hash.0]));
                    }
                });
            }
        }
        Self(all)
    }

    /// Where the scalar begins that holds a place, and its text.
    fn around(&self, at: usize) -> Option<(usize, ValueHash)> {
        let (start, (end, text)) = self.0.range(..=at).next_back()?;
        (at < *end).then_some((*start, *text))
    }
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

    #[test]
    fn a_literal_that_a_template_carries_elsewhere_is_the_value_and_not_the_action() {
        let template = |value: &str, more: &str| {
            format!("{more}{{{{- $p := \"{value}\" }}}}\nkind: Secret\nstringData:\n  a: {{{{ $p }}}}\n")
        };
        let subject = |value: &str, more: &str| subjects_of("a.yaml", &template(value, more));
        assert_eq!(subject("hunter2", ""), subject("hunter2", "# more\n"));
        assert_ne!(subject("hunter2", ""), subject("hunter3", ""));
    }

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
    fn a_value_is_what_a_reader_gets_however_it_is_written() {
        let secret = |value: &str| format!("kind: Secret\nstringData:\n  p: {value}\n");
        for other in ["\"hunter2\"", "'hunter2'", "!!str hunter2", "&a hunter2", "|-\n    hunter2"] {
            assert!(known("x.yaml", &secret(other), &secret("hunter2")), "{other}");
            assert!(!known("x.yaml", &secret(other), &secret("hunter3")), "{other}");
        }
        assert!(!known("x.yaml", &secret("\"one\n    new\""), &secret("\"one\n    old\"")));
        let template = |value: &str| format!("{{{{- if .x }}}}\n{}{{{{- end }}}}\n", secret(value));
        for (now, before) in [("\"one\n    new\"", "\"one\n    old\""), ("one\n    new", "one\n    old")] {
            assert!(known("x.yaml", &template(before), &template(before)));
            assert!(!known("x.yaml", &template(now), &template(before)), "{now}");
        }
    }

    #[test]
    fn the_whole_block_of_a_key_is_the_value_wherever_it_stands() {
        let block = |kind: &str, body: &str| {
            format!(
                "-----BEGIN {kind}-----\n\nVEhJUyBJUyBOT1QgQSBLRVkgQlVUIEEgRklYVFVSRQ{body}\n-----END {kind}-----\n"
            )
        };
        for kind in ["PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
            assert!(!known("a.asc", &block(kind, "AA"), &block(kind, "==")));
            let map = |body: &str, more: &str| {
                let lines = block(kind, body).replace('\n', "\n    ");
                format!("kind: ConfigMap\ndata:\n  a: |\n    about {more}\n    {lines}\n")
            };
            assert!(known("a.yaml", &map("==", "one"), &map("==", "two")), "{kind}");
            assert!(!known("a.yaml", &map("AA", "one"), &map("==", "one")), "{kind}");
        }
    }

    #[test]
    fn nothing_of_a_value_is_shown() {
        assert_eq!(format!("{:?}", ValueHash::of(&[b"hunter2"])), "ValueHash(…)");
    }
}

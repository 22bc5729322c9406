//! Is this encrypted as SOPS would write it?

use super::metadata::{Incomplete, Metadata};
use super::selector::{Coverage, Selector};
use super::store::Flat;
use super::value::{self, Malformed};
use crate::finding::Span;
use crate::yaml::{KeyPath, NodeRef, Source, Step, leaves};

/// Faults that are kept for one document. More say nothing new, and aliases can make many of few bytes.
const MOST: usize = 1000;

/// What is wrong in a file that claims to be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The metadata is not whole.
    Metadata(Incomplete),
    /// A value that the selector covers is plaintext.
    Plain,
    /// A value looks encrypted and is not well-formed.
    Malformed(Malformed),
}

/// A fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Where in the document.
    pub key_path: KeyPath,
    /// Where in the file.
    pub span: Span,
}

/// One leaf, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Empty or null: SOPS leaves those as they are.
    Empty,
    /// A well-formed encrypted value.
    Sealed,
    /// Looks encrypted and is not well-formed.
    Malformed(Malformed),
    /// Anything else.
    Plain,
}

/// Judges a leaf of a YAML or JSON file.
pub fn leaf(node: NodeRef<'_>) -> Leaf {
    if node.is_empty_scalar() {
        return Leaf::Empty;
    }
    node.raw_text().map_or(Leaf::Plain, text_leaf)
}

pub(super) fn text_leaf(text: &str) -> Leaf {
    if text.is_empty() {
        Leaf::Empty
    } else if value::claims(text) {
        value::parse(text).map_or_else(Leaf::Malformed, |_| Leaf::Sealed)
    } else {
        Leaf::Plain
    }
}

/// The faults of a YAML or JSON document with metadata, in the order of the text: the metadata, and each
/// leaf that the metadata's selector covers. Where comments decide, leaves are not looked at.
pub fn faults(root: NodeRef<'_>, metadata: &Metadata) -> Vec<Fault> {
    let mut faults = Vec::new();
    let selector = metadata.effective_selector();
    for entry in root.entries() {
        if entry.key.text().is_some_and(|key| key == "sops") {
            if let Err(incomplete) = metadata.whole() {
                let key_path = KeyPath::root().with(Step::key(entry.key), |path| path.clone());
                faults.push(Fault {
                    kind: FaultKind::Metadata(incomplete),
                    key_path,
                    span: entry.key.span(),
                });
            }
            continue;
        }
        KeyPath::root().with(Step::key(entry.key), |path| {
            leaves(entry.value, path, &mut |path, node| {
                if faults.len() < MOST {
                    faults.extend(covered_fault(path, node, &selector));
                }
            });
        });
    }
    faults.sort_by_key(|fault| fault.span.bytes.start);
    faults
}

fn covered_fault(path: &KeyPath, node: NodeRef<'_>, selector: &Selector) -> Option<Fault> {
    let kind = match leaf(node) {
        Leaf::Empty | Leaf::Sealed => return None,
        Leaf::Malformed(malformed) => FaultKind::Malformed(malformed),
        Leaf::Plain => FaultKind::Plain,
    };
    (selector.covers(&path.keys()) == Coverage::Encrypted).then(|| Fault {
        kind,
        key_path: path.clone(),
        span: node.span(),
    })
}

/// The faults of a dotenv or INI file with metadata.
pub fn flat_faults(source: &Source<'_>, flat: &Flat, metadata: &Metadata) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Err(incomplete) = metadata.whole() {
        faults.push(Fault {
            kind: FaultKind::Metadata(incomplete),
            key_path: KeyPath::root(),
            span: source.span(&(0..0)),
        });
    }
    let selector = metadata.effective_selector();
    for entry in &flat.entries {
        let kind = match text_leaf(&entry.value) {
            Leaf::Empty | Leaf::Sealed => continue,
            Leaf::Malformed(malformed) => FaultKind::Malformed(malformed),
            Leaf::Plain => FaultKind::Plain,
        };
        if entry.coverage(&selector) == Coverage::Encrypted {
            faults.push(Fault {
                kind,
                key_path: KeyPath::of(&entry.path()),
                span: source.span(&entry.range),
            });
        }
    }
    faults
}

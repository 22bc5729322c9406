//! Secrets, by structure and at any depth.

mod carried;

use std::collections::HashSet;

use super::literal::{is_base64_literal, is_literal, leaf_text, resolved};
use crate::finding::Span;
use crate::sops::metadata::Metadata;
use crate::sops::sealed::is_sealed_file;
use crate::sops::state::{Leaf, leaf};
use crate::sops::value::Malformed;
use crate::yaml::{KeyPath, Limits, NodeRef, Sort, Source, Step, leaves, readings};

/// The annotation in which `kubectl apply` keeps what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How many strings in strings are opened.
const EMBEDDED_DEPTH: u8 = 2;

/// Hits that are kept for one document. More say nothing new, and aliases can make many of few bytes.
const MOST: usize = 1000;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A plaintext value of a Secret.
    Value,
    /// A value of a Secret that looks encrypted and is not well-formed.
    Malformed(Malformed),
    /// Encrypted values in a document without metadata.
    NoMetadata,
    /// A string with a plaintext Secret in it.
    Embedded,
    /// The annotation with a plaintext Secret in it.
    LastApplied,
    /// A JSON patch operation that puts a plaintext value into a Secret.
    Patch,
}

/// Something found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What.
    pub what: What,
    /// Where in the document.
    pub key_path: KeyPath,
    /// Where in the file.
    pub span: Span,
}

/// What is known of a document before it is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// The document has SOPS metadata.
    pub has_metadata: bool,
    /// Whatever its kind, it becomes a Secret: a patch whose target is one.
    pub is_secret: bool,
}

/// Everything in the document that a plaintext Secret, or an attempt at an encrypted one, is made of.
pub fn find(root: NodeRef<'_>, context: Context) -> Vec<Hit> {
    find_at(root, context, EMBEDDED_DEPTH)
}

/// Whether the document holds a Secret with a non-empty value, encrypted or not.
pub fn contains_secret(root: NodeRef<'_>) -> bool {
    let mut found = false;
    objects(root, &mut |object| {
        found = found || sections(object).into_iter().any(|(_, section)| has_value(section));
    });
    found
}

fn has_value(section: NodeRef<'_>) -> bool {
    let mut found = false;
    leaves(section, &mut KeyPath::root(), &mut |_, leaf| found = found || !leaf.is_empty_scalar());
    found
}

/// Calls back for every Secret in the document.
fn objects<'t>(node: NodeRef<'t>, visit: &mut dyn FnMut(NodeRef<'t>)) {
    if is_secret(node) {
        visit(node);
    }
    let list = node.says("kind", "SecretList");
    for entry in node.entries() {
        if list && entry.key.text().is_some_and(|key| key == "items") {
            entry.value.items().for_each(&mut *visit);
        }
        objects(entry.value, visit);
    }
    for item in node.items() {
        objects(item, visit);
    }
}

/// `kind: Secret` of the core API. A version that is a placeholder, empty or missing does not let it off; one
/// of another API group does, as its `data` is that API's affair.
fn is_secret(node: NodeRef<'_>) -> bool {
    if node.sort() != Sort::Mapping || !node.values("kind").any(names_secret) {
        return false;
    }
    let mut versions = node.values("apiVersion").filter_map(leaf_text).peekable();
    let core = |version: String| matches!(resolved(&version).as_str(), "v1" | "/v1") || !is_literal(&version);
    versions.peek().is_none() || versions.any(core)
}

/// Whether the kind is, or becomes where nobody says otherwise, `Secret`.
pub(super) fn names_secret(kind: NodeRef<'_>) -> bool {
    leaf_text(kind).is_some_and(|kind| resolved(&kind) == "Secret")
}

/// Whether a rule of a policy is for Secrets, among others.
fn matches_secrets(rule: NodeRef<'_>) -> bool {
    let mut found = false;
    for matched in rule.values("match") {
        leaves(matched, &mut KeyPath::root(), &mut |_, leaf| {
            found = found || leaf.text().is_some_and(|text| text.rsplit('/').next() == Some("Secret"));
        });
    }
    found
}

/// Where a Secret has values. Go's JSON does not tell upper from lower case in the names of fields, and
/// `binaryData` is a ConfigMap's; what stands under either is as readable.
fn section_name(key: &str) -> Option<&'static str> {
    ["data", "stringData", "binaryData"].into_iter().find(|name| name.eq_ignore_ascii_case(key))
}

/// The values of a Secret, with the keys that lead there. Where `data` of something without `metadata` holds a
/// whole object body, as in a policy that generates Secrets, that body's own are meant.
fn sections(secret: NodeRef<'_>) -> Vec<(Vec<&'static str>, NodeRef<'_>)> {
    let mut found = Vec::new();
    for (name, section) in named_sections(secret) {
        let body =
            !secret.has("metadata") && section.get("metadata").is_some_and(|m| m.sort() == Sort::Mapping);
        if body {
            found.extend(named_sections(section).map(|(inner, value)| (vec![name, inner], value)));
        } else {
            found.push((vec![name], section));
        }
    }
    found
}

fn named_sections(node: NodeRef<'_>) -> impl Iterator<Item = (&'static str, NodeRef<'_>)> {
    node.entries().into_iter().filter_map(|entry| Some((section_name(&entry.key.text()?)?, entry.value)))
}

fn find_at(root: NodeRef<'_>, context: Context, depth: u8) -> Vec<Hit> {
    let mut finder =
        Finder { context, depth, hits: Vec::new(), opened: HashSet::new(), changes_secrets: false };
    finder.visit(root, &mut KeyPath::root(), context.is_secret);
    for (path, value) in carried::find(root) {
        finder.hit(What::Value, &path, value);
    }
    finder.hits
}

struct Finder {
    context: Context,
    depth: u8,
    hits: Vec<Hit>,
    /// Strings that were opened: an alias does not open them again.
    opened: HashSet<std::ops::Range<usize>>,
    /// Within a rule that changes objects, of which Secrets are some.
    changes_secrets: bool,
}

impl Finder {
    fn hit(&mut self, what: What, key_path: &KeyPath, node: NodeRef<'_>) {
        if self.hits.len() < MOST {
            self.hits.push(Hit { what, key_path: key_path.clone(), span: node.span() });
        }
    }

    fn visit(&mut self, node: NodeRef<'_>, path: &mut KeyPath, secret: bool) {
        match node.sort() {
            Sort::Scalar => self.open(node, path),
            Sort::Sequence => {
                for (index, item) in node.items().enumerate() {
                    path.with(Step::Index(index), |path| {
                        self.operation(item, path);
                        self.visit(item, path, false);
                    });
                }
            }
            Sort::Mapping => self.mapping(node, path, secret),
        }
    }

    fn mapping(&mut self, node: NodeRef<'_>, path: &mut KeyPath, secret: bool) {
        let secret = secret || is_secret(node);
        if secret {
            self.judge(node, path);
        }
        let list = node.says("kind", "SecretList");
        for entry in node.entries() {
            let key = entry.key.text().unwrap_or_default();
            // What is under `data` of a Secret is judged as a value; it need not be opened as well.
            if secret && section_name(&key).is_some() {
                continue;
            }
            path.with(Step::key(entry.key), |path| {
                if list && key == "items" {
                    for (index, item) in entry.value.items().enumerate() {
                        path.with(Step::Index(index), |path| self.visit(item, path, true));
                    }
                } else if key == "mutate" {
                    let before = std::mem::replace(&mut self.changes_secrets, matches_secrets(node));
                    self.visit(entry.value, path, false);
                    self.changes_secrets = before;
                } else {
                    // A policy's patch says no kind: that of what it matches is meant.
                    let is_patch = key == "patchStrategicMerge" && !entry.value.has("kind");
                    let secret = is_patch && (self.changes_secrets || entry.value.has("stringData"));
                    self.visit(entry.value, path, secret);
                }
            });
        }
    }

    /// Judges the values of a Secret.
    fn judge(&mut self, secret: NodeRef<'_>, path: &KeyPath) {
        let mut sealed = None;
        for (keys, section) in sections(secret) {
            let base64 = keys.last() != Some(&"stringData");
            let mut path = path.below(&keys);
            leaves(section, &mut path, &mut |path, node| match judge_value(node, base64) {
                _ if is_directive(path, node) => {}
                None if leaf(node) == Leaf::Sealed => {
                    sealed.get_or_insert_with(|| (path.clone(), node.span()));
                }
                None => {}
                Some(what) => self.hit(what, path, node),
            });
        }
        if let (Some((key_path, span)), false) = (sealed, self.context.has_metadata) {
            self.hits.push(Hit { what: What::NoMetadata, key_path, span });
        }
    }

    /// An operation of a JSON patch on a Secret: `stringData` is found in Secrets only; `data` counts where
    /// the patch is known to be for one.
    fn operation(&mut self, item: NodeRef<'_>, path: &mut KeyPath) {
        let (Some(_), Some(value), Some(pointer)) =
            (item.get("op"), item.get("value"), item.get("path").and_then(NodeRef::text))
        else {
            return;
        };
        let below = |name: &str| {
            pointer.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let data = below("/data");
        if !(below("/stringData") || (data && self.context.is_secret)) {
            return;
        }
        path.with(Step::Key("value".to_owned()), |path| {
            leaves(value, path, &mut |path, node| {
                if judge_value(node, data).is_some() {
                    self.hit(What::Patch, path, node);
                }
            });
        });
    }

    /// Looks for Secrets in a string.
    fn open(&mut self, node: NodeRef<'_>, path: &KeyPath) {
        let Some(text) = node.text() else { return };
        let decoded = base64_manifest(&text);
        let text = decoded.as_deref().unwrap_or(&text);
        let applied = path.ends_with_key(LAST_APPLIED);
        let telling = may_hold_secret(text) || (applied && text.contains("ata"));
        if self.depth == 0 || !telling || !self.opened.insert(node.range()) {
            return;
        }
        if embedded_plaintext(text, applied, self.depth - 1) {
            let what = if applied { What::LastApplied } else { What::Embedded };
            self.hit(what, path, node);
        }
    }
}

/// `$patch: replace` and the like: what a strategic merge does with the map, not a value in it.
fn is_directive(path: &KeyPath, node: NodeRef<'_>) -> bool {
    path.ends_with_key("$patch")
        && node.text().is_some_and(|text| ["delete", "merge", "replace"].contains(&text.as_ref()))
}

/// What is wrong with a value of a Secret, if anything.
fn judge_value(node: NodeRef<'_>, base64: bool) -> Option<What> {
    match leaf(node) {
        Leaf::Empty | Leaf::Sealed => None,
        Leaf::Malformed(malformed) => Some(What::Malformed(malformed)),
        Leaf::Plain => {
            let text = leaf_text(node).unwrap_or_default();
            let literal = if base64 { is_base64_literal(&text) } else { is_literal(&text) };
            (literal && !is_sealed(&text, base64)).then_some(What::Value)
        }
    }
}

/// "Secret" in base64, at each of the three ways it can fall on groups of three bytes.
/// And the beginning of "apiVersion", for lines that are wrapped within the one or the other.
pub(crate) const MANIFEST_IN_BASE64: [&str; 6] =
    ["U2VjcmV0", "NlY3Jld", "TZWNyZX", "YXBpVmVyc2", "FwaVZlcnNp", "hcGlWZXJza"];

/// The text of a manifest in base64, as `binaryData` and cloud-init hold it.
fn base64_manifest(text: &str) -> Option<String> {
    if text.len() < 40 || !MANIFEST_IN_BASE64.iter().any(|needle| text.contains(needle)) {
        return None;
    }
    let text = text.replace('-', "+").replace('_', "/");
    crate::yaml::decode_base64(&text).and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Whether a value is a file of SOPS itself, which Flux decrypts inside of a Secret.
fn is_sealed(text: &str, base64: bool) -> bool {
    if base64 {
        crate::yaml::decode_base64(text).is_some_and(|file| is_sealed_file(&file))
    } else {
        is_sealed_file(text.as_bytes())
    }
}

/// Whether a text may be a manifest of a Secret. Escapes and `!!binary` can spell any word in another way.
fn may_hold_secret(text: &str) -> bool {
    let spelled =
        text.contains("kind") && text.contains("Secret") && (text.contains("data") || text.contains("Data"));
    text.len() > 20 && (spelled || text.contains("binary") || (text.contains('\\') && text.contains(':')))
}

/// Whether a text is YAML or JSON, as a whole, and holds a plaintext Secret. What was `applied` and says no kind is
/// taken for one: kubectl writes the kind.
fn embedded_plaintext(text: &str, applied: bool, depth: u8) -> bool {
    let source = Source::new(text.as_bytes());
    readings(&source, Limits::DEFAULT).iter().any(|(_, stream)| {
        stream.errors().is_empty()
            && stream.documents().any(|(_, root)| {
                let context = Context {
                    has_metadata: Metadata::of_document(root).is_some(),
                    is_secret: applied && !root.has("kind"),
                };
                root.sort() != Sort::Scalar
                    && find_at(root, context, depth).iter().any(|hit| hit.what != What::NoMetadata)
            })
    })
}

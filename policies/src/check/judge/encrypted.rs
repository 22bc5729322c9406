//! Encrypted files: held to their rule, and looked through for what stayed readable in them.

use std::collections::{BTreeSet, HashSet};

use super::super::governed::covered_leaves;
use super::Judge;
use crate::builtin as codes;
use crate::detect::Sink;
use crate::detect::comment;
use crate::finding::{Code, Severity, Span};
use crate::sops::file::{Covered, Deviation, File, Recipe, of_metadata};
use crate::sops::metadata::Metadata;
use crate::sops::problem::ProblemKind;
use crate::sops::state::{Leaf, leaf};
use crate::sops::store::{Flat, Format};
use crate::sops::value;
use crate::yaml::{KeyPath, NodeRef, Source, Stream, leaves};

/// Values and comments of one file that are looked at one by one. More say nothing new.
const MOST: usize = 10_000;

/// What is known of a file that has metadata.
#[derive(Default)]
pub(super) struct Encrypted {
    /// The metadata of each document that has its own, and where it stands.
    blocks: Vec<(Option<u32>, Metadata, Span)>,
    /// Keys of encrypted values.
    keys: BTreeSet<String>,
}

impl Encrypted {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Takes in a document. The same metadata in every document of a stream, as sops writes it, counts once.
    pub(super) fn add(&mut self, number: Option<u32>, root: NodeRef<'_>, metadata: &Metadata) {
        let block =
            root.entries().into_iter().find(|entry| entry.key.text().is_some_and(|key| key == "sops"));
        let span = block.map_or_else(|| root.span(), |entry| entry.key.span());
        if !self.blocks.iter().any(|(_, known, _)| known == metadata) {
            self.blocks.push((number, metadata.clone(), span));
        }
        leaves(root, &mut KeyPath::root(), &mut |path, node| {
            if leaf(node) == Leaf::Sealed
                && let Some(key) = path.keys().last()
            {
                self.keys.insert((*key).to_owned());
            }
        });
    }

    pub(super) fn of_flat(flat: &Flat, metadata: &Metadata, source: &Source<'_>) -> Self {
        let sealed = flat.entries.iter().filter(|entry| value::parse(&entry.value).is_ok());
        let keys = sealed.map(|entry| entry.key.clone()).collect();
        Self { blocks: vec![(None, metadata.clone(), source.span(&(0..0)))], keys }
    }
}

impl Judge<'_> {
    /// Whether the file is encrypted as its rule asks, for those that the rule names.
    pub(super) fn by_rule(&self, encrypted: &Encrypted, sink: &mut Sink<'_>) {
        let recipe = self.recipe();
        let settings = self.input.rules.map(crate::rules::Rules::stores).unwrap_or_default();
        let formats = [self.class.format, Format::Yaml, Format::Dotenv, Format::Ini];
        let file = formats.iter().find_map(|format| {
            File::read(self.input.bytes, *format, settings).ok().filter(|file| file.metadata().is_some())
        });
        for (index, (number, metadata, span)) in encrypted.blocks.iter().enumerate() {
            let Some(recipe) = &recipe else { break };
            let mut deviations = of_metadata(metadata, recipe);
            let first = file.as_ref().filter(|_| index == 0);
            deviations.extend(first.and_then(|file| file.selector_deviation(recipe)));
            add_deviations(&deviations, (*number, span), sink);
        }
        let (Some(file), Some((number, metadata, _))) = (file, encrypted.blocks.first()) else { return };
        let own = Recipe::of(metadata);
        let by_rule = recipe.iter().flat_map(|recipe| file.uncovered_values(recipe));
        let by_rule = by_rule.filter(|covered| !covered.is_nature);
        let told = sink.lines_with(codes::PLAIN_PART);
        for covered in file.uncovered_values(&own).into_iter().chain(by_rule).take(MOST) {
            add_covered(&covered, number.is_some(), &told, sink);
        }
    }

    /// How the rule that is for the file, be it a catch-all, wants it encrypted.
    fn recipe(&self) -> Option<Recipe> {
        let rule = self.class.recipe.and_then(|number| self.input.rules?.rules().get(number));
        rule.map(crate::rules::Rule::recipe)
    }

    /// Values of an encrypted document that the rule's selector covers and the file's own does not: also in files
    /// that sops itself cannot read.
    pub(super) fn covered_by_rule(&self, number: Option<u32>, root: NodeRef<'_>, sink: &mut Sink<'_>) {
        let Some(recipe) = self.recipe() else { return };
        // What says what an object is stays readable, whatever a rule covers.
        let is_object = root.has("apiVersion") && root.has("kind");
        covered_leaves(root, Some(&recipe.selector.unwrap_or_default()), &mut |path, node| {
            let nature = ["apiVersion", "kind", "metadata", "type", "immutable"];
            let is_nature = is_object && path.keys().first().is_some_and(|top| nature.contains(top));
            if leaf(node) == Leaf::Plain && !is_nature {
                let at = (number, path.to_string(), Some(node.span()));
                let message = "a value of an encrypted file is plaintext";
                sink.add_unless_known(codes::PARTLY_ENCRYPTED, Severity::Error, at, message);
            }
        });
    }

    /// Comments of a stream in which something is encrypted.
    pub(super) fn comments(&self, stream: &Stream<'_>, encrypted: &Encrypted, sink: &mut Sink<'_>) {
        let text = self.source.text();
        let comments = stream.comments().iter().map(|comment| comment.range.clone());
        self.told_in_comments(
            comments.filter_map(|range| Some((range.clone(), text.get(range)?))),
            encrypted,
            sink,
        );
    }

    /// Lines of a dotenv or INI file that are comments.
    pub(super) fn flat_comments(&self, encrypted: &Encrypted, sink: &mut Sink<'_>) {
        let mut at = 0;
        let lines = self.source.text().split_inclusive('\n').map(|line| {
            let start = at;
            at += line.len();
            (start..at, line)
        });
        let comments = lines.filter(|(_, line)| line.trim_start().starts_with(['#', ';']));
        self.told_in_comments(comments, encrypted, sink);
    }

    fn told_in_comments<'t>(
        &self,
        comments: impl Iterator<Item = (std::ops::Range<usize>, &'t str)>,
        encrypted: &Encrypted,
        sink: &mut Sink<'_>,
    ) {
        for range in comment::credentials(comments, &encrypted.keys).into_iter().take(MOST) {
            let at = (None, String::new(), Some(self.source.span(&range)));
            sink.add_unless_known(
                codes::PLAIN_PART,
                Severity::Error,
                at,
                "a comment in an encrypted file holds a credential",
            );
        }
    }
}

/// A Kubernetes object whose `kind` is encrypted: Flux cannot apply it.
pub(super) fn hidden_kind(number: Option<u32>, root: NodeRef<'_>, sink: &mut Sink<'_>) {
    if !root.has("apiVersion") || !(root.has("metadata") || root.has("data") || root.has("spec")) {
        return;
    }
    for kind in root.values("kind").filter(|kind| leaf(*kind) == Leaf::Sealed) {
        let at = (number, "kind".to_owned(), Some(kind.span()));
        sink.add(
            codes::HIDDEN_KIND,
            Severity::Warning,
            at,
            "the kind is encrypted, so Flux cannot apply the object",
        );
    }
}

fn add_covered(covered: &Covered, has_documents: bool, told: &HashSet<u32>, sink: &mut Sink<'_>) {
    let Some(span) = covered.problem.span.clone() else { return };
    let is_comment = covered.problem.kind == ProblemKind::PlainComment;
    if is_comment && told.contains(&span.line) {
        return;
    }
    let document = has_documents.then_some(covered.document);
    let at = (document, covered.problem.key_path.clone(), Some(span));
    let (code, severity, message) = match &covered.problem.kind {
        ProblemKind::PlainComment => (
            codes::PLAIN_PART,
            Severity::Warning,
            "a comment that sops would have encrypted is plain".to_owned(),
        ),
        ProblemKind::Malformed(why) => {
            (codes::MALFORMED_VALUE, Severity::Error, format!("a value only looks encrypted: {why}"))
        }
        _ => {
            (codes::PARTLY_ENCRYPTED, Severity::Error, "a value of an encrypted file is plaintext".to_owned())
        }
    };
    sink.add_unless_known(code, severity, at, message);
}

/// One finding for each kind of deviation, at the metadata.
fn add_deviations(deviations: &[Deviation], (number, span): (Option<u32>, &Span), sink: &mut Sink<'_>) {
    for code in [codes::RECIPIENTS, codes::SELECTOR] {
        let of_code =
            deviations.iter().filter_map(|deviation| Some((deviation.severity(), told(deviation)?)));
        let of_code = of_code.filter(|(_, (of, _))| *of == code).collect::<Vec<_>>();
        if let Some(severity) = of_code.iter().map(|(severity, _)| *severity).max() {
            let messages = of_code.into_iter().map(|(_, (_, message))| message).collect::<Vec<_>>();
            let at = (number, "sops".to_owned(), Some(span.clone()));
            sink.add(code, severity, at, messages.join("; "));
        }
    }
}

/// The code of a deviation and half a sentence. `None` for what was judged before by the file's own words.
fn told(deviation: &Deviation) -> Option<(Code, String)> {
    Some(match deviation {
        Deviation::NotEncrypted | Deviation::Metadata(_) | Deviation::Value(_) => return None,
        Deviation::Missing(recipient) => {
            (codes::RECIPIENTS, format!("{} cannot read it, and the rule says so", recipient.nameable()))
        }
        Deviation::Extra(recipient) => {
            (codes::RECIPIENTS, format!("{} can read it, and the rule does not say so", recipient.nameable()))
        }
        Deviation::Groups | Deviation::Threshold { .. } => (codes::RECIPIENTS, deviation.to_string()),
        // A pattern is the file's own text.
        Deviation::Selector(_) => {
            (codes::SELECTOR, "its selector leaves out what its rule's covers".to_owned())
        }
        Deviation::MacOnlyEncrypted | Deviation::Stronger(_) => (codes::SELECTOR, deviation.to_string()),
    })
}

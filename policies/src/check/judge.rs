//! Judging one file.

mod carriers;
mod encrypted;
mod filled;
mod packed;

use super::class::{PathClass, PathKind};
use super::governed::{Content, Reason, covered_leaves, must_encrypt};
use super::prefilter::Interest;
use crate::builtin as codes;
use crate::contract::{Input, Reference, Role};
use crate::detect::literal::{is_base64_literal, is_literal, leaf_text};
use crate::detect::private_key::KeyKind;
use crate::detect::secret::{Context, What};
use crate::detect::{Sink, kubeconfig, kustomize, private_key, secret};
use crate::finding::{Code, Severity, Span};
use crate::rules::{Rules, Weight};
use crate::sops::metadata::Metadata;
use crate::sops::state::{self, Fault, FaultKind};
use crate::sops::store::{self, Flat, Format};
use crate::yaml::{
    Document, Error, KeyPath, Limits, NodeRef, Reading, Sort, Source, leaves, readings, tolerant,
};
use encrypted::{Encrypted, hidden_kind};
pub(super) use filled::{PlainValue, plain_values};

/// Judges a file that is worth reading.
pub(super) fn file(input: &Input<'_>, class: &PathClass, interest: Interest, sink: &mut Sink<'_>) {
    let source = Source::new(input.bytes);
    let judge = Judge { input, class, interest, source: &source };
    match class.kind {
        PathKind::SopsConfig | PathKind::Misnamed => judge.sops_config(sink),
        PathKind::Modules => judge.modules(sink),
        _ if interest.archive => judge.archive(sink),
        _ if interest.structure && !judge.pointer(sink) => {
            judge.structure(sink);
            judge.filled(sink);
        }
        _ => {}
    }
    if interest.keys {
        judge.private_keys(sink);
    }
}

struct Judge<'j> {
    input: &'j Input<'j>,
    class: &'j PathClass,
    interest: Interest,
    source: &'j Source<'j>,
}

impl Judge<'_> {
    /// Credentials other than Secrets weigh less where nothing speaks of encryption: a code repository's
    /// test keys.
    fn carrier_severity(&self) -> Severity {
        if self.input.rules.is_some() { Severity::Error } else { Severity::Warning }
    }

    fn sops_config(&self, sink: &mut Sink<'_>) {
        if self.class.kind == PathKind::Misnamed {
            let at = (None, String::new(), Some(self.source.span(&(0..0))));
            sink.add(
                codes::SOPS_CONFIG,
                Severity::Warning,
                at,
                "sops reads `.sops.yaml` only, not this name",
            );
        }
        let problems = match Rules::parse(self.input.path, self.input.bytes) {
            Ok(rules) => rules.problems().to_vec(),
            Err(problems) => problems.0,
        };
        for problem in problems {
            let severity = if problem.weight == Weight::Error { Severity::Error } else { Severity::Warning };
            sink.add(codes::SOPS_CONFIG, severity, (None, String::new(), Some(problem.span)), problem.what);
        }
    }

    fn private_keys(&self, sink: &mut Sink<'_>) {
        for (kind, range) in private_key::find(self.source.text()) {
            self.private_key(kind, (None, String::new(), Some(self.source.span(&range))), sink);
        }
    }

    fn private_key(&self, kind: KeyKind, at: (Option<u32>, String, Option<Span>), sink: &mut Sink<'_>) {
        let (code, severity, what) = match kind {
            KeyKind::Age => (codes::AGE_IDENTITY, Severity::Error, "a private age identity"),
            KeyKind::AgeInBase64 => {
                (codes::AGE_IDENTITY, Severity::Error, "a private age identity in base64")
            }
            KeyKind::Pgp => (codes::PGP_PRIVATE_KEY, self.carrier_severity(), "an OpenPGP private key"),
            KeyKind::Pem => (codes::PEM_PRIVATE_KEY, self.carrier_severity(), "a private key in PEM"),
            KeyKind::ArmoredInBase64 => {
                (codes::PEM_PRIVATE_KEY, self.carrier_severity(), "a private key in base64")
            }
        };
        sink.add_unless_known(code, severity, at, what);
    }

    /// Private keys that only a reader of YAML or JSON sees: behind escapes, or over several lines.
    fn spelled_keys(&self, number: Option<u32>, root: NodeRef<'_>, sink: &mut Sink<'_>) {
        leaves(root, &mut KeyPath::root(), &mut |path, node| {
            let text = node.text().unwrap_or_default();
            let written = node.source_text().unwrap_or_default();
            if !private_key::may_hold_key(text.as_bytes()) || !private_key::find(written).is_empty() {
                return;
            }
            for (kind, _) in private_key::find(&text) {
                self.private_key(kind, (number, path.to_string(), Some(node.span())), sink);
            }
        });
    }

    fn structure(&self, sink: &mut Sink<'_>) {
        if !matches!(self.class.format, Format::Dotenv | Format::Ini) && self.trees(sink) {
            return;
        }
        self.no_tree(sink);
    }

    /// Judges every reading of the file as YAML or JSON. False where it is neither, by content and by name.
    fn trees(&self, sink: &mut Sink<'_>) -> bool {
        let mut streams = readings(self.source, Limits::DEFAULT);
        // What a template becomes is no file that sops could have encrypted.
        if self.class.governed() || !self.class.yaml_like {
            streams.retain(|(reading, _)| *reading != Reading::Templated);
        }
        if !self.class.yaml_like {
            // Prose and code are often half YAML: without the name, only what is YAML as a whole counts.
            streams.retain(|(_, stream)| {
                stream.errors().is_empty() && stream.documents().any(|(_, root)| root.sort() != Sort::Scalar)
            });
        }
        // Where one reading is whole, what another one stumbles over says nothing.
        let whole = streams.iter().any(|(_, stream)| stream.errors().is_empty());
        let mut encrypted = Encrypted::default();
        for (reading, stream) in &streams {
            for (document, root) in stream.documents() {
                self.document((document, root), *reading, &mut encrypted, sink);
            }
        }
        for (reading, stream) in &streams {
            // What kubectl's reader alone stumbles over, it may have been made to stumble over.
            for error in stream.errors().iter().filter(|_| !whole || *reading == Reading::Yaml11) {
                if !self.line_by_line(error, sink) && !whole {
                    self.unreadable(error, sink);
                }
            }
        }
        if !encrypted.is_empty() {
            for (_, stream) in &streams {
                self.comments(stream, &encrypted, sink);
            }
            self.by_rule(&encrypted, sink);
        }
        !streams.is_empty()
    }

    fn document(
        &self,
        (document, root): (&Document, NodeRef<'_>),
        reading: Reading,
        encrypted: &mut Encrypted,
        sink: &mut Sink<'_>,
    ) {
        let number = Some(document.index);
        let metadata = Metadata::of_document(root);
        if let Some(metadata) = &metadata {
            for fault in state::faults(root, metadata) {
                add_fault(fault, number, sink);
            }
            self.covered_by_rule(number, root, sink);
            hidden_kind(number, root, sink);
            encrypted.add(number, root, metadata);
        }
        self.secrets((number, root), metadata.is_some(), reading == Reading::Templated, sink);
        for (key_path, span) in kubeconfig::find(root) {
            let at = (number, key_path.to_string(), Some(span));
            sink.add(
                codes::KUBECONFIG,
                self.carrier_severity(),
                at,
                "a credential of a kubeconfig is plaintext",
            );
        }
        for (key_path, span) in kubeconfig::find_in_strings(root) {
            let at = (number, key_path.to_string(), Some(span));
            let message = "a string holds a kubeconfig with a plaintext credential";
            sink.add_unless_known(codes::KUBECONFIG, self.carrier_severity(), at, message);
        }
        self.kustomization(number, root, sink);
        if metadata.is_none() && !sink.has_errors_in(number) {
            self.must_be_encrypted(number, root, sink);
        }
        self.credentials(number, root, metadata.is_some(), sink);
        self.spelled_keys(number, root, sink);
    }

    fn secrets(
        &self,
        (number, root): (Option<u32>, NodeRef<'_>),
        has_metadata: bool,
        is_template: bool,
        sink: &mut Sink<'_>,
    ) {
        let is_secret = is_secret_by_role(self.input.role, root);
        let context = Context { has_metadata, is_secret };
        let hits = secret::find(root, context);
        let is_template =
            is_template || (!hits.is_empty() && root.source_text().is_some_and(has_action_in_place));
        for hit in hits {
            let (code, message) = match hit.what {
                What::Value if has_metadata => {
                    (codes::PARTLY_ENCRYPTED, "a value of an encrypted Secret is plaintext".to_owned())
                }
                What::Value if context.is_secret => {
                    (codes::SECRET_PATCH, "the patch puts a plaintext value into a Secret".to_owned())
                }
                What::Value => (plain_secret(is_template), "a value of a Secret is plaintext".to_owned()),
                What::Malformed(why) => {
                    (codes::MALFORMED_VALUE, format!("a value of a Secret only looks encrypted: {why}"))
                }
                What::NoMetadata => {
                    (codes::METADATA, "encrypted values in a document without SOPS metadata".to_owned())
                }
                What::Embedded => {
                    (codes::EMBEDDED_SECRET, "a string holds the manifest of a plaintext Secret".to_owned())
                }
                What::LastApplied => {
                    (codes::LAST_APPLIED, "an annotation holds a plaintext Secret".to_owned())
                }
                What::Patch => {
                    (codes::SECRET_PATCH, "a patch operation puts a plaintext value into a Secret".to_owned())
                }
            };
            sink.add(code, Severity::Error, (number, hit.key_path.to_string(), Some(hit.span)), message);
        }
    }

    fn kustomization(&self, number: Option<u32>, root: NodeRef<'_>, sink: &mut Sink<'_>) {
        let file_name = self.input.path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let folder = match &self.class.kind {
            PathKind::Kustomization(folder) => folder.as_slice(),
            _ => &self.input.path[..file_name],
        };
        let found = kustomize::find(root, folder);
        for (key_path, span) in found.literals {
            let at = (number, key_path.to_string(), Some(span));
            sink.add(
                codes::GENERATOR_LITERAL,
                Severity::Error,
                at,
                "a literal of a secretGenerator is plaintext",
            );
        }
        for (key_path, span) in found.patches {
            let at = (number, key_path.to_string(), Some(span));
            sink.add(
                codes::SECRET_PATCH,
                Severity::Error,
                at,
                "the patch puts a plaintext value into a Secret",
            );
        }
        // What a file of another name seems to refer to, kustomize does not load, unless it configures a plugin.
        if matches!(self.class.kind, PathKind::Kustomization(_)) || kustomize::is_plugin(root) {
            found.references.into_iter().for_each(|reference: Reference| sink.refer(reference));
        }
    }

    /// A document without metadata that must have some.
    fn must_be_encrypted(&self, number: Option<u32>, root: NodeRef<'_>, sink: &mut Sink<'_>) {
        let content = Content::Document(root);
        let Some(reason) = must_encrypt(self.class, self.input.rules, self.input.role, content) else {
            return;
        };
        // Secrets were judged value by value.
        if reason == Reason::Secret {
            return;
        }
        let selector = match reason {
            Reason::Rule(number) => self.input.rules.and_then(|rules| rules.rules().get(number)),
            _ => None,
        }
        .map(crate::rules::Rule::effective_selector);
        let mut first: Option<(String, Span)> = None;
        covered_leaves(root, selector.as_ref(), &mut |path, node| {
            let text = leaf_text(node).unwrap_or_default();
            if first.is_none() && is_literal(&text) && is_base64_literal(&text) {
                first = Some((path.to_string(), node.span()));
            }
        });
        if let Some((key_path, span)) = first {
            not_encrypted(reason, (number, key_path, Some(span)), sink);
        }
    }

    /// A file that is no YAML tree: dotenv, INI, or anything else as a whole.
    fn no_tree(&self, sink: &mut Sink<'_>) {
        let text = self.source.text();
        let flat = match self.class.format {
            Format::Ini => store::ini(text),
            Format::Dotenv => store::dotenv(text),
            _ => {
                let found =
                    [store::dotenv(text), store::ini(text)].into_iter().find(|flat| flat.metadata.is_some());
                match found {
                    Some(flat) => flat,
                    None => return self.whole(sink),
                }
            }
        };
        match &flat.metadata {
            Some(metadata) => {
                for fault in state::flat_faults(self.source, &flat, metadata) {
                    add_fault(fault, None, sink);
                }
                let encrypted = Encrypted::of_flat(&flat, metadata, self.source);
                self.flat_comments(&encrypted, sink);
                self.by_rule(&encrypted, sink);
            }
            None => self.flat(&flat, sink),
        }
    }

    fn flat(&self, flat: &Flat, sink: &mut Sink<'_>) {
        let content = Content::Flat(flat);
        let Some(reason) = must_encrypt(self.class, self.input.rules, self.input.role, content) else {
            return self.flat_credentials(flat, sink);
        };
        let literal = flat.entries.iter().find(|entry| is_literal(entry.value.trim_matches(['"', '\''])));
        if let Some(entry) = literal {
            let key_path = KeyPath::of(&entry.path()).to_string();
            not_encrypted(reason, (None, key_path, Some(self.source.span(&entry.range))), sink);
        }
    }

    /// A file that sops would store as one value.
    fn whole(&self, sink: &mut Sink<'_>) {
        let text = self.source.text();
        if encrypted_otherwise(self.input.bytes) || text.trim().is_empty() {
            return;
        }
        let content = Content::Whole;
        let Some(reason) = must_encrypt(self.class, self.input.rules, self.input.role, content) else {
            return self.settings(sink);
        };
        // A file of `KEY=${VALUE}` lines is a template.
        let lines = store::dotenv(text).entries;
        let template = lines.iter().all(|entry| !entry.key.is_empty() && !is_literal(&entry.value));
        // Bytes that are no text are no placeholder either.
        let literal = self.source.first_invalid().is_some() || (!template && is_literal(text));
        if literal {
            not_encrypted(reason, (None, String::new(), Some(self.source.span(&(0..0)))), sink);
        }
    }

    /// Looks for Secrets in a document that is no YAML. Whether there were any.
    fn line_by_line(&self, error: &Error, sink: &mut Sink<'_>) -> bool {
        let mut found = false;
        // What another reading found, and perhaps a character further on.
        let code = plain_secret(has_action_in_place(self.region(error)));
        let known = sink.lines_with(code);
        for field in tolerant::secret_fields(self.region(error)) {
            let value = field.value.as_str();
            let sealed = crate::sops::value::parse(value).is_ok();
            let literal = if field.section == "data" { is_base64_literal(value) } else { is_literal(value) };
            if literal && !sealed {
                found = true;
                let range = error.region.start + field.range.start..error.region.start + field.range.end;
                let key_path = KeyPath::of(&[field.section, &field.key]).to_string();
                let span = self.source.span(&range);
                if known.contains(&span.line) {
                    continue;
                }
                let at = (Some(error.document), key_path, Some(span));
                sink.add(code, Severity::Error, at, "a value of a Secret is plaintext (read line by line)");
            }
        }
        found
    }

    fn region(&self, error: &Error) -> &str {
        self.source.text().get(error.region.clone()).unwrap_or_default()
    }

    /// A document that could not be read: a template, a broken file, or one beyond the limits.
    fn unreadable(&self, error: &Error, sink: &mut Sink<'_>) {
        let number = Some(error.document);
        let region = self.region(error);
        let limit = error.kind.is_limit();
        let governed = self.class.governed() || self.input.role != Role::File;
        // Elsewhere a file that no reader of YAML takes cannot be applied either.
        let severity = match (governed, limit, self.interest.secrets) {
            (true, _, _) | (_, true, true) => Severity::Error,
            (_, true, _) | (_, _, true) => Severity::Warning,
            _ => Severity::Note,
        };
        // Helm and the like: no YAML, and not meant to be. What looks like a Secret in it was judged above.
        if is_template(region) && !limit && !governed {
            return;
        }
        let code = if limit { codes::BEYOND_LIMITS } else { codes::UNREADABLE };
        let at = (number, String::new(), Some(error.span.clone()));
        sink.add(code, severity, at, format!("cannot be judged: {}", error.kind));
    }
}

/// Whether what is no YAML may become it.
fn is_template(text: &str) -> bool {
    ["{{", "{%", "<%"].iter().any(|open| text.contains(open))
}

/// Whether an action stands where YAML has a value or a line, without quotes: then it is no text for others to fill in.
fn has_action_in_place(text: &str) -> bool {
    let open = |text: &str| text.starts_with("{{") || text.starts_with("{%");
    text.lines().any(|line| {
        let line = line.trim_start();
        open(line)
            || [": ", "- "]
                .iter()
                .any(|before| line.split(before).skip(1).any(|rest| open(rest.trim_start())))
    })
}

/// A template cannot be encrypted, so that another remedy is needed.
fn plain_secret(is_template: bool) -> Code {
    if is_template { codes::TEMPLATE_SECRET } else { codes::PLAIN_SECRET }
}

/// Whether a document becomes a Secret by the file's part in the repository, whatever it says.
fn is_secret_by_role(role: Role, root: NodeRef<'_>) -> bool {
    match role {
        Role::Patch => true,
        Role::PatchOfAny => !root.has("kind"),
        Role::File | Role::SecretSource => false,
    }
}

fn not_encrypted(reason: Reason, at: (Option<u32>, String, Option<Span>), sink: &mut Sink<'_>) {
    let (code, message) = match reason {
        Reason::Secret | Reason::Generated => {
            (codes::GENERATOR_SOURCE, "a secretGenerator names the file, and it is plaintext".to_owned())
        }
        Reason::Name => {
            (codes::NOT_ENCRYPTED, "the name says that the file is encrypted, and it is not".to_owned())
        }
        Reason::Rule(number) => (
            codes::NOT_ENCRYPTED,
            format!("creation rule {} of .sops.yaml is for this file, and it is not encrypted", number + 1),
        ),
    };
    sink.add(code, Severity::Error, at, message);
}

fn add_fault(fault: Fault, document: Option<u32>, sink: &mut Sink<'_>) {
    let (code, message) = match fault.kind {
        FaultKind::Metadata(why) => (codes::METADATA, format!("the SOPS metadata is not whole: {why}")),
        FaultKind::Plain => (codes::PARTLY_ENCRYPTED, "a value of an encrypted file is plaintext".to_owned()),
        FaultKind::Malformed(why) => (codes::MALFORMED_VALUE, format!("a value only looks encrypted: {why}")),
    };
    sink.add(code, Severity::Error, (document, fault.key_path.to_string(), Some(fault.span)), message);
}

/// Other tools' encrypted files, by their first bytes: age, OpenPGP, Ansible Vault, OpenSSL, git-crypt.
fn encrypted_otherwise(bytes: &[u8]) -> bool {
    let heads: [&[u8]; 6] = [
        b"age-encryption.org/v1",
        b"-----BEGIN AGE ENCRYPTED FILE-----",
        b"-----BEGIN PGP MESSAGE-----",
        b"$ANSIBLE_VAULT;",
        b"Salted__",
        b"\0GITCRYPT\0",
    ];
    heads.iter().any(|head| bytes.starts_with(head))
}

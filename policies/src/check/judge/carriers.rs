//! Credentials outside of Secrets: how much each weighs where it stands.

use super::super::class::PathKind;
use super::Judge;
use crate::builtin as codes;
use crate::contract::Role;
use crate::detect::Sink;
use crate::detect::carrier::{self, Carrier, Hit, What};
use crate::detect::credential::{Strictness, in_urls, is_credential};
use crate::finding::Severity;
use crate::sops::selector::Coverage;
use crate::sops::store::{self, Flat, FlatEntry};
use crate::sops::value;
use crate::yaml::{KeyPath, NodeRef};

impl Judge<'_> {
    /// What a document holds in the way of credentials, beside Secrets.
    pub(super) fn credentials(
        &self,
        number: Option<u32>,
        root: NodeRef<'_>,
        is_encrypted: bool,
        sink: &mut Sink<'_>,
    ) {
        // What must be encrypted as a whole was said to be plain as a whole.
        let said = [codes::NOT_ENCRYPTED, codes::GENERATOR_SOURCE].iter().any(|code| sink.has(*code, number));
        if said || self.class.kind == PathKind::Inert || self.input.role == Role::SecretSource {
            return;
        }
        for hit in carrier::find(root, matches!(self.class.kind, PathKind::Kustomization(_))) {
            let severity = self.weight(&hit, is_encrypted);
            let (code, message) = match (hit.what, hit.carrier) {
                (What::Url, _) => (codes::URL_CREDENTIALS, "an address with a user and a password in it"),
                (_, Carrier::SecretTemplate) => {
                    (codes::PLAIN_SECRET, "a template of a Secret holds a plaintext value")
                }
                _ if is_encrypted => (codes::PLAIN_PART, "a credential in a plain part of an encrypted file"),
                (What::Docker, _) => {
                    (codes::CREDENTIAL, "a registry's credential in a docker configuration is plaintext")
                }
                (What::Value, _) => {
                    (codes::CREDENTIAL, "a literal under a key that is named like a credential")
                }
                (What::Line, _) => (
                    codes::CREDENTIAL,
                    "a line of the text gives a literal to what is named like a credential",
                ),
            };
            sink.add_unless_known(
                code,
                severity,
                (number, hit.key_path.to_string(), Some(hit.span)),
                message,
            );
        }
    }

    /// Refused where it is applied as it is, or where a rule that was made for the file wants it encrypted.
    fn weight(&self, hit: &Hit, is_encrypted: bool) -> Severity {
        match (hit.carrier, hit.what) {
            (Carrier::SecretTemplate, _) => Severity::Error,
            (Carrier::Deployer, What::Value | What::Url | What::Docker) => Severity::Error,
            _ if is_encrypted || self.rule_covers(&hit.key_path.keys()) => Severity::Error,
            (Carrier::Build, What::Value | What::Docker) => self.carrier_severity(),
            _ => Severity::Warning,
        }
    }

    /// Whether a rule that is no catch-all is for the file and its selector covers the path.
    fn rule_covers(&self, keys: &[&str]) -> bool {
        let rule = self.class.rule.and_then(|number| self.input.rules?.rules().get(number));
        rule.is_some_and(|rule| rule.effective_selector().covers(keys) == Coverage::Encrypted)
    }

    /// The entries of a dotenv or INI file that need not be encrypted.
    pub(super) fn flat_credentials(&self, flat: &Flat, sink: &mut Sink<'_>) {
        for entry in &flat.entries {
            let text = entry.value.trim_matches(['"', '\'']);
            let (code, message) =
                if is_credential(&entry.key, text, Strictness::Anywhere) && !value::claims(text) {
                    (codes::CREDENTIAL, "a literal under a key that is named like a credential")
                } else if !in_urls(text, Strictness::Anywhere).is_empty() {
                    (codes::URL_CREDENTIALS, "an address with a user and a password in it")
                } else {
                    continue;
                };
            let key_path = KeyPath::of(&entry.path()).to_string();
            sink.add(
                code,
                Severity::Warning,
                (None, key_path, Some(self.source.span(&entry.range))),
                message,
            );
        }
    }

    /// A file whose name says nothing, and whose lines are all settings: a dotenv or INI file by its content.
    pub(super) fn settings(&self, sink: &mut Sink<'_>) {
        if self.class.kind == PathKind::Inert || !self.interest.credentials {
            return;
        }
        let text = self.source.text();
        let named = |entry: &FlatEntry| {
            let key = entry.key.strip_prefix("export ").unwrap_or(&entry.key);
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        let readings = [store::dotenv(text), store::ini(text)];
        if let Some(flat) =
            readings.iter().find(|flat| !flat.entries.is_empty() && flat.entries.iter().all(named))
        {
            self.flat_credentials(flat, sink);
        }
    }

    /// `.gitmodules`: addresses.
    pub(super) fn modules(&self, sink: &mut Sink<'_>) {
        for range in in_urls(self.source.text(), Strictness::Applied) {
            let at = (None, String::new(), Some(self.source.span(&range)));
            sink.add(
                codes::URL_CREDENTIALS,
                Severity::Error,
                at,
                "the address of a submodule has a password in it",
            );
        }
    }

    /// A pointer of Git LFS where content must be encrypted: nobody here can tell. Whether it is one.
    pub(super) fn pointer(&self, sink: &mut Sink<'_>) -> bool {
        let is_pointer = self.input.bytes.starts_with(b"version https://git-lfs.github.com/spec/")
            && self.source.text().contains("\noid sha256:");
        if is_pointer && (self.class.governed() || self.input.role != Role::File) {
            let at = (None, String::new(), Some(self.source.span(&(0..0))));
            let message = "cannot be judged: the content, which must be encrypted, is in large file storage";
            sink.add(codes::POINTER, Severity::Error, at, message);
        }
        is_pointer
    }
}

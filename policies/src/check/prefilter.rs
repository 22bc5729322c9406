//! Which files are worth reading: a search for a few words decides, so that the rest costs next to nothing.

use std::borrow::Cow;

use super::class::{PathClass, PathKind};
use crate::archive;
use crate::contract::{Input, Role};
use crate::detect::secret::MANIFEST_IN_BASE64;
use crate::detect::{credential, private_key};
use crate::words::{Words, has};
use crate::yaml::Source;

static ENCODED: Words = Words::new(&MANIFEST_IN_BASE64);

/// What to look for in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    /// Read it as YAML or JSON, or judge it as a whole.
    pub(super) structure: bool,
    /// Search it for private keys.
    pub(super) keys: bool,
    /// It speaks of Secrets: if it cannot be judged, that is no small thing.
    pub(super) secrets: bool,
    /// A key in it is named like a credential, or an address has a password.
    pub(super) credentials: bool,
    /// It is an archive.
    pub(super) archive: bool,
}

impl Interest {
    pub(super) fn any(self) -> bool {
        self.structure || self.keys || self.archive
    }
}

/// Looks over the bytes.
pub(super) fn look(input: &Input<'_>, class: &PathClass) -> Interest {
    let bytes = narrow(input.bytes);
    let bytes: &[u8] = &bytes;
    let secrets = has!(bytes, "Secret") && (has!(bytes, "data") || has!(bytes, "Data"));
    let asked = class.governed()
        || input.role != Role::File
        || matches!(
            class.kind,
            PathKind::Kustomization(_) | PathKind::SopsConfig | PathKind::Misnamed | PathKind::Modules
        );
    let credentials = class.kind != PathKind::Inert
        && (credential::may_hold_credential(bytes)
            || has!(bytes, "\"auth\"")
            || (has!(bytes, "users")
                && (has!(bytes, "token") || has!(bytes, "client-key-data") || has!(bytes, "password"))));
    let encrypted = has!(bytes, "sops") && (has!(bytes, "mac") || has!(bytes, "ENC["));
    let inert = class.kind == PathKind::Inert;
    let encoded = || ENCODED.any_in(bytes);
    // A default or a template can spell the kind, the target of a patch may leave it open, and base64 hides it.
    let defaults = || has!(bytes, "kind") && (has!(bytes, "${") || has!(bytes, "{{")) && has!(bytes, "ata");
    let patches = || (has!(bytes, "patch") && has!(bytes, "/data")) || has!(bytes, "binaryData");
    let told = has!(bytes, "stringData") || has!(bytes, "secretGenerator");
    let spelled = || has!(bytes, "Secret") || has!(bytes, "\\") || has!(bytes, "!");
    let structure = asked
        || encrypted
        || credentials
        || (secrets && has!(bytes, "kind"))
        || (class.yaml_like && (spelled() || defaults() || patches()))
        // Prose and programs speak of Secrets, too. Elsewhere an escape, a tag or a patch can spell the word in
        // another way.
        || (!inert && (told || (has!(bytes, "Secret") && has!(bytes, "kind")) || encoded()));
    let archive = archive::is_archive(bytes);
    Interest { structure, keys: private_key::may_hold_key(bytes), secrets, credentials, archive }
}

/// UTF-16 and UTF-32 as UTF-8, so that words can be searched; anything else as it is.
fn narrow(bytes: &[u8]) -> Cow<'_, [u8]> {
    match bytes {
        [0xFF, 0xFE, ..]
        | [0xFE, 0xFF, ..]
        | [_, 0, _, 0, ..]
        | [0, _, 0, _, ..]
        | [0, 0, 0xFE, 0xFF, ..] => Cow::Owned(Source::new(bytes).text().as_bytes().to_owned()),
        _ => Cow::Borrowed(bytes),
    }
}

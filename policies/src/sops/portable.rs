//! What of an encrypted file can be carried elsewhere: its wrapped data keys and its ciphertext. Nothing in a
//! SOPS value names its file, and Flux checks no MAC. Told without a key.

use crate::words::has;
use std::collections::{BTreeSet, HashSet};

use super::metadata::Metadata;
use super::recipient::Recipient;
use super::store::{self, Format};
use super::value;
use crate::values::ValueHash;
use crate::yaml::{KeyPath, Limits, NodeRef, Source, leaves, readings};

/// The sealed parts of a file, as hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Its wrapped data keys.
    pub data_keys: BTreeSet<ValueHash>,
    /// Who can unwrap them.
    pub recipients: BTreeSet<Recipient>,
    /// Its encrypted values.
    pub values: HashSet<ValueHash>,
}

/// Whether a file may have a SOPS block with a wrapped key: a search for a few words.
pub fn may_be_sealed(bytes: &[u8]) -> bool {
    has!(bytes, "sops") && has!(bytes, "enc") && has!(bytes, "ENC[")
}

impl Sealed {
    /// Reads a file; `None` where it has no SOPS block with a wrapped data key.
    pub fn of(path: &[u8], bytes: &[u8]) -> Option<Self> {
        if !may_be_sealed(bytes) {
            return None;
        }
        let source = Source::new(bytes);
        let mut sealed = Self::default();
        let flat = match Format::of_path(path) {
            Format::Dotenv => Some(store::dotenv(source.text())),
            Format::Ini => Some(store::ini(source.text())),
            _ => None,
        };
        if let Some(flat) = flat {
            sealed.metadata(flat.metadata.as_ref()?);
            flat.entries.iter().for_each(|entry| sealed.value(&entry.value));
        } else {
            for (_, stream) in readings(&source, Limits::DEFAULT) {
                stream.documents().for_each(|(_, root)| sealed.document(root));
            }
        }
        (!sealed.data_keys.is_empty()).then_some(sealed)
    }

    fn document(&mut self, root: NodeRef<'_>) {
        let Some(metadata) = Metadata::of_document(root) else { return };
        self.metadata(&metadata);
        leaves(root, &mut KeyPath::root(), &mut |path, node| {
            // What is under `sops` changes with every edit, or is looked at by itself.
            if path.keys().first() != Some(&"sops") {
                self.value(node.raw_text().unwrap_or_default());
            }
        });
    }

    fn metadata(&mut self, metadata: &Metadata) {
        for key in metadata.wrapped.iter().flatten() {
            let compact: String = key.enc.split_whitespace().collect();
            self.data_keys.insert(ValueHash::of(&[compact.as_bytes()]));
        }
        self.recipients.extend(metadata.recipients().map(Recipient::identity));
    }

    fn value(&mut self, text: &str) {
        if value::parse(text).is_ok() {
            self.values.insert(ValueHash::of(&[text.as_bytes()]));
        }
    }

    /// Who could open the file before and cannot now, although what is encrypted in it is in part the same:
    /// they have its data key. Empty where nobody left or nothing stayed.
    pub fn leavers<'s>(&'s self, before: &'s Sealed) -> Vec<&'s Recipient> {
        if self.values.is_disjoint(&before.values) {
            return Vec::new();
        }
        let stays = |one: &&Recipient| self.recipients.iter().any(|other| one.is(other));
        before.recipients.iter().filter(|one| !stays(one)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../testdata/corpus/good/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn every_store_has_its_data_keys_and_values() {
        for name in [
            "secret.sops.yaml",
            "settings.sops.json",
            "app.sops.env",
            "app.sops.ini",
            "cert.sops.pem",
            "stream.sops.yaml",
        ] {
            let sealed = Sealed::of(name.as_bytes(), &corpus(name)).unwrap();
            assert!(!sealed.data_keys.is_empty() && !sealed.recipients.is_empty(), "{name}");
            assert!(!sealed.values.is_empty(), "{name}");
        }
        assert_eq!(Sealed::of(b"configmap.yaml", &corpus("configmap.yaml")), None);
    }

    #[test]
    fn who_is_taken_out_of_the_block_alone_keeps_the_data_key() {
        let name = "secret.sops.yaml";
        let now = Sealed::of(name.as_bytes(), &corpus(name)).unwrap();
        let gone = Recipient::Pgp("A1".to_owned());
        let mut before = now.clone();
        before.recipients.insert(gone.clone());
        assert_eq!(now.leavers(&before), [&gone]);
        assert!(before.leavers(&now).is_empty(), "a recipient more takes nothing away");
        before.values.clear();
        assert!(now.leavers(&before).is_empty(), "nothing that they could open stayed");
    }
}

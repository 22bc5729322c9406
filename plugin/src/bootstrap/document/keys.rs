//! What a document says about the keys that Flux decrypts with.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the keys come from that Flux decrypts with: any of them, all of them, or none.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgeSection {
    /// File with identities (--age-key-file).
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// More such files (--age-key-file).
    #[serde(default)]
    pub key_files: Vec<PathBuf>,
    /// Variable of the environment with identities (--age-key-env).
    #[serde(default)]
    pub key_environment: Option<String>,
    /// Command that prints identities (--age-key-cmd); it runs only with --allow-commands.
    #[serde(default)]
    pub key_command: Option<String>,
    /// Context of an old cluster that has them (--age-key-from-context).
    #[serde(default)]
    pub key_from_context: Option<String>,
    /// Make the identity where it is not there yet (--generate-age-key).
    #[serde(default)]
    pub generate: bool,
    /// Command that stores a made identity (--store-command); it runs only with --allow-commands.
    #[serde(default)]
    pub store_command: Option<String>,
    /// Command that prints it again (--read-back-command); it runs only with --allow-commands.
    #[serde(default)]
    pub read_back_command: Option<String>,
    /// Public keys of those who can decrypt when a made identity is lost (--recovery).
    #[serde(default)]
    pub recovery: Vec<String>,
    /// Nobody is to be able to (--no-recovery).
    #[serde(default)]
    pub no_recovery: bool,
    /// Other entries that Flux decrypts with, by name and file (--sops-entry).
    #[serde(default)]
    pub entries: BTreeMap<String, PathBuf>,
    /// Other namespaces in which Kustomizations decrypt (--decryption-namespace).
    #[serde(default)]
    pub namespaces: Vec<NamespaceSection>,
    /// Those namespaces get the main identity (--share-key).
    #[serde(default)]
    pub share_key: bool,
    /// Kustomizations that name no Secret decrypt with the main identity (--global-age-key).
    #[serde(default)]
    pub global_key: bool,
}

/// Shows no command: a password may be in it.
impl std::fmt::Debug for AgeSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgeSection").field("key_file", &self.key_file).finish_non_exhaustive()
    }
}

/// A namespace with a key of its own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceSection {
    /// Its name.
    pub name: String,
    /// File with its identity.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// Labels or annotations, by controller, key and value.
pub type SettingsSection = BTreeMap<String, BTreeMap<String, String>>;

impl AgeSection {
    /// Paths, for making them relative to another folder.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let namespaces = self.namespaces.iter_mut().filter_map(|namespace| namespace.key_file.as_mut());
        self.key_file.iter_mut().chain(&mut self.key_files).chain(self.entries.values_mut()).chain(namespaces)
    }

    /// The fields that hold commands which are run.
    #[must_use]
    pub fn commands(&self) -> Vec<&'static str> {
        let fields = [
            (&self.key_command, "spec.age.keyCommand"),
            (&self.store_command, "spec.age.storeCommand"),
            (&self.read_back_command, "spec.age.readBackCommand"),
        ];
        fields.into_iter().filter(|(command, _)| command.is_some()).map(|(_, field)| field).collect()
    }
}

//! What `bootstrap` can be told about decryption.

use super::args::{Pair, pair};
use crate::bootstrap::{self, DecryptionRequest, Place, Settings};
use crate::cluster::ConnectionArgs;
use crate::keys::{self, KeySource};
use clap::Args;
use kubiya_hook::edge::Failure;
use std::path::PathBuf;

/// The keys that Flux decrypts with. Without any, Flux decrypts nothing, or goes on with the keys that it has.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Keys that Flux decrypts with")]
pub(crate) struct DecryptionArgs {
    /// File with age identities that Flux decrypts with, or `-` for standard input; may be repeated. A passphrase is
    /// asked for on the terminal
    #[arg(long, value_name = "FILE")]
    pub age_key_file: Vec<String>,
    /// Variable of the environment with age identities, such as SOPS_AGE_KEY; may be repeated
    #[arg(long, value_name = "VARIABLE")]
    pub age_key_env: Vec<String>,
    /// Command that prints age identities, such as `gopass show flux/age`; no shell runs it; may be repeated
    #[arg(long, value_name = "COMMAND")]
    pub age_key_cmd: Vec<String>,
    /// Context of an old cluster whose Flux has the age identities, in its Secret `sops-age`
    #[arg(long, value_name = "CONTEXT")]
    pub age_key_from_context: Option<String>,
    /// Make the age identity where its file or store does not have it yet; its public half is shown
    #[arg(long)]
    pub generate_age_key: bool,
    /// Command that takes a made identity on its standard input; with it, no file is needed
    #[arg(long, value_name = "COMMAND", requires_all = ["generate_age_key", "read_back_command"], conflicts_with = "age_key_file")]
    pub store_command: Option<String>,
    /// Command that prints what --store-command stored
    #[arg(long, value_name = "COMMAND", requires = "store_command")]
    pub read_back_command: Option<String>,
    /// Public key of somebody who can decrypt when a made identity is lost; may be repeated
    #[arg(long, value_name = "RECIPIENT")]
    pub recovery: Vec<String>,
    /// Nobody is to be able to decrypt when a made identity is lost
    #[arg(long, conflicts_with = "recovery")]
    pub no_recovery: bool,
    /// Another entry that Flux decrypts with: NAME.asc, sops.vault-token, sops.aws-kms, sops.azure-kv or sops.gcp-kms; may
    /// be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = pair)]
    pub sops_entry: Vec<Pair>,
    /// Another namespace in which Kustomizations decrypt: it gets a Secret and an identity of its own, which is made where
    /// the file is not there yet [default: NAMESPACE.agekey]; may be repeated
    #[arg(long, value_name = "NAMESPACE[=FILE]", value_parser = namespace)]
    pub decryption_namespace: Vec<(String, Option<PathBuf>)>,
    /// Those namespaces get the main identity: whoever may read Secrets there may decrypt everything
    #[arg(long, requires = "decryption_namespace")]
    pub share_key: bool,
    /// Kustomizations of all namespaces that name no Secret decrypt with the main identity
    #[arg(long)]
    pub global_age_key: bool,
    /// Annotation of a controller's ServiceAccount, such as
    /// kustomize-controller=eks.amazonaws.com/role-arn=arn:…; a later run keeps it, KEY- takes it away; may be repeated
    #[arg(long, value_name = "CONTROLLER=KEY=VALUE", value_parser = setting)]
    pub service_account_annotation: Vec<Setting>,
    /// Annotation of a controller's pods, likewise
    #[arg(long, value_name = "CONTROLLER=KEY=VALUE", value_parser = setting)]
    pub pod_annotation: Vec<Setting>,
    /// Label of a controller's pods, such as kustomize-controller=azure.workload.identity/use=true, likewise
    #[arg(long, value_name = "CONTROLLER=KEY=VALUE", value_parser = setting)]
    pub pod_label: Vec<Setting>,
}

/// A label or an annotation of a controller; `None` takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The controller.
    pub controller: String,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Option<String>,
}

fn namespace(text: &str) -> Result<(String, Option<PathBuf>), String> {
    match text.split_once('=') {
        None => Ok((text.to_owned(), None)),
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), Some(PathBuf::from(file))))
        }
        Some(_) => Err(format!("`{text}` is not NAMESPACE or NAMESPACE=FILE")),
    }
}

pub(super) fn setting(text: &str) -> Result<Setting, String> {
    let wrong = || format!("`{text}` is not CONTROLLER=KEY=VALUE or CONTROLLER=KEY-");
    let (controller, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (key, value) = match rest.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (rest.strip_suffix('-').ok_or_else(wrong)?, None),
    };
    if controller.is_empty() || key.is_empty() {
        return Err(wrong());
    }
    Ok(Setting { controller: controller.to_owned(), key: key.to_owned(), value })
}

impl DecryptionArgs {
    /// Whether a flag says where the main identities come from: then a document does not.
    pub(super) fn names_keys(&self) -> bool {
        !self.age_key_file.is_empty()
            || !self.age_key_env.is_empty()
            || !self.age_key_cmd.is_empty()
            || self.age_key_from_context.is_some()
            || self.store_command.is_some()
    }

    /// The request, unchecked; the keys of an old cluster are read from there.
    ///
    /// # Errors
    /// That cluster cannot be reached, or has no key.
    pub(super) async fn request(&self, connection: &ConnectionArgs) -> Result<DecryptionRequest, Failure> {
        let files = self.age_key_file.iter().map(|file| KeySource::from_flag(file));
        let variables = self.age_key_env.iter().cloned().map(KeySource::Environment);
        let commands = self.age_key_cmd.iter().chain(&self.read_back_command).cloned();
        let commands = commands.map(|command| KeySource::Command(command.into()));
        let mut sources: Vec<KeySource> = files.chain(variables).chain(commands).collect();
        if let Some(context) = &self.age_key_from_context {
            sources.extend(keys::keys_of_context(connection, context).await?);
        }
        let entries = self.sops_entry.iter();
        Ok(DecryptionRequest {
            keys: sources,
            entries: entries.map(|pair| (pair.name.clone(), PathBuf::from(&pair.value))).collect(),
            namespaces: self.decryption_namespace.clone(),
            share_key: self.share_key,
        })
    }

    /// What controllers get beyond Flux's manifests.
    pub(super) fn settings(&self) -> Settings {
        let lists = [
            (Place::ServiceAccountAnnotation, &self.service_account_annotation),
            (Place::PodAnnotation, &self.pod_annotation),
            (Place::PodLabel, &self.pod_label),
        ];
        let values = lists.into_iter().flat_map(|(place, list)| {
            list.iter().cloned().map(move |one| bootstrap::Setting {
                controller: one.controller,
                place,
                key: one.key,
                value: one.value,
            })
        });
        let global_key = self.global_age_key.then(|| bootstrap::AGE_SECRET.to_owned());
        Settings { values: values.collect(), global_key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_anything_and_a_dash_takes_away() {
        let parsed = |text: &str| setting(text).map(|s| (s.controller, s.key, s.value));
        assert_eq!(
            parsed("kustomize-controller=eks.amazonaws.com/role-arn=arn:aws:iam::1:role/a=b")
                .unwrap()
                .2
                .as_deref(),
            Some("arn:aws:iam::1:role/a=b")
        );
        assert_eq!(parsed("c=k-").unwrap(), ("c".to_owned(), "k".to_owned(), None));
        for wrong in ["c", "c=k", "=k=v", "c==v", "c=-"] {
            assert!(setting(wrong).is_err(), "{wrong}");
        }
        assert_eq!(namespace("apps").unwrap(), ("apps".to_owned(), None));
        assert_eq!(namespace("apps=k").unwrap(), ("apps".to_owned(), Some("k".into())));
        assert!(namespace("apps=").is_err() && namespace("=k").is_err());
    }
}

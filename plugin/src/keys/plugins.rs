//! age plugins: programs `age-plugin-NAME` on PATH that hold a key, such as one on a hardware token.

use super::ask::Ask;
use age::plugin::{Identity as PluginIdentity, IdentityPluginV1, RecipientPluginV1, ResolveError};
use age_core::format::{FileKey, Stanza};
use kubiya_policies::sops::age::{Identity, IdentityKind, unwrap_with, wrap_with};
use kubiya_policies::sops::keys::{KeyBytes, KeyError, WrappedKey};
use kubiya_policies::sops::recipient::Recipient;
use secrecy::{ExposeSecret as _, SecretString};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a plugin may ask and say.
#[derive(Clone)]
pub(super) struct Talk(pub(super) Arc<dyn Ask>);

impl age::Callbacks for Talk {
    fn display_message(&self, message: &str) {
        self.0.say(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.unwrap_or("cancel");
        let answer = self.0.line(&format!("{message} (y: {yes}, n: {no})"))?;
        match answer.trim() {
            "y" | "Y" | "yes" => Some(true),
            "n" | "N" | "no" => Some(false),
            _ => None,
        }
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.0.line(description)
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        self.0.secret(description)
    }
}

/// The plugin identities at hand, by the name of their plugin.
#[derive(Default)]
pub(super) struct Plugins(BTreeMap<String, Vec<PluginIdentity>>);

impl Plugins {
    /// Takes an identity, if it is a plugin's.
    pub(super) fn add(&mut self, identity: &Identity) {
        if identity.kind() == IdentityKind::Plugin
            && let Ok(identity) = identity.expose_line().expose_secret().parse::<PluginIdentity>()
        {
            self.0.entry(identity.plugin().to_owned()).or_default().push(identity);
        }
    }

    /// Lets each plugin try. `None` where there is no plugin identity, or none says more than that it
    /// does not fit.
    pub(super) fn unwrap(&self, wrapped: &WrappedKey, talk: &Talk) -> Option<Result<KeyBytes, KeyError>> {
        let mut problems = Vec::new();
        for (name, identities) in &self.0 {
            let heard = match IdentityPluginV1::new(name, identities, talk.clone()) {
                Ok(plugin) => Heard { plugin, problem: RefCell::default() },
                Err(error) => {
                    problems.push(unresolved(&error));
                    continue;
                }
            };
            match unwrap_with(wrapped, std::iter::once(&heard as &dyn age::Identity)) {
                Ok(Some(secret)) => return Some(Ok(secret)),
                Ok(None) => problems.extend(
                    heard.problem.into_inner().map(|problem| format!("age-plugin-{name}: {problem}")),
                ),
                Err(error) => return Some(Err(error)),
            }
        }
        (!problems.is_empty()).then(|| {
            Err(KeyError::Helper { recipient: wrapped.recipient.to_string(), problem: problems.join("; ") })
        })
    }
}

/// Wraps for a plugin's recipient.
pub(super) fn wrap(secret: &KeyBytes, recipient: &Recipient, talk: &Talk) -> Result<WrappedKey, KeyError> {
    let name = recipient.to_string();
    let helper = |problem: String| KeyError::Helper { recipient: name.clone(), problem };
    let public = name.parse::<age::plugin::Recipient>().map_err(|_| KeyError::BadRecipient(name.clone()))?;
    let plugin = RecipientPluginV1::new(public.plugin(), std::slice::from_ref(&public), &[], talk.clone())
        .map_err(|error| helper(unresolved(&error)))?;
    wrap_with(&plugin, secret, recipient).map_err(|error| helper(one_line(&error)))
}

fn unresolved(error: &ResolveError) -> String {
    match error {
        ResolveError::MissingPlugin { binary_name } => format!("the program {binary_name} is not on PATH"),
        other => one_line(other),
    }
}

/// age's messages go over several lines.
fn one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A plugin whose complaint is kept, so that others can try.
struct Heard {
    plugin: IdentityPluginV1<Talk>,
    problem: RefCell<Option<String>>,
}

impl age::Identity for Heard {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        match self.plugin.unwrap_stanzas(stanzas)? {
            Ok(file_key) => Some(Ok(file_key)),
            Err(error) => {
                self.problem.replace(Some(one_line(&error)));
                None
            }
        }
    }
}

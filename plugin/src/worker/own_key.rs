//! A worker's own age key: who may push to its path cannot have another's ciphertext decrypted there.

use super::error::{Stop, WorkerError};
use super::hub::Hub;
use super::in_git::{escaped, found, put};
use super::names::{MANAGED_BY, WORKER_LABEL};
use crate::bootstrap::AGE_ENTRY;
use crate::cluster::{Action, Applied, Manifest, Mode, dynamic};
use crate::files::Version;
use crate::secrets::{Configs, shown};
use kubiya_hook::edge::{Failure, Kind};
use kubiya_policies::rules::{NewRule, Rules};
use kubiya_policies::sops::age::{Identity, IdentityFile};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Name of the Secret with a worker's key.
#[must_use]
pub fn key_secret_name(worker: &str) -> String {
    format!("{worker}-age")
}

/// The public half of the key that a worker has already.
///
/// # Errors
/// A Secret of that name that holds something else.
pub async fn own_recipient(hub: &Hub, namespace: &str, worker: &str) -> Result<Option<String>, Failure> {
    let name = key_secret_name(worker);
    let Some(secret) = hub.connection.secret(namespace, &name).await? else { return Ok(None) };
    let entry = secret.data.get(AGE_ENTRY).map(|bytes| IdentityFile::parse(bytes));
    let recipients: Vec<String> = match entry {
        Some(Ok(file)) => file.identities().iter().filter_map(Identity::recipient).collect(),
        _ => Vec::new(),
    };
    match recipients.as_slice() {
        [one] => Ok(Some(one.clone())),
        _ => Err(Failure::usage(format!("it does not hold one age key in `{AGE_ENTRY}`"))
            .at(format!("Secret {namespace}/{name}"))
            .hint(format!("look at it: kubectl -n {namespace} describe secret {name}"))),
    }
}

/// The Secrets by which Flux decrypts what goes to a worker, in the namespaces of its Kustomizations.
#[must_use]
pub fn key_secrets(worker: &str, namespaces: &[String], identity: &Identity) -> Vec<Manifest> {
    let text = format!("{}\n", identity.expose_line().expose_secret());
    let data = BTreeMap::from([(AGE_ENTRY.to_owned(), SecretString::from(text))]);
    let one = |namespace: &String| {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": key_secret_name(worker),
                "namespace": namespace,
                "labels": {
                    MANAGED_BY.0: MANAGED_BY.1,
                    WORKER_LABEL: worker,
                    "reconcile.fluxcd.io/watch": "Enabled",
                },
                "annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"},
            },
            "type": "Opaque",
        });
        Manifest::secret(dynamic(object), data.clone())
    };
    namespaces.iter().map(one).collect()
}

/// A change of a `.sops.yaml`, found out before it is made.
#[derive(Debug)]
pub struct RuleChange {
    config: PathBuf,
    top: PathBuf,
    before: Option<Version>,
    after: Option<Vec<u8>>,
}

impl RuleChange {
    /// The rule that makes a worker's folders its own key's: for what is in them, not for the credentials beside them.
    ///
    /// # Errors
    /// A `.sops.yaml` that cannot be used or changed, and a rule for these paths that is for somebody else.
    pub fn plan(
        top: &Path,
        folder: &Path,
        worker: &str,
        recipient: &str,
        recovery: &[String],
    ) -> Result<Self, WorkerError> {
        let inside = top.join(folder).join(worker).join("secrets").join("db.yaml");
        let governed =
            Configs::new(None, Some(top.to_owned())).governing(&inside).map_err(WorkerError::Failed)?;
        let config = governed.as_ref().map_or(top.join(".sops.yaml"), |governed| governed.config.clone());
        let base = config.parent().unwrap_or(top);
        let below = top.join(folder).join(worker);
        let below = below.strip_prefix(base).unwrap_or(&below).display().to_string();
        let recipients = [recipient.to_owned()].into_iter().chain(recovery.iter().cloned());
        let rule = NewRule {
            comment: format!("what goes to {worker} is for its own key"),
            path_regex: format!("^{}/[^/]+/", escaped(&below)),
            encrypted_regex: "^(data|stringData)$".to_owned(),
            recipients: recipients.collect(),
        };
        let change = |before, after| Self { config: config.clone(), top: top.to_owned(), before, after };
        if let Some(rules) = governed.as_ref().map(|governed| &governed.rules)
            && is_own(rules, &inside, &rule).map_err(|why| refused(&config, &rule, why))?
        {
            return Ok(change(None, None));
        }
        let before = found(&config).map_err(WorkerError::Failed)?;
        let bytes = before.as_ref().map(Version::bytes).unwrap_or_default();
        let after = rule.put_first(bytes).map_err(|error| refused(&config, &rule, error.to_string()))?;
        Ok(change(before, Some(after)))
    }

    /// Makes the change.
    ///
    /// # Errors
    /// Those of writing.
    pub fn make(&self, mode: Mode) -> Result<Applied, Failure> {
        let name = self.config.strip_prefix(&self.top).unwrap_or(&self.config).display().to_string();
        let Some(after) = &self.after else { return Ok(Applied::new("File", name, Action::Unchanged)) };
        if mode == Mode::Write {
            put(&self.config, self.before.as_ref(), after)?;
        }
        let action = if self.before.is_some() { Action::Configured } else { Action::Created };
        Ok(Applied::new("File", name, action))
    }
}

/// Whether the rule for a worker's secrets is its own already; why it cannot be made so.
fn is_own(rules: &Rules, inside: &Path, wanted: &NewRule) -> Result<bool, String> {
    let Some((number, rule)) = rules.for_path(inside.as_os_str().as_bytes()) else { return Ok(false) };
    let same_paths = rule.path_regex.as_ref().is_some_and(|regex| regex.as_str() == wanted.path_regex);
    if !same_paths {
        return Ok(false);
    }
    let named: Vec<String> = rule.recipients().map(ToString::to_string).collect();
    match wanted.recipients.first().is_some_and(|own| named.contains(own)) {
        true => Ok(true),
        false => Err(format!("creation rule {} is for these paths, and for another key", number + 1)),
    }
}

fn refused(config: &Path, rule: &NewRule, why: String) -> WorkerError {
    WorkerError::Stopped(Box::new(Stop {
        message: "the worker's own key needs a creation rule of its own".to_owned(),
        causes: vec![why],
        hints: vec![format!("in {}, before the other rules:\n{}", shown(config), rule.item("  ").trim_end())],
        kind: Kind::Usage,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_put_before_the_others_once_and_not_for_another_key() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let config = top.join(".sops.yaml");
        std::fs::write(&config, "creation_rules:\n  - age: age1dev\n").unwrap();
        let [own, other, recovery] = [(); 3].map(|()| Identity::generate().recipient().unwrap());
        let plan = |recipient: &str| {
            RuleChange::plan(
                &top,
                Path::new("workers"),
                "worker.01",
                recipient,
                std::slice::from_ref(&recovery),
            )
        };
        let change = plan(&own).unwrap();
        assert_eq!(change.make(Mode::Compare).unwrap().action, Action::Configured);
        assert!(!std::fs::read_to_string(&config).unwrap().contains(&own));
        change.make(Mode::Write).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(r"- path_regex: '^workers/worker\.01/[^/]+/'"), "{text}");
        let rules = Rules::parse(b"", text.as_bytes()).unwrap();
        let rule_of = |path: &[u8]| rules.for_path(path).map(|(number, _)| number);
        assert_eq!(rule_of(b"workers/worker.01/secrets/a.yaml"), Some(0));
        assert_eq!(rule_of(b"workers/worker.01/kubeconfig.yaml"), Some(1));
        assert_eq!(rule_of(b"workers/worker-01/secrets/a.yaml"), Some(1));
        assert_eq!(plan(&own).unwrap().make(Mode::Write).unwrap().action, Action::Unchanged);
        let error = Failure::from(plan(&other).unwrap_err());
        assert!(error.causes()[0].contains("for another key"), "{error:?}");
    }
}

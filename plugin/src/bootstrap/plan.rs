//! What will be done, as a value: stages of objects, each with what must be true before the next.

use super::Inputs;
use super::settings::Remembered;
use super::sops_age::{self, Given};
use crate::cluster::{LiveSecret, Manifest, dynamic};
use crate::flux::{SYNC_API_VERSIONS, SyncSpec, decryption, git_repository, kustomization};
use crate::rotation::RETIRED_RECIPIENTS;
use kube::api::{DynamicObject, GroupVersionKind, TypeMeta};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::age::IdentityFileError;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Entry of the Secret that Flux reads: it looks at names that end in `.agekey` and at no other.
pub(crate) const AGE_ENTRY: &str = "age.agekey";

/// The type of a Secret that images are pulled with.
const PULL_SECRET: &str = "kubernetes.io/dockerconfigjson";

/// The title of the stage that is about the namespace alone.
pub(super) const NAMESPACE: &str = "namespace";

/// What the plan needs to know of the cluster as it is.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// The Secrets with age identities that are there, by namespace.
    pub age_secrets: BTreeMap<String, LiveSecret>,
    /// The `spec` of the GitRepository on the cluster.
    pub source: Value,
    /// The `spec.decryption` of the Kustomization on the cluster.
    pub decryption: Value,
    /// Objects of the sync that are suspended.
    pub suspended: Vec<String>,
    /// The controllers are in the inventory of the sync, as `flux bootstrap` makes it: they come out of the repository,
    /// and are left alone with the sync itself.
    pub in_repository: bool,
    /// Kind and name of those of them that are in the inventory and not on the cluster: without them nobody brings them back.
    pub gone: BTreeSet<(String, String)>,
    /// The Secret that images are to be pulled with, where it is neither there nor written.
    pub no_pull_secret: Option<String>,
    /// The version of the Lease that whoever changes the cluster takes.
    pub lease: Option<String>,
    /// Flux's ServiceAccounts and Deployments, which remember their settings.
    pub remembered: Remembered,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The Secret that is there stops Flux from decrypting anything.
    #[error("the Secret {namespace}/{secret} on the cluster has a malformed entry `{entry}`")]
    MalformedAgeEntry {
        /// The namespace of the Secret.
        namespace: String,
        /// The name of the Secret.
        secret: String,
        /// The name of the entry.
        entry: String,
        /// What is wrong with it.
        source: IdentityFileError,
    },
    /// A rotation took the key away, and it is not to come back by an old file.
    #[error("the key {recipient} was retired by a rotation: Flux does not get it back")]
    Retired {
        /// Its public key.
        recipient: String,
        /// The namespace of the Secret.
        namespace: String,
        /// The name of the Secret.
        secret: String,
    },
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match &error {
            PlanError::MalformedAgeEntry { namespace, secret, source, .. } => {
                Failure::unverified(error.to_string())
                    .because(source)
                    .because_of("one malformed line keeps Flux from decrypting anything")
                    .hint(format!("mend or remove that line: kubectl -n {namespace} edit secret {secret}"))
            }
            PlanError::Retired { namespace, secret, .. } => Failure::usage(error.to_string())
                .hint("--age-key-file FILE   # the key that took its place")
                .hint(format!("kubectl annotate secret {secret} -n {namespace} {RETIRED_RECIPIENTS}-   # if it is to come back on purpose")),
        }
    }
}

/// What must be true before the next stage begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A CustomResourceDefinition is established.
    Established(String),
    /// The API server serves a kind.
    Served(GroupVersionKind),
    /// A Deployment is rolled out.
    RolledOut {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Objects that can be applied at the same time.
#[derive(Clone, Debug)]
pub struct Stage {
    /// For people.
    pub title: &'static str,
    /// The objects.
    pub objects: Vec<Manifest>,
    /// What must be true afterwards.
    pub waits: Vec<Wait>,
}

/// The whole way from what is there to what is wanted. Ready of the sync comes after the last stage.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In this order.
    pub stages: Vec<Stage>,
}

/// Makes the plan. Pure: it reads nothing and writes nothing.
///
/// The Secrets come before the controllers, so that Flux never sees an encrypted file without its key
/// or a Kustomization without its kubeconfig; the sync comes with the controllers, because it needs
/// only the definitions and no running pod.
///
/// # Errors
/// A Secret on the cluster to which no identity can be added, or to which this one is not to be added again.
pub fn plan(inputs: &Inputs, live: &Live) -> Result<Plan, PlanError> {
    let mut secrets = age_secrets(inputs, live)?;
    secrets.extend(git_secrets(inputs));
    secrets.extend(pull_secret(inputs));
    let stage = |title, objects, waits| Stage { title, objects, waits };
    if live.in_repository {
        let mut stages = vec![stage("secrets", secrets, Vec::new())];
        let gone = gone(inputs, live);
        if !gone.is_empty() {
            let rollouts = rollouts(inputs, &gone);
            stages.push(stage("controllers that are gone", gone, rollouts));
        }
        stages.extend(own(inputs));
        return Ok(Plan { stages });
    }
    let mut namespace = Vec::new();
    let mut definitions = Vec::new();
    let mut controllers = Vec::new();
    for object in &inputs.flux.objects {
        let object = inputs.settings.applied_to(object, &live.remembered);
        match kind(&object) {
            "Namespace" => namespace.push(Manifest::new(object)),
            "Deployment" | "StatefulSet" | "DaemonSet" => controllers.push(Manifest::new(object)),
            _ => definitions.push(Manifest::new(object)),
        }
    }
    if namespace.is_empty() {
        namespace.push(Manifest::new(namespace_object(&inputs.sync.namespace)));
    }
    namespace.extend(inputs.decryption.namespaces.keys().map(|name| Manifest::new(namespace_object(name))));
    let established = definitions.iter().filter(|m| m.kind() == "CustomResourceDefinition");
    let established = established.map(|m| Wait::Established(m.name())).collect::<Vec<_>>();
    let served = SYNC_API_VERSIONS.iter().filter_map(|(api_version, kind)| {
        let types = TypeMeta { api_version: (*api_version).to_owned(), kind: (*kind).to_owned() };
        GroupVersionKind::try_from(&types).ok().map(Wait::Served)
    });
    let waits = established.into_iter().chain(served).collect();
    let rollouts = rollouts(inputs, &controllers);
    let sync = sync(inputs, live);
    controllers.push(Manifest::new(git_repository(&sync)));
    controllers.push(Manifest::new(kustomization(&sync)));
    let mut plan = Plan {
        stages: vec![
            stage(NAMESPACE, namespace, Vec::new()),
            stage("secrets", secrets, Vec::new()),
            stage("definitions and access", definitions, waits),
            stage("controllers and sync", controllers, rollouts),
        ],
    };
    plan.stages.extend(own(inputs));
    Ok(plan)
}

/// What Flux applied of itself and somebody deleted, as the manifests have it; Flux then makes of it what the repository says.
fn gone(inputs: &Inputs, live: &Live) -> Vec<Manifest> {
    let is_gone = |object: &&DynamicObject| {
        let name = object.metadata.name.clone().unwrap_or_default();
        live.gone.contains(&(kind(object).to_owned(), name))
    };
    inputs.flux.objects.iter().filter(is_gone).cloned().map(Manifest::new).collect()
}

/// The waits for controllers.
fn rollouts(inputs: &Inputs, controllers: &[Manifest]) -> Vec<Wait> {
    let deployments = controllers.iter().filter(|manifest| manifest.kind() == "Deployment");
    let wait = |manifest: &Manifest| Wait::RolledOut {
        namespace: inputs.sync.namespace.clone(),
        name: manifest.object().metadata.name.clone().unwrap_or_default(),
    };
    deployments.map(wait).collect()
}

/// What the operator brings, after Flux, because most of it is for Flux: definitions and namespaces first. Policies come
/// last, so that they judge nothing of this run.
fn own(inputs: &Inputs) -> Vec<Stage> {
    let is_first =
        |manifest: &&Manifest| ["CustomResourceDefinition", "Namespace"].contains(&manifest.kind());
    let (first, rest): (Vec<_>, Vec<_>) = inputs.install.own.iter().partition(is_first);
    let definitions = first.iter().filter(|m| m.kind() == "CustomResourceDefinition");
    let waits = definitions.map(|m| Wait::Established(m.name())).collect();
    let owned = |manifests: Vec<&Manifest>| manifests.into_iter().cloned().collect();
    let stages = [
        Stage { title: "your own definitions", objects: owned(first), waits },
        Stage { title: "your own objects", objects: owned(rest), waits: Vec::new() },
        Stage { title: "admission policies", objects: inputs.install.policies.clone(), waits: Vec::new() },
    ];
    stages.into_iter().filter(|stage| !stage.objects.is_empty()).collect()
}

impl Plan {
    /// All objects, in order.
    pub fn objects(&self) -> impl Iterator<Item = &Manifest> {
        self.stages.iter().flat_map(|stage| &stage.objects)
    }
}

/// The Secrets with what Flux decrypts with: its own, and those of other namespaces.
fn age_secrets(inputs: &Inputs, live: &Live) -> Result<Vec<Manifest>, PlanError> {
    let (own, name) = (&inputs.sync.namespace, &inputs.sync.decryption_secret);
    let given = &inputs.decryption;
    let none = BTreeMap::new();
    let main = Given { identities: &given.identities, entries: &given.entries };
    let others = given
        .namespaces
        .iter()
        .map(|(namespace, identities)| (namespace, Given { identities, entries: &none }));
    let all = std::iter::once((own, main)).chain(others);
    let secrets = all.map(|(namespace, given)| {
        sops_age::secret((namespace, name), given, live.age_secrets.get(namespace))
    });
    Ok(secrets.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The Secrets with the credentials for Git, each with its entries and with nothing else: what is left over from other
/// credentials would be used as well.
fn git_secrets(inputs: &Inputs) -> impl Iterator<Item = Manifest> {
    let namespace = &inputs.sync.namespace;
    let secrets = inputs.git.secrets().into_iter();
    secrets.map(move |(name, data)| Manifest::whole_secret(secret_object(namespace, name), data.clone()))
}

/// What the controllers' images are pulled with.
fn pull_secret(inputs: &Inputs) -> Option<Manifest> {
    let name = inputs.install.options.image_pull_secret.as_ref()?;
    let config = inputs.install.pull_secret.clone()?;
    let mut object = secret_object(&inputs.sync.namespace, name);
    object.data["type"] = PULL_SECRET.into();
    Some(Manifest::whole_secret(object, BTreeMap::from([(".dockerconfigjson".to_owned(), config)])))
}

/// What Flux is to follow. What an earlier run gave it (credentials, keys to decrypt and to verify with), it keeps when
/// this one names none.
pub(super) fn sync(inputs: &Inputs, live: &Live) -> SyncSpec {
    let wanted = &inputs.sync;
    let source = &live.source;
    let kept = |pointer: &str| source.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let keeps_credentials = wanted.git_secret.is_none();
    let kept_decryption = match &live.decryption {
        Value::Null if live.age_secrets.get(&wanted.namespace).is_some_and(LiveSecret::is_ours) => {
            decryption(Some(&wanted.decryption_secret))
        }
        there => there.clone(),
    };
    SyncSpec {
        git_secret: wanted.git_secret.clone().or_else(|| kept("/secretRef/name")),
        provider: wanted.provider.clone().or_else(|| kept("/provider").filter(|_| keeps_credentials)),
        proxy_secret: wanted.proxy_secret.clone().or_else(|| kept("/proxySecretRef/name")),
        verify_secret: wanted.verify_secret.clone().or_else(|| kept("/verify/secretRef/name")),
        decryption: if wanted.decryption.is_null() { kept_decryption } else { wanted.decryption.clone() },
        ..wanted.clone()
    }
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| types.kind.as_str())
}

fn namespace_object(name: &str) -> DynamicObject {
    dynamic(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
}

/// A Secret that Flux watches: with the label it reconciles within seconds of a change, without it
/// only at the next interval.
pub(super) fn secret_object(namespace: &str, name: &str) -> DynamicObject {
    let (label, ours) = LiveSecret::OURS;
    dynamic(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                label: ours,
                "reconcile.fluxcd.io/watch": "Enabled",
            },
            "annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"},
        },
        "type": "Opaque",
    }))
}

#[cfg(test)]
mod tests;

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
use std::collections::BTreeMap;

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
        return Ok(Plan { stages: vec![stage("secrets", secrets, Vec::new())] });
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
    let rollouts = controllers
        .iter()
        .filter(|m| m.kind() == "Deployment")
        .map(|m| Wait::RolledOut {
            namespace: inputs.sync.namespace.clone(),
            name: m.object().metadata.name.clone().unwrap_or_default(),
        })
        .collect();
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
mod tests {
    use super::*;
    use crate::bootstrap::{Decryption, Installation, Options, Settings};
    use crate::flux::InstallManifests;
    use crate::git_access::GitAccess;
    use kubiya_policies::sops::age::{Identity, IdentityFile};
    use secrecy::ExposeSecret as _;

    fn live(secret: LiveSecret) -> Live {
        Live { age_secrets: BTreeMap::from([(secret.namespace.clone(), secret)]), ..Live::default() }
    }

    fn inputs(identity: &Identity) -> Inputs {
        let object = |api_version: &str, kind: &str, name: &str| {
            let mut metadata = json!({"name": name});
            if kind != "CustomResourceDefinition" {
                metadata["namespace"] = "flux-system".into();
            }
            dynamic(json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}))
        };
        Inputs {
            hub: None,
            sync: SyncSpec {
                namespace: "flux-system".to_owned(),
                url: "https://git.example.com/r.git".to_owned(),
                branch: "main".to_owned(),
                path: "clusters/infra".to_owned(),
                decryption_secret: "sops-age".to_owned(),
                decryption: decryption(Some("sops-age")),
                git_secret: None,
                service_account: None,
                proxy_secret: None,
                provider: None,
                verify_secret: None,
            },
            git: GitAccess::default(),
            options: Options::default(),
            decryption: Decryption { identities: vec![identity.clone()], ..Decryption::default() },
            settings: Settings::default(),
            workers: Vec::new(),
            flux: InstallManifests {
                objects: vec![
                    object("apps/v1", "Deployment", "source-controller"),
                    object("v1", "ServiceAccount", "source-controller"),
                    object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "gitrepositories"),
                ],
                version: None,
            },
            install: Installation::default(),
        }
    }

    #[test]
    fn images_can_be_pulled_before_there_are_controllers_and_what_is_yours_comes_after_them() {
        let mut inputs = inputs(&Identity::generate());
        inputs.install.options.image_pull_secret = Some("mirror".to_owned());
        inputs.install.pull_secret = Some("CANARY".to_owned().into());
        let own = |kind: &str, name: &str| {
            Manifest::new(dynamic(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})))
        };
        inputs.install.own = vec![own("Widget", "w"), own("CustomResourceDefinition", "widgets")];
        inputs.install.policies = vec![own("ValidatingAdmissionPolicy", "p")];
        let plan = plan(&inputs, &Live::default()).unwrap();
        let titles: Vec<&str> = plan.stages.iter().map(|stage| stage.title).collect();
        assert_eq!(
            titles[3..],
            ["controllers and sync", "your own definitions", "your own objects", "admission policies"]
        );
        let secret =
            plan.stages[1].objects.iter().find(|object| object.name() == "flux-system/mirror").unwrap();
        assert_eq!(secret.shown()["type"], PULL_SECRET);
        assert_eq!(plan.stages[4].waits, [Wait::Established("widgets".to_owned())]);
        assert!(!format!("{plan:?}").contains("CANARY"));
    }

    #[test]
    fn keys_come_before_definitions_and_those_before_controllers_and_the_sync() {
        let plan = plan(&inputs(&Identity::generate()), &Live::default()).unwrap();
        let mut shown = String::new();
        for stage in &plan.stages {
            shown += &format!("{}\n", stage.title);
            for object in &stage.objects {
                shown +=
                    &format!("  {}{}\n", object.id(), if object.holds_secret() { " (secret)" } else { "" });
            }
            for wait in &stage.waits {
                shown += &format!("  then {wait:?}\n");
            }
        }
        insta::assert_snapshot!(shown, @r#"
        namespace
          Namespace flux-system
        secrets
          Secret flux-system/sops-age (secret)
        definitions and access
          ServiceAccount flux-system/source-controller
          CustomResourceDefinition gitrepositories
          then Established("gitrepositories")
          then Served(GroupVersionKind { group: "source.toolkit.fluxcd.io", version: "v1", kind: "GitRepository" })
          then Served(GroupVersionKind { group: "kustomize.toolkit.fluxcd.io", version: "v1", kind: "Kustomization" })
        controllers and sync
          Deployment flux-system/source-controller
          GitRepository flux-system/flux-system
          Kustomization flux-system/flux-system
          then RolledOut { namespace: "flux-system", name: "source-controller" }
        "#);
        assert!(!format!("{plan:?}").contains("CANARY"), "{plan:?}");
    }

    #[test]
    fn a_key_that_was_retired_does_not_come_back() {
        let identity = Identity::generate();
        let recipient = identity.recipient().unwrap();
        let annotations = BTreeMap::from([(RETIRED_RECIPIENTS.to_owned(), format!("age1x,{recipient}"))]);
        let live = live(LiveSecret { annotations, ..LiveSecret::of_entries(&[]) });
        let error = plan(&inputs(&identity), &live).unwrap_err();
        assert!(matches!(error, PlanError::Retired { recipient: named, .. } if named == recipient));
        assert!(plan(&inputs(&Identity::generate()), &live).is_ok());
    }

    #[test]
    fn an_identity_on_the_cluster_is_kept_and_a_broken_one_is_no_plan() {
        let (old, new) = (Identity::generate(), Identity::generate());
        let plan_of = |text: &str| plan(&inputs(&new), &live(LiveSecret::of_entries(&[(AGE_ENTRY, text)])));
        let kept = plan_of(old.expose_line().expose_secret()).unwrap();
        let secret = kept.stages[1].objects[0].expose();
        use base64::Engine as _;
        let entry = secret["data"][AGE_ENTRY].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(entry).unwrap();
        assert_eq!(IdentityFile::parse(&bytes).unwrap().identities(), [old, new.clone()]);
        assert!(matches!(plan_of("AGE-SECRET-KEY-1BROKEN"), Err(PlanError::MalformedAgeEntry { .. })));
        assert!(plan_of("  \n").is_ok());
    }

    #[test]
    fn without_a_key_it_is_a_plain_flux_and_what_decrypts_already_goes_on() {
        let mut inputs = inputs(&Identity::generate());
        inputs.decryption = Decryption::default();
        inputs.sync.decryption = Value::Null;
        let decrypts = |live: &Live| {
            let plan = plan(&inputs, live).unwrap();
            let found = plan.objects().find(|m| m.kind() == "Kustomization").unwrap();
            assert!(plan.objects().all(|m| m.kind() != "Secret"));
            found.object().data["spec"]["decryption"].clone()
        };
        assert_eq!(decrypts(&Live::default()), Value::Null);
        let there = json!({"provider": "sops", "secretRef": {"name": "theirs"}});
        assert_eq!(decrypts(&Live { decryption: there.clone(), ..Live::default() }), there);
    }

    #[test]
    fn another_namespace_has_a_secret_of_its_own() {
        let (main, own) = (Identity::generate(), Identity::generate());
        let mut inputs = inputs(&main);
        inputs.decryption.namespaces.insert("apps".to_owned(), vec![own.clone()]);
        let plan = plan(&inputs, &Live::default()).unwrap();
        let ids: Vec<String> =
            plan.stages.iter().flat_map(|stage| &stage.objects).map(Manifest::id).collect();
        let at = |id: &str| ids.iter().position(|found| found == id).unwrap();
        assert!(at("Namespace apps") < at("Secret apps/sops-age"), "{ids:?}");
        let secret = plan.objects().find(|m| m.id() == "Secret apps/sops-age").unwrap().expose();
        use base64::Engine as _;
        let entry = base64::engine::general_purpose::STANDARD
            .decode(secret["data"][AGE_ENTRY].as_str().unwrap())
            .unwrap();
        assert_eq!(IdentityFile::parse(&entry).unwrap().identities(), [own]);
    }

    #[test]
    fn what_is_not_said_is_kept_and_an_apps_provider_goes_with_its_credentials() {
        let source = json!({"secretRef": {"name": "a"}, "provider": "github", "proxySecretRef": {"name": "p"},
            "verify": {"mode": "HEAD", "secretRef": {"name": "v"}}});
        let live = Live { source, ..Live::default() };
        let mut inputs = inputs(&Identity::generate());
        let kept = sync(&inputs, &live);
        assert_eq!((kept.provider.as_deref(), kept.proxy_secret.as_deref()), (Some("github"), Some("p")));
        assert_eq!((kept.git_secret.as_deref(), kept.verify_secret.as_deref()), (Some("a"), Some("v")));
        inputs.sync.git_secret = Some("b".to_owned());
        let other = sync(&inputs, &live);
        assert_eq!((other.provider, other.git_secret.as_deref()), (None, Some("b")));
        assert_eq!((other.proxy_secret.as_deref(), other.verify_secret.as_deref()), (Some("p"), Some("v")));
    }

    #[test]
    fn credentials_for_git_are_a_secret_of_their_own_and_stay_when_none_are_named() {
        let repository = |plan: &Plan| {
            let found = plan.objects().find(|m| m.kind() == "GitRepository").unwrap();
            found.object().data["spec"]["secretRef"]["name"].clone()
        };
        let mut inputs = inputs(&Identity::generate());
        let plain = plan(&inputs, &Live::default()).unwrap();
        assert!(repository(&plain).is_null());
        let live = Live { source: json!({"secretRef": {"name": "theirs"}}), ..Live::default() };
        assert_eq!(repository(&plan(&inputs, &live).unwrap()), "theirs");
        inputs.git.secret_name = Some("git".to_owned());
        inputs.git.data = BTreeMap::from([("bearerToken".to_owned(), "CANARY".to_owned().into())]);
        inputs.sync.git_secret = inputs.git.secret_name.clone();
        let with = plan(&inputs, &live).unwrap();
        assert_eq!(repository(&with), "git");
        let ids: Vec<String> = with.stages[1].objects.iter().map(Manifest::id).collect();
        assert!(ids.contains(&"Secret flux-system/git".to_owned()), "{ids:?}");
        assert!(!format!("{with:?}").contains("CANARY"));
    }
}

//! Plans for clusters as they may be.

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
    let secret = plan.stages[1].objects.iter().find(|object| object.name() == "flux-system/mirror").unwrap();
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
            shown += &format!("  {}{}\n", object.id(), if object.holds_secret() { " (secret)" } else { "" });
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
    let ids: Vec<String> = plan.stages.iter().flat_map(|stage| &stage.objects).map(Manifest::id).collect();
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

#[test]
fn a_flux_out_of_the_repository_gets_secrets_what_is_gone_of_it_and_what_is_yours() {
    let mut inputs = inputs(&Identity::generate());
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    inputs.install.own = vec![Manifest::new(dynamic(own))];
    let live = Live { in_repository: true, ..Live::default() };
    let titles = |plan: &Plan| plan.stages.iter().map(|stage| stage.title).collect::<Vec<_>>();
    assert_eq!(titles(&plan(&inputs, &live).unwrap()), ["secrets", "your own objects"]);
    // What others have put there, and what this run's manifests do not have, is not ours to bring back.
    let gone = ["source-controller", "app"].map(|name| ("Deployment".to_owned(), name.to_owned()));
    let plan = plan(&inputs, &Live { gone: gone.into(), ..live }).unwrap();
    assert_eq!(titles(&plan), ["secrets", "controllers that are gone", "your own objects"]);
    let names: Vec<String> = plan.stages[1].objects.iter().map(Manifest::name).collect();
    assert_eq!((names, plan.stages[1].waits.len()), (vec!["flux-system/source-controller".to_owned()], 1));
}

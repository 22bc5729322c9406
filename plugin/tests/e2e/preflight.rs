//! What is found before anything is written, all of it at once.

use crate::world::{World, secret};
use kubiya_policies::sops::age::Identity;
use kubiya_testdata::harness::Cluster;

/// A namespace that goes with the value, whatever the test came to.
struct Namespace<'a>(Cluster<'a>, String);

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Its Deployment first: it would be taken for a Flux by the tests that follow.
        let _ = self.0.kubectl(["-n", &self.1, "delete", "deployments", "--all"]);
        let _ = self.0.kubectl(["delete", "namespace", &self.1, "--wait=false"]);
    }
}

#[test]
fn what_the_branch_holds_is_judged_as_flux_will_build_it() {
    let world = World::new();
    let other = Identity::generate();
    world.write("repo/.sops.yaml", &format!("creation_rules:\n- age: {}\n", other.recipient().unwrap()));
    // Not built, so it does not matter.
    world.write_encrypted("repo/clusters/infra/left-out.yaml", &secret("left-out", "hunter2"), &other);
    world.write_encrypted("repo/clusters/base/db.yaml", &secret("for-another-key", "hunter2"), &other);
    world.write(
        "repo/clusters/infra/kustomization.yaml",
        "resources: [first.yaml, ../base, release.yaml, sync.yaml]\n",
    );
    world.write(
        "repo/clusters/infra/release.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2beta1\nkind: HelmRelease\nmetadata: {name: old, namespace: default}\n",
    );
    world.write(
        "repo/clusters/infra/sync.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {name: flux-system, namespace: flux-system}\n\
         spec: {path: ./clusters/old, prune: true, interval: 10m, sourceRef: {kind: GitRepository, name: flux-system}}\n",
    );
    world.push();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    for wanted in [
        "problem: .sops.yaml: no creation rule names the age key that Flux is to get",
        "problem: clusters/base/db.yaml: none of the keys that Flux will have opens this file",
        "problem: clusters/infra/release.yaml: HelmRelease old: this Flux serves v2, not helm.toolkit.fluxcd.io/v2beta1",
        "hint: flux migrate -f .",
        "problem: clusters/infra/sync.yaml: Kustomization flux-system: it has another spec.path",
        "path: ./clusters/infra",
        "provider: sops",
    ] {
        assert!(said.stderr.contains(wanted), "{wanted}\n{}", said.stderr);
    }
    assert!(!said.stderr.contains("left-out"), "{}", said.stderr);
    let said = world.bootstrap(&["--path", "clusters/nowhere"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("the branch `main` has no folder `clusters/nowhere`"), "{}", said.stderr);
    assert_eq!(world.versions(), "");
}

#[test]
fn a_sync_in_the_repository_without_decryption_is_shown_with_its_patch_and_a_clone_does_as_well() {
    let world = World::new();
    world.write(
        "repo/clusters/infra/flux-system/gotk-sync.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {name: flux-system, namespace: flux-system}\n\
         spec: {path: clusters/infra/, prune: true, interval: 10m0s, sourceRef: {kind: GitRepository, name: flux-system}}\n",
    );
    world.push();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("it has no spec.decryption.provider, spec.decryption.secretRef.name"),
        "{}",
        said.stderr
    );
    let patch = "write into clusters/infra/flux-system/gotk-sync.yaml:";
    assert_eq!(said.stderr.matches(patch).count(), 1, "{}", said.stderr);
    // It was not undone by the first sync.
    let name = world
        .hub(&["kustomization", "flux-system", "-n", "flux-system"], "{.spec.decryption.secretRef.name}");
    assert_eq!(name, "sops-age");
    // Looked at in a clone, where the repository itself cannot be reached.
    let gone = ["--url", "http://127.0.0.1:1/gone.git", "--dry-run=client"];
    let blind = world.bootstrap(&gone);
    assert!(
        blind.code == 0 && blind.stderr.contains("cannot look at the repository from here"),
        "{}",
        blind.stderr
    );
    assert!(!blind.stderr.contains("gotk-sync.yaml"), "{}", blind.stderr);
    let clone = world.bootstrap(&[&gone[..], &["--repo", "repo"]].concat());
    assert!(clone.code == 0 && clone.stderr.contains("gotk-sync.yaml"), "{}", clone.stderr);
}

#[test]
fn what_is_there_of_flux_is_respected() {
    let world = World::new();
    let hub = world.rig.hub();
    let elsewhere = Namespace(hub, world.rig.fresh_namespace().unwrap());
    let other = format!(
        "apiVersion: apps/v1\nkind: Deployment\n\
         metadata: {{name: other, namespace: {}, labels: {{app.kubernetes.io/part-of: flux}}}}\n\
         spec: {{replicas: 0, selector: {{matchLabels: {{a: b}}}}, template: {{metadata: {{labels: {{a: b}}}}, \
         spec: {{containers: [{{name: c, image: i}}]}}}}}}\n",
        elsewhere.1
    );
    hub.apply(&other).unwrap();
    let said = world.bootstrap(&["--wait=false"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(
        said.stderr.contains(&format!("Flux is already installed, in the namespace `{}`", elsewhere.1)),
        "{}",
        said.stderr
    );
    assert_eq!(world.versions(), "");
    drop(elsewhere);

    let said = world.bootstrap(&["--wait=false"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let deployment = ["-n", "flux-system", "deployment", "helm-controller"];
    let label = [&["label", "--overwrite"], &deployment[..], &["app.kubernetes.io/version=v99.0.0"]].concat();
    let annotate = [&["annotate"], &deployment[..], &["meta.helm.sh/release-name=flux2"]].concat();
    for words in [label, annotate] {
        hub.run(words).unwrap();
    }
    let suspend = r#"{"spec":{"suspend":true}}"#;
    hub.run(["-n", "flux-system", "patch", "gitrepository", "flux-system", "--type=merge", "-p", suspend])
        .unwrap();
    let before = world.versions();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    for wanted in [
        "problem: the Flux that is there is managed by Helm, which would undo this",
        "problem: GitRepository flux-system/flux-system is suspended: Flux applies nothing",
        "problem: Flux v99.0.0 is installed, and the manifests are of",
    ] {
        assert!(said.stderr.contains(wanted), "{wanted}\n{}", said.stderr);
    }
    assert_eq!(before, world.versions());
    let resume = r#"{"spec":{"suspend":false}}"#;
    hub.run(["-n", "flux-system", "patch", "gitrepository", "flux-system", "--type=merge", "-p", resume])
        .unwrap();
    let said = world.bootstrap(&["--wait=false", "--take-over", "--allow-downgrade", "--force-conflicts"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn what_is_not_allowed_is_listed_and_what_only_the_server_knows_is_asked() {
    let world = World::new();
    let hub = world.rig.hub();
    // Reads everything, writes nothing.
    let reader = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: t-reader}\n\
        rules: [{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch]}]\n";
    // May write all kinds that are needed, and not give away more than it has.
    let writer = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: t-writer}\n\
        rules: [{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch, create, patch]}]\n";
    let bind = |role: &str, user: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {role}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
             subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]\n"
        )
    };
    hub.apply(&[reader, writer, &bind("t-reader", "rita"), &bind("t-writer", "walter")].join("---\n"))
        .unwrap();
    let rita = world.bootstrap(&["--as", "rita"]);
    let walter = world.bootstrap(&["--as", "walter"]);
    for kind in ["clusterrolebinding", "clusterrole"] {
        hub.run(["delete", kind, "t-reader", "t-writer"]).unwrap();
    }
    assert_eq!(rita.code, 3, "{}", rita.stderr);
    assert!(rita.stderr.contains("rita may not do"), "{}", rita.stderr);
    for wanted in [
        "cause: create namespaces\n",
        "cause: patch secrets in flux-system\n",
        "cause: create deployments.apps in flux-system\n",
    ] {
        assert!(rita.stderr.contains(wanted), "{wanted}\n{}", rita.stderr);
    }
    assert_eq!(walter.code, 3, "{}", walter.stderr);
    assert!(!walter.stderr.contains("walter may not do"), "{}", walter.stderr);
    assert!(
        walter.stderr.contains("attempting to grant RBAC permissions not currently held"),
        "{}",
        walter.stderr
    );
    assert_eq!(world.versions(), "");
}

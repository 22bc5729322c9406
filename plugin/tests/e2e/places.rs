//! Where Flux's own manifests do not fit: among tenants, behind a mirror and a proxy, where pods are restricted; and what
//! comes with an installation: the operator's own objects, admission policies.

use crate::world::World;

const CERTIFICATE: &str =
    "-----BEGIN CERTIFICATE-----\nTm90aGluZyB0aGF0IGFueWJvZHkgcmVhZHMgaGVyZQ==\n-----END CERTIFICATE-----\n";

/// What another namespace has, as many have it that share one source.
const ELSEWHERE: &str = "\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: gateway-secrets, namespace: default}
spec:
  interval: 10m
  path: ./clusters/none
  prune: true
  suspend: true
  sourceRef: {kind: GitRepository, name: flux-system, namespace: flux-system}
";

/// A namespace in which only restricted pods may run.
const RESTRICTED: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: flux-system\n  labels: {pod-security.kubernetes.io/enforce: restricted}\n";

#[test]
fn tenants_a_mirror_a_proxy_and_restricted_pods_with_own_objects_and_policies() {
    let mut world = World::new();
    world.hide("canary-pull-8sK");
    world.apply(RESTRICTED);
    // Manifests out of a folder: nothing is fetched from anywhere but this machine.
    let manifests = std::fs::read_to_string(&world.rig.info().flux_manifests).unwrap();
    world.write("flux/flux.yaml", &manifests);
    world.write("ca.pem", CERTIFICATE);
    world.write("pull.json", r#"{"auths": {"mirror.example.com": {"auth": "canary-pull-8sK"}}}"#);
    world.write("own/kustomization.yaml", "namespace: default\nresources: [own.yaml]\n");
    world.write("own/own.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: t-own}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: t-own}\nstringData: {password: canary-pull-8sK}\n");
    world.write("repo/clusters/infra/elsewhere.yaml", ELSEWHERE);
    world.write("repo/clusters/none/a.yaml", &crate::world::config_map("none"));
    world.push();
    let document = format!(
        "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec:\n  context: hub\n  \
         git: {{url: {}, path: clusters/infra}}\n  age: {{keyFile: age.agekey}}\n  allowLoopback: true\n  \
         flux:\n    manifests: flux\n    multitenant: true\n    registry: mirror.example.com/flux\n    \
         imagePullSecret: mirror\n    imagePullSecretFile: pull.json\n    caFile: ca.pem\n  \
         applyKustomize: own\n  policies: {{action: warn, allowUsers: [kubernetes-admin]}}\n",
        world.url()
    );
    world.write("kubiya.yaml", &document);
    let run = |more: &[&str]| world.kubiya(&[&["bootstrap", "-f", "kubiya.yaml"], more].concat());
    let shown = run(&["--export"]);
    assert!(shown.code == 0 && shown.stdout.contains("name: mirror"), "{}", shown.stderr);
    let said = run(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for wanted in [
        "Kustomization gateway-secrets: it refers to flux-system in the namespace flux-system, which --multitenant forbids",
        "Kustomization gateway-secrets: it names no serviceAccountName",
        "created Secret flux-system/mirror",
        "created Secret default/t-own",
        "created ValidatingAdmissionPolicy kubiya-secrets-by-hand",
    ] {
        assert!(said.stderr.contains(wanted), "{wanted}\n{}", said.stderr);
    }
    let pods = ["deployments", "-n", "flux-system"];
    let images = world.hub(&pods, "{.items[*].spec.template.spec.containers[*].image}");
    assert!(images.split(' ').all(|image| image.starts_with("mirror.example.com/flux/")), "{images}");
    let ready = world.hub(&pods, "{.items[*].status.availableReplicas}");
    assert_eq!(ready, "1 1 1");
    let account =
        world.hub(&["kustomization", "flux-system", "-n", "flux-system"], "{.spec.serviceAccountName}");
    assert_eq!(account, "kustomize-controller");
    assert_eq!(
        world.hub(&["secret", "mirror", "-n", "flux-system"], "{.type}"),
        "kubernetes.io/dockerconfigjson"
    );
    let before = world.versions();
    let again = run(&["-o", "json"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let result: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(result["changed"], 0, "{}", again.stdout);
    assert_eq!(before, world.versions());
    // A policy that refuses keeps the one who is listed working, and the flags win over the document.
    let denied = run(&["--policies=deny"]);
    assert_eq!(denied.code, 2, "{}", denied.stderr);
    let denied = run(&["--policies=deny", "--policy-allow-user", "kubernetes-admin", "--wait=false"]);
    assert_eq!(denied.code, 0, "{}", denied.stderr);
    assert!(
        denied.stderr.contains("configured ValidatingAdmissionPolicyBinding kubiya-secrets-by-hand"),
        "{}",
        denied.stderr
    );
    world.rig.hub().run(["-n", "flux-system", "delete", "secret", "sops-age"]).unwrap();
    let healed = run(&["--policies=deny", "--policy-allow-user", "kubernetes-admin", "--wait=false"]);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
    // A Secret for images that nobody wrote is told before pods wait for it.
    let missing = world.bootstrap(&["--image-pull-secret", "nowhere"]);
    assert_eq!(missing.code, 3, "{}", missing.stderr);
    assert!(
        missing
            .stderr
            .contains("the Secret flux-system/nowhere, by which images are to be pulled, is not there"),
        "{}",
        missing.stderr
    );
    let kinds = "validatingadmissionpolicybindings,validatingadmissionpolicies";
    world.rig.hub().run(["delete", kinds, "-l", "app.kubernetes.io/managed-by=kubectl-kubiya"]).unwrap();
    world.rig.hub().run(["-n", "default", "delete", "secret,configmap", "t-own"]).unwrap();
}

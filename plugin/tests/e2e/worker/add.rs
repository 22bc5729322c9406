//! Taking workers in: minted and copied credentials, and what is refused.

use super::{LONG, Workers};
use crate::world::secret;
use kubiya_testdata::harness::eventually;

/// A Kustomization that applies a folder of the repository to a worker.
fn to_worker(worker: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {{name: apps-{worker}, namespace: flux-system}}\n\
         spec:\n  interval: 10m\n  path: ./apps/{worker}\n  prune: true\n\
         \u{20} sourceRef: {{kind: GitRepository, name: flux-system}}\n\
         \u{20} decryption: {{provider: sops, secretRef: {{name: sops-age}}}}\n\
         \u{20} kubeConfig: {{secretRef: {{name: {worker}-kubeconfig}}}}\n"
    )
}

#[test]
fn a_minted_and_a_copied_worker_get_their_decrypted_secrets() {
    let workers = Workers::new();
    let world = &workers.world;
    for worker in ["worker01", "worker02"] {
        let name = format!("repo/apps/{worker}/db.yaml");
        world.write_encrypted(&name, &secret(&format!("on-{worker}"), "hunter2"), &world.identity);
        world.write(&format!("repo/clusters/infra/{worker}.yaml"), &to_worker(worker));
    }
    world.push();

    let said = workers.add(&["worker01"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("proven Flux is system:serviceaccount:kubiya-"), "{}", said.stderr);
    let said = workers.add(&["worker02", "--copy-credentials"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("proven Flux is kubernetes-admin on worker02"), "{}", said.stderr);
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for worker in ["worker01", "worker02"] {
        let there = workers.there(worker);
        let name = format!("on-{worker}");
        eventually("the Secret is on the worker", LONG, || {
            Ok(there.run(["get", "secret", &name, "-o", "jsonpath={.data.password}"])? == "aHVudGVyMg==")
        })
        .unwrap();
        there.run(["delete", "secret", &name]).unwrap();
    }
}

#[test]
fn looking_first_changes_nothing_and_a_rerun_writes_nothing() {
    let workers = Workers::new();
    for who in ["--dry-run", "--dry-run=server"] {
        let said = workers.add(&["worker01", who]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(
            said.stderr.contains("would create infra: Secret flux-system/worker01-kubeconfig"),
            "{}",
            said.stderr
        );
        assert_eq!(workers.versions("worker01"), "");
    }
    assert_eq!(workers.add(&["worker01"]).code, 0);
    let before = workers.versions("worker01");
    let again = workers.add(&["worker01", "-o", "json"]);
    let result: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(
        (&result["changed"], &result["credential"]),
        (&0.into(), &"minted".into()),
        "{}",
        again.stdout
    );
    assert_eq!(before, workers.versions("worker01"));
    let dry = workers.add(&["worker01", "--dry-run"]);
    assert!(dry.stderr.contains("nothing would change"), "{}", dry.stderr);
}

#[test]
fn in_some_namespaces_only_and_other_terms_take_back_what_earlier_ones_gave() {
    let workers = Workers::new();
    assert_eq!(workers.add(&["worker01"]).code, 0);
    let wide = workers.stored("worker01");
    let said = workers.add(&["worker01", "--scope-namespaces", "web,apps"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    workers.until_refused(&wide);
    let can = |kubeconfig: &str, words: &[&str]| {
        workers.world.write("scoped.kubeconfig", kubeconfig);
        let path = workers.world.path("scoped.kubeconfig").display().to_string();
        let words = [&["--kubeconfig", &path, "auth", "can-i"], words].concat();
        let output = workers.world.command(&workers.world.rig.bin("kubectl")).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let scoped = workers.stored("worker01");
    assert_eq!(can(&scoped, &["patch", "deployments", "-n", "apps"]), "yes");
    for refused in [
        &["patch", "deployments", "-n", "default"][..],
        &["escalate", "roles", "-n", "apps"],
        &["create", "namespaces"],
    ] {
        assert_eq!(can(&scoped, refused), "no", "{refused:?}");
    }
    assert_eq!(workers.add(&["worker01", "--scope-namespaces", "apps"]).code, 0);
    let narrower = workers.stored("worker01");
    assert_eq!(can(&narrower, &["patch", "deployments", "-n", "web"]), "no");
    assert_eq!(workers.add(&["worker01"]).code, 0);
    assert_eq!(can(&workers.stored("worker01"), &["*", "*", "--all-namespaces"]), "yes");
    assert!(!workers.versions("worker01").contains("Role "), "{}", workers.versions("worker01"));
}

#[test]
fn a_token_that_was_taken_back_and_access_that_was_deleted_are_healed_by_a_rerun() {
    let workers = Workers::new();
    assert_eq!(workers.add(&["worker01"]).code, 0);
    let there = workers.there("worker01");
    let old = workers.stored("worker01");
    there.run(["-n", &workers.namespace("worker01"), "delete", "secrets", "--all"]).unwrap();
    workers.until_refused(&old);
    let said = workers.add(&["worker01"]);
    assert!(said.code == 0 && said.stderr.contains("configured infra: Secret"), "{}", said.stderr);
    assert!(workers.whoami(&workers.stored("worker01")).starts_with("system:serviceaccount:kubiya-"));
    there.run(["delete", "namespace", &workers.namespace("worker01")]).unwrap();
    let said = workers.add(&["worker01"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(workers.whoami(&workers.stored("worker01")).starts_with("system:serviceaccount:kubiya-"));
}

#[test]
fn one_cluster_has_one_name_and_is_not_the_hub() {
    let workers = Workers::new();
    let said = workers.add(&["hub"]);
    assert!(said.code == 2 && said.stderr.contains("this is the infra cluster itself"), "{}", said.stderr);
    assert_eq!(workers.add(&["worker01"]).code, 0);
    let said = workers.add(&["other", "--worker-context", "worker01"]);
    assert!(said.code == 2 && said.stderr.contains("known already, as worker `worker01`"), "{}", said.stderr);
    let said = workers.add(&["worker01", "--worker-context", "worker02"]);
    assert!(said.code == 2 && said.stderr.contains("is another cluster than"), "{}", said.stderr);
    let said = workers.add(&["worker01", "--worker-context", "worker02", "--copy-credentials", "--replace"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said = workers.add(&["nowhere"]);
    assert!(said.code == 2 && said.stderr.contains("no context `nowhere`"), "{}", said.stderr);
}

#[test]
fn a_foreign_secret_is_left_alone_unless_told() {
    let workers = Workers::new();
    let hub = workers.world.rig.hub();
    let create =
        ["-n", "flux-system", "create", "secret", "generic", "worker01-kubeconfig", "--from-literal=value=x"];
    hub.run(create).unwrap();
    let said = workers.add(&["worker01"]);
    assert!(said.code == 2 && said.stderr.contains("did not make it"), "{}", said.stderr);
    assert_eq!(workers.stored("worker01"), "x");
    assert!(!workers.versions("worker01").contains("ServiceAccount"));
    let said = workers.add(&["worker01", "--force-conflicts"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(workers.whoami(&workers.stored("worker01")).contains("serviceaccount:kubiya-"));
}

#[test]
fn who_may_not_give_access_is_told_what_is_missing_as_rbac() {
    let workers = Workers::new();
    let there = workers.there("worker01");
    let token = there.run(["-n", "default", "create", "token", "default"]).unwrap();
    let config = there.run(["config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster}"]).unwrap();
    let token = token.trim();
    workers.world.write(
        "poor.yaml",
        &format!(
            "{{current-context: w, clusters: [{{name: w, cluster: {config}}}], users: [{{name: u, user: {{token: {token}}}}}], \
             contexts: [{{name: w, context: {{cluster: w, user: u}}}}]}}"
        ),
    );
    let said = workers.add(&["worker01", "--worker-kubeconfig", "poor.yaml"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(
        said.stderr.contains("system:serviceaccount:default:default may not make credentials"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains(token));
    // What the hint holds is enough.
    let rbac = format!("\n{}", said.stderr.split_once("---\n").unwrap().1).replace("\n      ", "\n");
    there.apply(&rbac).unwrap();
    let said = workers.add(&["worker01", "--worker-kubeconfig", "poor.yaml"]);
    there.run(["delete", "clusterrole,clusterrolebinding", "kubiya-worker-add"]).unwrap();
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[test]
fn a_lifetime_too_short_to_live_with_is_refused_unless_it_was_asked_for() {
    let workers = Workers::new();
    // The API server of the second worker grants two days at most.
    let said = workers.add(&["worker02"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("grants tokens for 2d only, 365d were asked for"), "{}", said.stderr);
    assert!(said.stderr.contains("--oidc") && said.stderr.contains("--duration 2d"), "{}", said.stderr);
    assert_eq!(workers.stored("worker02"), "");
    // The token that was of no use is no token any more.
    let there = workers.there("worker02");
    assert_eq!(
        there.run(["-n", &workers.namespace("worker02"), "get", "secrets", "-o", "name"]).unwrap(),
        ""
    );
    // An infra cluster that was built anew finds what its predecessor has.
    there
        .apply(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: kubiya-0ld\n  labels:\n\
             \u{20}   app.kubernetes.io/managed-by: kubectl-kubiya\n    kubiya.dev/hub: 0ld\n",
        )
        .unwrap();
    let said = workers.add(&["worker02", "--duration", "2d"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("another infra cluster has access here, by namespace kubiya-0ld"),
        "{}",
        said.stderr
    );
    there.run(["delete", "namespace", "kubiya-0ld"]).unwrap();
}

#[test]
fn kustomizations_in_other_namespaces_get_the_secret_there() {
    let workers = Workers::new();
    let team = workers.world.rig.fresh_namespace().unwrap();
    let said = workers.add(&["worker01", "--secret-namespace", &team, "--secret-namespace", "flux-system"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let there = workers.world.hub(&["secret", "worker01-kubeconfig", "-n", &team], "{.data.value}");
    assert!(!there.is_empty());
    // A later run keeps all of them in step.
    workers
        .there("worker01")
        .run(["-n", &workers.namespace("worker01"), "delete", "secrets", "--all"])
        .unwrap();
    eventually("a new token is made", LONG, || {
        let said = workers.add(&["worker01"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        Ok(workers.world.hub(&["secret", "worker01-kubeconfig", "-n", &team], "{.data.value}") != there)
    })
    .unwrap();
    workers.world.rig.hub().run(["delete", "namespace", &team, "--wait=false"]).unwrap();
}

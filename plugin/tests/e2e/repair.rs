//! What other tools and hands left: shown by field, and put right.

use crate::world::World;

#[test]
fn what_the_flux_cli_and_hands_left_is_taken_over_and_said() {
    let world = World::new();
    let hub = world.rig.hub();
    // The recipe of many READMEs: the flux CLI, and the key by `kubectl apply`.
    let flux = world.rig.bin("flux");
    let install = [
        "--context",
        "hub",
        "install",
        "--components=source-controller,kustomize-controller,helm-controller",
    ];
    assert!(world.command(&flux).args(install).output().unwrap().status.success());
    let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"age.agekey": world.key_file()},
        "metadata": {"name": "sops-age", "namespace": "flux-system"}});
    world.write("secret.json", &secret.to_string());
    let file = world.path("secret.json").display().to_string();
    hub.run(["apply", "-f", &file]).unwrap();
    let replicas = r#"{"spec":{"replicas":0}}"#;
    hub.run(["-n", "flux-system", "patch", "deployment", "helm-controller", "-p", replicas]).unwrap();

    let before = world.versions();
    let diff = world.bootstrap(&["--diff"]);
    assert_eq!(diff.code, 1, "{}", diff.stderr);
    for wanted in [
        "Deployment flux-system/helm-controller\n  spec.replicas: 0 -> 1\n",
        "  takes over spec.replicas of `kubectl-patch`\n",
        "Kustomization flux-system/flux-system\n  is not there yet\n",
        "Secret flux-system/sops-age\n",
        "  metadata.annotations",
        "last-applied-configuration, which held the data in clear",
    ] {
        assert!(diff.stdout.contains(wanted), "{wanted}\n{}", diff.stdout);
    }
    assert_eq!(before, world.versions());

    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let note = "note: Deployment flux-system/helm-controller: takes over spec.replicas of `kubectl-patch`";
    assert!(said.stderr.contains(note), "{}", said.stderr);
    assert_eq!(world.hub(&["deployment", "helm-controller", "-n", "flux-system"], "{.spec.replicas}"), "1");
    let annotations = world.hub(&["secret", "sops-age", "-n", "flux-system"], "{.metadata.annotations}");
    assert!(!annotations.contains("last-applied"), "{annotations}");
    assert!(world.command(&flux).args(["--context", "hub", "check"]).output().unwrap().status.success());

    let before = world.versions();
    let same = world.bootstrap(&["--diff"]);
    assert!(same.code == 0 && same.stdout.is_empty(), "{}{}", same.stdout, same.stderr);
    assert_eq!(world.bootstrap(&[]).code, 0);
    assert_eq!(before, world.versions());
}

#[test]
fn a_flux_out_of_the_repository_is_left_alone_and_gets_its_secrets() {
    let world = World::new();
    // What `flux bootstrap` leaves: its manifests and its sync in the repository, applied from there.
    let manifests = std::fs::read_to_string(&world.rig.info().flux_manifests).unwrap();
    world.write("repo/clusters/infra/flux-system/gotk-components.yaml", &manifests);
    let sync = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\n\
         metadata: {{name: flux-system, namespace: flux-system}}\n\
         spec: {{interval: 1m0s, url: {}, ref: {{branch: main}}}}\n---\n\
         apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n\
         metadata: {{name: flux-system, namespace: flux-system}}\n\
         spec: {{interval: 10m0s, path: ./clusters/infra, prune: true, sourceRef: {{kind: GitRepository, name: flux-system}}}}\n",
        world.url()
    );
    world.write("repo/clusters/infra/flux-system/gotk-sync.yaml", &sync);
    world.push();
    let hub = world.rig.hub();
    hub.apply(&manifests).unwrap();
    kubiya_testdata::harness::eventually("the sync is taken", std::time::Duration::from_secs(60), || {
        Ok(hub.apply(&sync).is_ok())
    })
    .unwrap();
    kubiya_testdata::harness::eventually(
        "Flux has applied itself",
        std::time::Duration::from_secs(120),
        || {
            let entries = world.hub(
                &["kustomization", "flux-system", "-n", "flux-system"],
                "{.status.inventory.entries[*].id}",
            );
            Ok(entries.contains("kustomize-controller_apps_Deployment"))
        },
    )
    .unwrap();
    let said = world.bootstrap(&[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("created Secret flux-system/sops-age"), "{}", said.stderr);
    assert!(!said.stderr.contains("Deployment flux-system"), "{}", said.stderr);
    assert!(said.stderr.contains("write into clusters/infra/flux-system/gotk-sync.yaml:"), "{}", said.stderr);
    let managers = "{.items[*].metadata.managedFields[*].manager}";
    let after = world.hub(&["deployments,serviceaccounts", "-n", "flux-system"], managers);
    assert!(!after.split(' ').any(|manager| manager == "kubiya"), "{after}");
    let decryption = ["kustomization", "flux-system", "-n", "flux-system"];
    assert_eq!(world.hub(&decryption, "{.spec.decryption}"), "");
    // Flux cannot bring itself back: what is in its inventory and gone is written, and nothing else.
    let deployment = ["deployment", "kustomize-controller", "-n", "flux-system"];
    let mut calm = 0;
    kubiya_testdata::harness::eventually("it is gone", std::time::Duration::from_secs(60), || {
        // One that is about to end may still apply itself once more.
        let is_there = !world.hub(&deployment, "{.metadata.name}").is_empty();
        if is_there {
            hub.run([&["delete"], &deployment[..]].concat())?;
        }
        calm = if is_there { 0 } else { calm + 1 };
        Ok(calm > 10)
    })
    .unwrap();
    let healed = world.bootstrap(&[]);
    assert_eq!(healed.code, 0, "{}", healed.stderr);
    assert!(healed.stderr.contains("is gone: Deployment kustomize-controller"), "{}", healed.stderr);
    assert!(
        healed.stderr.contains("created Deployment flux-system/kustomize-controller"),
        "{}",
        healed.stderr
    );
    assert_eq!(world.hub(&deployment, "{.status.availableReplicas}"), "1");
}

#[test]
fn the_flux_cli_shows_and_takes_away_what_we_installed_over_what_it_left() {
    let world = World::new();
    let flux = |words: &[&str]| {
        let mut command = world.command(&world.rig.bin("flux"));
        let output = command.args(["--context", "hub"]).args(words).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words:?}: {text}");
        text
    };
    flux(&["install", "--components=source-controller,kustomize-controller,helm-controller"]);
    let ours = world.bootstrap(&[]);
    assert_eq!(ours.code, 0, "{}", ours.stderr);
    let shown = flux(&["get", "kustomizations"]);
    assert!(shown.contains("Applied revision: main@sha1:"), "{shown}");
    let gone = flux(&["uninstall", "--silent"]);
    assert!(gone.contains("uninstall finished"), "{gone}");
    assert_eq!(world.hub(&["crd", "gitrepositories.source.toolkit.fluxcd.io"], "{.metadata.name}"), "");
}

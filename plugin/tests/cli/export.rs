//! `--export`: the manifests without asking a cluster, private keys only when told.

use crate::sandbox::{CANARY, Sandbox};
use std::process::Command;

#[test]
fn private_keys_are_left_out() {
    let sandbox = Sandbox::new();
    let shown = sandbox.bootstrap(&[
        "--export",
        "--worker",
        "worker01=worker01",
        "--copy-credentials",
        "--allow-loopback",
        "--path",
        "clusters/infra",
    ]);
    let sync = shown
        .split("---\n")
        .filter(|d| d.contains("kind: Kustomization\n") && d.contains("sourceRef"))
        .collect::<String>();
    insta::assert_snapshot!(sync, @"
    apiVersion: kustomize.toolkit.fluxcd.io/v1
    kind: Kustomization
    metadata:
      name: flux-system
      namespace: flux-system
    spec:
      decryption:
        provider: sops
        secretRef:
          name: sops-age
      interval: 10m0s
      path: ./clusters/infra
      prune: true
      sourceRef:
        kind: GitRepository
        name: flux-system
    ------- stderr
    ------- exit code 0
    ");
    let secrets =
        shown.split("---\n").filter(|d| d.contains("kind: Secret\n")).collect::<Vec<_>>().join("---\n");
    insta::assert_snapshot!(secrets, @"
    # Secret flux-system/sops-age: its data is left out; --export-private-keys puts it in
    apiVersion: v1
    kind: Secret
    metadata:
      annotations:
        kustomize.toolkit.fluxcd.io/prune: disabled
      labels:
        app.kubernetes.io/managed-by: kubectl-kubiya
        reconcile.fluxcd.io/watch: Enabled
      name: sops-age
      namespace: flux-system
    type: Opaque
    ---
    # Secret flux-system/worker01-kubeconfig: its data is left out; --export-private-keys puts it in
    apiVersion: v1
    kind: Secret
    metadata:
      annotations:
        kubiya.dev/credential: copied
        kubiya.dev/server: https://127.0.0.1:1
        kustomize.toolkit.fluxcd.io/prune: disabled
      labels:
        app.kubernetes.io/managed-by: kubectl-kubiya
        kubiya.dev/worker: worker01
        reconcile.fluxcd.io/watch: Enabled
      name: worker01-kubeconfig
      namespace: flux-system
    type: Opaque
    ");
    assert!(shown.ends_with("exit code 0\n"));
    // What is made on the worker cannot be in an export; it is said how it is made.
    let minted = sandbox.bootstrap(&["--export", "--worker", "worker01=worker01", "--allow-loopback"]);
    assert!(!minted.contains("name: worker01-kubeconfig"), "{minted}");
    assert!(
        minted.contains("its token is made on the worker: kubectl kubiya worker add worker01"),
        "{minted}"
    );
}

#[test]
fn private_keys_are_put_in_when_told() {
    let sandbox = Sandbox::new();
    let worker = ["--worker", "worker01=worker01", "--allow-loopback"];
    let more = [&worker[..], &["--copy-credentials", "--export", "--export-private-keys"]].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-kubiya"))
        .args(Sandbox::arguments(None, &more))
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    use base64::Engine as _;
    let values = text.lines().filter_map(|line| line.trim().strip_prefix("value: "));
    let decoded: Vec<u8> =
        values.flat_map(|v| base64::engine::general_purpose::STANDARD.decode(v).unwrap()).collect();
    assert!(String::from_utf8(decoded).unwrap().contains(CANARY), "{text}");
}

#[test]
fn a_folder_gets_manifests_and_encrypted_secrets_and_keeps_what_is_in_it() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("repo/clusters/infra")).unwrap();
    let run = |more: &[&str]| {
        let words = [&["--export-dir", "repo/clusters/infra/flux-system"], more].concat();
        sandbox.change(&Sandbox::arguments(None, &words))
    };
    // Without a rule nothing is written: a private key is written in no other way.
    let refused = run(&[]);
    assert!(
        refused.contains("secret-flux-system-sops-age.yaml") && refused.ends_with("exit code 2\n"),
        "{refused}"
    );
    assert!(std::fs::read_dir(sandbox.path("repo/clusters/infra/flux-system")).unwrap().next().is_none());
    sandbox.write_rules("repo/.sops.yaml");
    let written = run(&[]);
    assert!(written.ends_with("exit code 0\n"), "{written}");
    let read = |name: &str| {
        std::fs::read_to_string(sandbox.path("repo/clusters/infra/flux-system").join(name)).unwrap()
    };
    let secret = read("secret-flux-system-sops-age.yaml");
    assert!(secret.contains("age.agekey: ENC[AES256_GCM") && secret.contains("name: sops-age"), "{secret}");
    let kustomization = read("kustomization.yaml");
    assert!(
        kustomization.contains("- gotk-components.yaml\n- gotk-sync.yaml\n")
            && !kustomization.contains("secret"),
        "{kustomization}"
    );
    assert!(read("gotk-sync.yaml").contains("decryption:"));
    // The same again is nothing; another content is somebody's, until told otherwise.
    assert!(run(&[]).contains("nothing to write"));
    assert_eq!(read("secret-flux-system-sops-age.yaml"), secret);
    let other = run(&["--branch", "next"]);
    assert!(other.contains("gotk-sync.yaml: it is there, with another content"), "{other}");
    assert!(!read("gotk-sync.yaml").contains("next"));
    assert!(run(&["--branch", "next", "--overwrite"]).ends_with("exit code 0\n"));
    assert!(read("gotk-sync.yaml").contains("branch: next"));
}

#[test]
fn a_key_of_the_environment_is_read_and_an_unset_variable_is_a_problem() {
    let sandbox = Sandbox::new();
    let key = std::fs::read_to_string(sandbox.path("age.agekey")).unwrap();
    let line = key.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    let words = ["--export", "--age-key-env", "FLUX_KEY"];
    let run = |value: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kubiya"));
        command.args(Sandbox::arguments(Some("--age-key-file"), &words)).current_dir(sandbox.path(""));
        command.env_remove("FLUX_KEY");
        command.envs(value.map(|value| ("FLUX_KEY", value)));
        let output = command.output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains(line));
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, stdout, stderr) = run(Some(line));
    assert!(code == Some(0) && stdout.contains("name: sops-age"), "{stderr}");
    let (code, _, stderr) = run(None);
    assert!(code == Some(2) && stderr.contains("the variable FLUX_KEY: the variable is not set"), "{stderr}");
    // Without any key nothing is decrypted, and there is no Secret.
    let none = sandbox.run(&Sandbox::arguments(Some("--age-key-file"), &["--export"]));
    assert!(
        none.contains("kind: Kustomization")
            && !none.contains("decryption")
            && !none.contains("kind: Secret\n"),
        "{none}"
    );
}

//! Completion in Cobra's protocol, as kubectl and flux ask for it.

use crate::sandbox::{Sandbox, kubeconfig};
use std::process::Command;

fn complete(sandbox: &Sandbox, name: &str, words: &[&str]) -> String {
    let link = sandbox.path(name);
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-kubiya"), &link).unwrap();
    }
    let output = Command::new(link)
        .args(words)
        .env_clear()
        .env("HOME", sandbox.path(""))
        .env("KUBECONFIG", sandbox.path("config"))
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn kubectl_and_flux_get_the_same_answer() {
    let sandbox = Sandbox::new();
    let kubectl = complete(&sandbox, "kubectl_complete-kubiya", &["boot"]);
    assert_eq!(kubectl, complete(&sandbox, "flux-kubiya", &["__complete", "boot"]));
    insta::assert_snapshot!(kubectl, @"
    bootstrap	Install Flux with SOPS decryption on the infra cluster, and the kubeconfigs of its workers
    :4
    ");
}

#[test]
fn flags_and_contexts() {
    let sandbox = Sandbox::new();
    sandbox.write("config", &kubeconfig("https://h"));
    let ask = |words: &[&str]| complete(&sandbox, "kubectl_complete-kubiya", words);
    assert!(ask(&["bootstrap", "--age"]).starts_with("--age-key-file\t"));
    insta::assert_snapshot!(ask(&["bootstrap", "--context", ""]), @"
    hub
    worker01
    :4
    ");
    insta::assert_snapshot!(ask(&["bootstrap", "--worker", "a=w"]), @"
    a=worker01
    :4
    ");
    assert_eq!(ask(&["bootstrap", "--age-key-file", ""]).lines().last(), Some(":0"));
    // No words at all, hidden commands, and nonsense.
    let all = ask(&[""]);
    assert!(all.contains("bootstrap\t") && !all.contains("__complete"), "{all}");
    assert_eq!(ask(&["no-such-command", "x"]).lines().last(), Some(":4"));
}

#[test]
fn a_broken_kubeconfig_disturbs_nobody() {
    let sandbox = Sandbox::new();
    sandbox.write("config", "{[");
    let said = complete(&sandbox, "kubectl_complete-kubiya", &["bootstrap", "--context", ""]);
    assert_eq!(said.lines().last(), Some(":4"));
}

#[test]
fn scripts_for_shells() {
    let script = Sandbox::new().run(&["completion", "bash"]);
    assert!(script.contains("_kubectl__kubiya()") && script.ends_with("exit code 0\n"));
}

//! What is typed wrong gets one clear error, an exit code, and nothing is changed.

use crate::sandbox::{CANARY, Sandbox, flux_manifest, kubeconfig};
use insta::assert_snapshot;

#[test]
fn a_missing_key_file() {
    assert_snapshot!(Sandbox::new().bootstrap(&["--age-key-file", "nowhere.agekey"]), @"
    ------- stderr
    error: nowhere.agekey: cannot read the age key
      cause: No such file or directory (os error 2)

    hint: make one: age-keygen -o nowhere.agekey
    ------- exit code 2
    ");
}

#[test]
fn a_key_file_without_an_identity() {
    let sandbox = Sandbox::new();
    sandbox.write("age.agekey", "# only a comment\n");
    assert_snapshot!(sandbox.bootstrap(&[]), @"
    ------- stderr
    error: age.agekey: not an age key file
      cause: the key file holds no age identity

    hint: it needs a line that begins with AGE-SECRET-KEY-1, as age-keygen writes it
    ------- exit code 2
    ");
}

#[test]
fn a_key_file_with_a_damaged_line() {
    let sandbox = Sandbox::new();
    sandbox.write("age.agekey", &format!("# a comment\nAGE-SECRET-KEY-1{CANARY}\n"));
    assert_snapshot!(sandbox.bootstrap(&[]), @"
    ------- stderr
    error: age.agekey: not an age key file
      cause: line 2 is a damaged age identity: its check sum does not fit

    hint: it needs a line that begins with AGE-SECRET-KEY-1, as age-keygen writes it
    ------- exit code 2
    ");
}

#[test]
fn a_public_key_in_place_of_the_private_one() {
    let sandbox = Sandbox::new();
    sandbox.write("age.agekey", &format!("{}\n", sandbox.recipient()));
    let said = sandbox.bootstrap(&[]);
    assert!(said.contains("line 1 is a public key") && said.contains("exit code 2"), "{said}");
}

#[test]
fn a_manifest_that_is_not_flux() {
    let sandbox = Sandbox::new();
    sandbox.write("flux.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    assert_snapshot!(sandbox.bootstrap(&[]), @"
    ------- stderr
    error: flux.yaml: this is not an install manifest of Flux: no CustomResourceDefinition gitrepositories.source.toolkit.fluxcd.io, no CustomResourceDefinition kustomizations.kustomize.toolkit.fluxcd.io, no Deployment source-controller, no Deployment kustomize-controller

    hint: flux install --export > flux.yaml, then --flux-manifests flux.yaml
    ------- exit code 2
    ");
}

#[test]
fn flux_for_another_namespace() {
    let sandbox = Sandbox::new();
    sandbox.write("flux.yaml", &flux_manifest("gitops"));
    assert_snapshot!(sandbox.bootstrap(&[]), @"
    ------- stderr
    error: flux.yaml: these manifests install Flux into `gitops`, not into `flux-system`

    hint: --namespace gitops, or flux install --export --namespace flux-system
    ------- exit code 2
    ");
}

#[test]
fn no_manifest_and_no_flux_cli() {
    assert_snapshot!(Sandbox::new().bootstrap_without("--flux-manifests"), @"
    ------- stderr
    error: no manifests of Flux: --flux-manifests is not given, and the flux CLI is not on PATH

    hint: flux install --export > flux.yaml   # on a machine with the flux CLI, then --flux-manifests flux.yaml
    hint: or put the flux CLI on PATH
    ------- exit code 2
    ");
}

#[test]
fn a_broken_kubeconfig() {
    let sandbox = Sandbox::new();
    sandbox.write("config", &format!("users:\n- name: u\n  user: {{token: {CANARY}\n"));
    assert_snapshot!(sandbox.bootstrap(&[]), @"
    ------- stderr
    error: config: cannot read the kubeconfig: not a kubeconfig: line 3, column 9
    ------- exit code 2
    ");
}

#[test]
fn no_kubeconfig_at_all() {
    assert_snapshot!(Sandbox::new().bootstrap_without("--kubeconfig"), @"
    ------- stderr
    error: no kubeconfig found
      cause: looked at: [DIR]/.kube/config

    hint: name one: --kubeconfig FILE, or export KUBECONFIG=FILE
    ------- exit code 2
    ");
}

#[test]
fn a_context_that_is_not_there() {
    assert_snapshot!(Sandbox::new().bootstrap(&["--context", "hubb"]), @"
    ------- stderr
    error: no context `hubb` in the kubeconfig (it has: hub, worker01)

    hint: kubectl config get-contexts
    ------- exit code 2
    ");
}

#[test]
fn workers_that_flux_could_not_reach_all_reasons_at_once() {
    let sandbox = Sandbox::new();
    let exec = kubeconfig("https://10.0.0.1").replace(
        &format!("user: {{token: {CANARY}}}"),
        "user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, interactiveMode: Never}}",
    );
    sandbox.write("exec", &exec);
    let words = [
        "--worker",
        "worker01=worker01",
        "--worker",
        "Bad_Name=worker01",
        "--worker",
        "gone=nowhere",
        "--worker-kubeconfig",
        "eks=exec",
    ];
    assert_snapshot!(sandbox.bootstrap(&words), @"
    ------- stderr
    error: 4 problems with the input; nothing was changed
    problem: worker worker01 (context worker01): the server https://127.0.0.1:1 is reachable from this machine only
    problem: --worker: `Bad_Name` is not a DNS label (lower-case letters, digits and `-`, at most 63)
    problem: worker gone: no context `nowhere` in the kubeconfig (it has: hub, worker01)
    problem: worker eks (context hub): Flux ignores `insecure-skip-tls-verify` of a kubeconfig, so it would not reach the worker as you do

    hint: use the address that the infra cluster reaches, or --allow-loopback where both run on this machine
    hint: kubectl config get-contexts
    hint: give the server's authority instead: kubectl config set-cluster NAME --certificate-authority=FILE --embed-certs
    ------- exit code 2
    ");
}

#[test]
fn git_urls_that_flux_does_not_take() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.bootstrap(&["--url", "git@git.example.com:a/b.git"]), @"
    ------- stderr
    error: --url: Flux does not take this short form: git@git.example.com:a/b.git

    hint: --url ssh://git@git.example.com/a/b.git
    ------- exit code 2
    ");
    let leaky = sandbox.bootstrap(&["--url", &format!("https://me:{CANARY}@git.example.com/b.git")]);
    assert!(leaky.contains("it holds credentials") && leaky.contains("exit code 2"), "{leaky}");
}

#[test]
fn many_problems_are_said_at_once() {
    let words = [
        "--url",
        "nonsense",
        "--path",
        "/etc",
        "--branch",
        "a b",
        "--age-key-file",
        "nowhere",
        "--namespace",
        "X",
    ];
    assert_snapshot!(Sandbox::new().bootstrap(&words), @"
    ------- stderr
    error: 6 problems with the input; nothing was changed
    problem: --namespace: `X` is not a DNS label (lower-case letters, digits and `-`, at most 63)
    problem: --url: not a URL: nonsense
    problem: --path: a folder inside the repository is wanted: /etc
    problem: --branch: not a branch name: `a b`
    problem: nowhere: cannot read the age key
      cause: No such file or directory (os error 2)
    problem: flux.yaml: these manifests install Flux into `flux-system`, not into `X`

    hint: --url https://git.example.com/platform/gitops.git
    hint: --path clusters/infra
    hint: make one: age-keygen -o nowhere
    hint: --namespace flux-system, or flux install --export --namespace X
    ------- exit code 2
    ");
}

#[test]
fn wrong_flags() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.bootstrap(&["--dryrun"]), @"
    ------- stderr
    error: unexpected argument '--dryrun' found

      tip: a similar argument exists: '--dry-run'

    Usage: kubectl kubiya bootstrap --url <URL> --age-key-file <FILE> --flux-manifests <FILE|FOLDER|URL> --kubeconfig <FILE> --dry-run[=<WHO>]

    For more information, try '--help'.
    ------- exit code 2
    ");
    assert_snapshot!(sandbox.bootstrap(&["--timeout", "soon"]), @"
    ------- stderr
    error: invalid value 'soon' for '--timeout <DURATION>': `soon` is not a duration such as 30s, 5m or 1h30m

    For more information, try '--help'.
    ------- exit code 2
    ");
    assert_snapshot!(sandbox.bootstrap(&["--worker", "worker01"]), @"
    ------- stderr
    error: invalid value 'worker01' for '--worker <NAME=CONTEXT>': `worker01` is not NAME=VALUE

    For more information, try '--help'.
    ------- exit code 2
    ");
    assert_snapshot!(sandbox.run(&["bootstrap"]), @"
    ------- stderr
    error: the following required arguments were not provided:
      --url <URL>

    Usage: kubectl kubiya bootstrap --url <URL>

    For more information, try '--help'.
    ------- exit code 2
    ");
    assert_snapshot!(sandbox.run(&["bootstrp"]), @"
    ------- stderr
    error: unrecognized subcommand 'bootstrp'

      tip: a similar subcommand exists: 'bootstrap'

    Usage: kubectl kubiya [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ------- exit code 2
    ");
}

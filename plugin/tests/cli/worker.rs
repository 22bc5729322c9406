//! What is typed wrong about workers is said before any cluster is asked.

use crate::sandbox::{CANARY, Sandbox, kubeconfig};
use insta::assert_snapshot;

fn add(sandbox: &Sandbox, words: &[&str]) -> String {
    sandbox.run(&[&["worker", "add", "--kubeconfig", "config"], words].concat())
}

#[test]
fn a_name_that_is_no_label() {
    assert_snapshot!(add(&Sandbox::new(), &["Worker_01"]), @"
    ------- stderr
    error: worker Worker_01: `Worker_01` is not a DNS label (lower-case letters, digits and `-`, at most 63)
    ------- exit code 2
    ");
}

#[test]
fn a_context_that_is_not_there() {
    assert_snapshot!(add(&Sandbox::new(), &["worker02"]), @"
    ------- stderr
    error: worker worker02: no context `worker02` in the kubeconfig (it has: hub, worker01)

    hint: kubectl config get-contexts
    ------- exit code 2
    ");
}

#[test]
fn credentials_that_flux_would_drop_are_no_copy_but_good_enough_to_make_a_token() {
    let sandbox = Sandbox::new();
    let exec =
        "user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, interactiveMode: Never}}";
    let config = kubeconfig("https://w.invalid").replace(&format!("user: {{token: {CANARY}}}"), exec);
    sandbox.write("config", &config.replace("insecure-skip-tls-verify: true", ""));
    assert_snapshot!(add(&sandbox, &["worker01", "--copy-credentials"]), @"
    ------- stderr
    error: worker worker01: Flux ignores `exec` of a kubeconfig, so it would not reach the worker as you do

    hint: leave --copy-credentials out: then this connection is used once, to make a token for Flux on the worker
    ------- exit code 2
    ");
    // The infra cluster is asked next, and its credentials cannot be had.
    let minted = add(&sandbox, &["worker01"]);
    assert!(minted.contains("of `hub`") && minted.contains("exit code 3"), "{minted}");
}

#[test]
fn a_server_that_is_not_checked_is_refused_either_way() {
    let sandbox = Sandbox::new();
    sandbox.write("config", &kubeconfig("https://w.invalid"));
    for more in [&["hub"][..], &["hub", "--copy-credentials"]] {
        let said = add(&sandbox, more);
        assert!(said.contains("Flux ignores `insecure-skip-tls-verify`"), "{said}");
        assert!(
            said.contains("hint: give the server's authority instead") && said.contains("exit code 2"),
            "{said}"
        );
    }
}

#[test]
fn flags_that_contradict_each_other_or_say_nothing_useful() {
    let sandbox = Sandbox::new();
    for (words, reason) in [
        (
            &["worker01", "--scope-namespaces", "a_b"][..],
            "--scope-namespaces: `a_b` is no name of a namespace",
        ),
        (&["worker01", "--secret-namespace", "A"], "--secret-namespace: `A` is no name of a namespace"),
        (&["worker01", "--duration", "5m"], "--duration: API servers grant ten minutes or more"),
        (&["worker01", "--duration", "soon"], "`soon` is not a duration"),
        (&["worker01", "--copy-credentials", "--scope-namespaces", "a"], "cannot be used with"),
        (&["worker01", "--worker-kubeconfig", "nowhere"], "cannot read the kubeconfig"),
    ] {
        let said = add(&sandbox, words);
        assert!(said.contains(reason) && said.contains("exit code 2"), "{said}");
    }
}

/// A kubeconfig whose context `worker01` has these credentials.
fn config_of(user: &str) -> String {
    let config = kubeconfig("https://w.invalid").replace(&format!("user: {{token: {CANARY}}}"), user);
    config.replace("insecure-skip-tls-verify: true", "")
}

#[test]
fn credentials_that_have_ended_are_said_with_their_end() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let token = format!("e30.{}.c2ln", encode(r#"{"exp":1600000000}"#));
    let mut parameters = rcgen::CertificateParams::new(["jane".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = base64::engine::general_purpose::STANDARD.encode(parameters.self_signed(&key).unwrap().pem());
    let key = base64::engine::general_purpose::STANDARD.encode(key.serialize_pem());
    for (user, ended) in [
        (format!("user: {{token: {token}}}"), "the token of `worker01` ended at 2020-09-13T12:26:40Z"),
        (
            format!("user: {{client-certificate-data: {pem}, client-key-data: {key}}}"),
            "the client certificate of `worker01` ended at 2021-01-01T00:00:00Z",
        ),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("config", &config_of(&user));
        let said = add(&sandbox, &["worker01"]);
        assert!(said.contains(ended) && said.contains("exit code 3"), "{said}");
        assert!(!said.contains(&key) && !said.contains(&token), "{said}");
    }
}

#[test]
fn what_is_done_in_the_repository_is_for_a_repository() {
    let sandbox = Sandbox::new();
    sandbox.write("config", &config_of("user: {token: x}"));
    for (words, reason) in [
        (&["worker01", "--own-key", "-f", "x"][..], "cannot be used with"),
        (&["worker01", "--recovery", "age1x"], "--own-key"),
        (&["worker01", "--garden-context", "g"], "--oidc"),
        (&[], "<NAME>"),
    ] {
        let said = add(&sandbox, words);
        assert!(said.contains(reason) && said.contains("exit code 2"), "{words:?} {said}");
    }
}

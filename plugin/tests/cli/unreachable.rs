//! Servers that do not answer: an error that names the cluster, and nothing is changed.

use crate::sandbox::{Sandbox, kubeconfig};
use std::net::TcpListener;

#[test]
fn a_server_that_refuses() {
    let said = Sandbox::new().bootstrap(&[]);
    assert!(said.contains("error: cannot reach the API server of `hub` at https://127.0.0.1:1:"), "{said}");
    assert!(said.contains("hint: kubectl --context hub version") && said.contains("exit code 3"), "{said}");
}

#[test]
fn a_server_that_hangs_is_given_up_after_the_request_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("config", &kubeconfig(&format!("https://{}", listener.local_addr().unwrap())));
    let said = sandbox.bootstrap(&["--request-timeout", "1s"]);
    assert!(said.contains("cannot reach the API server of `hub`") && said.contains("exit code 3"), "{said}");
}

#[test]
fn hub_and_worker_are_both_named() {
    let sandbox = Sandbox::new();
    let said = sandbox.bootstrap(&["--worker", "worker01=worker01", "--allow-loopback"]);
    assert!(said.contains("problem: cannot reach the API server of `hub`"), "{said}");
    assert!(said.contains("problem: worker worker01: cannot reach the API server of `worker01`"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
}

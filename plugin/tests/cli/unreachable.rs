//! Servers that do not answer: an error that names the cluster, and nothing is changed.

use crate::sandbox::{CANARY, Sandbox, kubeconfig};
use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

#[test]
fn a_server_that_refuses() {
    let said = Sandbox::new().bootstrap(&[]);
    assert!(said.contains("error: cannot reach the API server of `hub` at https://127.0.0.1:1:"), "{said}");
    assert!(
        said.contains("hint: kubectl --kubeconfig config --context hub version")
            && said.contains("exit code 3"),
        "{said}"
    );
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

/// A kubeconfig for a server whose certificate is for these names and ends in a year, and that speaks HTTP and is no
/// API server. It is from the authority that the kubeconfig names, unless it is foreign.
fn some_server(names: &[&str], ends: i32, foreign: bool) -> String {
    let authority = || {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    };
    let (own, other) = (authority(), authority());
    let mut parameters =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    parameters.not_after = rcgen::date_time_ymd(ends, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, if foreign { &other } else { &own }).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // Who does not trust the certificate goes away.
            if stream.read(&mut [0; 4096]).is_ok() {
                let page = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
                let _ = stream.write_all(page.as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    let authority = base64::engine::general_purpose::STANDARD.encode(own.pem());
    kubeconfig(&format!("https://{address}"))
        .replace("insecure-skip-tls-verify: true", &format!("certificate-authority-data: {authority}"))
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_what_to_do() {
    for (names, ends, foreign, wanted) in [
        (
            &["127.0.0.1"][..],
            2021,
            false,
            &["the certificate of the API server ended at 2021-01-01T00:00:00Z", "hint: date"][..],
        ),
        (&["elsewhere"], 4096, false, &["is for other names than this address", "--tls-server-name"]),
        (&["127.0.0.1"], 4096, true, &["not from the authority that the kubeconfig names"]),
        (
            &["127.0.0.1"],
            4096,
            false,
            &["what answers there is no API server", "config --context hub version"],
        ),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("config", &some_server(names, ends, foreign));
        let said = sandbox.bootstrap(&[]);
        assert!(wanted.iter().all(|part| said.contains(part)) && said.contains("exit code 3"), "{said}");
    }
}

#[test]
fn a_credential_plugin_that_fails_is_named_and_what_it_printed_is_not_shown() {
    let plugin = format!("#!/bin/sh\necho {CANARY}\necho {CANARY} >&2\nexit $1\n");
    let config = |command: &str, code: u8| {
        let exec = format!(
            "user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: {command}, args: ['{code}']}}}}"
        );
        kubeconfig("https://127.0.0.1:1").replace(&format!("user: {{token: {CANARY}}}"), &exec)
    };
    for (code, wanted) in
        [(0, "gave no credentials"), (3, "failed (exit status: 3)"), (9, "cannot be started")]
    {
        let sandbox = Sandbox::new();
        sandbox.write("plugin", &plugin);
        let path = sandbox.path("plugin");
        let mode = if code == 9 { 0o600 } else { 0o700 };
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        sandbox.write("config", &config(path.to_str().unwrap(), code));
        let said = sandbox.bootstrap(&[]);
        assert!(said.contains(&format!("its credential plugin {wanted}")), "{said}");
        assert!(said.contains("exit code 3"), "{said}");
    }
}

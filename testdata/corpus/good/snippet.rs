//! A test.
const MANIFEST: &str = "kind: Secret\ndata:\n  a: Yg==\n";
fn key() -> &'static str { r#"
apiVersion: v1
kind: Secret
stringData: {token: abc}
"# }

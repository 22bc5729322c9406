//! Kubeconfig files.

use super::certificates::Identity;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// How a client proves who it is.
pub enum Credential<'a> {
    /// By a certificate.
    Certificate(&'a Identity),
    /// By a bearer token.
    Token(&'a str),
}

/// One context: a cluster and a user of it, all under one name.
pub struct Context<'a> {
    /// The name of the context, the cluster and the user.
    pub name: &'a str,
    /// The address of the API server.
    pub server: &'a str,
    /// The authority of the API server, PEM.
    pub ca: &'a str,
    /// The user's proof.
    pub credential: Credential<'a>,
    /// The namespace of the context, where it is not `default`.
    pub namespace: Option<&'a str>,
}

/// Writes a kubeconfig with these contexts; the first is the current one. Only its owner can read it.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, contexts: &[Context<'_>]) -> Result<()> {
    let encode = |pem: &str| STANDARD.encode(pem);
    let clusters = contexts.iter().map(|context| {
        let cluster = json!({"server": context.server, "certificate-authority-data": encode(context.ca)});
        json!({"name": context.name, "cluster": cluster})
    });
    let users = contexts.iter().map(|context| {
        let user = match context.credential {
            Credential::Certificate(identity) => json!({
                "client-certificate-data": encode(&identity.certificate),
                "client-key-data": encode(&identity.key),
            }),
            Credential::Token(token) => json!({"token": token}),
        };
        json!({"name": context.name, "user": user})
    });
    let names = contexts.iter().map(|context| {
        let mut entry = json!({"cluster": context.name, "user": context.name});
        if let Some(namespace) = context.namespace {
            entry["namespace"] = namespace.into();
        }
        json!({"name": context.name, "context": entry})
    });
    let whole = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters.collect::<Vec<_>>(),
        "users": users.collect::<Vec<_>>(),
        "contexts": names.collect::<Vec<_>>(),
        "current-context": contexts.first().map_or(Value::Null, |context| context.name.into()),
    });
    let text = serde_yaml::to_string(&whole)?;
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A client for the current context of a kubeconfig file, and for nothing else: no environment
/// variable and no in-cluster configuration takes part.
///
/// # Errors
/// When the file is missing or broken.
pub async fn client(path: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(path)?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

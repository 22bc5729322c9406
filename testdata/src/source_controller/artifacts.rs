//! Artifacts: kept in memory and served over HTTP on the loopback interface.

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// What the status says of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Artifact {
    pub(super) path: String,
    pub(super) url: String,
    pub(super) revision: String,
    pub(super) digest: String,
    pub(super) last_update_time: String,
    pub(super) size: usize,
}

type Files = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// The server.
pub(super) struct Artifacts {
    address: SocketAddr,
    files: Files,
}

impl Artifacts {
    /// Starts to serve nothing.
    pub(super) async fn serve() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for artifacts")?;
        let address = listener.local_addr()?;
        let files = Files::default();
        tokio::spawn(accept(listener, files.clone()));
        Ok(Self { address, files })
    }

    /// The address of an artifact.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Serves one more. Earlier ones stay: another controller may just be fetching them.
    pub(super) fn put(&self, path: String, revision: String, content: Vec<u8>) -> Artifact {
        let digest = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let artifact = Artifact {
            url: self.url(&path),
            revision,
            digest: format!("sha256:{digest}"),
            last_update_time: super::status::now(),
            size: content.len(),
            path: path.clone(),
        };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path, content.into());
        artifact
    }
}

async fn accept(listener: TcpListener, files: Files) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let files = files.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let path = request.uri().path().trim_start_matches('/').to_owned();
                let found = files.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
                async move { anyhow::Ok(respond(found)) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn respond(found: Option<Bytes>) -> Response<Full<Bytes>> {
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::new(found.unwrap_or_default()));
    *response.status_mut() = status;
    response
}

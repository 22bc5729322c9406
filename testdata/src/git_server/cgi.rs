//! `git http-backend` as the Common Gateway Interface (RFC 3875) has it: the request in variables and
//! on standard input, the response with its header on standard output.

use super::{GitFault, hermetic_git};
use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWriteExt as _;

pub(super) struct Backend {
    pub(super) root: PathBuf,
    pub(super) home: PathBuf,
    /// The values of the `Authorization` header of which every request must have one; none where it needs none.
    pub(super) authorizations: Vec<String>,
    /// The value of the `Proxy-Authorization` header that every request must have.
    pub(super) proxy_authorization: Option<String>,
    pub(super) environment: Vec<(String, String)>,
    /// How every request goes wrong.
    pub(super) fault: Arc<Mutex<Option<GitFault>>>,
}

impl Backend {
    /// How a request goes wrong now.
    pub(super) fn fault(&self) -> Option<GitFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request. What goes wrong on this side is a 500 with the reason.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let by_proxy = header(request.headers(), PROXY_AUTHORIZATION.as_str());
        if self.proxy_authorization.as_ref().is_some_and(|wanted| wanted != by_proxy) {
            let mut refusal = plain(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "who are you?\n".into());
            let challenge = hyper::header::HeaderValue::from_static("Basic realm=\"proxy\"");
            refusal.headers_mut().insert(PROXY_AUTHENTICATE, challenge);
            return refusal;
        }
        let given = header(request.headers(), AUTHORIZATION.as_str());
        if !self.authorizations.is_empty() && !self.authorizations.iter().any(|wanted| wanted == given) {
            let mut refusal = plain(StatusCode::UNAUTHORIZED, "user name and password, please\n".into());
            let challenge = hyper::header::HeaderValue::from_static("Basic realm=\"git\"");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return refusal;
        }
        match self.call(request).await {
            Ok(response) => response,
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")),
        }
    }

    async fn call(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.context("the request broke off")?.to_bytes();
        let mut command = hermetic_git(&self.home);
        command
            .arg("http-backend")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_PROTOCOL", header(&parts.headers, "git-protocol"))
            .env("REQUEST_METHOD", parts.method.as_str())
            .env("PATH_INFO", parts.uri.path())
            .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
            .env("CONTENT_TYPE", header(&parts.headers, CONTENT_TYPE.as_str()))
            // The body has been put together from its chunks, but is compressed if it was.
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header(&parts.headers, CONTENT_ENCODING.as_str()))
            .env("REMOTE_ADDR", "127.0.0.1")
            .env("REMOTE_USER", "anybody")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).spawn().context("cannot run git")?;
        let mut stdin = child.stdin.take().context("no pipe")?;
        // Written beside the reading: either pipe may fill up first. Git may also answer and end
        // before it has read everything, which is not our failure.
        let write = async move {
            let _ = stdin.write_all(&body).await;
            drop(stdin);
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        let output = output.context("git http-backend broke off")?;
        if output.stdout.is_empty() {
            bail!("git http-backend: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        response(&output.stdout)
    }
}

/// Takes a CGI response apart: header lines, an empty line, the body.
fn response(output: &[u8]) -> Result<Response<Full<Bytes>>> {
    let mut rest = output;
    let mut response = Response::builder();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').context("git http-backend sent no header")?;
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let line = std::str::from_utf8(line)?.trim_end_matches('\r');
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').context("git http-backend sent a bad header line")?;
        if name.eq_ignore_ascii_case("status") {
            let code = value.split_ascii_whitespace().next().unwrap_or_default();
            response = response.status(StatusCode::from_bytes(code.as_bytes())?);
        } else {
            response = response.header(name.trim(), value.trim());
        }
    }
    Ok(response.body(Full::new(Bytes::copy_from_slice(rest)))?)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An answer that says nothing but how it went.
pub(super) fn only_status(status: u16) -> Result<Response<Full<Bytes>>> {
    Ok(plain(StatusCode::from_u16(status)?, String::new()))
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_response_without_a_status_is_a_success() {
        let answer = response(b"Content-Type: text/plain\r\n\r\nbody\n\nmore").unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/plain");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "body\n\nmore");
    }

    #[test]
    fn a_status_is_passed_on() {
        assert_eq!(response(b"Status: 404 Not Found\n\n").unwrap().status(), StatusCode::NOT_FOUND);
        assert!(response(b"no header").is_err());
    }
}

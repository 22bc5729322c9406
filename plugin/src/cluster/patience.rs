//! Requests that are asked once more when what went wrong may pass: an API server that is busy or being replaced, a
//! connection that broke. Only what can be asked twice is: reading, server-side apply, deleting, questions about
//! ourselves. Whatever an API server refused without doing anything (429, 503, 504) is asked again in any case.

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use std::time::{Duration, Instant};

/// How often a request is repeated that an API server did not want now.
const BUSY_TRIES: u32 = 9;
/// How often a request is repeated that failed.
const FAILED_TRIES: u32 = 3;
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);
/// The longest that an API server may ask us to wait; more is somebody's mistake.
const LONGEST_ASKED: Duration = Duration::from_secs(10);

/// A client that asks again. What failed is not asked again after `limit`.
pub(super) fn patient(inner: Client, limit: Duration) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let service = tower::service_fn(move |request| send(inner.clone(), request, limit));
    Client::new(service, namespace)
}

async fn send(inner: Client, request: Request<Body>, limit: Duration) -> Result<Response<Body>, kube::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| kube::Error::Service(error.into()))?.to_bytes();
    let started = Instant::now();
    let may_fail = may_be_repeated(&head);
    let mut tries = 0;
    loop {
        let mut request = Request::new(Body::from(body.to_vec()));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        let answer = whole(inner.send(request).await).await;
        let is_early = limit.is_zero() || started.elapsed() < limit;
        let pause = match &answer {
            Ok(answer) if is_busy(answer.status()) => (tries < BUSY_TRIES).then(|| {
                let asked = answer.headers().get(header::RETRY_AFTER);
                let asked =
                    asked.and_then(|value| value.to_str().ok()?.parse().ok().map(Duration::from_secs));
                asked.map_or(backoff(tries), |asked| asked.min(LONGEST_ASKED).max(backoff(tries)))
            }),
            Ok(answer) if !answer.status().is_server_error() => None,
            Ok(_) | Err(_) => (may_fail && is_early && tries < FAILED_TRIES).then(|| backoff(tries)),
        };
        let Some(pause) = pause else { return answer };
        tries += 1;
        tokio::time::sleep(pause).await;
    }
}

/// The whole answer: one that breaks off is none.
async fn whole(answer: Result<Response<Body>, kube::Error>) -> Result<Response<Body>, kube::Error> {
    let (head, body) = answer?.into_parts();
    let body = body.collect().await.map_err(|error| kube::Error::Service(error.into()))?.to_bytes();
    Ok(Response::from_parts(head, Body::from(body.to_vec())))
}

fn backoff(tries: u32) -> Duration {
    SHORTEST.saturating_mul(1 << tries.min(10)).min(LONGEST)
}

/// The API server has done nothing.
fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Whether it comes to the same when it is done twice.
fn may_be_repeated(head: &http::request::Parts) -> bool {
    let path = head.uri.path();
    match head.method {
        Method::GET | Method::DELETE => true,
        Method::PATCH => {
            head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/apply-patch+yaml")
        }
        Method::POST => {
            path.starts_with("/apis/authorization.k8s.io/")
                || path.starts_with("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A client whose first requests come to this, and how many were made.
    fn faulty(first: usize, status: u16) -> (Client, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let is_good = counted.fetch_add(1, Ordering::SeqCst) >= first;
            async move {
                match status {
                    0 if !is_good => Err(std::io::Error::other("the connection broke")),
                    _ => Ok(Response::builder()
                        .status(if is_good { 200 } else { status })
                        .body(Body::from(b"{}".to_vec()))
                        .unwrap()),
                }
            }
        });
        (patient(Client::new(service, "default"), Duration::from_secs(30)), count)
    }

    fn request(method: &str, content: &str) -> Request<Body> {
        let path = "/api/v1/namespaces/a/secrets/b";
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content);
        request.body(Body::from(b"{}".to_vec())).unwrap()
    }

    #[tokio::test]
    async fn what_may_pass_is_asked_again_where_asking_twice_comes_to_the_same() {
        let apply = "application/apply-patch+yaml";
        let merge = "application/merge-patch+json";
        for (method, content, first, status, made) in [
            ("GET", "", 2, 0, 3),
            ("PATCH", apply, 2, 500, 3),
            ("DELETE", "", 1, 502, 2),
            ("PATCH", merge, 1, 429, 2),
            ("POST", "", 1, 503, 2),
            // Once, and what came of it is told.
            ("PATCH", merge, 1, 500, 1),
            ("POST", "", 1, 0, 1),
            ("PUT", "", 1, 0, 1),
            ("GET", "", 1, 409, 1),
            ("GET", "", 1, 403, 1),
            // Not for ever.
            ("GET", "", 99, 500, 4),
        ] {
            let (client, count) = faulty(first, status);
            let answer = client.send(request(method, content)).await;
            let made_now = count.load(Ordering::SeqCst);
            assert_eq!(made_now, made, "{method} {content} {status}");
            assert_eq!(answer.is_ok_and(|answer| answer.status() == 200), made > first, "{method} {status}");
        }
    }
}

//! Calls without a network, and event streams read as they come.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Request, StatusCode};
use futures::StreamExt;
use loupe_shared::protocol::Envelope;
use serde_json::Value;
use tower::ServiceExt;

/// Nothing in these tests takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of an error, after checking that the body is whole.
    pub(crate) fn code(&self) -> String {
        let error = &self.json()["error"];
        for field in ["code", "message", "hint"] {
            assert!(!error[field].as_str().unwrap_or_default().is_empty(), "{field} is missing in {self:?}");
        }
        error["code"].as_str().unwrap().to_owned()
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body)).unwrap()
}

pub(crate) async fn send(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let response = router.clone().oneshot(request(method, path, headers, body)).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, usize::MAX)).await;
    Answer { status: parts.status, headers: parts.headers, body: body.unwrap().unwrap().to_vec() }
}

/// An open event stream. Dropping it is what a vanished reader does.
pub(crate) struct Events {
    body: BodyDataStream,
    text: String,
    read: VecDeque<Envelope>,
}

impl Events {
    pub(crate) async fn open(router: &Router, path: &str, headers: &[(&str, &str)]) -> Self {
        let response = router.clone().oneshot(request("GET", path, headers, Vec::new())).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
        Self { body: response.into_body().into_data_stream(), text: String::new(), read: VecDeque::new() }
    }

    /// The next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Envelope> {
        while self.read.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("the stream stalls")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                self.read.extend(envelope(frame));
                self.text = rest.to_owned();
            }
        }
        self.read.pop_front()
    }

    /// Reads up to an event of a kind.
    pub(crate) async fn until(&mut self, kind: &str) -> Envelope {
        loop {
            let envelope = self.next().await.unwrap_or_else(|| panic!("the stream ended before {kind}"));
            if envelope.kind == kind {
                return envelope;
            }
        }
    }

    /// Reads to the end.
    pub(crate) async fn rest(mut self) -> Vec<Envelope> {
        let mut log = Vec::new();
        while let Some(envelope) = self.next().await {
            log.push(envelope);
        }
        log
    }
}

/// The envelope of a frame, after checking that its `id` and `event` lines say the same; none for comments.
pub(crate) fn envelope(frame: &str) -> Option<Envelope> {
    let field =
        |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let envelope: Envelope = serde_json::from_str(field("data")?).unwrap();
    assert_eq!(field("id").unwrap(), envelope.seq.to_string());
    assert_eq!(field("event").unwrap(), envelope.kind);
    Some(envelope)
}

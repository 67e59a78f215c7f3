//! The HTTP client of providers and model servers: limits on time, size and redirects.

use std::sync::Once;
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Response};
use url::{Host, Url};

use crate::provider::SearchError;

/// A connection that takes longer will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest body that is read, after decompression.
pub(crate) const LARGEST_BODY: usize = 4 << 20;
/// Redirects that are followed, all on the same host.
const MOST_REDIRECTS: usize = 3;

/// A client for the provider at `base`, with a limit on the whole of a call.
///
/// # Errors
/// [`SearchError::Settings`] when TLS cannot be set up.
pub(crate) fn client(base: &Url, timeout: Duration) -> Result<Client, SearchError> {
    build(builder(base).timeout(timeout))
}

/// A client for the server at `base` whose answers may go on for long: only the connection is limited.
///
/// # Errors
/// [`SearchError::Settings`] when TLS cannot be set up.
pub fn streaming_client(base: &Url) -> Result<Client, SearchError> {
    build(builder(base))
}

fn builder(base: &Url) -> ClientBuilder {
    use_ring();
    let builder = Client::builder()
        .user_agent(concat!("Loupe/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::custom(same_host));
    if is_loopback(base) { builder.no_proxy() } else { builder }
}

fn build(builder: ClientBuilder) -> Result<Client, SearchError> {
    builder
        .build()
        .map_err(|error| SearchError::Settings(format!("no HTTP client can be made: {}", causes(&error))))
}

/// TLS by ring, once for the process. Where the program has chosen another provider already, that one stays.
fn use_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider was chosen before");
        }
    });
}

fn same_host(attempt: Attempt) -> reqwest::redirect::Action {
    let from = attempt.previous().last().and_then(Url::host_str);
    if attempt.previous().len() > MOST_REDIRECTS || from != attempt.url().host_str() {
        return attempt.stop();
    }
    attempt.follow()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Why a body could not be had.
#[derive(Debug)]
pub enum BodyError {
    /// It is larger than is read.
    TooLarge,
    /// The connection broke; why.
    Broken(String),
}

/// Reads a body of at most 4 MiB.
///
/// # Errors
/// [`BodyError`].
pub async fn body(response: Response) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| BodyError::Broken(causes(&error)))?;
        if bytes.len() + chunk.len() > LARGEST_BODY {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The media type without its parameters, in lower case; empty when there is none.
pub(crate) fn media_type(response: &Response) -> String {
    let value =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_lowercase()
}

/// An error with all its causes: reqwest's own message alone does not say that, for instance, a port is closed.
#[must_use]
pub fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

//! The browser client, embedded in the program: hashed files are cached for ever, compressed copies are sent as they
//! are.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::Embed;

use super::error::{ApiError, no_such_path};

/// What `loupe-web-builder` wrote before this program was built. Empty when it was not run.
#[derive(Embed)]
#[folder = "$LOUPE_WEB_DIST"]
#[allow_missing = true]
struct Bundle;

/// The page.
const INDEX: &str = "index.html";
/// Files under this folder are named by their content.
const HASHED: &str = "assets/";

/// `GET /`, `/q/{id}`, `/embed`: the page.
pub async fn index(headers: HeaderMap) -> Response {
    send(INDEX, &headers).unwrap_or_else(|| not_built().into_response())
}

/// Any other path: a file of the bundle, or nothing.
pub async fn file(request: Request) -> Response {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let name = path.trim_start_matches('/');
    let found = if is_read && name != INDEX { send(name, request.headers()) } else { None };
    found.unwrap_or_else(|| no_such_path(path).into_response())
}

/// The page's text, to add to it.
///
/// # Errors
/// 503 when the client was not built.
pub fn index_text() -> Result<String, ApiError> {
    let file = Bundle::get(INDEX).ok_or_else(not_built)?;
    String::from_utf8(file.data.into_owned()).map_err(|error| ApiError::internal(&error))
}

/// Whether the client is in this program.
#[must_use]
pub fn is_built() -> bool {
    Bundle::get(INDEX).is_some()
}

fn not_built() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "client_not_built",
        "This program was built without the browser client; its API works.",
        "Run ./run, or cargo run --release -p loupe-web-builder and then build loupe again.",
    )
}

fn send(name: &str, asked: &HeaderMap) -> Option<Response> {
    let plain = Bundle::get(name)?;
    let etag = format!("\"{}\"", short_hex(&plain.metadata.sha256_hash()));
    let cache = if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let common = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, cache.to_owned()),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    let known = asked.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)) {
        return Some((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let kind = [(header::CONTENT_TYPE, media_type(name))];
    for (coding, suffix) in [("br", ".br"), ("gzip", ".gz")] {
        if accepts(asked, coding)
            && let Some(packed) = Bundle::get(&format!("{name}{suffix}"))
        {
            let packed_headers = [(header::CONTENT_ENCODING, coding)];
            return Some((common, kind, packed_headers, packed.data).into_response());
        }
    }
    Some((common, kind, plain.data).into_response())
}

/// Whether `Accept-Encoding` names a coding and does not refuse it with `q=0`.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let Some(value) = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    value.split(',').any(|part| {
        let mut pieces = part.split(';').map(str::trim);
        let named = pieces.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let refused = pieces.any(|piece| {
            piece.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q == 0.0)
        });
        named && !refused
    })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

/// 64 bits tell two builds apart.
fn short_hex(hash: &[u8; 32]) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn codings_are_read_with_their_weights() {
        let mut headers = HeaderMap::new();
        assert!(!accepts(&headers, "br"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, BR;q=0.5, deflate;q=0"));
        assert!(accepts(&headers, "br") && accepts(&headers, "gzip"));
        assert!(!accepts(&headers, "deflate") && !accepts(&headers, "zstd"));
    }
}

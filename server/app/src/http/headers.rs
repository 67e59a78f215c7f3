//! What browsers are told to allow.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::state::App;

/// Everything comes from this server. Pictures may also be ones that the page itself made; nothing else is loaded, so
/// that no text a model wrote can make a browser call another host.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; font-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'self'";

/// Adds the security headers that a path needs.
pub async fn add(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    protect(&path, app.embed_ancestors(), response.headers_mut());
    response
}

fn protect(path: &str, embedders: &str, headers: &mut HeaderMap) {
    let is_embed = path == "/embed";
    let ancestors = if is_embed { embedders } else { "'none'" };
    if let Ok(policy) = HeaderValue::from_str(&format!("{POLICY}; frame-ancestors {ancestors}")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let mut set = |name: HeaderName, value| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
    );
    // A shared link is its own key: it must not travel on to the pages it cites.
    let refers = if path.starts_with("/s/") || path.starts_with("/q/") {
        "no-referrer"
    } else {
        "strict-origin-when-cross-origin"
    };
    set(header::REFERRER_POLICY, refers);
    // The widget's loader is for other people's pages.
    let readers = if path == "/embed.js" { "cross-origin" } else { "same-origin" };
    set(HeaderName::from_static("cross-origin-resource-policy"), readers);
    if !is_embed {
        set(header::X_FRAME_OPTIONS, "DENY");
        set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(path: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        protect(path, "https://example.org", &mut headers);
        headers
    }

    #[test]
    fn only_the_widgets_page_may_be_framed() {
        let policy = |path| headers(path)[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy("/").ends_with("frame-ancestors 'none'"));
        assert!(policy("/embed").ends_with("frame-ancestors https://example.org"));
        assert!(headers("/s/x").contains_key(header::X_FRAME_OPTIONS));
        assert!(!headers("/embed").contains_key(header::X_FRAME_OPTIONS));
    }

    #[test]
    fn a_shared_link_is_told_to_no_one() {
        assert_eq!(headers("/s/x")[header::REFERRER_POLICY], "no-referrer");
    }
}

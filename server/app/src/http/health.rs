//! Whether the server lives, is ready, and can search; its figures.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use loupe_shared::protocol::{ProviderMeta, Tool};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::error::ApiError;
use super::state::App;
use crate::search::Search;

/// How long a check's result is told again.
const CHECK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// `GET /healthz`: the process answers.
pub async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: queries can be taken and kept.
///
/// # Errors
/// 503 while the data folder cannot be written or the server is being stopped.
pub async fn ready(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let not_ready = |message: String| {
        let hint = "Whoever runs this server finds the cause in its log.";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message, hint)
    };
    if app.stopping.is_cancelled() {
        return Err(not_ready("The server is being stopped.".to_owned()));
    }
    app.store.check().await.map_err(|error| {
        tracing::error!(%error, "not ready");
        not_ready("The server's data folder cannot be written.".to_owned())
    })?;
    Ok(Json(json!({ "status": "ready" })))
}

/// `GET /metrics`: figures in Prometheus's text format.
pub async fn metrics() -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], crate::metrics::text())
}

/// The providers' last check.
pub struct ProviderHealth {
    search: Search,
    last: Mutex<Option<(Instant, Vec<ProviderMeta>)>>,
}

impl ProviderHealth {
    /// Nothing checked yet.
    #[must_use]
    pub fn new(search: Search) -> Self {
        Self { search, last: Mutex::default() }
    }

    /// How the providers are; checked again at most every half minute, by one caller for all.
    pub async fn providers(&self) -> Vec<ProviderMeta> {
        let mut last = self.last.lock().await;
        if let Some((at, providers)) = last.as_ref()
            && at.elapsed() < CHECK_AGAIN_AFTER
        {
            return providers.clone();
        }
        let providers = check(&self.search).await;
        *last = Some((Instant::now(), providers.clone()));
        providers
    }
}

/// Checks both providers now.
pub async fn check(search: &Search) -> Vec<ProviderMeta> {
    let (image, text) = tokio::join!(
        tokio::time::timeout(CHECK_TIMEOUT, search.image.check()),
        tokio::time::timeout(CHECK_TIMEOUT, search.text.check()),
    );
    let described = |name: &str, kind, outcome: Result<Result<(), loupe_search::SearchError>, _>| {
        let problem = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some(format!("{name} did not answer within {} s", CHECK_TIMEOUT.as_secs())),
        };
        ProviderMeta { name: name.to_owned(), kind, healthy: problem.is_none(), problem }
    };
    vec![
        described(search.image.name(), Tool::ImageSearch, image),
        described(search.text.name(), Tool::TextSearch, text),
    ]
}

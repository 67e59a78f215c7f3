//! `GET /api/v1/queries/{id}/events`: a run's log as server-sent events, from any point on.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use loupe_shared::ids::QueryId;
use loupe_shared::protocol::Envelope;
use serde::Deserialize;

use super::error::ApiError;
use super::extract::{ApiPath, ApiQuery};
use super::queries::find;
use super::state::App;
use crate::runs::crops::Attached;
use crate::runs::follow::follow;
use crate::store::StoreError;

/// A comment is sent this often, so that proxies keep an idle stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Parameters of the stream.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    /// Only events after this number.
    #[serde(default)]
    after: u64,
    /// 1 when this reader has the original and answers `crop.request`.
    #[serde(default)]
    crops: u8,
}

/// Streams the events after `Last-Event-ID` or `?after=`: old ones at once, new ones as they come, until the last.
/// 204 when there is nothing after that point and never will be, which also ends a browser's reconnecting.
///
/// # Errors
/// 400 for a bad number, 404 for an unknown query.
pub async fn stream(
    State(app): State<App>,
    ApiPath(id): ApiPath<QueryId>,
    ApiQuery(wanted): ApiQuery<Wanted>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = last_event_id(&headers)?.unwrap_or(wanted.after);
    let run = app.runs.live(&id);
    let stored = find(&app, &id).await?;
    if stored.over && app.store.events_after(&id, after, 1).await?.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let growing = run.as_ref().map(|run| run.log.watch());
    let attached = run.filter(|_| wanted.crops == 1).map(Attached::new);
    let events = follow(app.store.clone(), id, after, growing, app.stopping.clone());
    let events = to_sse(events, attached);
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        // nginx would hold events back until its buffer is full.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, stream).into_response())
}

/// A reconnecting browser sends the header; it is newer than the address it reconnects to.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        let hint = "Send the id of the last event that was read, or leave the header out.";
        ApiError::new(StatusCode::BAD_REQUEST, "cursor_invalid", "Last-Event-ID is not a number.", hint)
    })
}

/// The stream ends early when the log cannot be read; the reader then resumes where it was.
fn to_sse(
    events: impl Stream<Item = Result<Envelope, StoreError>> + Send,
    attached: Option<Attached>,
) -> impl Stream<Item = Result<SseEvent, Infallible>> + Send {
    events
        .map(move |event| {
            // The reader counts as attached for as long as this closure, which lives with the stream.
            let _attached = &attached;
            event
                .inspect_err(|error| tracing::error!(%error, "a log cannot be read"))
                .ok()
                .and_then(|e| sse(&e))
        })
        .take_while(|event| std::future::ready(event.is_some()))
        .filter_map(|event| std::future::ready(event.map(Ok)))
}

fn sse(envelope: &Envelope) -> Option<SseEvent> {
    let data = serde_json::to_string(envelope)
        .inspect_err(|error| tracing::error!(%error, "an event cannot be written"));
    Some(SseEvent::default().id(envelope.seq.to_string()).event(&envelope.kind).data(data.ok()?))
}

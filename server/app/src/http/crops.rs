//! `POST /api/v1/queries/{id}/crops/{call_id}`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use loupe_shared::ids::{CallId, QueryId};
use loupe_shared::protocol::ImageStored;

use super::error::ApiError;
use super::extract::{ApiBytes, ApiPath};
use super::queries::find;
use super::state::App;

/// The browser's answer to `crop.request`: the picture's bytes.
///
/// # Errors
/// 404 for an unknown query, 409 when the call does not wait for a crop, else as for uploads.
pub async fn answer(
    State(app): State<App>,
    ApiPath((query_id, call_id)): ApiPath<(QueryId, CallId)>,
    ApiBytes(bytes): ApiBytes,
) -> Result<Json<ImageStored>, ApiError> {
    find(&app, &query_id).await?;
    let run = app
        .runs
        .live(&query_id)
        .filter(|run| run.crops.waits(&call_id))
        .ok_or_else(|| not_waiting(&call_id))?;
    let stored = app.images.put(bytes).await?;
    if !run.crops.answer(&call_id, stored.image_id.clone()) {
        return Err(not_waiting(&call_id));
    }
    Ok(Json(stored))
}

fn not_waiting(call_id: &CallId) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "crop_not_wanted",
        format!("The call {call_id} does not wait for a crop."),
        "Nothing to do: the server cut it itself, or the run is over.",
    )
}

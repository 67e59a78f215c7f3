//! `/api/v1/images`

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use loupe_shared::ids::ImageId;
use loupe_shared::protocol::ImageStored;

use super::error::ApiError;
use super::extract::{ApiBytes, ApiPath};
use super::state::App;
use crate::images::Format;

/// `POST /api/v1/images`: keeps a picture. The same bytes again change nothing and give the same answer.
///
/// # Errors
/// 400 empty, 413 too large, 415 not a picture, 422 damaged, 501 for an address instead of bytes.
pub async fn upload(
    State(app): State<App>,
    headers: HeaderMap,
    ApiBytes(bytes): ApiBytes,
) -> Result<Json<ImageStored>, ApiError> {
    if is_json(&headers) {
        return Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "url_fetch_disabled",
            "This server does not fetch pictures from addresses.",
            "Download the picture and upload its bytes.",
        ));
    }
    Ok(Json(app.images.put(bytes).await?))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

/// `GET /api/v1/images/{id}`: an uploaded picture or a crop that was searched. The identifier is the key: it can only
/// be known from the picture itself or from a run that holds it.
///
/// # Errors
/// 404.
pub async fn download(State(app): State<App>, ApiPath(id): ApiPath<ImageId>) -> Result<Response, ApiError> {
    let bytes = app.images.read(&id).await?;
    let kind = Format::sniff(&bytes).map_or("application/octet-stream", Format::media_type);
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=31536000, immutable")];
    Ok((headers, bytes).into_response())
}

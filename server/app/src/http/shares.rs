//! `/api/v1/shares`: frozen runs behind unguessable links.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use loupe_shared::ids::{ImageId, ShareId};
use loupe_shared::protocol::{Envelope, Event, QueryRequest, ShareCreated, ShareRequest, SharedRun};

use super::error::ApiError;
use super::extract::{ApiJson, ApiPath};
use super::queries::find;
use super::state::App;
use crate::moment::now_ms;
use crate::random;
use crate::store::{Share, ShareSecret};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Longest life of a link that ends.
const MAX_DAYS: u32 = 3_650;

/// `POST /api/v1/shares`: freezes a finished run. The delete token is told this once.
///
/// # Errors
/// 404 for an unknown query, 409 while it is not over, 422 for a bad expiry.
pub async fn create(
    State(app): State<App>,
    ApiJson(request): ApiJson<ShareRequest>,
) -> Result<(StatusCode, Json<ShareCreated>), ApiError> {
    let now = now_ms();
    let expires_at = expiry(request.expires_in_days, now)?;
    let stored = find(&app, &request.query_id).await?;
    if !stored.over {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "run_not_over",
            "The question is still being answered.",
            "Share it once the answer is there.",
        ));
    }
    let log = app.store.events(&request.query_id).await?;
    let (run, images) = freeze(stored.request, log, request.include_images, now);
    let share_id = ShareId::parse(&random::id().map_err(|error| ApiError::internal(&error))?)
        .map_err(|error| ApiError::internal(&error))?;
    let delete_token = random::token().map_err(|error| ApiError::internal(&error))?;
    let share = Share { run, secret: ShareSecret::of(&delete_token), expires_at };
    app.store.add_share(&share_id, &share, images).await?;
    Ok((StatusCode::CREATED, Json(ShareCreated { share_id, delete_token })))
}

/// `GET /api/v1/shares/{id}`: the frozen run.
///
/// # Errors
/// 404 for an unknown link, 410 for one that has ended.
pub async fn view(
    State(app): State<App>,
    ApiPath(id): ApiPath<ShareId>,
) -> Result<Json<SharedRun>, ApiError> {
    let share = app.store.share(&id).await?.ok_or_else(|| unknown(&id))?;
    if has_ended(&share) {
        remove(&app, &id).await?;
        let hint = "Ask whoever sent the link to share it again.";
        return Err(ApiError::new(StatusCode::GONE, "share_expired", "This link has ended.", hint));
    }
    Ok(Json(share.run))
}

/// `DELETE /api/v1/shares/{id}` with the delete token as bearer: the link leads nowhere from then on.
///
/// # Errors
/// 401 without a token, 403 with a wrong one, 404 for an unknown link.
pub async fn delete(
    State(app): State<App>,
    ApiPath(id): ApiPath<ShareId>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let token = bearer(&headers).ok_or_else(|| {
        let hint = "Send the delete token as Authorization: Bearer; it was told when the link was made.";
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "token_missing",
            "Deleting a link needs its delete token.",
            hint,
        )
    })?;
    let share = app.store.share(&id).await?.ok_or_else(|| unknown(&id))?;
    if share.secret != ShareSecret::of(token) {
        let hint = "Use the token that was told when this link was made.";
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "token_wrong",
            "This is not the link's delete token.",
            hint,
        ));
    }
    remove(&app, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The run behind a link that leads somewhere. One that has ended is left to [`view`], which says so.
pub async fn live_run(app: &App, id: &ShareId) -> Option<SharedRun> {
    let share = app.store.share(id).await.ok().flatten()?;
    (!has_ended(&share)).then_some(share.run)
}

fn has_ended(share: &Share) -> bool {
    share.expires_at.is_some_and(|end| end <= now_ms())
}

async fn remove(app: &App, id: &ShareId) -> Result<(), ApiError> {
    for image in app.store.delete_share(id).await? {
        app.images.remove(&image).await?;
    }
    Ok(())
}

fn unknown(id: &ShareId) -> ApiError {
    ApiError::not_found("unknown_share", format!("There is no shared run {id}."))
}

fn expiry(days: Option<u32>, now: u64) -> Result<Option<u64>, ApiError> {
    match days {
        None => Ok(None),
        Some(days) if (1..=MAX_DAYS).contains(&days) => Ok(Some(now + u64::from(days) * DAY_MS)),
        Some(_) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "expiry_invalid",
            format!("A link lives 1 to {MAX_DAYS} days."),
            "Choose a number of days in that range, or leave it out.",
        )),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// What of a run is shared, and which pictures it holds. The run it followed up stays private; without pictures, so
/// does everything that names one, and the log is numbered anew without gaps.
fn freeze(
    mut query: QueryRequest,
    log: Vec<Envelope>,
    include_images: bool,
    shared_at: u64,
) -> (SharedRun, Vec<ImageId>) {
    query.parent = None;
    if include_images {
        let mut images: Vec<_> = query.images.iter().map(|image| image.image_id.clone()).collect();
        images.extend(log.iter().filter_map(|envelope| match envelope.event() {
            Ok(Event::CropUsed(used)) => Some(used.image_id),
            _ => None,
        }));
        return (SharedRun { query, shared_at, events: log }, images);
    }
    query.images.clear();
    let kept =
        log.into_iter().filter(|envelope| !matches!(envelope.kind.as_str(), "crop.used" | "crop.request"));
    let events = (1..).zip(kept).map(|(seq, envelope)| Envelope { seq, ..envelope }).collect();
    (SharedRun { query, shared_at, events }, Vec::new())
}

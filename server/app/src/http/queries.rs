//! `/api/v1/queries`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use loupe_shared::ids::QueryId;
use loupe_shared::protocol::{ImageRole, MAX_QUESTION_BYTES, QueryCreated, QueryRequest, QueryView};

use super::error::{ApiError, sentence};
use super::extract::{ApiJson, ApiPath};
use super::state::App;
use crate::runs::brief;
use crate::store::queries::StoredQuery;

/// Most pictures of a query.
const MAX_IMAGES: usize = 4;
/// Longest language tag; BCP 47 asks programs to take at least this much.
const MAX_LANG_BYTES: usize = 35;

/// `POST /api/v1/queries`: keeps a query and puts its run in line.
///
/// # Errors
/// 400 for an unknown adapter, 404 for an unknown parent or picture, 413 or 422 for a bad question or picture list, 503 when too many wait.
pub async fn create(
    State(app): State<App>,
    ApiJson(mut request): ApiJson<QueryRequest>,
) -> Result<(StatusCode, Json<QueryCreated>), ApiError> {
    check_question(&request.question)?;
    check_lang(request.lang.as_deref())?;
    check_adapter(&app, request.adapter.as_deref())?;
    if let Some(parent) = &request.parent {
        let parent = find(&app, parent).await?;
        // A follow-up is about the same pictures unless it brings its own.
        if request.images.is_empty() {
            request.images = parent.request.images;
        }
    }
    check_images(&app, &request)?;
    let query_id = app.runs.submit(request).await?;
    Ok((StatusCode::CREATED, Json(QueryCreated { query_id })))
}

/// `GET /api/v1/queries/{id}`: the query and the fold of its log.
///
/// # Errors
/// 404.
pub async fn view(
    State(app): State<App>,
    ApiPath(query_id): ApiPath<QueryId>,
) -> Result<Json<QueryView>, ApiError> {
    let StoredQuery { request, created_at, .. } = find(&app, &query_id).await?;
    let state = brief::state(&app.store, &query_id).await?;
    Ok(Json(QueryView { query_id, query: request, created_at, state }))
}

/// `DELETE /api/v1/queries/{id}`: stops a run that waits or works (202; its log then ends with `cancelled`), or
/// deletes a finished one with the pictures that nothing else holds (204).
///
/// # Errors
/// 404.
pub async fn cancel_or_delete(
    State(app): State<App>,
    ApiPath(id): ApiPath<QueryId>,
) -> Result<StatusCode, ApiError> {
    let stored = find(&app, &id).await?;
    if !stored.over
        && let Some(run) = app.runs.live(&id)
    {
        run.cancel.cancel();
        return Ok(StatusCode::ACCEPTED);
    }
    for image in app.store.delete_query(&id).await? {
        app.images.remove(&image).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A stored query.
///
/// # Errors
/// 404.
pub async fn find(app: &App, id: &QueryId) -> Result<StoredQuery, ApiError> {
    let stored = app.store.query(id).await?;
    stored.ok_or_else(|| ApiError::not_found("unknown_query", format!("There is no question {id}.")))
}

fn check_question(question: &str) -> Result<(), ApiError> {
    if question.trim().is_empty() {
        return Err(refused("question_empty", "The question is empty.", "Write what you want to know."));
    }
    if question.len() > MAX_QUESTION_BYTES {
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "question_too_long",
            format!("The question has {} bytes; at most {MAX_QUESTION_BYTES} are taken.", question.len()),
            "Shorten the question.",
        ));
    }
    Ok(())
}

fn check_lang(lang: Option<&str>) -> Result<(), ApiError> {
    let is_tag = |tag: &str| {
        !tag.is_empty()
            && tag.len() <= MAX_LANG_BYTES
            && tag.split('-').all(|part| {
                (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })
    };
    match lang {
        Some(tag) if !is_tag(tag) => Err(refused(
            "lang_invalid",
            "The language is not a BCP 47 tag.",
            "Use a tag such as en or pt-BR.",
        )),
        _ => Ok(()),
    }
}

/// The model has the adapter, where one is named.
fn check_adapter(app: &App, name: Option<&str>) -> Result<(), ApiError> {
    app.model.check_adapter(name).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            error.code(),
            sentence(&error.to_string()),
            "Use one of the names that GET /api/v1/meta lists under model.adapters, or none.",
        )
    })
}

/// Whole pictures come first, then at most one framed part with its place; all have been uploaded.
fn check_images(app: &App, request: &QueryRequest) -> Result<(), ApiError> {
    let images = &request.images;
    let invalid = |message: &str| {
        refused(
            "images_invalid",
            message,
            "Send whole pictures first, then at most one framed part with its region.",
        )
    };
    if images.len() > MAX_IMAGES {
        return Err(invalid(&format!("A question takes at most {MAX_IMAGES} pictures.")));
    }
    let is_focus = |role| role == ImageRole::Focus;
    let framed = images.iter().filter(|image| is_focus(image.role)).count();
    if framed > 1 || (framed == 1 && !images.last().is_some_and(|last| is_focus(last.role))) {
        return Err(invalid("The framed part has to be one picture, and the last."));
    }
    if images.iter().any(|image| is_focus(image.role) != image.region.is_some()) {
        return Err(invalid("A framed part needs a region, a whole picture has none."));
    }
    if let Some(missing) = images.iter().find(|image| !app.images.contains(&image.image_id)) {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "unknown_image",
            format!("There is no picture {}.", missing.image_id),
            "Upload the picture first; it may have been deleted.",
        ));
    }
    Ok(())
}

fn refused(code: &'static str, message: &str, hint: &'static str) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message, hint)
}

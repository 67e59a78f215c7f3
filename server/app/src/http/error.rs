//! The one error body: `{"error": {"code", "message", "hint"}}`. Causes are logged, never sent.

use std::any::Any;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use loupe_shared::protocol::{ErrorBody, ErrorInfo};

use crate::images::{FolderError, ImageError};
use crate::runs::SubmitError;
use crate::store::StoreError;

/// A call that failed: what happened, and one thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: &'static str,
}

impl ApiError {
    /// An error with a stable code.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self { status, code, message: message.into(), hint }
    }

    /// No such thing.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message, "Check the address; it may have been deleted.")
    }

    /// Something inside failed; the cause goes to the log.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a call failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something inside the server failed.",
            "Try again; the server's log has the cause.",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message, hint } = self;
        let error = ErrorInfo { code: code.to_owned(), message, hint: hint.to_owned() };
        let mut response = (status, Json(ErrorBody { error })).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        match error {
            StoreError::Gone(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error.code(),
                "The server's data folder is gone.",
                "Whoever runs this server has to put it back and start Loupe again.",
            ),
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                error.code(),
                "The server could not keep or read its data.",
                "Try again; if it stays so, whoever runs this server finds the cause in its log.",
            ),
        }
    }
}

impl From<ImageError> for ApiError {
    fn from(error: ImageError) -> Self {
        let (status, hint) = match error {
            ImageError::Empty => (StatusCode::BAD_REQUEST, "Send the picture's bytes as the body."),
            ImageError::UnknownFormat => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Save the picture as PNG, JPEG or WebP.")
            }
            ImageError::TooManyBytes { .. } | ImageError::TooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "Make the picture smaller, or cut out the part that matters.")
            }
            ImageError::Damaged(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Open the picture in a viewer and save it again.")
            }
        };
        Self::new(status, error.code(), sentence(&error.to_string()), hint)
    }
}

impl From<FolderError> for ApiError {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Image(error) => error.into(),
            FolderError::Unknown(_) => Self::new(
                StatusCode::NOT_FOUND,
                "unknown_image",
                sentence(&error.to_string()),
                "Upload the picture first; it may have been deleted.",
            ),
            FolderError::Io(_) => {
                tracing::error!(%error, "the picture folder failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "image_folder_failed",
                    "The server could not keep or read the picture.",
                    "Try again; if it stays so, whoever runs this server finds the cause in its log.",
                )
            }
            FolderError::Internal(cause) => Self::internal(&cause),
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                sentence(&error.to_string()),
                "Ask again in a little while.",
            ),
            SubmitError::Store(error) => error.into(),
            SubmitError::Log(_) | SubmitError::Name(_) => Self::internal(&error),
        }
    }
}

/// A call with a method that its path does not take.
pub async fn wrong_method(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not take {}.", request.uri().path(), request.method()),
        "Use a method that the Allow header names.",
    )
}

/// A path that leads nowhere.
pub fn no_such_path(path: &str) -> ApiError {
    ApiError::not_found("not_found", format!("There is nothing at {path}."))
}

/// The answer after a handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "CatchPanicLayer's signature")]
pub fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let words =
        cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
    ApiError::internal(&format!("panic: {}", words.unwrap_or("without words"))).into_response()
}

/// Errors that were made outside the handlers (by the framework) get the body too.
pub async fn give_every_error_its_body(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let has_body = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.starts_with("application/json") || kind.starts_with("text/html"))
    });
    if has_body || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let reason = status.canonical_reason().unwrap_or("The call failed").to_owned();
    ApiError::new(status, "http_error", reason, "Check the call against the documentation.").into_response()
}

/// Errors read as the middle of a sentence; bodies carry whole ones.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

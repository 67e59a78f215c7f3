//! The server's calls.
//!
//! - [`state`]: what handlers share.
//! - [`error`]: the one error body; [`extract`]: extractors that answer with it.
//! - [`headers`]: what browsers are told to allow.
//! - [`meta`], [`images`], [`queries`], [`events`], [`crops`], [`shares`], [`retrieve`], [`health`]: the calls.
//! - [`pages`]: the local index's pages and pictures, the sample scenes.
//! - [`bundle`]: the browser client; [`preview`]: what a shared link looks like elsewhere.

pub mod bundle;
pub mod crops;
pub mod error;
pub mod events;
pub mod extract;
pub mod headers;
pub mod health;
pub mod images;
pub mod meta;
pub mod pages;
pub mod preview;
pub mod queries;
pub mod retrieve;
pub mod shares;
pub mod state;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use crate::images::MAX_BYTES;
pub use error::ApiError;
pub use state::App;

/// Largest JSON body in bytes: a question with its pictures' identifiers is far smaller.
const MAX_JSON_BYTES: usize = 256 * 1024;

/// All calls of the server.
pub fn app(state: App) -> Router {
    Router::new()
        .nest("/api/v1", api())
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/retrieve", post(retrieve::retrieve))
        .route("/pages/{stem}", get(pages::page))
        .route("/pictures/{file}", get(pages::picture))
        .route("/samples/{file}", get(pages::sample))
        .route("/page.css", get(pages::style))
        .route("/s/{id}", get(preview::shared_page))
        .route("/", get(bundle::index))
        .route("/q/{id}", get(bundle::index))
        .route("/embed", get(bundle::index))
        .fallback(bundle::file)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(error::give_every_error_its_body))
        .layer(from_fn_with_state(state.clone(), headers::add))
        .layer(TraceLayer::new_for_http())
        .with_state(state)
}

fn api() -> Router<App> {
    let uploads = Router::new()
        .route("/images", post(images::upload))
        .route("/queries/{id}/crops/{call_id}", post(crops::answer))
        .layer(DefaultBodyLimit::max(MAX_BYTES));
    Router::new()
        .merge(uploads)
        .route("/meta", get(meta::meta))
        .route("/images/{id}", get(images::download))
        .route("/queries", post(queries::create))
        .route("/queries/{id}", get(queries::view).delete(queries::cancel_or_delete))
        .route("/queries/{id}/events", get(events::stream))
        .route("/shares", post(shares::create))
        .route("/shares/{id}", get(shares::view).delete(shares::delete))
}

//! `GET /api/v1/meta`

use axum::Json;
use axum::extract::State;
use loupe_shared::protocol::{Limits, MAX_QUESTION_BYTES, Meta, ModelMeta, PROTOCOL_VERSION};

use super::state::App;
use crate::images::{MAX_BYTES, MAX_PIXELS, MAX_SIDE};

/// What this server is, answers with, searches, and takes.
pub async fn meta(State(app): State<App>) -> Json<Meta> {
    let model = ModelMeta {
        name: app.model.name.clone(),
        dialect: app.model.dialect.clone(),
        min_pixels: app.model.min_pixels,
        max_pixels: app.model.max_pixels,
        about: app.model.about.clone(),
        adapters: app.model.adapters.clone(),
    };
    Json(Meta {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL_VERSION,
        model,
        search: app.health().providers().await,
        limits: limits(),
        samples: app.samples.clone(),
    })
}

fn limits() -> Limits {
    Limits {
        question_bytes: MAX_QUESTION_BYTES as u32,
        image_bytes: MAX_BYTES as u32,
        image_pixels: MAX_PIXELS,
        image_side: MAX_SIDE,
    }
}

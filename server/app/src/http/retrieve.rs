//! `POST /retrieve`: the local index in the format of Search-R1's retrieval server, so that its trainers and Loupe
//! search the same pages.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use loupe_search::local::TextMatch;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::extract::ApiJson;
use super::state::App;

/// Most queries of one call.
const MAX_QUERIES: usize = 512;
/// Most documents for one query.
const MAX_TOPK: usize = 100;

/// Body of `POST /retrieve`.
#[derive(Debug, Deserialize)]
pub struct RetrieveRequest {
    queries: Vec<String>,
    #[serde(default = "default_topk")]
    topk: usize,
    #[serde(default)]
    return_scores: bool,
}

fn default_topk() -> usize {
    3
}

/// Answers `{"result": [[document, …], …]}`, one list for each query; with `return_scores` each document is
/// `{"document", "score"}`.
///
/// # Errors
/// 404 without a local index, 422 for too many queries or documents.
pub async fn retrieve(
    State(app): State<App>,
    ApiJson(request): ApiJson<RetrieveRequest>,
) -> Result<Json<Value>, ApiError> {
    if request.queries.len() > MAX_QUERIES || request.topk > MAX_TOPK {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "retrieve_too_much",
            format!("One call takes at most {MAX_QUERIES} queries and {MAX_TOPK} documents for each."),
            "Send several smaller calls.",
        ));
    }
    let index = app.search.pages.clone().ok_or_else(|| {
        ApiError::not_found(
            "no_local_index",
            "This server searches no local index; start it with --search local:DIR.",
        )
    })?;
    let search = move || -> Result<Vec<Value>, loupe_search::SearchError> {
        request
            .queries
            .iter()
            .map(|query| {
                let found = index.search_text(query, request.topk)?;
                Ok(found.iter().map(|found| document(found, request.return_scores)).collect())
            })
            .collect()
    };
    let result = tokio::task::spawn_blocking(search).await.map_err(|error| ApiError::internal(&error))?;
    Ok(Json(json!({ "result": result.map_err(|error| ApiError::internal(&error))? })))
}

/// Search-R1 reads a title in quotes, then the text.
fn document(found: &TextMatch<'_>, with_score: bool) -> Value {
    let page = found.page;
    let document = json!({ "id": page.stem, "contents": format!("\"{}\"\n{}", page.title, page.text) });
    if with_score { json!({ "document": document, "score": found.score }) } else { document }
}

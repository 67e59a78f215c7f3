//! What the local index found, for people to read: its pages and pictures. And the sample scenes.

use std::path::Path;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use loupe_search::local::Page;

use super::error::ApiError;
use super::extract::ApiPath;
use super::state::App;
use crate::images::Format;
use crate::search::is_sample_name;
use crate::text::{escape_html, percent_encode};

/// `GET /pages/{stem}`: a page of the local index.
///
/// # Errors
/// 404.
pub async fn page(State(app): State<App>, ApiPath(stem): ApiPath<String>) -> Result<Html<String>, ApiError> {
    let page = app.search.indexes().find_map(|index| index.page(&stem));
    let page =
        page.ok_or_else(|| ApiError::not_found("unknown_page", format!("There is no page {stem}.")))?;
    Ok(Html(html(page)))
}

/// `GET /pictures/{file}`: a picture of the local index.
///
/// # Errors
/// 404.
pub async fn picture(State(app): State<App>, ApiPath(file): ApiPath<String>) -> Result<Response, ApiError> {
    let path = app.search.indexes().find_map(|index| index.picture_path(&file));
    let path = path.ok_or_else(|| no_picture(&file))?;
    send(&path, &file).await
}

/// `GET /samples/{file}`: a sample scene.
///
/// # Errors
/// 404.
pub async fn sample(State(app): State<App>, ApiPath(file): ApiPath<String>) -> Result<Response, ApiError> {
    if !is_sample_name(&file) {
        return Err(no_picture(&file));
    }
    send(&app.samples_dir.join(&file), &file).await
}

/// `GET /page.css`: how pages of the local index look.
pub async fn style() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("../../assets/page.css")).into_response()
}

fn no_picture(file: &str) -> ApiError {
    ApiError::not_found("unknown_picture", format!("There is no picture {file}."))
}

async fn send(path: &Path, file: &str) -> Result<Response, ApiError> {
    let bytes = tokio::fs::read(path).await.map_err(|error| {
        tracing::warn!(path = %path.display(), %error, "a picture cannot be read");
        no_picture(file)
    })?;
    let kind = Format::sniff(&bytes).ok_or_else(|| no_picture(file))?.media_type();
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], bytes).into_response())
}

/// Everything from the page is escaped: anyone's folder may be served.
fn html(page: &Page) -> String {
    let title = escape_html(&page.title);
    let paragraphs: String = page
        .text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("<p>{}</p>\n", escape_html(line)))
        .collect();
    let pictures: String = page
        .pictures
        .iter()
        .map(|picture| {
            let (file, alt) = (percent_encode(&picture.file), escape_html(&picture.alt));
            format!("<figure><img src=\"/pictures/{file}\" alt=\"{alt}\"><figcaption>{alt}</figcaption></figure>\n")
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"/page.css\">\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{pictures}{paragraphs}\
         <footer>A page of this server's own index. <a href=\"/\">Ask Loupe</a></footer>\n</main>\n</body>\n</html>\n"
    )
}

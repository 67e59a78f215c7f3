//! `GET /s/{id}`: the page of a shared run, with what other programs show of a link before it is opened.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use loupe_shared::ids::ShareId;
use loupe_shared::protocol::{Event, SharedRun};

use super::bundle;
use super::error::ApiError;
use super::shares::live_run;
use super::state::App;
use crate::text::{escape_html, shorten};

const TITLE_CHARS: usize = 90;
const DESCRIPTION_CHARS: usize = 200;

/// The page. A link that leads nowhere gets the page too, which says so, with the right status.
///
/// # Errors
/// 503 when the client was not built.
pub async fn shared_page(
    State(app): State<App>,
    axum::extract::Path(id): axum::extract::Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let share = match ShareId::parse(&id) {
        Ok(id) => live_run(&app, &id).await.map(|run| (id, run)),
        Err(_) => None,
    };
    let Some((id, run)) = share else {
        let mut page = bundle::index(headers).await;
        if page.status() == StatusCode::OK {
            *page.status_mut() = StatusCode::NOT_FOUND;
        }
        return Ok(page);
    };
    let page = with_tags(&bundle::index_text()?, &tags(&id, &run, app.public_url.as_deref()));
    Ok(([(header::CACHE_CONTROL, "no-cache")], Html(page)).into_response())
}

fn with_tags(page: &str, tags: &str) -> String {
    match page.split_once("</head>") {
        Some((head, rest)) => format!("{head}{tags}</head>{rest}"),
        None => page.to_owned(),
    }
}

/// The picture is shown only where it was shared, and only with the server's public address: previews need whole ones.
fn tags(id: &ShareId, run: &SharedRun, public_url: Option<&str>) -> String {
    let title = shorten(&run.query.question, TITLE_CHARS);
    let description = shorten(&answer(run), DESCRIPTION_CHARS);
    let mut tags = vec![
        ("og:type", "article".to_owned()),
        ("og:site_name", "Loupe".to_owned()),
        ("og:title", title),
        ("og:description", description),
    ];
    if let Some(base) = public_url.map(|url| url.trim_end_matches('/')) {
        tags.push(("og:url", format!("{base}/s/{id}")));
        if let Some(image) = run.query.images.first() {
            tags.push(("og:image", format!("{base}/api/v1/images/{}", image.image_id)));
        }
    }
    let mut html: String = tags
        .iter()
        .map(|(name, value)| format!("<meta property=\"{name}\" content=\"{}\">\n", escape_html(value)))
        .collect();
    html.push_str(
        "<meta name=\"twitter:card\" content=\"summary\">\n<meta name=\"robots\" content=\"noindex\">\n",
    );
    html
}

fn answer(run: &SharedRun) -> String {
    let done = run.events.last().and_then(|envelope| envelope.event().ok());
    match done {
        Some(Event::Done(done)) => done.answer,
        _ => "A question without an answer.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use loupe_shared::protocol::{Done, Envelope, QueryRequest, Usage};

    use super::*;

    fn run() -> SharedRun {
        let done = Done { answer: "\"Oslo\" <b>".into(), citations: Vec::new(), usage: Usage::default() };
        let query: QueryRequest = serde_json::from_str(r#"{"question": "Which <capital>?"}"#).unwrap();
        SharedRun { query, shared_at: 0, events: vec![Envelope::new(1, 0, &Event::Done(done))] }
    }

    #[test]
    fn what_was_written_stays_text() {
        let id = ShareId::parse("0123456789_-abcdefghij").unwrap();
        let page =
            with_tags("<head><title>x</title></head><body>", &tags(&id, &run(), Some("https://l.example/")));
        assert!(page.contains("content=\"Which &lt;capital&gt;?\""));
        assert!(page.contains("content=\"&quot;Oslo&quot; &lt;b&gt;\""));
        assert!(page.contains("content=\"https://l.example/s/0123456789_-abcdefghij\""));
        assert!(!page.contains("og:image"), "the picture was not shared");
    }
}

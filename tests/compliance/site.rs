//! Pages, headers, and what browsers load.

use axum::http::StatusCode;
use loupe_app::http::bundle;
use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn meta_says_what_answers_and_what_is_taken() {
    let server = Server::start().await;
    let meta = server.get("/api/v1/meta").await.json();
    assert_eq!(meta["protocol"], 1);
    assert_eq!(meta["model"]["name"], "scripted");
    assert_eq!(meta["model"]["adapters"][0], "tuned");
    assert_eq!(meta["limits"]["image_side"], 20_000);
    assert_eq!(meta["samples"][0]["url"], "/samples/one.png");
    for provider in meta["search"].as_array().unwrap() {
        assert_eq!((&provider["name"], &provider["healthy"]), (&json!("local"), &json!(true)));
    }
    assert_eq!(server.get("/samples/one.png").await.header("content-type"), "image/png");
}

#[tokio::test]
async fn pages_of_the_index_are_read_as_text() {
    let server = Server::start().await;
    let page = server.get("/pages/flag-of-norway").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("<h1>Flag of Norway</h1>"));
    assert!(page.text().contains("<img src=\"/pictures/no.png\" alt=\"Flag of Norway\">"));
    assert_eq!(server.get("/pictures/no.png").await.header("content-type"), "image/png");
    let hostile = server.get("/pages/a%20%3Cb%3E").await;
    assert_eq!(hostile.status, StatusCode::OK);
    assert!(
        !hostile.text().contains("<script>") && !hostile.text().contains("<img src=x"),
        "{}",
        hostile.text()
    );
}

#[tokio::test]
async fn every_hit_leads_to_a_page() {
    let server = Server::start().await;
    let id = server.ask().await;
    let log = server.log(&id).await;
    let hits = log
        .iter()
        .filter(|e| e.kind == "tool.result")
        .flat_map(|e| e.data["hits"].as_array().unwrap().clone());
    let urls: Vec<String> = hits.map(|hit| hit["url"].as_str().unwrap().to_owned()).collect();
    assert!(urls.len() >= 2);
    for url in urls {
        assert_eq!(server.get(&url).await.status, StatusCode::OK, "{url}");
    }
}

#[tokio::test]
async fn retrieval_speaks_search_r1() {
    let server = Server::start().await;
    let body = json!({ "queries": ["capital of Norway", "zebra"], "topk": 1, "return_scores": true });
    let answer = server.post("/retrieve", &body).await.json();
    let first = &answer["result"][0][0];
    assert_eq!(first["document"]["contents"].as_str().unwrap().lines().next(), Some("\"Capital of Norway\""));
    assert!(first["score"].as_f64().unwrap() > 0.0);
    assert_eq!(answer["result"][1], json!([]));
    let without_scores = server.post("/retrieve", &json!({ "queries": ["Oslo"] })).await.json();
    assert!(without_scores["result"][0][0]["contents"].is_string());
    let too_much = server.post("/retrieve", &json!({ "queries": [], "topk": 1_000 })).await;
    assert_eq!(too_much.code(), "retrieve_too_much");
}

#[tokio::test]
async fn browsers_are_told_what_to_allow() {
    let server = Server::start().await;
    for path in ["/", "/api/v1/meta", "/pages/norway", "/nothing"] {
        let answer = server.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval';"), "{path}: {policy}");
        assert!(policy.contains("img-src 'self' blob: data:;"), "{path}");
        assert!(policy.ends_with("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert!(
            !answer.header("permissions-policy").is_empty() && !answer.header("referrer-policy").is_empty()
        );
    }
    let embed = server.get("/embed").await;
    assert!(embed.header("content-security-policy").ends_with("frame-ancestors https://blog.example"));
    assert_eq!(embed.header("x-frame-options"), "");
}

/// Both states of the build are right: with the client in it, or saying how to put it there.
#[tokio::test]
async fn the_client_is_served_or_said_to_be_missing() {
    let server = Server::start().await;
    for path in ["/", "/?q=who", "/q/0123456789_-abcdefghij", "/embed"] {
        let page = server.get(path).await;
        if !bundle::is_built() {
            assert_eq!(
                (page.status, page.code().as_str()),
                (StatusCode::SERVICE_UNAVAILABLE, "client_not_built")
            );
            continue;
        }
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-cache");
        let same = server.call("GET", path, &[("if-none-match", page.header("etag"))], Vec::new()).await;
        assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));
        let packed = server.call("GET", path, &[("accept-encoding", "gzip, br")], Vec::new()).await;
        assert_eq!(packed.header("content-encoding"), "br");
        assert!(packed.body.len() < page.body.len());
    }
}

#[tokio::test]
async fn a_shared_link_shows_its_question_elsewhere() {
    let server = Server::start().await;
    let id = server.ask().await;
    server.log(&id).await;
    let body = json!({ "query_id": id, "include_images": false });
    let share = server.post("/api/v1/shares", &body).await.json()["share_id"].as_str().unwrap().to_owned();
    let page = server.get(&format!("/s/{share}")).await;
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let unknown = server.get("/s/0123456789_-abcdefghij").await;
    if !bundle::is_built() {
        assert_eq!(page.code(), "client_not_built");
        return;
    }
    assert!(page.text().contains("property=\"og:title\" content=\"What is the capital"));
    assert!(page.text().contains("property=\"og:description\" content=\"Oslo\""));
    assert!(page.text().contains(&format!("content=\"https://loupe.example/s/{share}\"")));
    assert!(!page.text().contains("og:image"));
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn figures_are_told_in_prometheus_format() {
    loupe_app::metrics::start().unwrap();
    let server = Server::start().await;
    let id = server.ask().await;
    server.log(&id).await;
    let figures = server.get("/metrics").await;
    assert_eq!(figures.status, StatusCode::OK);
    assert!(figures.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = figures.text();
    for line in ["# TYPE loupe_runs_working gauge", "loupe_runs_waited_seconds_bucket{le=\"0.001\"}"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

//! What is wrong, and the status and code that say so.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Server, picture};

const NOBODY: &str = "0123456789_-abcdefghij";

#[tokio::test]
async fn questions() {
    let server = Server::start().await;
    let image = server.upload(picture()).await;
    let unknown = "a".repeat(64);
    let whole = json!({ "image_id": image, "role": "whole" });
    let framed =
        json!({ "image_id": image, "role": "focus", "region": { "x": 0.1, "y": 0.1, "w": 0.5, "h": 0.5 } });
    let unplaced = json!({ "image_id": image, "role": "focus" });
    let outside =
        json!({ "image_id": image, "role": "focus", "region": { "x": 0.9, "y": 0, "w": 0.5, "h": 1 } });
    let with = |images: Value| json!({ "question": "What is this?", "images": images });
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    for (body, status, code) in [
        (json!({ "question": "" }), refused, "question_empty"),
        (json!({ "question": " \n\u{2003}" }), refused, "question_empty"),
        (json!({ "question": "a".repeat(100_000) }), StatusCode::PAYLOAD_TOO_LARGE, "question_too_long"),
        (json!({ "question": "a".repeat(300_000) }), StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        (json!({ "images": [] }), refused, "json_invalid"),
        (json!({ "question": 7 }), refused, "json_invalid"),
        (json!({ "question": "q", "workflow": "guess" }), refused, "json_invalid"),
        (json!({ "question": "q", "lang": "not a tag" }), refused, "lang_invalid"),
        (json!({ "question": "q", "adapter": "other" }), StatusCode::BAD_REQUEST, "adapter_unknown"),
        (json!({ "question": "q", "parent": NOBODY }), StatusCode::NOT_FOUND, "unknown_query"),
        (json!({ "question": "q", "parent": "x" }), refused, "json_invalid"),
        (with(json!([{ "image_id": unknown, "role": "whole" }])), StatusCode::NOT_FOUND, "unknown_image"),
        (with(json!([{ "image_id": "../../etc/passwd", "role": "whole" }])), refused, "json_invalid"),
        (with(json!([outside])), refused, "json_invalid"),
        (with(json!([unplaced])), refused, "images_invalid"),
        (with(json!([framed, whole])), refused, "images_invalid"),
        (with(json!([framed, framed])), refused, "images_invalid"),
        (with(json!([whole, whole, whole, whole, whole])), refused, "images_invalid"),
    ] {
        let answer = server.post("/api/v1/queries", &body).await;
        let shown: String = body.to_string().chars().take(120).collect();
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{shown}");
    }
    let mut tuned = with(json!([whole, framed]));
    tuned["adapter"] = json!("tuned");
    let good = server.submit(&tuned).await;
    assert_eq!(server.get(&format!("/api/v1/queries/{good}")).await.json()["query"]["adapter"], "tuned");
    assert_eq!(server.log(&good).await.last().unwrap().kind, "done");
}

#[tokio::test]
async fn bodies_that_are_not_json() {
    let server = Server::start().await;
    let kind: &[(&str, &str)] = &[("content-type", "application/json")];
    for (headers, body, status, code) in [
        (&[][..], "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE, "json_expected"),
        (&[("content-type", "text/plain")][..], "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE, "json_expected"),
        (kind, "{", StatusCode::BAD_REQUEST, "json_invalid"),
        (kind, "", StatusCode::BAD_REQUEST, "json_invalid"),
        (kind, "\u{0}", StatusCode::BAD_REQUEST, "json_invalid"),
    ] {
        for path in ["/api/v1/queries", "/api/v1/shares", "/retrieve"] {
            let answer = server.call("POST", path, headers, body.into()).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path} {body:?}");
        }
    }
}

#[tokio::test]
async fn unknown_things() {
    let server = Server::start().await;
    let picture = "a".repeat(64);
    for (method, path, code) in [
        ("GET", format!("/api/v1/queries/{NOBODY}"), "unknown_query"),
        ("DELETE", format!("/api/v1/queries/{NOBODY}"), "unknown_query"),
        ("GET", format!("/api/v1/queries/{NOBODY}/events"), "unknown_query"),
        ("POST", format!("/api/v1/queries/{NOBODY}/crops/c1"), "unknown_query"),
        ("GET", "/api/v1/queries/short".into(), "not_found"),
        ("GET", "/api/v1/queries/..%2F..%2Fetc%2Fpasswd".into(), "not_found"),
        ("GET", "/api/v1/queries/%ff".into(), "not_found"),
        ("GET", format!("/api/v1/images/{picture}"), "unknown_image"),
        ("GET", "/api/v1/images/no".into(), "not_found"),
        ("GET", format!("/api/v1/shares/{NOBODY}"), "unknown_share"),
        ("GET", "/api/v1/nothing".into(), "not_found"),
        ("GET", "/nothing".into(), "not_found"),
        ("GET", "/assets/nothing.js".into(), "not_found"),
        ("GET", "/pages/nothing".into(), "unknown_page"),
        ("GET", "/pages/..%2Fsamples%2Fsamples".into(), "unknown_page"),
        ("GET", "/pictures/..%2Fpages%2Fnorway.md".into(), "unknown_picture"),
        ("GET", "/samples/samples.json".into(), "unknown_picture"),
    ] {
        let answer = server.call(method, &path, &[], Vec::new()).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, code), "{method} {path}");
    }
    let share = server.post("/api/v1/shares", &json!({ "query_id": NOBODY })).await;
    assert_eq!((share.status, share.code().as_str()), (StatusCode::NOT_FOUND, "unknown_query"));
}

#[tokio::test]
async fn what_the_framework_refuses_has_the_same_body() {
    let server = Server::start().await;
    let answer = server.get("/s/%ff").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "http_error"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn wrong_methods_name_the_right_ones() {
    let server = Server::start().await;
    for (method, path, allowed) in [
        ("PUT", "/api/v1/queries", "POST"),
        ("POST", "/api/v1/meta", "GET,HEAD"),
        ("DELETE", "/healthz", "GET,HEAD"),
        ("POST", "/", "GET,HEAD"),
    ] {
        let answer = server.call(method, path, &[], Vec::new()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
        );
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn places_in_a_log() {
    let server = Server::start().await;
    let id = server.ask().await;
    server.log(&id).await;
    for after in ["-1", "x", "1.5", "99999999999999999999"] {
        let answer = server.get(&format!("/api/v1/queries/{id}/events?after={after}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::BAD_REQUEST, "parameter_invalid"),
            "{after}"
        );
        let path = format!("/api/v1/queries/{id}/events");
        let answer = server.call("GET", &path, &[("last-event-id", after)], Vec::new()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::BAD_REQUEST, "cursor_invalid"),
            "{after}"
        );
    }
}

#[tokio::test]
async fn a_data_folder_that_vanishes_is_told_and_nothing_pretended() {
    let server = Server::start().await;
    let id = server.ask().await;
    server.log(&id).await;
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    std::fs::remove_dir_all(server.data()).unwrap();
    let asked = server.post("/api/v1/queries", &json!({ "question": "Who?" })).await;
    assert_eq!((asked.status, asked.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "data_folder_gone"));
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "not_ready"));
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK);
}

//! Stopping and deleting.

use axum::http::StatusCode;
use serde_json::json;

use crate::harness::{Server, assert_whole, kinds};

#[tokio::test]
async fn a_running_query_stops_with_cancelled() {
    let server = Server::start_held().await;
    let id = server.ask().await;
    let mut reader = server.follow(&id, "").await;
    reader.until("started").await;
    assert_eq!(server.delete(&format!("/api/v1/queries/{id}")).await.status, StatusCode::ACCEPTED);
    assert_eq!(reader.rest().await.last().unwrap().kind, "cancelled");
    assert_whole(&server.log(&id).await);
}

#[tokio::test]
async fn a_waiting_query_stops_at_once_and_the_others_move_up() {
    let server = Server::start_held().await;
    let (first, second, third) = (server.ask().await, server.ask().await, server.ask().await);
    let mut waiting = server.follow(&third, "").await;
    assert_eq!(waiting.next().await.unwrap().data["position"], 2);
    server.delete(&format!("/api/v1/queries/{second}")).await;
    assert_eq!(kinds(&server.log(&second).await), ["queued", "cancelled"]);
    assert_eq!(waiting.next().await.unwrap().data["position"], 1);
    server.model.allow(20);
    assert_eq!(server.log(&first).await.last().unwrap().kind, "done");
    let log = server.log(&third).await;
    assert_whole(&log);
    assert_eq!(log.last().unwrap().kind, "done");
}

#[tokio::test]
async fn a_second_cancel_changes_nothing_but_deletes() {
    let server = Server::start_held().await;
    let id = server.ask().await;
    server.delete(&format!("/api/v1/queries/{id}")).await;
    assert_whole(&server.log(&id).await);
    let path = format!("/api/v1/queries/{id}");
    assert_eq!(server.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&path).await.code(), "unknown_query");
}

#[tokio::test]
async fn deleting_takes_the_pictures_that_nothing_else_holds() {
    let server = Server::start().await;
    let (first, second) = (server.ask().await, server.ask().await);
    let log = server.log(&first).await;
    server.log(&second).await;
    let whole =
        server.get(&format!("/api/v1/queries/{first}")).await.json()["query"]["images"][0]["image_id"]
            .as_str()
            .unwrap()
            .to_owned();
    let used = log.iter().find(|envelope| envelope.kind == "crop.used").unwrap();
    let crop = used.data["image_id"].as_str().unwrap();
    assert!(server.has_image(&whole) && server.has_image(crop));
    for (query, is_held) in [(&first, true), (&second, false)] {
        assert_eq!(server.delete(&format!("/api/v1/queries/{query}")).await.status, StatusCode::NO_CONTENT);
        assert_eq!(server.has_image(&whole), is_held);
        assert_eq!(server.has_image(crop), is_held);
    }
    assert_eq!(server.get(&format!("/api/v1/images/{whole}")).await.code(), "unknown_image");
}

#[tokio::test]
async fn too_many_waiting_questions_are_refused_and_none_is_lost() {
    let server = Server::start_held().await;
    let mut taken = Vec::new();
    let refused = loop {
        let answer = server.post("/api/v1/queries", &json!({ "question": "Who?" })).await;
        if answer.status != StatusCode::CREATED {
            break answer;
        }
        taken.push(answer.json()["query_id"].as_str().unwrap().to_owned());
        assert!(taken.len() < 100, "the line has no end");
    };
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
    assert!(!refused.header("retry-after").is_empty());
    server.model.allow(1_000);
    for id in taken {
        assert_whole(&server.log(&id).await);
    }
}

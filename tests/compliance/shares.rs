//! Shared runs.

use axum::http::StatusCode;
use loupe_shared::protocol::SharedRun;
use serde_json::json;

use crate::harness::{Answer, Server, assert_whole, kinds};

async fn share(server: &Server, id: &str, include_images: bool) -> (String, String) {
    let answer =
        server.post("/api/v1/shares", &json!({ "query_id": id, "include_images": include_images })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
    (text("share_id"), text("delete_token"))
}

async fn delete(server: &Server, share: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    server.call("DELETE", &format!("/api/v1/shares/{share}"), &[("authorization", &bearer)], Vec::new()).await
}

async fn shared_run(server: &Server, share: &str) -> SharedRun {
    serde_json::from_value(server.get(&format!("/api/v1/shares/{share}")).await.json()).unwrap()
}

#[tokio::test]
async fn a_shared_run_outlives_the_query() {
    let server = Server::start().await;
    let id = server.ask().await;
    let log = server.log(&id).await;
    let (share, _token) = share(&server, &id, true).await;
    server.delete(&format!("/api/v1/queries/{id}")).await;
    let run = shared_run(&server, &share).await;
    assert_eq!(run.events, log);
    let image = run.query.images[0].image_id.as_str();
    assert!(server.has_image(image), "the link still shows its picture");
    assert!(
        !server.get(&format!("/api/v1/shares/{share}")).await.text().contains(&id),
        "the query stays private"
    );
}

#[tokio::test]
async fn without_pictures_nothing_names_one() {
    let server = Server::start().await;
    let id = server.ask().await;
    server.log(&id).await;
    let (share, _token) = share(&server, &id, false).await;
    let run = shared_run(&server, &share).await;
    assert_whole(&run.events);
    assert!(run.query.images.is_empty());
    assert!(!kinds(&run.events).contains(&"crop.used"));
}

#[tokio::test]
async fn only_the_delete_token_deletes() {
    let server = Server::start().await;
    let id = server.ask().await;
    server.log(&id).await;
    let (link, token) = share(&server, &id, true).await;
    let path = format!("/api/v1/shares/{link}");
    assert_eq!(server.delete(&path).await.status, StatusCode::UNAUTHORIZED);
    let wrong = delete(&server, &link, &"a".repeat(43)).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (StatusCode::FORBIDDEN, "token_wrong"));
    assert_eq!(server.get(&path).await.status, StatusCode::OK);
    assert_eq!(delete(&server, &link, &token).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&server, &link, &token).await.code(), "unknown_share");
}

#[tokio::test]
async fn the_token_is_not_kept() {
    let server = Server::start().await;
    let id = server.ask().await;
    server.log(&id).await;
    let (_share, token) = share(&server, &id, false).await;
    for entry in std::fs::read_dir(server.data()).unwrap().map(Result::unwrap).filter(|e| e.path().is_file())
    {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "{:?}", entry.path());
    }
}

#[tokio::test]
async fn only_what_is_over_can_be_shared() {
    let server = Server::start_held().await;
    let id = server.ask().await;
    let answer = server.post("/api/v1/shares", &json!({ "query_id": id })).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "run_not_over"));
    let days = server.post("/api/v1/shares", &json!({ "query_id": id, "expires_in_days": 0 })).await;
    assert_eq!((days.status, days.code().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "expiry_invalid"));
}

#[tokio::test]
async fn a_link_that_has_ended_is_gone() {
    let server = Server::start().await;
    let id = server.ask().await;
    server.log(&id).await;
    let answer = server.post("/api/v1/shares", &json!({ "query_id": id, "expires_in_days": 1 })).await;
    let link = answer.json()["share_id"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&format!("/api/v1/shares/{link}")).await.status, StatusCode::OK);
    // A day passes.
    let database = rusqlite::Connection::open(server.data().join("loupe.sqlite3")).unwrap();
    database.execute("UPDATE shares SET expires_at = expires_at - 86400001", []).unwrap();
    // The page that asks for the run is opened first, and leaves it to the run's answer to say what is wrong.
    server.get(&format!("/s/{link}")).await;
    let gone = server.get(&format!("/api/v1/shares/{link}")).await;
    assert_eq!((gone.status, gone.code().as_str()), (StatusCode::GONE, "share_expired"));
    assert_eq!(server.get(&format!("/api/v1/shares/{link}")).await.code(), "unknown_share");
}

//! The browser's crops.

use axum::http::StatusCode;

use crate::harness::{Server, assert_whole, kinds, png};

const KIND: &[(&str, &str)] = &[("content-type", "image/png")];

#[tokio::test]
async fn the_browser_is_asked_and_its_crop_is_searched() {
    let server = Server::start_held().await;
    let id = server.ask().await;
    let mut browser = server.follow(&id, "?crops=1").await;
    server.model.allow(10);
    let request = browser.until("crop.request").await;
    let call = request.data["call_id"].as_str().unwrap();
    let path = format!("/api/v1/queries/{id}/crops/{call}");
    let refused = server.call("POST", &path, KIND, b"<svg/>".to_vec()).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "image_format")
    );
    let taken = server.call("POST", &path, KIND, png(50, 40, 9)).await;
    assert_eq!(taken.status, StatusCode::OK);
    let used = browser.until("crop.used").await;
    assert_eq!(used.data["by"], "browser");
    assert_eq!(used.data["image_id"], taken.json()["image_id"]);
    let again = server.call("POST", &path, KIND, png(50, 40, 9)).await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::CONFLICT, "crop_not_wanted"));
    browser.rest().await;
    assert_whole(&server.log(&id).await);
}

#[tokio::test]
async fn a_browser_that_does_not_answer_holds_nothing_up_for_long() {
    let server = Server::start_held().await;
    let id = server.ask().await;
    let mut browser = server.follow(&id, "?crops=1").await;
    server.model.allow(10);
    browser.until("crop.request").await;
    let used = browser.until("crop.used").await;
    assert_eq!(used.data["by"], "server");
    assert_eq!(browser.rest().await.last().unwrap().kind, "done");
}

#[tokio::test]
async fn without_a_browser_the_server_cuts_what_was_uploaded() {
    let server = Server::start().await;
    let id = server.ask().await;
    let log = server.log(&id).await;
    assert!(!kinds(&log).contains(&"crop.request"));
    let used = log.iter().find(|envelope| envelope.kind == "crop.used").unwrap();
    assert_eq!(used.data["by"], "server");
    let crop = server.get(&format!("/api/v1/images/{}", used.data["image_id"].as_str().unwrap())).await;
    assert_eq!(crop.header("content-type"), "image/png");
    let pixels = loupe_app::images::decode(&crop.body).unwrap().pixels;
    assert!(pixels.width() < 224 && pixels.height() < 224, "a part, not the whole");
}

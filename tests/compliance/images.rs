//! Uploads.

use axum::http::StatusCode;

use crate::harness::{Server, picture, png};

async fn upload(server: &Server, bytes: Vec<u8>) -> (StatusCode, String) {
    let answer = server.call("POST", "/api/v1/images", &[("content-type", "image/png")], bytes).await;
    let code = if answer.status.is_success() { String::new() } else { answer.code() };
    (answer.status, code)
}

/// A PNG whose header says 30,000 x 30,000.
fn huge() -> Vec<u8> {
    let mut bytes = png(1, 1, 0);
    bytes[16..24].copy_from_slice(&[30_000u32.to_be_bytes(), 30_000u32.to_be_bytes()].concat());
    // The checksum of exactly this header.
    let mut crc = !0u32;
    for byte in &bytes[12..29] {
        crc = (0..8)
            .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

#[tokio::test]
async fn a_picture_is_kept_by_its_content() {
    let server = Server::start().await;
    let answer = server.call("POST", "/api/v1/images", &[], picture()).await.json();
    assert_eq!(answer["image_id"], blake3::hash(&picture()).to_hex().as_str());
    assert_eq!((&answer["width"], &answer["height"]), (&224.into(), &224.into()));
    let again = server.call("POST", "/api/v1/images", &[], picture()).await.json();
    assert_eq!(again, answer);
    let file = server.get(&format!("/api/v1/images/{}", answer["image_id"].as_str().unwrap())).await;
    assert_eq!(file.header("content-type"), "image/png");
    assert_eq!(file.body, picture());
}

#[tokio::test]
async fn one_pixel_is_a_picture_that_can_be_asked_about() {
    let server = Server::start().await;
    let image = server.upload(png(1, 1, 200)).await;
    let body = serde_json::json!({
        "question": "Which colour is this?", "images": [{ "image_id": image, "role": "whole" }], "workflow": "direct"
    });
    let id = server.submit(&body).await;
    let log = server.log(&id).await;
    assert!(log.last().unwrap().event().unwrap().is_last());
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_the_server_stays_up() {
    let server = Server::start().await;
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#.to_vec();
    let truncated = picture()[..400].to_vec();
    let too_many_bytes = [picture(), vec![0; 26 * 1024 * 1024]].concat();
    for (what, bytes, status, code) in [
        ("nothing", Vec::new(), StatusCode::BAD_REQUEST, "image_empty"),
        ("text", b"not a picture".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "image_format"),
        ("an SVG called .png", svg, StatusCode::UNSUPPORTED_MEDIA_TYPE, "image_format"),
        ("HTML called .png", b"<!doctype html>".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "image_format"),
        ("a truncated file", truncated, StatusCode::UNPROCESSABLE_ENTITY, "image_damaged"),
        ("30,000 x 30,000", huge(), StatusCode::PAYLOAD_TOO_LARGE, "image_too_large"),
        ("26 MB", too_many_bytes, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
    ] {
        assert_eq!(upload(&server, bytes).await, (status, code.to_owned()), "{what}");
    }
    assert_eq!(upload(&server, picture()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn addresses_are_not_fetched() {
    let server = Server::start().await;
    let answer = server.post("/api/v1/images", &serde_json::json!({ "url": "http://127.0.0.1/" })).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_IMPLEMENTED, "url_fetch_disabled"));
}

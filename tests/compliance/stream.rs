//! The event log: its numbers, resuming from any point, its one last event.

use std::time::Duration;

use axum::http::StatusCode;
use loupe_shared::protocol::{Event, RunState, Status};
use serde_json::json;

use crate::harness::{Events, Server, assert_whole, kinds};

#[tokio::test]
async fn a_run_tells_every_step_and_ends_once() {
    let server = Server::start().await;
    let id = server.ask().await;
    let log = server.log(&id).await;
    assert_whole(&log);
    let mut steps = kinds(&log);
    steps.dedup();
    assert_eq!(
        steps,
        [
            "queued",
            "started",
            "reason.delta",
            "tool.call",
            "crop.used",
            "tool.result",
            "reason.delta",
            "tool.call",
            "tool.result",
            "reason.delta",
            "answer.delta",
            "citation",
            "done"
        ]
    );
    let Event::Done(done) = log.last().unwrap().event().unwrap() else { panic!("the run failed: {log:?}") };
    assert_eq!(done.answer, "Oslo");
    assert_eq!(done.usage.searches, 2);
    assert!(!done.citations.is_empty());
}

#[tokio::test]
async fn resuming_anywhere_gives_the_rest_of_the_same_log() {
    let server = Server::start().await;
    let id = server.ask().await;
    let log = server.log(&id).await;
    for after in 0..log.len() {
        let by_address = server.follow(&id, &format!("?after={after}")).await.rest().await;
        assert_eq!(by_address, log[after..]);
        // A reconnecting browser sends both; the header is newer.
        let path = format!("/api/v1/queries/{id}/events?after=0");
        let number = after.to_string();
        let by_header = Events::open(&server.router, &path, &[("last-event-id", &number)]).await.rest().await;
        assert_eq!(by_header, log[after..]);
    }
    let at_the_end = server.get(&format!("/api/v1/queries/{id}/events?after={}", log.len())).await;
    assert_eq!(at_the_end.status, StatusCode::NO_CONTENT, "a browser must not reconnect for ever");
}

#[tokio::test]
async fn readers_of_a_live_run_see_what_a_late_reader_sees() {
    let server = Server::start_held().await;
    let id = server.ask().await;
    let mut early = server.follow(&id, "").await;
    let mut seen = vec![early.next().await.unwrap()];
    server.model.allow(1);
    let middle = server.follow(&id, "?after=1").await;
    server.model.allow(10);
    seen.extend(early.rest().await);
    let late = server.log(&id).await;
    assert_whole(&late);
    assert_eq!(seen, late);
    assert_eq!(middle.rest().await, late[1..]);
}

#[tokio::test]
async fn a_run_survives_its_reader() {
    let server = Server::start_held().await;
    let id = server.ask().await;
    let mut reader = server.follow(&id, "?crops=1").await;
    reader.until("started").await;
    drop(reader);
    server.model.allow(10);
    let log = server.log(&id).await;
    assert_whole(&log);
    assert_eq!(log.last().unwrap().kind, "done");
    assert!(!kinds(&log).contains(&"crop.request"), "no browser was there to ask");
}

#[tokio::test]
async fn the_view_is_the_fold_of_the_log() {
    let server = Server::start().await;
    let id = server.ask().await;
    let mut folded = RunState::default();
    for envelope in server.log(&id).await {
        folded.apply(envelope.seq, &envelope.event().unwrap());
    }
    let view = server.get(&format!("/api/v1/queries/{id}")).await.json();
    assert_eq!(serde_json::from_value::<RunState>(view["state"].clone()).unwrap(), folded);
    assert_eq!(folded.status, Status::Done);
    assert_eq!(view["query_id"], id);
}

#[tokio::test]
async fn a_run_that_panics_still_ends_once_and_the_next_one_works() {
    let server = Server::start().await;
    let broken = server.submit(&json!({ "question": "PANIC" })).await;
    let log = server.log(&broken).await;
    assert_whole(&log);
    assert_eq!(log.last().unwrap().data["code"], "run_failed");
    let id = server.ask().await;
    assert_eq!(server.log(&id).await.last().unwrap().kind, "done");
}

#[tokio::test]
async fn a_follow_up_knows_its_pictures_and_what_was_said() {
    let server = Server::start().await;
    let first = server.ask().await;
    server.log(&first).await;
    let body = json!({ "question": "And which fjord is it on?", "parent": first });
    let second = server.submit(&body).await;
    assert_eq!(server.log(&second).await.last().unwrap().kind, "done");
    let view = server.get(&format!("/api/v1/queries/{second}")).await.json();
    assert_eq!(view["query"]["parent"], first);
    assert_eq!(view["query"]["images"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_idle_stream_stays_open() {
    let server = Server::start_held().await;
    let id = server.ask().await;
    let mut reader = server.follow(&id, "").await;
    reader.until("started").await;
    let waited = tokio::time::timeout(Duration::from_millis(300), reader.next()).await;
    assert!(waited.is_err(), "nothing comes, and the stream does not end");
}

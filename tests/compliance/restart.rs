//! A stop of the server in the middle of a run.

use crate::harness::{Server, assert_whole, kinds};

#[tokio::test]
async fn interrupted_runs_keep_their_log_and_say_what_happened() {
    let server = Server::start_held().await;
    let (running, waiting) = (server.ask().await, server.ask().await);
    server.model.allow(1);
    let mut reader = server.follow(&running, "").await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|kind| kind != "tool.call") {
        seen.push(reader.next().await.unwrap().kind);
    }
    let server = server.restart().await;
    reader.rest().await;
    for id in [&running, &waiting] {
        let log = server.log(id).await;
        assert_whole(&log);
        assert_eq!(log.last().unwrap().data["code"], "server_restarted");
    }
    assert!(
        kinds(&server.log(&running).await).starts_with(&seen.iter().map(String::as_str).collect::<Vec<_>>())
    );
    let id = server.ask().await;
    assert_eq!(server.log(&id).await.last().unwrap().kind, "done");
}

#[tokio::test]
async fn finished_runs_are_the_same_after_a_restart() {
    let server = Server::start().await;
    let id = server.ask().await;
    let before = server.log(&id).await;
    let server = server.restart().await;
    assert_eq!(server.log(&id).await, before);
}

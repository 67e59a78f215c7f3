//! What is told of turns that other servers decode.

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

/// What is told after a request to a server that answers so, and what became of it. Every test runs on a thread of its
/// own, and so its figures are its own.
async fn told(answers: Vec<(u16, Vec<String>)>, hangs: bool, request: GenerateRequest) -> (String, String) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (url, _) = start(answers, hangs).await;
    let remote = connect(&[&url]).await;
    let generating = remote.generate(request, unbounded_channel().0);
    // What hangs is dropped after a while; whatever else ends in time, however busy the machine is.
    let while_it_lasts = Duration::from_secs(if hangs { 1 } else { 30 });
    let end = match tokio::time::timeout(while_it_lasts, generating).await {
        Ok(Ok(completion)) => format!("{:?}", completion.finish),
        Ok(Err(error)) => error.code().to_owned(),
        Err(_dropped) => "dropped".to_owned(),
    };
    (end, recorder.handle().render())
}

fn holds(figures: &str, lines: &[&str]) {
    for line in lines {
        assert!(figures.lines().any(|told| told == *line), "{line} in {figures}");
    }
}

#[tokio::test]
async fn a_turn_tells_of_its_tokens_and_the_time_between_them() {
    let (end, figures) = told(vec![(200, whole())], false, request()).await;
    assert_eq!(end, "EndOfTurn");
    let counts = [
        "loupe_engine_first_token_seconds_count 1",
        "loupe_engine_token_interval_seconds_count 2",
        "loupe_engine_prompt_tokens_total 30",
        "loupe_engine_reused_tokens_total 16",
        "loupe_engine_generated_tokens_total 4",
        "loupe_engine_turns_total{end=\"end\"} 1",
    ];
    holds(&figures, &counts);
}

#[tokio::test]
async fn a_turn_without_a_token_tells_of_no_first_one() {
    let usage =
        json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }], "usage": { "completion_tokens": 1 } });
    let (end, figures) = told(vec![(200, vec![format!("data: {usage}\n\n")])], false, request()).await;
    assert_eq!(end, "EndOfTurn");
    assert!(!figures.contains("first_token"), "{figures}");
}

#[tokio::test]
async fn a_turn_that_breaks_off_tells_of_its_first_token() {
    let (end, figures) = told(vec![(200, vec![event("<answer>", None)])], false, request()).await;
    assert_eq!(end, "engine_unreachable");
    let counts = [
        "loupe_engine_first_token_seconds_count 1",
        "loupe_engine_turns_total{end=\"engine_unreachable\"} 1",
    ];
    holds(&figures, &counts);
}

#[tokio::test]
async fn a_turn_that_nobody_waits_for_any_more_is_counted_as_cancelled() {
    let (end, figures) = told(vec![(200, vec![event("<answer>", None)])], true, request()).await;
    assert_eq!(end, "dropped");
    holds(&figures, &["loupe_engine_turns_total{end=\"cancelled\"} 1"]);
}

#[tokio::test]
async fn a_stop_text_is_not_followed_by_more_than_a_moment() {
    let going_on = vec![(200, vec![event("<answer>", None), event("Oslo", None), event("!", None)])];
    let stopping = GenerateRequest { stop: vec!["Oslo".into()], ..request() };
    let (url, _) = start(going_on, true).await;
    let remote = connect(&[&url]).await;
    let asked =
        tokio::time::timeout(Duration::from_secs(5), remote.generate(stopping, unbounded_channel().0));
    let completion = asked.await.unwrap().unwrap();
    assert_eq!((completion.text.as_str(), completion.generated_tokens), ("<answer>Oslo", 2));
}

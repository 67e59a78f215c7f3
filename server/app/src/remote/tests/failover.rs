//! Servers that fail before anything of their answer was passed on, and servers that are not asked in vain.

use std::time::Instant;

use super::*;

async fn answer(remote: &Remote) -> Result<Finish, EngineError> {
    remote.generate(request(), unbounded_channel().0).await.map(|completion| completion.finish)
}

/// Servers, each with its double, and the client of them all.
async fn all(answers: Vec<(u16, Vec<String>)>, patience: Patience) -> (Remote, Vec<Double>) {
    let started =
        futures::future::join_all(answers.into_iter().map(|answer| start(vec![answer], false))).await;
    let (urls, doubles): (Vec<_>, Vec<_>) = started.into_iter().unzip();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    (Remote { patience, ..connect(&urls).await }, doubles)
}

fn asked(doubles: &[Double]) -> Vec<usize> {
    doubles.iter().map(|double| double.asked.load(Ordering::SeqCst)).collect()
}

#[tokio::test]
async fn another_server_takes_over_where_nothing_was_streamed() {
    let role = || delta(&json!({ "role": "assistant", "content": "" }), None);
    let oom = error_event(&json!("out of memory"));
    for broken in [vec![], vec![role()], vec![role(), oom], vec!["data: <html>\n\n".into()]] {
        let (remote, doubles) = all(vec![(200, broken), (200, whole())], Patience::default()).await;
        assert_eq!(answer(&remote).await.unwrap(), Finish::EndOfTurn);
        assert_eq!(asked(&doubles), [1, 1]);
        assert!(!remote.servers.all()[0].is_well());
    }
    let begun = vec![role(), event("<answer>", None)];
    let (remote, doubles) = all(vec![(200, begun), (200, whole())], Patience::default()).await;
    assert_eq!(answer(&remote).await.unwrap_err().code(), "engine_unreachable");
    assert_eq!(asked(&doubles), [1, 0], "what was streamed is not streamed again");
}

#[tokio::test]
async fn a_long_prompt_may_take_longer_than_a_pause_in_an_answer() {
    let role = delta(&json!({ "role": "assistant", "content": "" }), None);
    let pieces = [vec![role], whole()].concat();
    let manner = Manner { pause: Duration::from_millis(400), ..Manner::default() };
    let (url, double) = start_so(vec![(200, pieces)], manner).await;
    let patience = Patience { silence: Duration::from_secs(1), ..Patience::default() };
    let remote = Remote { patience, ..connect(&[&url]).await };
    assert_eq!(answer(&remote).await.unwrap(), Finish::EndOfTurn);
    assert_eq!(
        double.asked.load(Ordering::SeqCst),
        1,
        "the headers came at once, the first word 1.2 s later"
    );
}

#[tokio::test]
async fn comments_do_not_keep_a_server_alive() {
    let pings = || vec![": ping\n\n".to_owned(); 100];
    let manner = Manner { pause: Duration::from_millis(20), ..Manner::default() };
    let impatient = Duration::from_millis(200);
    let patience = Patience { first_byte: impatient, silence: impatient, ..Patience::default() };
    let speaking = [vec![event("<answer>", None)], pings()].concat();
    for (pieces, attempts) in [(pings(), 3), (speaking, 1)] {
        let (url, double) = start_so(vec![(200, pieces)], manner).await;
        let remote = Remote { patience, ..connect(&[&url]).await };
        let error = answer(&remote).await.unwrap_err();
        assert!(error.to_string().contains("said nothing for 0.2 s"), "{error}");
        assert_eq!(double.asked.load(Ordering::SeqCst), attempts);
    }
}

#[tokio::test]
async fn a_refusal_that_never_says_why_is_not_waited_for() {
    let (refusing, _) = start(vec![(503, vec!["{\"error\"".into()])], true).await;
    let (good, _) = start(vec![(200, whole())], false).await;
    let patience = Patience { refusal: Duration::from_millis(50), ..Patience::default() };
    let both = Remote { patience, ..connect(&[&refusing, &good]).await };
    let asked = tokio::time::timeout(Duration::from_secs(5), answer(&both)).await;
    assert_eq!(asked.unwrap().unwrap(), Finish::EndOfTurn);
    assert!(!both.servers.all()[0].is_well());
}

#[tokio::test]
async fn a_server_that_is_well_need_not_wait_for_one_that_is_not() {
    let manner = Manner { retry_after: "4", ..Manner::default() };
    let (busy, _) = start_so(vec![(503, Vec::new()), (200, whole())], manner).await;
    let (good, _) = start(vec![(200, whole())], false).await;
    let began = Instant::now();
    assert_eq!(answer(&connect(&[&busy, &good]).await).await.unwrap(), Finish::EndOfTurn);
    assert!(began.elapsed() < Duration::from_millis(3500), "{:?}", began.elapsed());

    let manner = Manner { retry_after: "1", ..Manner::default() };
    let (alone, _) = start_so(vec![(503, Vec::new()), (200, whole())], manner).await;
    let remote = connect(&[&alone]).await;
    let began = Instant::now();
    assert_eq!(answer(&remote).await.unwrap(), Finish::EndOfTurn);
    assert!(began.elapsed() >= Duration::from_secs(1), "there is no other: {:?}", began.elapsed());
}

#[tokio::test]
async fn servers_that_lack_the_model_are_well_and_use_up_no_attempt() {
    let lacking = || (404, vec![json!({ "error": { "message": "no such model" } }).to_string()]);
    let answers = vec![lacking(), lacking(), lacking(), (200, whole())];
    let (remote, doubles) = all(answers, Patience::default()).await;
    assert_eq!(answer(&remote).await.unwrap(), Finish::EndOfTurn);
    assert_eq!(asked(&doubles), [1, 1, 1, 1]);
    assert!(remote.servers.all().iter().all(|server| server.is_well()));
}

#[tokio::test]
async fn a_start_goes_on_to_the_server_that_has_the_model() {
    let (other, _) = start_so(vec![], Manner { model: "llama", ..Manner::default() }).await;
    let (good, _) = start(vec![], false).await;
    let spec = |model: &str| {
        RemoteSpec::parse(&format!("openai:{other},http://127.0.0.1:9/v1,{good}#{model}"), None).unwrap()
    };
    let remote = Remote::connect(&spec("qwen"), None, MODEL_PIXELS).await.unwrap();
    assert_eq!(remote.info().name, "qwen");
    let error = Remote::connect(&spec("gemma"), None, MODEL_PIXELS).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, SpecError::Model { .. }), "{said}");
    assert!(
        ["llama, tuned", "qwen, tuned", "127.0.0.1:9/v1/: "].iter().all(|part| said.contains(part)),
        "{said}"
    );
}

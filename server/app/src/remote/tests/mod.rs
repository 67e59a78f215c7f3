//! Against a server that answers as OpenAI, vLLM and llama.cpp document it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body as AxumBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response as AxumResponse};
use axum::routing::{get, post};
use futures::StreamExt;
use loupe_mllm::engine::{Decoder, EngineError, Finish, GenerateRequest, Message, Part, Role, Sampling};
use loupe_shared::pixels::Rgb8;
use serde_json::{Value, json};
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use super::{Patience, Remote, RemoteSpec, SpecError};
use crate::model::MODEL_PIXELS;

mod failover;
mod figures;
mod parsed;
mod real;
mod teacher;

/// What the double answers, in order; the last one again and again.
#[derive(Clone)]
struct Double {
    answers: Arc<Vec<(u16, Vec<String>)>>,
    asked: Arc<AtomicUsize>,
    seen: Arc<std::sync::Mutex<Vec<(HeaderMap, Value)>>>,
    manner: Manner,
}

/// How the double answers.
#[derive(Clone, Copy)]
struct Manner {
    /// Whether the last piece is followed by silence instead of the end.
    hangs: bool,
    /// The time before each piece.
    pause: Duration,
    /// Seconds after which it may be asked again.
    retry_after: &'static str,
    /// The name of its model.
    model: &'static str,
}

impl Default for Manner {
    fn default() -> Self {
        Self { hangs: false, pause: Duration::ZERO, retry_after: "0", model: "qwen" }
    }
}

async fn complete(State(double): State<Double>, headers: HeaderMap, bytes: Bytes) -> AxumResponse<AxumBody> {
    let nth = double.asked.fetch_add(1, Ordering::SeqCst);
    double.seen.lock().unwrap().push((headers, serde_json::from_slice(&bytes).unwrap()));
    let (status, pieces) = double.answers[nth.min(double.answers.len() - 1)].clone();
    let Manner { hangs, pause, retry_after, .. } = double.manner;
    let pieces = futures::stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, std::io::Error>(piece)
    });
    let response = AxumResponse::builder().status(status).header("retry-after", retry_after);
    let body = match hangs {
        true => AxumBody::from_stream(pieces.chain(futures::stream::pending())),
        false => AxumBody::from_stream(pieces),
    };
    response.body(body).unwrap()
}

async fn start(answers: Vec<(u16, Vec<String>)>, hangs: bool) -> (String, Double) {
    start_so(answers, Manner { hangs, ..Manner::default() }).await
}

async fn start_so(answers: Vec<(u16, Vec<String>)>, manner: Manner) -> (String, Double) {
    let double = Double { answers: answers.into(), asked: Arc::default(), seen: Arc::default(), manner };
    // vLLM lists a model's adapters as models with a parent.
    let tuned = json!({ "id": "tuned", "parent": manner.model, "max_model_len": null });
    let models = json!({ "object": "list", "data": [{ "id": manner.model, "max_model_len": 9000 }, tuned] });
    let app = Router::new()
        .route("/v1/models", get(move || async move { axum::Json(models) }))
        .route("/v1/chat/completions", post(complete))
        .with_state(double.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}/v1"), double)
}

fn event(content: &str, finish: Option<&str>) -> String {
    delta(&json!({ "content": content }), finish)
}

fn delta(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    format!("data: {chunk}\n\n")
}

fn error_event(error: &Value) -> String {
    format!("data: {}\n\n", json!({ "error": error }))
}

fn whole() -> Vec<String> {
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 30, "completion_tokens": 4,
        "prompt_tokens_details": { "cached_tokens": 16 } } });
    // One event ends in the middle of a chunk of bytes, as the network has it.
    let (head, tail) = (event("<answer>", None), event("Oslo", None));
    let (one, two) = tail.split_at(9);
    vec![
        ": a comment\n\n".into(),
        format!("{head}{one}"),
        two.into(),
        event("</answer>", Some("stop")),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".into(),
    ]
}

async fn connect(urls: &[&str]) -> Remote {
    let spec = RemoteSpec::parse(&format!("openai:{}", urls.join(",")), None).unwrap();
    Remote::connect(&spec, Some("secret".into()), MODEL_PIXELS).await.unwrap()
}

fn request() -> GenerateRequest {
    let picture = Arc::new(Rgb8::new(1, 1, vec![1, 2, 3]).unwrap());
    let parts = vec![Part::Image(picture), Part::Text("Whose flag?".into())];
    GenerateRequest {
        messages: vec![Message::text(Role::System, "Be brief."), Message { role: Role::User, parts }],
        sampling: Sampling::Random { temperature: 0.5, top_p: 0.9, seed: 7 },
        adapter: None,
        max_tokens: 20,
        stop: Vec::new(),
        grammar: None,
        cancel: CancellationToken::new(),
    }
}

#[tokio::test]
async fn an_answer_streams_with_its_usage_and_the_request_is_as_documented() {
    let (url, double) = start(vec![(200, whole())], false).await;
    let remote = connect(&[&url]).await;
    assert_eq!((remote.info().name.as_str(), remote.info().context), ("qwen", 9000));
    let (sender, mut deltas) = unbounded_channel();
    let completion = remote.generate(request(), sender).await.unwrap();
    assert_eq!((completion.text.as_str(), completion.finish), ("<answer>Oslo</answer>", Finish::EndOfTurn));
    assert_eq!(
        (completion.prompt_tokens, completion.reused_tokens, completion.generated_tokens),
        (30, 16, 4)
    );
    let mut streamed = String::new();
    while let Ok(delta) = deltas.try_recv() {
        streamed.push_str(&delta);
    }
    assert_eq!(streamed, completion.text);
    let (headers, body) = double.seen.lock().unwrap().remove(0);
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(body["messages"][0], json!({ "role": "system", "content": "Be brief." }));
    let picture = body["messages"][1]["content"][0]["image_url"]["url"].as_str().unwrap();
    assert!(picture.starts_with("data:image/png;base64,iVBOR"), "{picture}");
    assert_eq!(body["messages"][1]["content"][1], json!({ "type": "text", "text": "Whose flag?" }));
    assert_eq!(body["model"], "qwen");
    assert_eq!((&body["stream"], &body["seed"], &body["max_tokens"]), (&json!(true), &json!(7), &json!(20)));
}

#[tokio::test]
async fn an_adapter_is_asked_for_as_the_model_of_its_name() {
    let (url, double) = start(vec![(200, whole())], false).await;
    let remote = connect(&[&url]).await;
    assert_eq!(remote.info().adapters, ["tuned"]);
    let with = |name: &str| GenerateRequest { adapter: Some(name.into()), ..request() };
    remote.generate(with("tuned"), unbounded_channel().0).await.unwrap();
    assert_eq!(double.seen.lock().unwrap()[0].1["model"], "tuned");
    let error = remote.generate(with("qwen"), unbounded_channel().0).await.unwrap_err();
    assert!(matches!(&error, EngineError::AdapterUnknown { known, .. } if known == &["tuned"]), "{error}");
    assert_eq!(double.asked.load(Ordering::SeqCst), 1, "it is refused here");
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_and_is_kept() {
    let (url, _) = start(vec![(200, whole())], true).await;
    let stopping = GenerateRequest { stop: vec!["Osl".into()], ..request() };
    let completion = connect(&[&url]).await.generate(stopping, unbounded_channel().0).await.unwrap();
    assert_eq!((completion.text.as_str(), completion.finish), ("<answer>Osl", Finish::Stop));
    assert_eq!((completion.prompt_tokens, completion.reused_tokens), (30, 16), "which come after it");
}

#[tokio::test]
async fn a_server_that_is_overloaded_is_asked_again_and_another_takes_over() {
    let (busy, double) = start(vec![(503, vec!["{\"error\":{\"message\":\"busy\"}}".into()])], false).await;
    let (good, _) = start(vec![(200, whole())], false).await;
    let completion = connect(&[&busy, &good]).await.generate(request(), unbounded_channel().0).await.unwrap();
    assert_eq!(completion.finish, Finish::EndOfTurn);
    assert_eq!(double.asked.load(Ordering::SeqCst), 1);

    let (url, double) = start(vec![(429, Vec::new()), (200, whole())], false).await;
    let completion = connect(&[&url]).await.generate(request(), unbounded_channel().0).await.unwrap();
    assert_eq!((completion.finish, double.asked.load(Ordering::SeqCst)), (Finish::EndOfTurn, 2));
}

#[tokio::test]
async fn a_model_that_one_server_lacks_may_be_on_another() {
    let (without, _) =
        start(vec![(404, vec!["{\"error\":{\"message\":\"no such model\"}}".into()])], false).await;
    let (with, _) = start(vec![(200, whole())], false).await;
    let completion = connect(&[&without, &with]).await.generate(request(), unbounded_channel().0).await;
    assert_eq!(completion.unwrap().finish, Finish::EndOfTurn);
    let error = connect(&[&without]).await.generate(request(), unbounded_channel().0).await.unwrap_err();
    assert!(matches!(&error, EngineError::Internal(reason) if reason.contains("no such model")), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let patience = Patience { first_byte: Duration::from_secs(1), ..Patience::default() };
    // Connections are taken, and never answered.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/v1", silent.local_addr().unwrap());
    let (good, double) = start(vec![(200, whole())], false).await;
    let both = Remote { patience, ..connect(&[&good, &silent]).await };
    let answers = (0..2).map(|_| both.generate(request(), unbounded_channel().0));
    for answer in futures::future::join_all(answers).await {
        assert_eq!(answer.unwrap().finish, Finish::EndOfTurn);
    }
    assert_eq!(double.asked.load(Ordering::SeqCst), 2);

    let (url, double) = start(vec![(200, vec![event("<answer>Os", None)])], true).await;
    let patience = Patience { silence: Duration::from_millis(50), ..Patience::default() };
    let remote = Remote { patience, ..connect(&[&url]).await };
    let error = remote.generate(request(), unbounded_channel().0).await.unwrap_err();
    assert_eq!(error.code(), "engine_unreachable");
    assert!(error.to_string().contains("said nothing for 0.05 s"), "{error}");
    assert_eq!(double.asked.load(Ordering::SeqCst), 1, "what was streamed is not streamed again");
}

#[tokio::test]
async fn a_server_that_failed_is_asked_again_once_it_answers() {
    let (first, double) = start(vec![(503, Vec::new()), (200, whole())], false).await;
    let (second, other) = start(vec![(200, whole())], false).await;
    let patience = Patience { recovery: Duration::from_millis(20), ..Patience::default() };
    let remote = Remote { patience, ..connect(&[&first, &second]).await };
    remote.generate(request(), unbounded_channel().0).await.unwrap();
    assert_eq!([&double, &other].map(|double| double.asked.load(Ordering::SeqCst)), [1, 1]);
    while !remote.servers.all()[0].is_well() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    remote.generate(request(), unbounded_channel().0).await.unwrap();
    assert_eq!([&double, &other].map(|double| double.asked.load(Ordering::SeqCst)), [2, 1]);
}

#[tokio::test]
async fn what_cannot_be_mended_is_told_at_once() {
    let said = vec!["{\"error\":{\"message\":\"the prompt is too long\"}}".to_owned()];
    let (url, double) = start(vec![(400, said)], false).await;
    let error = connect(&[&url]).await.generate(request(), unbounded_channel().0).await.unwrap_err();
    assert!(matches!(&error, EngineError::Input(reason) if reason.contains("too long")), "{error}");
    assert_eq!(double.asked.load(Ordering::SeqCst), 1);
    let (url, _) = start(vec![(401, Vec::new())], false).await;
    let error = connect(&[&url]).await.generate(request(), unbounded_channel().0).await.unwrap_err();
    assert!(error.to_string().contains("LOUPE_ENGINE_KEY"), "{error}");
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_is_an_error_and_not_an_answer() {
    let cut = vec![(200, vec![event("<answer>Os", None)])];
    let error_event = vec![(200, vec!["data: {\"error\": {\"message\": \"out of memory\"}}\n\n".to_owned()])];
    let nonsense = vec![(200, vec!["data: <html>\n\n".to_owned()])];
    for (answers, expected) in [(cut, "ended before"), (error_event, "out of memory"), (nonsense, "no chunk")]
    {
        let (url, _) = start(answers, false).await;
        let error = connect(&[&url]).await.generate(request(), unbounded_channel().0).await.unwrap_err();
        assert_eq!(error.code(), "engine_unreachable");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn cancelling_ends_the_answer_where_it_is() {
    let (url, _) = start(vec![(200, vec![event("<rea", None)])], true).await;
    let remote = connect(&[&url]).await;
    let cancelled = request();
    let cancel = cancelled.cancel.clone();
    let (sender, mut deltas) = unbounded_channel();
    let (completion, ()) = tokio::join!(remote.generate(cancelled, sender), async {
        deltas.recv().await.unwrap();
        cancel.cancel();
    });
    let completion = completion.unwrap();
    assert_eq!((completion.text.as_str(), completion.finish), ("<rea", Finish::Cancelled));
}

#[tokio::test]
async fn servers_that_are_not_there_or_have_other_models_are_told_apart() {
    for wrong in ["http://a/v1", "openai:", "openai:ftp://a", "openai:http://a/v1#", "openai:http://a,,"] {
        let error = RemoteSpec::parse(wrong, None).unwrap_err();
        assert!(matches!(&error, SpecError::Form(written) if written == wrong), "{error}");
    }
    let nobody = RemoteSpec::parse("openai:http://127.0.0.1:9/v1", None).unwrap();
    assert!(matches!(Remote::connect(&nobody, None, MODEL_PIXELS).await, Err(SpecError::Unreachable(_))));
    let (url, _) = start(vec![(200, whole())], false).await;
    let other = RemoteSpec::parse(&format!("openai:{url}#llama"), Some("deepmm")).unwrap();
    let error = Remote::connect(&other, None, MODEL_PIXELS).await.unwrap_err();
    assert!(error.to_string().contains("qwen"), "{error}");
}

#[tokio::test]
async fn a_password_in_an_address_is_in_no_error() {
    let wrong = RemoteSpec::parse("openai:https://user:SECRET@host/v1?key=SECRET", None).unwrap_err();
    let nobody = RemoteSpec::parse("openai:http://user:SECRET@127.0.0.1:9/v1", None).unwrap();
    let unreachable = Remote::connect(&nobody, None, MODEL_PIXELS).await.unwrap_err();
    let (url, _) = start(vec![], false).await;
    let with_password = url.replace("http://", "http://user:SECRET@");
    let other = RemoteSpec::parse(&format!("openai:{with_password}#llama"), None).unwrap();
    let lacking = Remote::connect(&other, None, MODEL_PIXELS).await.unwrap_err();
    assert!(lacking.to_string().contains("name one as in openai:http://127.0.0.1"), "{lacking}");
    for error in [wrong, unreachable, lacking] {
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_told_apart_from_one_that_is_not_taken() {
    let llama = json!({ "code": 400, "type": "exceed_context_size_error",
        "message": "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it" });
    let refusal = (400, vec![json!({ "error": llama }).to_string()]);
    for answer in [refusal, (200, vec![error_event(&llama)])] {
        let (url, double) = start(vec![answer], false).await;
        let error = connect(&[&url]).await.generate(request(), unbounded_channel().0).await.unwrap_err();
        assert!(matches!(error, EngineError::TooLong { tokens: 9412, context: 8192 }), "{error}");
        assert_eq!(double.asked.load(Ordering::SeqCst), 1, "it is no shorter elsewhere");
    }
}

#[tokio::test]
async fn an_error_in_the_midst_of_an_answer_means_what_its_code_does() {
    let long = format!("no\u{7} {}", "x".repeat(400));
    let (url, double) =
        start(vec![(200, vec![error_event(&json!({ "code": 400, "message": long }))])], false).await;
    let remote = connect(&[&url]).await;
    let error = remote.generate(request(), unbounded_channel().0).await.unwrap_err();
    let EngineError::Input(said) = &error else { panic!("{error}") };
    assert!(said.contains("no xxx") && said.len() < 350, "{said}");
    assert_eq!(double.asked.load(Ordering::SeqCst), 1);
    assert!(remote.servers.all()[0].is_well(), "a request that is not taken is not the server's fault");

    let busy = error_event(&json!({ "code": 503, "message": "busy" }));
    let (url, _) = start(vec![(200, vec![event("<answer>", None), busy])], false).await;
    let remote = connect(&[&url]).await;
    let error = remote.generate(request(), unbounded_channel().0).await.unwrap_err();
    assert_eq!(error.code(), "engine_unreachable");
    assert!(!remote.servers.all()[0].is_well());
}

#[tokio::test]
async fn an_answer_that_its_server_gave_up_is_no_whole_answer() {
    for reason in ["abort", "error"] {
        let (url, _) =
            start(vec![(200, vec![event("<answer>Os", None), event("", Some(reason))])], false).await;
        let error = connect(&[&url]).await.generate(request(), unbounded_channel().0).await.unwrap_err();
        assert_eq!(error.code(), "engine_unreachable");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_disregards_the_limit_is_cut_off() {
    let (many, much) = (vec![event("a", None); 60], vec![event(&"a".repeat(2000), None); 5]);
    for (pieces, most) in [(many, 40), (much, 6000)] {
        let (url, _) = start(vec![(200, pieces)], true).await;
        let completion = connect(&[&url]).await.generate(request(), unbounded_channel().0).await.unwrap();
        assert_eq!(completion.finish, Finish::Length);
        assert!(completion.text.len() <= most, "{}", completion.text.len());
    }
}

#[tokio::test]
async fn a_turn_that_is_to_be_held_to_a_grammar_is_refused() {
    let (url, double) = start(vec![], false).await;
    let grammar = Some(loupe_mllm::grammar::Grammar::lark("start: \"a\""));
    let held = GenerateRequest { grammar, ..request() };
    let error = connect(&[&url]).await.generate(held, unbounded_channel().0).await.unwrap_err();
    assert!(matches!(&error, EngineError::Input(problem) if problem.contains("constrain")), "{error}");
    assert!(double.seen.lock().unwrap().is_empty());
}

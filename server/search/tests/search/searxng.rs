//! SearXNG's interface against a double that answers with its documented shapes and errors.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use loupe_search::{Found, SearchError, SearxNg, TextQuery, TextSearch};
use serde_json::json;
use url::Url;

type Parameters = Vec<(String, String)>;
type Calls = Arc<Mutex<Vec<(Parameters, HeaderMap)>>>;

/// What the double answers to `/search`.
#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    delay: Duration,
}

impl Answer {
    fn json(body: &serde_json::Value) -> Self {
        Self::new(200, "application/json", &body.to_string())
    }

    fn new(status: u16, media_type: &str, body: &str) -> Self {
        let headers = vec![("content-type", media_type.to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec(), delay: Duration::ZERO }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

struct Double {
    provider: SearxNg,
    calls: Calls,
}

/// Starts a double at a free port, below a path as instances behind a proxy are.
async fn double(answer: Answer) -> Double {
    let calls = Calls::default();
    let config = || async { axum::Json(json!({"engines": [{"name": "wikipedia"}], "brand": {}})) };
    let router = Router::new()
        .route("/sx/search", get(search))
        .route("/sx/config", get(config))
        .with_state((answer, calls.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Double { provider: provider(address), calls }
}

fn provider(address: SocketAddr) -> SearxNg {
    let base = Url::parse(&format!("http://{address}/sx")).unwrap();
    SearxNg::with_timeout(&base, Duration::from_millis(1500)).unwrap()
}

async fn search(
    State((answer, calls)): State<(Answer, Calls)>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response<Body> {
    calls.lock().unwrap().push((parameters, headers));
    tokio::time::sleep(answer.delay).await;
    let mut response = Response::builder().status(StatusCode::from_u16(answer.status).unwrap());
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}

fn query(text: &str) -> TextQuery {
    TextQuery { text: text.to_owned(), limit: 3, lang: None }
}

async fn ask(answer: Answer) -> Result<Found, SearchError> {
    double(answer).await.provider.search(&query("capital of Norway")).await
}

/// The code and the message of the error that `answer` leads to.
async fn trouble(answer: Answer) -> (&'static str, String) {
    let error = ask(answer).await.expect_err("an error");
    (error.code(), error.to_string())
}

fn result(n: u32) -> serde_json::Value {
    json!({"url": format!("https://example.org/{n}"), "title": format!("Title {n}"), "content": "Oslo.",
           "engine": "wikipedia", "template": "default.html", "publishedDate": null})
}

#[tokio::test]
async fn results_become_hits_cut_to_the_limit() {
    let results: Vec<_> = (1..=9).map(result).collect();
    let found =
        ask(Answer::json(&json!({"query": "q", "results": results, "answers": [], "corrections": [],
        "infoboxes": [], "suggestions": [], "unresponsive_engines": [["brave", "timeout"]]})))
        .await
        .unwrap();
    assert!(!found.cached);
    let seen: Vec<_> =
        found.hits.iter().map(|hit| (hit.rank, hit.title.as_str(), hit.url.as_str())).collect();
    assert_eq!(
        seen,
        [
            (1, "Title 1", "https://example.org/1"),
            (2, "Title 2", "https://example.org/2"),
            (3, "Title 3", "https://example.org/3")
        ]
    );
}

#[tokio::test]
async fn html_repeats_and_unusable_addresses_are_cleaned_away() {
    let found = ask(Answer::json(&json!({"results": [
        {"url": "javascript:alert(1)", "title": "bad", "content": "bad"},
        {"url": null, "title": "bad", "content": "bad"},
        {"url": "https://example.org/a", "title": "<b>Oslo</b> &amp; fjord", "content": "<script>x()</script>A <i>city</i>"},
        {"url": "https://example.org/a", "title": "again", "content": "again"},
        {"url": "https://example.org/b", "title": "", "content": null, "thumbnail": "https://tracker.example/x.png"},
    ]})))
    .await
    .unwrap();
    let seen: Vec<_> = found.hits.iter().map(|hit| (hit.title.as_str(), hit.snippet.as_str())).collect();
    assert_eq!(seen, [("Oslo & fjord", "A city"), ("example.org", "")]);
    assert!(found.hits.iter().all(|hit| hit.thumb.is_none()));
}

#[tokio::test]
async fn the_call_has_what_bot_detection_looks_for() {
    let double = double(Answer::json(&json!({"results": []}))).await;
    let asked = TextQuery { lang: Some("nb".to_owned()), ..query(" größte & \"Stadt\"\n") };
    double.provider.search(&asked).await.unwrap();
    let (parameters, headers) = double.calls.lock().unwrap().pop().unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(parameters, [pair("q", "größte & \"Stadt\""), pair("format", "json"), pair("language", "nb")]);
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert!(header("accept").contains("application/json") && header("accept").contains("text/html"));
    assert!(header("accept-encoding").contains("gzip"));
    assert_eq!(header("accept-language"), "nb");
    assert!(header("user-agent").starts_with("Loupe/"));
}

#[tokio::test]
async fn no_results_are_no_hits() {
    assert_eq!(
        ask(Answer::json(&json!({"results": [], "unresponsive_engines": []}))).await.unwrap().hits,
        []
    );
}

#[tokio::test]
async fn no_results_from_silent_engines_are_an_error_that_names_them() {
    let silent = json!([["google", "CAPTCHA"], ["brave", "too many requests"], "qwant"]);
    let (code, message) =
        trouble(Answer::json(&json!({"results": [], "unresponsive_engines": silent}))).await;
    assert_eq!(code, "search_unreachable");
    assert!(message.contains("google: CAPTCHA, brave: too many requests, qwant"), "{message}");
}

#[tokio::test]
async fn json_switched_off_says_how_to_switch_it_on() {
    let (code, message) = trouble(Answer::new(403, "text/html", "<h1>Forbidden</h1>")).await;
    assert_eq!(code, "search_refused");
    assert!(message.contains("search.formats"), "{message}");
}

#[tokio::test]
async fn the_limiter_is_told_apart_with_its_wait() {
    let (code, message) =
        trouble(Answer::new(429, "text/html", "Too Many Requests").header("retry-after", "120")).await;
    assert_eq!(code, "search_rate_limited");
    assert!(message.contains("120 s") && message.contains("limiter"), "{message}");
    let (_, message) = trouble(Answer::new(429, "text/html", "")).await;
    assert!(!message.contains(" s;"), "{message}");
}

#[tokio::test]
async fn a_page_in_place_of_json_is_no_empty_answer() {
    let (code, message) = trouble(Answer::new(200, "text/html; charset=utf-8", "<html>log in</html>")).await;
    assert_eq!(code, "search_bad_answer");
    assert!(message.contains("text/html"), "{message}");
}

#[tokio::test]
async fn broken_and_foreign_json_is_refused() {
    for body in ["{\"results\": [", "[]", "{\"hits\": []}", "{\"results\": [7]}", ""] {
        let (code, _) = trouble(Answer::new(200, "application/json", body)).await;
        assert_eq!(code, "search_bad_answer", "{body}");
    }
}

#[tokio::test]
async fn other_statuses_say_what_to_look_at() {
    for (status, code, hint) in [
        (401, "search_refused", "login"),
        (404, "search_refused", "/sx/search"),
        (500, "search_unreachable", "log"),
        (502, "search_unreachable", "log"),
        (418, "search_refused", "418"),
    ] {
        let (got, message) = trouble(Answer::new(status, "text/html", "")).await;
        assert_eq!(got, code, "{status}");
        assert!(message.contains(hint), "{message}");
    }
}

#[tokio::test]
async fn redirects_stay_on_the_host_and_end() {
    let away = Answer::new(302, "text/html", "").header("location", "http://elsewhere.invalid/search");
    let (code, message) = trouble(away).await;
    assert_eq!(code, "search_refused");
    assert!(message.contains("elsewhere.invalid"), "{message}");
    let (code, _) = trouble(Answer::new(302, "text/html", "").header("location", "/sx/search")).await;
    assert_eq!(code, "search_refused");
}

#[tokio::test]
async fn a_huge_body_is_not_read_to_its_end() {
    let filler = "x".repeat(5 << 20);
    let (code, message) = trouble(Answer::json(&json!({"results": [], "filler": filler}))).await;
    assert_eq!(code, "search_bad_answer");
    assert!(message.contains("bytes"), "{message}");
}

#[tokio::test]
async fn an_instance_that_hangs_or_is_gone_is_unreachable() {
    let slow = Answer { delay: Duration::from_secs(20), ..Answer::json(&json!({"results": []})) };
    let (code, message) = trouble(slow).await;
    assert_eq!(code, "search_unreachable");
    assert!(message.contains("in time"), "{message}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = provider(closed).search(&query("q")).await.unwrap_err();
    assert_eq!(error.code(), "search_unreachable");
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
}

#[tokio::test]
async fn queries_that_cannot_be_searched_are_not_sent() {
    let double = double(Answer::json(&json!({"results": []}))).await;
    for text in ["", " \n", &"long ".repeat(300)] {
        let error = double.provider.search(&query(text)).await.unwrap_err();
        assert_eq!(error.code(), "search_bad_query");
    }
    assert!(double.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_check_asks_for_settings_and_one_search() {
    let good = double(Answer::json(&json!({"results": [result(1)]}))).await;
    good.provider.check().await.unwrap();
    let (parameters, _) = good.calls.lock().unwrap().pop().unwrap();
    assert!(parameters.contains(&("format".to_owned(), "json".to_owned())));
    let off = double(Answer::new(403, "text/html", "")).await;
    assert_eq!(off.provider.check().await.unwrap_err().code(), "search_refused");
}

#[tokio::test]
async fn a_check_notices_another_program() {
    let router =
        Router::new().route("/sx/config", get(|| async { axum::Json(json!({"name": "something else"})) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = provider(listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(provider.check().await.unwrap_err().code(), "search_bad_answer");
}

//! SearXNG's JSON interface as a text provider.
//!
//! What its instances are known to trip callers with, each told apart with what to do about it: JSON switched off (403), the
//! limiter (429), pages in place of JSON, engines that are all suspended behind an empty list, HTML in texts.

mod answer;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::http::{self, BodyError, LARGEST_BODY};
use crate::provider::{Found, SearchError, TextQuery, TextSearch};

/// The provider's name.
const NAME: &str = "searxng";
/// Engines have a few seconds each; an instance that needs longer than this hangs.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Engines cut longer queries on their own, each elsewhere.
const LONGEST_QUERY: usize = 1_000;
/// What the instance's bot detection wants to see of a client: that it would take a page, too.
const ACCEPTED: &str = "application/json, text/html;q=0.5";
/// For queries that name no language; an empty header is taken for a bot's.
const ANY_LANGUAGE: &str = "en";

/// A SearXNG instance.
pub struct SearxNg {
    base: Url,
    client: Client,
}

impl SearxNg {
    /// An instance by its base address, which may have a path.
    ///
    /// # Errors
    /// [`SearchError::Settings`] when TLS cannot be set up.
    pub fn new(base: &Url) -> Result<Self, SearchError> {
        Self::with_timeout(base, TIMEOUT)
    }

    /// Like [`SearxNg::new`], with another limit on the whole of a call.
    ///
    /// # Errors
    /// [`SearchError::Settings`] when TLS cannot be set up.
    pub fn with_timeout(base: &Url, timeout: Duration) -> Result<Self, SearchError> {
        let mut base = base.clone();
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(Self { client: http::client(&base, timeout)?, base })
    }

    async fn ask(&self, text: &str, lang: Option<&str>) -> Result<Value, SearchError> {
        let mut parameters = vec![("q", text), ("format", "json")];
        parameters.extend(lang.map(|lang| ("language", lang)));
        self.get("search", &parameters, lang).await
    }

    async fn get(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        lang: Option<&str>,
    ) -> Result<Value, SearchError> {
        let url = self.base.join(path).map_err(|error| refused(format!("{path} is no address: {error}")))?;
        let request = self.client.get(url).query(parameters).header(ACCEPT, ACCEPTED);
        let request = request.header(ACCEPT_LANGUAGE, lang.unwrap_or(ANY_LANGUAGE));
        // What a browser says of a call that a script makes.
        let request = request.header("Sec-Fetch-Mode", "cors").header("Sec-Fetch-Site", "none");
        let response = request.header("Sec-Fetch-Dest", "empty").send().await;
        let response = response.map_err(|error| unreachable(&http::causes(&error.without_url())))?;
        check_status(&response)?;
        check_type(&response)?;
        let bytes = http::body(response).await.map_err(|error| match error {
            BodyError::TooLarge => bad_answer(format!("more than {LARGEST_BODY} bytes")),
            BodyError::Broken(reason) => unreachable(&reason),
        })?;
        serde_json::from_slice(&bytes).map_err(|error| bad_answer(format!("no JSON: {error}")))
    }
}

#[async_trait]
impl TextSearch for SearxNg {
    fn name(&self) -> &str {
        NAME
    }

    async fn search(&self, query: &TextQuery) -> Result<Found, SearchError> {
        let text = query.text.trim();
        if text.is_empty() {
            return Err(SearchError::BadQuery("there are no words to search for".to_owned()));
        }
        if text.chars().count() > LONGEST_QUERY {
            let advice = format!("it has more than {LONGEST_QUERY} characters; ask for less at once");
            return Err(SearchError::BadQuery(advice));
        }
        let answer = self.ask(text, query.lang.as_deref()).await?;
        Ok(Found { hits: answer::hits(answer, query.limit)?, cached: false })
    }

    async fn check(&self) -> Result<(), SearchError> {
        let config = self.get("config", &[], None).await?;
        if !config.get("engines").is_some_and(Value::is_array) {
            return Err(bad_answer(format!(
                "{}config is not that of a SearXNG instance; check the address",
                self.base
            )));
        }
        answer::hits(self.ask("SearXNG", None).await?, 1).map(drop)
    }
}

fn check_status(response: &Response) -> Result<(), SearchError> {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::FORBIDDEN => Err(refused(
            "it answered 403: its JSON interface is most likely off; add `json` under `search.formats` in its \
             settings.yml and restart it"
                .to_owned(),
        )),
        StatusCode::TOO_MANY_REQUESTS => Err(limited(response.headers())),
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(refused(format!(
            "it answered {status}: it wants a login; put name and password into the address, as in \
             searxng:https://NAME:PASSWORD@HOST"
        ))),
        StatusCode::NOT_FOUND => {
            Err(refused(format!("it has no {}; check the address and its path", response.url().path())))
        }
        _ if status.is_redirection() => Err(refused(format!(
            "it sends callers on to {:?}; give that address if it is the instance's",
            header(LOCATION.as_str()).unwrap_or("nowhere")
        ))),
        _ if status.is_server_error() => Err(unreachable(&format!("it answered {status}; see the instance's log"))),
        _ => Err(refused(format!("it answered {status}"))),
    }
}

/// A page in place of JSON comes from bot detection, from a proxy's login, or from another program.
fn check_type(response: &Response) -> Result<(), SearchError> {
    let media_type = http::media_type(response);
    if media_type == "application/json" || media_type.ends_with("+json") {
        return Ok(());
    }
    Err(bad_answer(format!(
        "{media_type:?} from {} in place of JSON; check the address, that nothing asks for a login before it, and that \
         its bot detection lets this server pass",
        response.url().path()
    )))
}

fn limited(headers: &HeaderMap) -> SearchError {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    SearchError::RateLimited {
        provider: NAME.to_owned(),
        retry_after_s: seconds,
        advice:
            "its limiter gives JSON 4 calls an hour: set `server.limiter: false`, or list this server under \
                 `pass_ip` in its limiter.toml"
                .to_owned(),
    }
}

fn refused(reason: String) -> SearchError {
    SearchError::Refused { provider: NAME.to_owned(), reason }
}

fn bad_answer(reason: String) -> SearchError {
    SearchError::BadAnswer { provider: NAME.to_owned(), reason }
}

fn unreachable(reason: &str) -> SearchError {
    SearchError::Unreachable { provider: NAME.to_owned(), reason: reason.to_owned() }
}

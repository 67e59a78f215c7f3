//! Decoding by servers that speak OpenAI's chat completions: vLLM, SGLang, llama.cpp, `transformers serve`.
//!
//! - [`spec`]: how servers are named, as in `openai:URL#model`.
//! - `servers`: which of several servers is asked next.
//! - `wire`: what is sent and what comes back.
//! - `stream`: an answer while it arrives.

mod servers;
pub mod spec;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use loupe_mllm::engine::{Completion, Decoder, EngineError, Finish, GenerateRequest, ModelInfo};
use loupe_search::http;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode};
use tokio::sync::mpsc::UnboundedSender;

use self::servers::{Server, Servers};
pub use self::spec::{RemoteSpec, SpecError};
use self::wire::{Body, ErrorBody, Models};

/// The key that is sent as a bearer token, where the servers want one.
pub const KEY: &str = "LOUPE_ENGINE_KEY";
/// How long a server may take to begin its answer: it may be reading a long prompt behind others.
const FIRST_BYTE: Duration = Duration::from_secs(120);
/// How long the list of models may take.
const LIST: Duration = Duration::from_secs(10);
/// Servers that are tried for a turn, the same one again where there is no other.
const ATTEMPTS: usize = 3;
/// Longest wait before another attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// What is assumed where a server does not say how long a conversation may be.
const CONTEXT: u32 = 32_768;
/// Picture sizes of Qwen2.5-VL's own processor.
const PIXELS: [u32; 2] = [3136, 1_003_520];

/// Servers with one model.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    servers: Servers,
    key: Option<String>,
    info: ModelInfo,
}

/// Why an attempt brought nothing.
enum Failed {
    /// Another server, or the same one later, may do.
    Passing { error: EngineError, wait: Option<Duration> },
    /// Nobody will do this.
    Lasting(EngineError),
}

impl Remote {
    /// Asks the servers for their models and takes the one that is named, or the only one.
    ///
    /// # Errors
    /// [`SpecError`] when no server answers, or none has the model.
    pub async fn connect(spec: &RemoteSpec, key: Option<String>) -> Result<Self, SpecError> {
        let client =
            http::streaming_client(&spec.urls[0]).map_err(|error| SpecError::Client(error.to_string()))?;
        let servers = Servers::new(spec.urls.clone());
        let mut problems = Vec::new();
        for server in servers.all() {
            match models(&client, server, key.as_deref()).await {
                Ok(models) => {
                    let info = spec.choose(&models, server.base())?;
                    return Ok(Self { client, servers, key, info });
                }
                Err(problem) => problems.push(format!("{}: {problem}", server.base())),
            }
        }
        Err(SpecError::Unreachable(problems.join("; ")))
    }

    /// Sends a turn until a server begins to answer.
    async fn ask(&self, body: &Body) -> Result<(servers::Use<'_>, Response), EngineError> {
        let mut last = EngineError::Internal("no server was asked".into());
        for attempt in 0..ATTEMPTS {
            let server = self.servers.next();
            match self.attempt(&server, body).await {
                Ok(response) => return Ok((server, response)),
                Err(Failed::Lasting(error)) => return Err(error),
                Err(Failed::Passing { error, wait }) => {
                    tracing::warn!(server = %server.base(), %error, attempt, "a model server did not answer");
                    server.failed();
                    last = error;
                    let wait = wait.unwrap_or(Duration::from_millis(200 << attempt)).min(LONGEST_WAIT);
                    if attempt + 1 < ATTEMPTS {
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        }
        Err(last)
    }

    async fn attempt(&self, server: &Server, body: &Body) -> Result<Response, Failed> {
        let request = self.client.post(server.url("chat/completions")).json(body);
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let unreachable =
            |reason: String| Failed::Passing { error: EngineError::Unreachable(reason), wait: None };
        let response = match tokio::time::timeout(FIRST_BYTE, request.send()).await {
            Err(_elapsed) => return Err(unreachable(format!("no answer within {} s", FIRST_BYTE.as_secs()))),
            Ok(Err(error)) => return Err(unreachable(http::causes(&error.without_url()))),
            Ok(Ok(response)) => response,
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }
}

/// What a status other than success means.
async fn refusal(response: Response) -> Failed {
    let status = response.status();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let wait = seconds.map(Duration::from_secs);
    let said = match http::body(response).await {
        Ok(bytes) => ErrorBody::message(&bytes),
        Err(_unreadable) => String::new(),
    };
    let reason = format!("the model server answered {status}: {said}");
    match status {
        _ if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            Failed::Passing { error: EngineError::Unreachable(reason), wait }
        }
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Failed::Lasting(EngineError::Input(reason))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Failed::Lasting(EngineError::Internal(format!("{reason}; set {KEY}")))
        }
        _ => Failed::Lasting(EngineError::Internal(reason)),
    }
}

async fn models(client: &Client, server: &Server, key: Option<&str>) -> Result<Models, String> {
    let request = client.get(server.url("models")).timeout(LIST);
    let request = match key {
        Some(key) => request.bearer_auth(key),
        None => request,
    };
    let response = request.send().await.map_err(|error| http::causes(&error.without_url()))?;
    let status = response.status();
    let Ok(bytes) = http::body(response).await else { return Err("the answer broke off".into()) };
    if !status.is_success() {
        return Err(format!("{status}: {}", ErrorBody::message(&bytes)));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("no list of models: {error}"))
}

#[async_trait]
impl Decoder for Remote {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let started = Instant::now();
        if request.grammar.is_some() {
            return Err(EngineError::Input(
                "the servers that decode cannot be held to a grammar; ask without `constrain`".into(),
            ));
        }
        self.info.check_adapter(request.adapter.as_deref())?;
        let body = wire::body(&self.info.name, &request)?;
        let asked = tokio::select! {
            asked = self.ask(&body) => asked,
            () = request.cancel.cancelled() => return Ok(Completion::nothing(Finish::Cancelled, 0)),
        };
        let (server, response) = asked?;
        let result = stream::read(response, &request, &deltas, started).await;
        if let Err(EngineError::Unreachable(_)) = &result {
            server.failed();
        }
        result
    }
}

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

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use loupe_mllm::decode::stats;
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
/// How long the list of models may take.
const LIST: Duration = Duration::from_secs(10);
/// Servers that are tried for a turn, the same one again where there is no other.
const ATTEMPTS: usize = 3;
/// Longest wait before another attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// What is assumed where a server does not say how long a conversation may be.
const CONTEXT: u32 = 32_768;
/// Fewest pixels that Qwen2.5-VL's own processor makes of a picture.
const MIN_PIXELS: u32 = 3136;

/// Servers with one model.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    servers: Servers,
    key: Option<String>,
    info: ModelInfo,
    patience: Patience,
}

/// How long servers are waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until an answer begins: the server may be reading a long prompt behind others.
    first_byte: Duration,
    /// Between two pieces of an answer.
    silence: Duration,
    /// Until a server that failed is looked at again.
    recovery: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [first_byte, silence, recovery] = [120, 60, 5].map(Duration::from_secs);
        Self { first_byte, silence, recovery }
    }
}

/// Why an attempt brought nothing.
enum Failed {
    /// Another server, or the same one later, may do.
    Passing { error: EngineError, wait: Option<Duration> },
    /// Nobody will do this.
    Lasting(EngineError),
}

impl Remote {
    /// Asks the servers for their models and takes the one that is named, or the only one. It is shown pictures of at
    /// most `max_pixels`.
    ///
    /// # Errors
    /// [`SpecError`] when no server answers, or none has the model.
    pub async fn connect(spec: &RemoteSpec, key: Option<String>, max_pixels: u32) -> Result<Self, SpecError> {
        let client =
            http::streaming_client(&spec.urls[0]).map_err(|error| SpecError::Client(error.to_string()))?;
        let servers = Servers::new(spec.urls.clone());
        let mut problems = Vec::new();
        for server in servers.all() {
            match models(&client, server, key.as_deref()).await {
                Ok(models) => {
                    let info = spec.choose(&models, server.base(), max_pixels)?;
                    return Ok(Self { client, servers, key, info, patience: Patience::default() });
                }
                Err(problem) => problems.push(format!("{}: {problem}", server.base())),
            }
        }
        Err(SpecError::Unreachable(problems.join("; ")))
    }

    /// Sends a turn until a server begins to answer.
    async fn ask(&self, body: &Body) -> Result<(servers::Use, Response), EngineError> {
        let mut last = EngineError::Internal("no server was asked".into());
        for attempt in 0..ATTEMPTS {
            let server = self.servers.next();
            match self.attempt(&server, body).await {
                Ok(response) => {
                    server.recovered();
                    return Ok((server, response));
                }
                Err(Failed::Lasting(error)) => return Err(error),
                Err(Failed::Passing { error, wait }) => {
                    tracing::warn!(server = %server.base(), %error, attempt, "a model server did not answer");
                    self.avoid(&server);
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

    /// Asks a server only where no other is well, until it answers again.
    fn avoid(&self, server: &Arc<Server>) {
        if server.failed() {
            let watched = Arc::downgrade(server);
            let watch = recovery(self.client.clone(), self.key.clone(), watched, self.patience.recovery);
            tokio::spawn(watch);
        }
    }

    async fn attempt(&self, server: &Server, body: &Body) -> Result<Response, Failed> {
        let request = self.client.post(server.url("chat/completions")).json(body);
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let unreachable =
            |reason: String| Failed::Passing { error: EngineError::Unreachable(reason), wait: None };
        let response = match tokio::time::timeout(self.patience.first_byte, request.send()).await {
            Err(_elapsed) => {
                return Err(unreachable(format!(
                    "no answer within {} s",
                    self.patience.first_byte.as_secs_f32()
                )));
            }
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
        // Another server may have the model.
        StatusCode::NOT_FOUND => Failed::Passing { error: EngineError::Internal(reason), wait },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Failed::Lasting(EngineError::Internal(format!("{reason}; set {KEY}")))
        }
        _ => Failed::Lasting(EngineError::Internal(reason)),
    }
}

/// Looks again and again whether a server answers, until it does or nobody needs it any more.
async fn recovery(client: Client, key: Option<String>, server: Weak<Server>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(server) = server.upgrade() else { return };
        if server.is_well() {
            return;
        }
        if models(&client, &server, key.as_deref()).await.is_ok() {
            tracing::info!(server = %server.base(), "a model server answers again");
            return server.recovered();
        }
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
        let ended = self.decode(request, deltas).await;
        if let Ok(completion) = &ended
            && completion.generated_tokens > 0
        {
            stats::first_token(completion.first_token);
        }
        stats::turn(&ended);
        ended
    }
}

impl Remote {
    async fn decode(
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
        let result = stream::read(response, &request, &deltas, started, self.patience.silence).await;
        if let Err(EngineError::Unreachable(_)) = &result {
            self.avoid(&server);
        }
        result
    }
}

//! Decoding by servers that speak OpenAI's chat completions: vLLM, SGLang, llama.cpp, `transformers serve`.
//!
//! - [`spec`]: how servers are named, as in `openai:URL#model`.
//! - `servers`: which of several servers is asked next.
//! - `wire`: what is sent and what comes back.
//! - `stream`: an answer while it arrives.
//! - `transcript`: thoughts and tool calls that a server hands out apart from the text, as text again.
//! - `failed`: why an attempt brought no answer, and what may help.

mod failed;
mod servers;
pub mod spec;
mod stream;
#[cfg(test)]
mod tests;
mod transcript;
mod wire;

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use loupe_mllm::decode::stats;
use loupe_mllm::engine::{Completion, Decoder, EngineError, Finish, GenerateRequest, ModelInfo};
use loupe_search::http;
use reqwest::Client;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, timeout_at};

use self::failed::{Cure, Failed};
use self::servers::{Server, Servers};
pub use self::spec::{RemoteSpec, SpecError};
use self::stream::Answer;
use self::wire::{Body, Complaint, Models};

/// The key that is sent as a bearer token, where the servers want one.
pub const KEY: &str = "LOUPE_ENGINE_KEY";
/// How long the list of models may take.
const LIST: Duration = Duration::from_secs(10);
/// Attempts that may fail before a turn does, at the same server where there is no other.
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
    /// Until the first piece of an answer: the server may be reading a long prompt behind others.
    first_byte: Duration,
    /// Between two pieces of an answer.
    silence: Duration,
    /// Until a server that refuses has said why.
    refusal: Duration,
    /// Until a server that failed is looked at again.
    recovery: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [first_byte, silence, refusal, recovery] = [120, 60, 10, 5].map(Duration::from_secs);
        Self { first_byte, silence, refusal, recovery }
    }
}

/// What a turn's attempts have come to so far.
#[derive(Default)]
struct Attempts {
    failed: usize,
    lacking: Vec<Arc<Server>>,
    /// Who failed last, and how long it should be left alone.
    last: Option<(Arc<Server>, Duration)>,
}

impl Attempts {
    fn note(&mut self, server: &Arc<Server>, cure: Cure) {
        let Cure::Later(wait) = cure else { return self.lacking.push(server.clone()) };
        let wait = wait.unwrap_or(Duration::from_millis(200 << self.failed)).min(LONGEST_WAIT);
        self.failed += 1;
        self.last = Some((server.clone(), wait));
    }
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
        let (mut found, mut answering) = (Vec::new(), None);
        for server in servers.all() {
            let shown = server.shown();
            match models(&client, server, key.as_deref()).await {
                Ok(models) => {
                    if let Some(info) = spec.choose(&models, server.base(), max_pixels) {
                        return Ok(Self { client, servers, key, info, patience: Patience::default() });
                    }
                    answering.get_or_insert_with(|| shown.to_owned());
                    found.push(format!("{shown} has the models {}", models.names()));
                }
                Err(problem) => found.push(format!("{shown}: {problem}")),
            }
        }
        let found = found.join("; ");
        Err(match answering {
            Some(server) => SpecError::Model { server, found },
            None => SpecError::Unreachable(found),
        })
    }

    /// Has a server answer: another one where the first cannot, as long as nothing of its answer was passed on.
    async fn ask(&self, body: &Body, answer: &mut Answer<'_>) -> Result<Finish, EngineError> {
        let mut attempts = Attempts::default();
        let mut error = EngineError::Internal("no server was asked".into());
        while let Some(server) = self.choose(&attempts).await {
            let failed = match self.attempt(&server, body, answer).await {
                Ok(finish) => {
                    server.recovered();
                    return Ok(finish);
                }
                Err(failed) => failed,
            };
            if matches!(failed.cure, Cure::Later(_)) {
                self.avoid(&server);
            }
            if answer.has_begun() || failed.cure == Cure::Nothing {
                return Err(failed.error);
            }
            let attempt = attempts.failed;
            tracing::warn!(server = server.shown(), error = %failed.error, attempt, "a model server did not answer");
            attempts.note(&server, failed.cure);
            error = failed.error;
        }
        Err(error)
    }

    /// The server for the next attempt, if there is to be one. A server that has just failed is given some time; one that
    /// is well need not wait for it.
    async fn choose(&self, attempts: &Attempts) -> Option<servers::Use> {
        if attempts.failed == ATTEMPTS {
            return None;
        }
        let server = self.servers.next(&attempts.lacking)?;
        let Some((failed, wait)) = &attempts.last else { return Some(server) };
        if server.is_well() && !Arc::ptr_eq(&server, failed) {
            return Some(server);
        }
        drop(server);
        tokio::time::sleep(*wait).await;
        self.servers.next(&attempts.lacking)
    }

    /// Asks a server only where no other is well, until it answers again.
    fn avoid(&self, server: &Arc<Server>) {
        if server.failed() {
            let watched = Arc::downgrade(server);
            let watch = recovery(self.client.clone(), self.key.clone(), watched, self.patience.recovery);
            tokio::spawn(watch);
        }
    }

    async fn attempt(&self, server: &Server, body: &Body, answer: &mut Answer<'_>) -> Result<Finish, Failed> {
        let begun_by = Instant::now() + self.patience.first_byte;
        let request = self.client.post(server.url("chat/completions")).json(body);
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response = match timeout_at(begun_by, request.send()).await {
            Err(_elapsed) => {
                let seconds = self.patience.first_byte.as_secs_f32();
                return Err(Failed::unreachable(format!("no answer within {seconds} s")));
            }
            Ok(Err(error)) => return Err(Failed::unreachable(http::causes(&error.without_url()))),
            Ok(Ok(response)) => response,
        };
        if !response.status().is_success() {
            return Err(Failed::refused(response, self.patience.refusal, self.info.context).await);
        }
        answer.read(response, begun_by, self.patience).await
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
            tracing::info!(server = server.shown(), "a model server answers again");
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
        return Err(format!("{status}: {}", Complaint::of_body(&bytes).message()));
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
        let turn = stats::Turn::begin();
        let ended = self.decode(request, deltas).await;
        turn.end(&ended);
        ended
    }
}

impl Remote {
    async fn decode(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let mut answer = Answer::new(&request, &deltas, &self.info);
        if request.grammar.is_some() {
            return Err(EngineError::Input(
                "the servers that decode cannot be held to a grammar; ask without `constrain`".into(),
            ));
        }
        self.info.check_adapter(request.adapter.as_deref())?;
        let body = wire::body(&self.info.name, &request)?;
        let finish = tokio::select! {
            finish = self.ask(&body, &mut answer) => finish?,
            () = request.cancel.cancelled() => answer.finish().unwrap_or(Finish::Cancelled),
        };
        Ok(answer.completion(finish))
    }
}

//! An answer while it arrives: server-sent events, one JSON object each, `[DONE]` at the end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use loupe_mllm::decode::stats;
use loupe_mllm::engine::{Completion, Finish, GenerateRequest, ModelInfo, StopTexts};
use loupe_search::http;
use reqwest::Response;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout_at;

use super::Patience;
use super::failed::Failed;
use super::spec::DIALECT;
use super::transcript::Transcript;
use super::wire::{Chunk, Usage};

/// The longest line that is taken for an event.
const LONGEST_LINE: usize = 1 << 20;
/// How long a server's counts are waited for after a stop text, which the server does not know of.
const COUNTS: Duration = Duration::from_millis(250);
/// Events that are read meanwhile.
const COUNT_EVENTS: usize = 16;
/// Pieces more than the tokens that were asked for before a server is taken to disregard them.
const MORE_PIECES: u32 = 16;
/// Bytes that no token has more of.
const TOKEN_BYTES: usize = 128;

/// Events out of chunks of bytes that end anywhere.
struct Events {
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    /// The beginning of a line whose end has not come yet.
    waiting: Vec<u8>,
    ready: VecDeque<String>,
}

impl Events {
    fn new(response: Response) -> Self {
        Self { chunks: response.bytes_stream().boxed(), waiting: Vec::new(), ready: VecDeque::new() }
    }

    /// The next event's data; none at the end.
    async fn next(&mut self) -> Result<Option<String>, Failed> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Ok((data != "[DONE]").then_some(data));
            }
            let Some(chunk) = self.chunks.next().await else { return Ok(None) };
            let chunk = chunk.map_err(|error| Failed::broken(&http::causes(&error.without_url())))?;
            self.take(&chunk)?;
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.waiting.extend_from_slice(bytes);
        while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.waiting.drain(..=end).collect();
            // Comments, names and numbers of events say nothing here.
            if let Some(data) = String::from_utf8_lossy(&line).strip_prefix("data:") {
                self.ready.push_back(data.trim().to_owned());
            }
        }
        if self.waiting.len() > LONGEST_LINE {
            return Err(Failed::broken("it sent a line without an end"));
        }
        Ok(())
    }
}

/// An answer as far as it came.
pub(super) struct Answer<'a> {
    transcript: Transcript,
    stop: StopTexts,
    deltas: &'a UnboundedSender<String>,
    max_tokens: u32,
    /// Tokens that the model takes.
    context: u32,
    started: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
    pieces: u32,
    bytes: usize,
    usage: Option<Usage>,
    finish: Option<Finish>,
    /// Whether the server has ended it, and not a stop text.
    is_ended: bool,
}

impl<'a> Answer<'a> {
    /// Nothing yet of an answer that is asked for now.
    pub(super) fn new(
        request: &GenerateRequest,
        deltas: &'a UnboundedSender<String>,
        info: &ModelInfo,
    ) -> Self {
        Self {
            // Of the dialects, only this one has tags for thoughts.
            transcript: Transcript::new(info.dialect == DIALECT),
            stop: StopTexts::new(request.stop.clone()),
            deltas,
            max_tokens: request.max_tokens,
            context: info.context,
            started: Instant::now(),
            first: None,
            last: None,
            pieces: 0,
            bytes: 0,
            usage: None,
            finish: None,
            is_ended: false,
        }
    }

    /// Whether the model has written anything; then no other server can go on with it.
    pub(super) fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    /// Why it ended, if it has.
    pub(super) fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Reads it to its end or a stop text. It has to begin before `begun_by`, and to go on with never more than the
    /// silence of `patience` between two events; comments do not count.
    ///
    /// # Errors
    /// [`Failed`] when the server breaks off, falls silent, reports an error or sends something else.
    pub(super) async fn read(
        &mut self,
        response: Response,
        begun_by: tokio::time::Instant,
        patience: Patience,
    ) -> Result<Finish, Failed> {
        self.usage = None;
        let mut events = Events::new(response);
        let mut until = begun_by;
        loop {
            let Ok(event) = timeout_at(until, events.next()).await else {
                let allowed = if self.has_begun() { patience.silence } else { patience.first_byte };
                return Err(Failed::broken(&format!("it said nothing for {} s", allowed.as_secs_f32())));
            };
            let Some(data) = event? else { return Err(Failed::broken("it ended before its answer did")) };
            self.event(&data)?;
            if let Some(finish) = self.finish {
                let wait = if self.is_ended { patience.silence } else { COUNTS };
                self.read_usage(&mut events, wait).await;
                return Ok(finish);
            }
            if self.has_begun() {
                until = tokio::time::Instant::now() + patience.silence;
            }
        }
    }

    /// Reads on for the server's own counts, which come last. A turn without them is no less whole.
    async fn read_usage(&mut self, events: &mut Events, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        for _ in 0..COUNT_EVENTS {
            if self.usage.is_some() {
                return;
            }
            let Ok(Ok(Some(data))) = timeout_at(until, events.next()).await else { return };
            self.usage = serde_json::from_str(&data).ok().and_then(|chunk: Chunk| chunk.usage);
        }
    }

    fn event(&mut self, data: &str) -> Result<(), Failed> {
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|error| Failed::broken(&format!("it sent an event that is no chunk: {error}")))?;
        if let Some(error) = &chunk.error {
            return Err(Failed::in_answer(error, self.context));
        }
        self.usage = chunk.usage.or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        if !choice.delta.is_empty() {
            self.note_time();
            let text = self.transcript.add(choice.delta);
            self.add(&text);
        }
        if self.finish.is_some() {
            return Ok(());
        }
        self.finish = ended(choice.finish_reason.as_deref())?;
        self.is_ended = self.finish.is_some();
        if self.finish == Some(Finish::EndOfTurn) {
            let rest = self.transcript.close();
            self.add(&rest);
        }
        Ok(())
    }

    fn note_time(&mut self) {
        self.pieces += 1;
        let now = Instant::now();
        match self.last.replace(now) {
            Some(last) => stats::next_token(now - last),
            None => {
                self.first = Some(now);
                stats::first_token(now - self.started);
            }
        }
    }

    fn add(&mut self, text: &str) {
        self.bytes += text.len();
        let step = self.stop.push(text);
        if !step.delta.is_empty() {
            // Nobody has to listen.
            self.deltas.send(step.delta).ok();
        }
        if step.stopped {
            self.finish = Some(Finish::Stop);
        } else if self.is_overlong() {
            self.finish = Some(Finish::Length);
        }
    }

    /// Whether there is clearly more than was asked for: every piece is a token or more.
    fn is_overlong(&self) -> bool {
        let most = self.max_tokens.saturating_add(MORE_PIECES);
        self.pieces > most || self.bytes > TOKEN_BYTES.saturating_mul(most as usize)
    }

    /// The turn as far as it came.
    pub(super) fn completion(self, finish: Finish) -> Completion {
        let usage = self.usage.unwrap_or_default();
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        let since = |from: Instant, to: Option<Instant>| to.map_or(Duration::ZERO, |to| to - from);
        Completion {
            finish,
            tokens: Vec::new(),
            prompt_tokens: usage.prompt_tokens,
            reused_tokens: cached.unwrap_or(0),
            // Where the answer was cut short, the server's own count never came.
            generated_tokens: if usage.completion_tokens > 0 { usage.completion_tokens } else { self.pieces },
            first_token: since(self.started, self.first),
            decoding: self.first.map_or(Duration::ZERO, |first| since(first, self.last)),
            text: self.stop.into_text(),
        }
    }
}

/// What a server's reason to end means; none where it goes on.
fn ended(reason: Option<&str>) -> Result<Option<Finish>, Failed> {
    match reason {
        // Some servers send an empty one with every event.
        None | Some("") => Ok(None),
        Some("length") => Ok(Some(Finish::Length)),
        Some("stop" | "tool_calls" | "function_call") => Ok(Some(Finish::EndOfTurn)),
        Some(other) => Err(Failed::broken(&format!("its answer ended with `{other}`"))),
    }
}

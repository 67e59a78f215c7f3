//! An answer while it arrives: server-sent events, one JSON object each, `[DONE]` at the end.

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use loupe_mllm::engine::{Completion, EngineError, Finish, GenerateRequest, StopTexts};
use loupe_search::http;
use reqwest::Response;
use tokio::sync::mpsc::UnboundedSender;

use super::wire::{Chunk, ErrorBody, Usage};

/// The longest line that is taken for an event.
const LONGEST_LINE: usize = 1 << 20;

/// Lines out of chunks that end anywhere.
#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
}

impl Lines {
    /// The lines that are complete with these bytes.
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, EngineError> {
        self.waiting.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.waiting.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if self.waiting.len() > LONGEST_LINE {
            return Err(broken("it sent a line without an end"));
        }
        Ok(lines)
    }
}

/// An answer as far as it came.
struct Answer<'a> {
    stop: StopTexts,
    deltas: &'a UnboundedSender<String>,
    started: Instant,
    first: Option<Instant>,
    pieces: u32,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

/// What an event leads to.
#[derive(PartialEq, Eq)]
enum Next {
    Read,
    Over,
}

/// Reads an answer to its end, a stop text or its cancellation. Between two pieces the server may be silent for
/// `silence`.
///
/// # Errors
/// [`EngineError::Unreachable`] when the server breaks off, falls silent or sends something else.
pub(super) async fn read(
    response: Response,
    request: &GenerateRequest,
    deltas: &UnboundedSender<String>,
    started: Instant,
    silence: Duration,
) -> Result<Completion, EngineError> {
    let mut answer = Answer {
        stop: StopTexts::new(request.stop.clone()),
        deltas,
        started,
        first: None,
        pieces: 0,
        usage: None,
        finish: None,
    };
    let chunks =
        response.bytes_stream().map(|chunk| chunk.map_err(|error| http::causes(&error.without_url())));
    let cancelled = request.cancel.cancelled();
    tokio::select! {
        read = answer.read(chunks, silence) => read?,
        () = cancelled => answer.finish = Some(Finish::Cancelled),
    }
    answer.completion()
}

impl Answer<'_> {
    async fn read(
        &mut self,
        chunks: impl Stream<Item = Result<impl AsRef<[u8]>, String>>,
        silence: Duration,
    ) -> Result<(), EngineError> {
        let mut chunks = std::pin::pin!(chunks);
        let mut lines = Lines::default();
        loop {
            let chunk = tokio::time::timeout(silence, chunks.next()).await;
            let chunk = chunk
                .map_err(|_elapsed| broken(&format!("it said nothing for {} s", silence.as_secs_f32())))?;
            let Some(chunk) = chunk else { return Ok(()) };
            for line in lines.push(chunk.map_err(|reason| broken(&reason))?.as_ref())? {
                // Comments, names and numbers of events say nothing here.
                let Some(data) = line.strip_prefix("data:") else { continue };
                if self.event(data.trim())? == Next::Over {
                    return Ok(());
                }
            }
        }
    }

    fn event(&mut self, data: &str) -> Result<Next, EngineError> {
        if data == "[DONE]" {
            return Ok(Next::Over);
        }
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|error| broken(&format!("it sent an event that is no chunk: {error}")))?;
        if let Some(error) = &chunk.error {
            let said = ErrorBody::of_json(error).unwrap_or_else(|| error.to_string());
            return Err(broken(&said));
        }
        self.usage = chunk.usage.or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(Next::Read) };
        if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
            self.pieces += 1;
            self.first.get_or_insert_with(Instant::now);
            let step = self.stop.push(&text);
            if !step.delta.is_empty() {
                // Nobody has to listen.
                self.deltas.send(step.delta).ok();
            }
            if step.stopped {
                self.finish = Some(Finish::Stop);
                return Ok(Next::Over);
            }
        }
        match choice.finish_reason.as_deref() {
            None => {}
            Some("length") => self.finish = Some(Finish::Length),
            Some(_) => self.finish = Some(Finish::EndOfTurn),
        }
        Ok(Next::Read)
    }

    fn completion(self) -> Result<Completion, EngineError> {
        let Some(finish) = self.finish else { return Err(broken("it ended before its answer did")) };
        let usage = self.usage.unwrap_or_default();
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Ok(Completion {
            finish,
            tokens: Vec::new(),
            prompt_tokens: usage.prompt_tokens,
            reused_tokens: cached.unwrap_or(0),
            // Where the answer was cut short, the server's own count never came.
            generated_tokens: if usage.completion_tokens > 0 { usage.completion_tokens } else { self.pieces },
            first_token: self.first.map_or(Duration::ZERO, |first| first - self.started),
            decoding: self.first.map_or(Duration::ZERO, |first| first.elapsed()),
            text: self.stop.into_text(),
        })
    }
}

fn broken(reason: &str) -> EngineError {
    EngineError::Unreachable(format!("the model server broke off: {reason}"))
}

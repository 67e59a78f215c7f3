//! One turn from messages to text.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use tokio::sync::mpsc::UnboundedSender;

use super::memory::{Conversation, Key, Memory};
use super::prompt::{prefill, scores};
use super::sampler::Sampler;
use super::stream::TextStream;
use crate::chat::Encoded;
use crate::engine::{Completion, EngineError, Finish, GenerateRequest};
use crate::loaded::Loaded;
use crate::model::{KvCache, Positions};

/// Decodes one assistant turn.
pub(super) fn decode(
    loaded: &Loaded,
    memory: &mut Memory,
    request: &GenerateRequest,
    deltas: &UnboundedSender<String>,
    started: Instant,
) -> Result<Completion, EngineError> {
    let encoded = loaded.chat.encode(&request.messages, true)?;
    let room = room(loaded, &encoded)?;
    let key = Key::of(&encoded);
    let mut cache = memory.resume(&loaded.model, &key)?;
    let reused = cache.len();
    let first = prefill(loaded, memory, &encoded, &key, &mut cache, || request.cancel.is_cancelled())?;

    let mut turn = Turn {
        loaded,
        request,
        deltas,
        stream: TextStream::new(&loaded.chat.tokenizer, &request.stop),
        written: Vec::new(),
        started,
        first_token: None,
    };
    let next = encoded.positions(loaded.chat.image_token)?.next();
    let finish = match first {
        Some(scores) => turn.run(scores, &mut cache, next, room)?,
        None => Finish::Cancelled,
    };
    let (completion, written) = turn.finish(finish, encoded.ids.len(), reused);
    let mut key = key;
    key.ids.extend(written);
    memory.keep(Conversation { cache, key });
    tracing::debug!(
        prompt = completion.prompt_tokens,
        reused = completion.reused_tokens,
        generated = completion.generated_tokens,
        first_token = ?completion.first_token,
        finish = ?completion.finish,
        "decoded a turn"
    );
    Ok(completion)
}

/// Tokens that fit after the prompt.
fn room(loaded: &Loaded, encoded: &Encoded) -> Result<usize, EngineError> {
    let (tokens, context) = (encoded.ids.len(), loaded.model.config().text.max_positions);
    if tokens == 0 {
        return Err(EngineError::Input("the conversation is empty".into()));
    }
    if tokens >= context {
        return Err(EngineError::TooLong { tokens, context });
    }
    Ok(context - tokens)
}

/// A turn being written.
struct Turn<'a> {
    loaded: &'a Loaded,
    request: &'a GenerateRequest,
    deltas: &'a UnboundedSender<String>,
    stream: TextStream<'a>,
    written: Vec<u32>,
    started: Instant,
    first_token: Option<Instant>,
}

impl Turn<'_> {
    /// Writes tokens until something ends the turn; `position` is the first one's.
    fn run(
        &mut self,
        mut scores: Tensor,
        cache: &mut KvCache,
        position: u32,
        room: usize,
    ) -> Result<Finish, EngineError> {
        let mut sampler = Sampler::new(self.request.sampling);
        let most = room.min(self.request.max_tokens as usize);
        for count in 0..most {
            if self.request.cancel.is_cancelled() {
                return Ok(Finish::Cancelled);
            }
            let id = sampler.choose(&scores.to_vec1::<f32>()?).ok_or(EngineError::NotFinite)?;
            self.first_token.get_or_insert_with(Instant::now);
            if self.loaded.end_ids.contains(&id) {
                return Ok(Finish::EndOfTurn);
            }
            self.written.push(id);
            if self.tell(id)? {
                return Ok(Finish::Stop);
            }
            if count + 1 < most {
                scores = self.advance(id, position + count as u32, cache)?;
            }
        }
        Ok(Finish::Length)
    }

    /// Sends a token's text on; whether a stop text is complete.
    fn tell(&mut self, id: u32) -> Result<bool, EngineError> {
        let step = self.stream.push(id)?;
        if !step.delta.is_empty() {
            // Nobody has to listen.
            self.deltas.send(step.delta).ok();
        }
        Ok(step.stopped)
    }

    fn advance(&self, id: u32, position: u32, cache: &mut KvCache) -> candle_core::Result<Tensor> {
        let model = &self.loaded.model;
        let embeds = model.embed(&Tensor::new(&[[id]], model.device())?)?;
        let rotary = model.rotary(&[Positions::word(position)], 1)?;
        scores(model, &model.forward(&embeds, &rotary, Some(cache))?)
    }

    /// The completion and the tokens written.
    fn finish(self, finish: Finish, prompt: usize, reused: usize) -> (Completion, Vec<u32>) {
        let completion = Completion {
            text: self.stream.into_text(),
            finish,
            prompt_tokens: prompt as u32,
            reused_tokens: reused as u32,
            generated_tokens: self.written.len() as u32,
            first_token: self.first_token.map_or(Duration::ZERO, |first| first - self.started),
            decoding: self.first_token.map_or(Duration::ZERO, |first| first.elapsed()),
        };
        (completion, self.written)
    }
}

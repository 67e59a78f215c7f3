//! One model for many callers.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::eyes::Eyes;
use super::pictures;
use super::sequence::Job;
use super::stats;
use super::worker::{Message, Worker};
use crate::adapter::Adapter;
use crate::device::Language;
use crate::engine::{Completion, Decoder, EngineError, Finish, GenerateRequest, ModelInfo};
use crate::error::Error;
use crate::grammar::{Grammar, Grammars, Mask};
use crate::lm::{BLOCK, Lora};
use crate::loaded::{Loaded, Served};

/// What an engine may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sequences that are decoded together.
    pub sequences: usize,
    /// Turns that may be decoded or wait for it; more are refused.
    pub queue: usize,
    /// Bytes of keys and values.
    pub kv_bytes: usize,
    /// Bytes of picture embeddings that are kept, the latest one aside.
    pub picture_bytes: usize,
    /// Whether turns are drafted, from what was read or by the drafter: what is written stays the same.
    pub drafts: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sequences: 32, queue: 256, kv_bytes: 1 << 30, picture_bytes: 128 << 20, drafts: true }
    }
}

impl Limits {
    /// Blocks of keys and values that fit, at least one.
    pub(super) fn kv_blocks(&self, language: &Language) -> usize {
        (self.kv_bytes / language.block_bytes()).max(1)
    }

    /// Tokens whose keys and values fit.
    fn kv_tokens(&self, language: &Language) -> u32 {
        u32::try_from(self.kv_blocks(language) * BLOCK).unwrap_or(u32::MAX)
    }
}

/// A model in this process. Turns that are asked for together are decoded together, those that have to wait in the order
/// in which they were asked for; what a conversation shares with others is not computed again.
#[derive(Debug)]
pub struct Engine {
    loaded: Arc<Loaded<Served>>,
    info: ModelInfo,
    /// Made when the first turn is held to a grammar.
    grammars: Arc<OnceLock<Grammars>>,
    places: Arc<Semaphore>,
    limits: Limits,
    messages: Sender<Message>,
}

impl Engine {
    /// An engine with nothing decoded yet, the thread that decodes and the one that looks at pictures. The threads end
    /// with the engine.
    ///
    /// # Errors
    /// When the system gives no threads, or less memory than `limits` allow for keys and values.
    pub fn start(loaded: Loaded<Served>, limits: Limits) -> std::io::Result<Self> {
        let language = &loaded.model.language;
        language.make_room(limits.kv_blocks(language))?;
        let info = info(&loaded, limits);
        let loaded = Arc::new(loaded);
        let (messages, received) = channel();
        let eyes = Eyes::open(loaded.clone(), messages.clone())?;
        let served = loaded.clone();
        std::thread::Builder::new()
            .name("loupe-decode".to_owned())
            .spawn(move || decode(&served, &eyes, limits, &received))?;
        let (grammars, places) = (Arc::default(), Arc::new(Semaphore::new(limits.queue)));
        Ok(Self { loaded, info, grammars, places, limits, messages })
    }

    /// Puts another adapter in the place of the one of that name, for the turns that begin from now on.
    ///
    /// # Errors
    /// When there is none of that name, or it does not fit the model.
    pub fn replace_adapter(&self, name: &str, adapter: &Adapter) -> crate::Result<()> {
        let model = &self.loaded.model;
        let lora = Lora::new(adapter, model.language.config())?;
        if model.adapters.replace(name, lora) {
            return Ok(());
        }
        Err(Error::Adapter(format!("the model is not served with an adapter {name}")))
    }

    /// A place among those who are decoded or wait.
    fn place(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        let place = self.places.clone().try_acquire_owned();
        place.map_err(|_none| EngineError::Busy { waiting: self.limits.queue })
    }

    /// Tokens that may be written after a prompt.
    fn room(&self, tokens: usize, wanted: u32) -> Result<usize, EngineError> {
        let context = self.info.context as usize;
        match tokens {
            0 => Err(EngineError::Input("the conversation is empty".into())),
            _ if tokens >= context => Err(EngineError::TooLong { tokens, context }),
            _ => Ok((context - tokens).min(wanted as usize)),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The eyes can send messages as well, so the channel does not close by itself. A thread that is gone need not
        // be told.
        self.messages.send(Message::Close).ok();
    }
}

/// What the model is here: its context is no longer than its memory for keys and values.
fn info(loaded: &Loaded<Served>, limits: Limits) -> ModelInfo {
    let info = ModelInfo { adapters: loaded.model.adapters.names(), ..loaded.info() };
    let held = limits.kv_tokens(&loaded.model.language);
    if held >= info.context {
        return info;
    }
    tracing::info!(tokens = held, model = info.context, "--kv-cache holds less than the model's context");
    ModelInfo { context: held, ..info }
}

/// Decodes until the engine is dropped. A panic ends the turns that were being decoded, and nothing else: what was
/// computed is forgotten, and decoding starts anew with those that waited.
pub(super) fn decode(loaded: &Loaded<Served>, eyes: &Eyes, limits: Limits, messages: &Receiver<Message>) {
    let mut waiting = VecDeque::new();
    loop {
        let mut worker = Worker::new(loaded, eyes, limits, waiting);
        if catch_unwind(AssertUnwindSafe(|| worker.run(messages))).is_ok() {
            return;
        }
        stats::panicked();
        tracing::error!("decoding broke off and starts anew");
        waiting = worker.into_waiting();
    }
}

#[async_trait]
impl Decoder for Engine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn generate(
        &self,
        mut request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        // A caller that goes away stops its turn too.
        request.cancel = request.cancel.child_token();
        let _stop_when_dropped = request.cancel.clone().drop_guard();
        match self.ask(request, deltas).await {
            Ok(Asked::Answered(answered)) => answered,
            // Whoever decodes counts the turns that come to it.
            Ok(Asked::Nothing(completion)) => counted(Ok(completion)),
            Err(error) => counted(Err(error)),
        }
    }
}

/// What became of a turn.
enum Asked {
    /// It was decoded, to its end or to an error.
    Answered(Result<Completion, EngineError>),
    /// There was nothing to decode.
    Nothing(Completion),
}

impl Engine {
    async fn ask(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Asked, EngineError> {
        let started = Instant::now();
        self.info.check_adapter(request.adapter.as_deref())?;
        let adapter = request.adapter.as_deref().and_then(|name| self.loaded.model.adapters.get(name));
        let _place = self.place()?;
        let (loaded, grammars) = (self.loaded.clone(), self.grammars.clone());
        let encode = move || {
            let encoded = loaded.chat.encode(&request.messages, true)?;
            let positions = encoded.positions(loaded.chat.image_token)?;
            let mask =
                request.grammar.as_ref().map(|grammar| mask(&loaded, &grammars, grammar)).transpose()?;
            let hashes = pictures::hashes(&encoded);
            Ok::<_, EngineError>((request, encoded, hashes, positions, mask))
        };
        let (request, encoded, hashes, positions, mask) =
            tokio::task::spawn_blocking(encode).await.map_err(ended)??;
        let room = self.room(encoded.ids.len(), request.max_tokens)?;
        if room == 0 || request.cancel.is_cancelled() {
            let finish = if room == 0 { Finish::Length } else { Finish::Cancelled };
            return Ok(Asked::Nothing(Completion::nothing(finish, encoded.ids.len() as u32)));
        }
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job {
            request,
            adapter,
            encoded,
            hashes,
            positions,
            room,
            mask,
            deltas,
            reply,
            started,
        });
        self.messages.send(Message::Turn(job)).map_err(ended)?;
        Ok(Asked::Answered(answer.await.map_err(ended)?))
    }
}

fn counted(ended: Result<Completion, EngineError>) -> Result<Completion, EngineError> {
    stats::turn(&ended);
    ended
}

fn mask(
    loaded: &Loaded<Served>,
    grammars: &OnceLock<Grammars>,
    grammar: &Grammar,
) -> Result<Mask, EngineError> {
    if let Some(grammars) = grammars.get() {
        return grammars.mask(grammar);
    }
    let made = Grammars::new(&loaded.chat.tokenizer, &loaded.end_ids)?;
    grammars.get_or_init(|| made).mask(grammar)
}

fn ended(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(format!("decoding broke off and starts anew, ask again ({error})"))
}

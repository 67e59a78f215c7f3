//! What the model read and wrote in one run of the agent, and what the tools did meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loupe_agent::dialect::{Dialect, ParsedTurn, QueryContext};
use loupe_agent::host::{Crop, Host, HostError};
use loupe_mllm::engine::{
    Completion, Decoder, EngineError, Finish, GenerateRequest, Message, ModelInfo, Sampling,
};
use loupe_shared::ids::CallId;
use loupe_shared::pixels::{Region, Rgb8};
use loupe_shared::protocol::Event;
use tokio::sync::mpsc::UnboundedSender;

use crate::atlas::rng::mix;
use crate::carry;

/// A turn of the model.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    /// What it read.
    pub(super) read: Vec<Message>,
    /// What it wrote.
    pub(super) wrote: String,
    /// The same as the tokens that were sampled; empty where the engine does not say.
    pub(super) ids: Vec<u32>,
    /// How many.
    pub(super) tokens: u32,
    /// Whether it is of valid grammar, or a box.
    pub(super) valid: bool,
    /// Whether the model itself ended it, with the template's end of a turn.
    pub(super) ended: bool,
    /// Whether a tool had failed before.
    pub(super) after_failure: bool,
}

/// What was noted.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    pub(super) turns: Vec<Turn>,
    pub(super) searches: u32,
    pub(super) failed: bool,
}

/// Stands between the agent and its decoder, and carries its run.
pub(super) struct Witness {
    decoder: Arc<dyn Decoder>,
    dialect: Box<dyn Dialect>,
    context: QueryContext,
    boxes: Option<Sampling>,
    notes: Mutex<Notes>,
}

impl Witness {
    /// `boxes` says how turns are drawn that only say where something is. Without it they are left as the agent asks for
    /// them, which is greedy, and not noted.
    pub(super) fn new(
        decoder: Arc<dyn Decoder>,
        dialect: Box<dyn Dialect>,
        context: QueryContext,
        boxes: Option<Sampling>,
    ) -> Self {
        Self { decoder, dialect, context, boxes, notes: Mutex::default() }
    }

    /// How the turn that a request asks for is drawn; none where it is not one to learn from.
    fn drawn(&self, request: &GenerateRequest, says_where: bool) -> Option<Sampling> {
        if !says_where {
            return Some(self.sampling(request.sampling));
        }
        // A second try is drawn in the agent's own way, which is not the policy's.
        let sampling = self.boxes.filter(|_| request.sampling == Sampling::Greedy)?;
        Some(self.sampling(sampling))
    }

    fn is_valid(&self, text: &str, says_where: bool) -> bool {
        if says_where {
            return self.context.view.is_some_and(|view| self.dialect.parse_box(text, view).is_ok());
        }
        ParsedTurn::parse(self.dialect.parser(&self.context), text).problems.is_empty()
    }

    /// The randomness of the next turn: with that of the turn before, its tokens would be as likely or unlikely as those
    /// in the same places there, and the run no sample of the policy.
    fn sampling(&self, of_run: Sampling) -> Sampling {
        let Sampling::Random { temperature, top_p, seed } = of_run else { return of_run };
        let turn = self.notes.lock().unwrap_or_else(PoisonError::into_inner).turns.len() as u64;
        Sampling::Random { temperature, top_p, seed: mix(seed ^ mix(turn)) }
    }

    pub(super) fn notes(&self) -> Notes {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Decoder for Witness {
    fn info(&self) -> &ModelInfo {
        self.decoder.info()
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let says_where = carry::asks_for_box(self.dialect.as_ref(), &request.messages);
        let Some(sampling) = self.drawn(&request, says_where) else {
            return self.decoder.generate(request, deltas).await;
        };
        let read = request.messages.clone();
        let request = GenerateRequest { sampling, ..request };
        let completion = self.decoder.generate(request, deltas).await?;
        let valid = self.is_valid(&completion.text, says_where);
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let after_failure = notes.failed;
        let (wrote, ids) = (completion.text.trim().to_owned(), completion.tokens.clone());
        let tokens = completion.generated_tokens;
        let ended = completion.finish == Finish::EndOfTurn;
        notes.turns.push(Turn { read, wrote, ids, tokens, valid, ended, after_failure });
        Ok(completion)
    }
}

#[async_trait]
impl Host for Witness {
    async fn emit(&self, event: Event) -> Result<(), HostError> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::ToolCall(_) => notes.searches += 1,
            Event::ToolFailed(_) => notes.failed = true,
            _ => {}
        }
        Ok(())
    }

    async fn crop(&self, _call: &CallId, region: Region, uploaded: &Arc<Rgb8>) -> Result<Crop, HostError> {
        carry::crop(region, uploaded)
    }
}

//! A decoder that looks on while one question is answered: counts turns, boxes and tokens.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loupe_agent::dialect::{Dialect, ParsedTurn, QueryContext, ViewSize};
use loupe_mllm::engine::{Completion, Decoder, EngineError, GenerateRequest, ModelInfo};
use tokio::sync::mpsc::UnboundedSender;

use super::scored::Tokens;
use super::tally::Tally;
use crate::carry::asks_for_box;

/// What a run's turns were like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turns {
    /// Turns of the agent without any problem, of all.
    pub(super) valid: Tally,
    /// Boxes that can be read, of all that were asked for.
    pub(super) boxes: Tally,
    /// Tokens of both.
    pub(super) tokens: Tokens,
}

/// Passes everything on and reads along.
pub(super) struct Watch {
    inner: Arc<dyn Decoder>,
    dialect: Box<dyn Dialect>,
    context: QueryContext,
    turns: Mutex<Turns>,
}

impl Watch {
    pub(super) fn new(inner: Arc<dyn Decoder>, dialect: Box<dyn Dialect>, context: QueryContext) -> Self {
        Self { inner, dialect, context, turns: Mutex::default() }
    }

    /// What was counted so far.
    pub(super) fn turns(&self) -> Turns {
        *self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, asks_for_box: bool, completion: &Completion) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.tokens.prompt += u64::from(completion.prompt_tokens);
        turns.tokens.reused += u64::from(completion.reused_tokens);
        turns.tokens.generated += u64::from(completion.generated_tokens);
        if asks_for_box {
            // Any box with an area will do here, so the picture may be as large as it likes.
            let anywhere = ViewSize { width: u32::MAX, height: u32::MAX };
            turns.boxes.add(self.dialect.parse_box(&completion.text, anywhere).is_ok());
        } else {
            let parser = self.dialect.parser(&self.context);
            turns.valid.add(ParsedTurn::parse(parser, &completion.text).problems.is_empty());
        }
    }
}

#[async_trait]
impl Decoder for Watch {
    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let asks_for_box = asks_for_box(self.dialect.as_ref(), &request.messages);
        let completion = self.inner.generate(request, deltas).await?;
        self.note(asks_for_box, &completion);
        Ok(completion)
    }
}

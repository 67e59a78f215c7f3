//! A decoder that writes down the conversation as the model reads and writes it, and looks at the grammar of every turn.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loupe_agent::dialect::{Dialect, ParsedTurn, QueryContext};
use loupe_mllm::engine::{Completion, Decoder, EngineError, GenerateRequest, Message, ModelInfo, Role};
use tokio::sync::mpsc::UnboundedSender;

use super::super::record::RecordMessage;
use crate::carry::asks_for_box;

/// What was said in a run.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The conversation with its last turn. Boxes are asked for in conversations of their own, which are not in it.
    pub(super) messages: Vec<RecordMessage>,
    /// Turns of the model.
    pub(super) turns: u32,
    /// What was wrong with the first turn that was not valid.
    pub(super) problem: Option<String>,
    /// Whether the conversation grew too long and was started over.
    pub(super) restarted: bool,
}

/// Passes everything on and writes it down.
pub(super) struct Recorder {
    inner: Arc<dyn Decoder>,
    dialect: Box<dyn Dialect>,
    context: QueryContext,
    said: Mutex<Said>,
}

impl Recorder {
    pub(super) fn new(inner: Arc<dyn Decoder>, dialect: Box<dyn Dialect>, context: QueryContext) -> Self {
        Self { inner, dialect, context, said: Mutex::default() }
    }

    /// What was said.
    pub(super) fn take(&self) -> Said {
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, messages: &[Message], text: &str) {
        let parsed = ParsedTurn::parse(self.dialect.parser(&self.context), text);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.turns += 1;
        said.restarted |= messages.len() < said.messages.len();
        if said.problem.is_none() {
            let problem = parsed.problems.first().map(ToString::to_string);
            said.problem = problem.or_else(|| parsed.deed().err().map(|problem| problem.to_string()));
        }
        said.messages = messages.iter().map(RecordMessage::from).collect();
        said.messages.push(RecordMessage::from(&Message::text(Role::Assistant, text.trim())));
    }
}

#[async_trait]
impl Decoder for Recorder {
    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError> {
        let messages = request.messages.clone();
        let completion = self.inner.generate(request, deltas).await?;
        if !asks_for_box(self.dialect.as_ref(), &messages) {
            self.note(&messages, &completion.text);
        }
        Ok(completion)
    }
}

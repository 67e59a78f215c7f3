//! One run: the state that its steps share.
//!
//! - `turn`: one turn of the model, streamed.
//! - `tools`: searches, by words and by picture.
//! - `ground`: where a referring expression points.
//! - `workflow`: the order of the steps.

mod ground;
mod tools;
mod turn;
mod workflow;

use std::sync::Arc;

use loupe_mllm::engine::{Message, Role};
use loupe_shared::pixels::{PixelLimits, Rgb8};
use loupe_shared::protocol::{Done, Event, Started};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::budget::Spending;
use crate::cite::citations;
use crate::conversation::{context, pictures, preamble, user_turn};
use crate::dialect::{Dialect, QueryContext};
use crate::error::AgentError;
use crate::host::{Host, HostError, Query};
use crate::ledger::Ledger;
use crate::meter::Meter;

/// Why a run stops before its answer.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It was asked to.
    Cancelled,
    /// It cannot go on.
    Failed(AgentError),
}

impl<E: Into<AgentError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A run and what it has done so far.
pub(crate) struct Run<'a> {
    agent: &'a Agent,
    host: &'a dyn Host,
    cancel: CancellationToken,
    query: Query,
    context: QueryContext,
    messages: Vec<Message>,
    /// Pictures that the model has not been shown yet.
    unseen: Vec<Arc<Rgb8>>,
    /// What the last answered search gave the model to read.
    latest: String,
    spent: Spending,
    meter: Meter,
    ledger: Ledger,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    pub(crate) fn new(agent: &'a Agent, query: Query, host: &'a dyn Host, cancel: CancellationToken) -> Self {
        Self {
            agent,
            host,
            cancel,
            query,
            context: QueryContext::default(),
            messages: Vec::new(),
            unseen: Vec::new(),
            latest: String::new(),
            spent: Spending::new(agent.config.budgets),
            meter: Meter::default(),
            ledger: Ledger::default(),
        }
    }

    /// Runs to the answer. All events but the last one are emitted here.
    pub(crate) async fn answer(mut self) -> Result<Done, Halt> {
        self.start().await?;
        let answer = self.work().await?;
        let citations = citations(&self.query.question, &answer, self.ledger.sources());
        for citation in &citations {
            self.emit(Event::Citation(citation.clone())).await?;
        }
        Ok(Done { answer, citations, usage: self.meter.usage() })
    }

    async fn start(&mut self) -> Result<(), Halt> {
        let info = self.agent.decoder.info();
        let started = Started {
            model: info.name.clone(),
            dialect: self.dialect().name().to_owned(),
            workflow: self.query.workflow,
        };
        self.emit(Event::Started(started)).await?;
        let limits = PixelLimits {
            min_pixels: info.min_pixels.into(),
            max_pixels: info.max_pixels.into(),
            ..PixelLimits::default()
        };
        self.context = context(&self.query, limits)?;
        self.open();
        Ok(())
    }

    fn dialect(&self) -> &'a dyn Dialect {
        self.agent.dialect.as_ref()
    }

    /// Keeps an event, unless the run has been cancelled: nothing follows a cancellation but its own event.
    async fn emit(&self, event: Event) -> Result<(), Halt> {
        if self.cancel.is_cancelled() {
            return Err(Halt::Cancelled);
        }
        self.host.emit(event).await.map_err(|error: HostError| Halt::from(error))
    }

    /// Says something to the model; the first time with the pictures.
    fn say(&mut self, text: String) {
        let pictures = std::mem::take(&mut self.unseen);
        self.messages.push(user_turn(&pictures, text));
    }

    fn hear(&mut self, text: String) {
        self.messages.push(Message::text(Role::Assistant, text));
    }

    /// Starts the conversation, or starts it over.
    fn open(&mut self) {
        self.messages = preamble(self.dialect(), &self.context, &self.query.earlier);
        self.unseen = pictures(&self.query);
    }
}

//! The agent: one query in, events out, exactly one of them the last.

use std::sync::Arc;

use loupe_mllm::engine::{Decoder, Sampling};
use loupe_search::{ImageSearch, TextSearch};
use loupe_shared::protocol::{Cancelled, Done, Event, RunError};
use tokio_util::sync::CancellationToken;

use crate::budget::Budgets;
use crate::dialect::{self, Dialect, UnknownDialect};
use crate::host::{Host, Query};
use crate::run::{Halt, Run};

/// How an agent works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgentConfig {
    /// What a run may spend.
    pub budgets: Budgets,
    /// How the model's tokens are chosen.
    pub sampling: Sampling,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self { budgets: Budgets::default(), sampling: Sampling::Greedy }
    }
}

/// A model with its tools. Runs do not share state, so one agent serves all of them.
pub struct Agent {
    pub(crate) decoder: Arc<dyn Decoder>,
    pub(crate) text: Arc<dyn TextSearch>,
    pub(crate) image: Arc<dyn ImageSearch>,
    pub(crate) dialect: Box<dyn Dialect>,
    pub(crate) config: AgentConfig,
}

/// How a run ended; the host has been told the same as its last event.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEnd {
    /// With an answer.
    Done(Done),
    /// Without one.
    Failed(RunError),
    /// On request.
    Cancelled,
}

impl Agent {
    /// An agent that speaks the dialect its model was trained to write.
    ///
    /// # Errors
    /// [`UnknownDialect`] when this program does not speak it.
    pub fn new(
        decoder: Arc<dyn Decoder>,
        text: Arc<dyn TextSearch>,
        image: Arc<dyn ImageSearch>,
        config: AgentConfig,
    ) -> Result<Self, UnknownDialect> {
        let dialect = dialect::by_name(&decoder.info().dialect)?;
        Ok(Self { decoder, text, image, dialect, config })
    }

    /// Answers a query. Every step goes to the host as an event; the last one is `done`, `error` or `cancelled`, also
    /// when the host cannot keep events any more, as long as it takes that one.
    pub async fn run(&self, query: Query, host: &dyn Host, cancel: CancellationToken) -> RunEnd {
        let outcome = Run::new(self, query, host, cancel).answer().await;
        let (event, end) = match outcome {
            Ok(done) => (Event::Done(done.clone()), RunEnd::Done(done)),
            Err(Halt::Cancelled) => (Event::Cancelled(Cancelled {}), RunEnd::Cancelled),
            Err(Halt::Failed(error)) => {
                tracing::warn!(code = error.code(), "a run failed: {error}");
                (Event::Error(error.event()), RunEnd::Failed(error.event()))
            }
        };
        let Err(lost) = host.emit(event).await else {
            return end;
        };
        let error = crate::error::AgentError::from(lost).event();
        if matches!(end, RunEnd::Done(_))
            && let Err(lost_again) = host.emit(Event::Error(error.clone())).await
        {
            tracing::error!("the end of a run could not be kept: {lost_again}");
        }
        RunEnd::Failed(error)
    }
}

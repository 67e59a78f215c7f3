//! One model for many callers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use super::memory::Memory;
use super::turn;
use crate::engine::{Completion, Decoder, EngineError, Finish, GenerateRequest, ModelInfo};
use crate::loaded::Loaded;

/// A model in this process. Turns are decoded one at a time in the order in which they were asked for; what a
/// conversation shares with recent ones is not decoded again.
#[derive(Debug)]
pub struct Engine {
    loaded: Arc<Loaded>,
    info: ModelInfo,
    /// tokio's mutex is fair: callers take turns.
    memory: Arc<Mutex<Memory>>,
}

impl Engine {
    /// An engine with nothing decoded yet.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        let info = loaded.info();
        Self { loaded: Arc::new(loaded), info, memory: Arc::default() }
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
        let started = Instant::now();
        // A caller that goes away stops its turn too.
        request.cancel = request.cancel.child_token();
        let _stop_when_dropped = request.cancel.clone().drop_guard();
        let mut memory = tokio::select! {
            () = request.cancel.cancelled() => return Ok(cancelled_in_queue()),
            memory = self.memory.clone().lock_owned() => memory,
        };
        let loaded = self.loaded.clone();
        let decode = move || turn::decode(&loaded, &mut memory, &request, &deltas, started);
        tokio::task::spawn_blocking(decode)
            .await
            .map_err(|error| EngineError::Internal(format!("decoding ended unexpectedly: {error}")))?
    }
}

fn cancelled_in_queue() -> Completion {
    Completion {
        text: String::new(),
        finish: Finish::Cancelled,
        prompt_tokens: 0,
        reused_tokens: 0,
        generated_tokens: 0,
        first_token: Duration::ZERO,
        decoding: Duration::ZERO,
    }
}

//! Why a run ends without an answer.

use loupe_mllm::engine::EngineError;
use loupe_shared::pixels::PixelError;
use loupe_shared::protocol::RunError;

use crate::budget::Limit;
use crate::dialect::Problem;
use crate::host::HostError;

/// Why a run ended without an answer. Messages say what happened and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The model could not decode a turn.
    #[error("the model could not go on: {0}")]
    Engine(#[from] EngineError),
    /// The model's turns could not be read, even after corrections.
    #[error(
        "the model's turn could not be read after {corrections} corrections: {problem}. Ask in other words, or use a checkpoint that was trained to search"
    )]
    Malformed {
        /// How often it was corrected.
        corrections: u32,
        /// What was wrong last.
        problem: Problem,
    },
    /// The model was told to answer with what it has, and did not.
    #[error("the model gave no answer, although {0}. Ask something simpler, or raise the limit")]
    NoAnswer(Limit),
    /// A picture has a form that no model takes.
    #[error("the picture cannot be shown to the model: {0}")]
    Picture(#[from] PixelError),
    /// The run's events or crops could not be kept.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl AgentError {
    /// A stable code for events and error bodies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Engine(error) => error.code(),
            Self::Malformed { .. } => "dialect_malformed",
            Self::NoAnswer(limit) => limit.code(),
            Self::Picture(error) => error.code(),
            Self::Host(_) => "log_failed",
        }
    }

    /// The error as the last event of a run.
    #[must_use]
    pub fn event(&self) -> RunError {
        RunError { code: self.code().to_owned(), message: self.to_string() }
    }
}

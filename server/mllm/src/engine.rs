//! What the rest of the program sees of a model: messages in, text out.

use std::sync::Arc;

use async_trait::async_trait;
use loupe_shared::pixels::Rgb8;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::grammar::Grammar;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The instructions.
    System,
    /// The person, or a tool's result in a user turn.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The role's name in chat templates.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A piece of a message.
#[derive(Debug, Clone)]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture as the client sent it; the engine applies `smart_resize`.
    Image(Arc<Rgb8>),
}

/// One message of a conversation.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What, in order.
    pub parts: Vec<Part>,
}

impl Message {
    /// A message of words only.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }
}

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// The likeliest token.
    Greedy,
    /// A draw.
    Random {
        /// Divides the logits; above 0.
        temperature: f32,
        /// Smallest set of tokens whose probability reaches this; 1 keeps all.
        top_p: f32,
        /// Seed of the draw.
        seed: u64,
    },
}

/// One turn to decode.
#[derive(Debug, Clone)]
pub struct GenerateRequest {
    /// The whole conversation so far; the engine finds what it has decoded before.
    pub messages: Vec<Message>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The name of the adapter that is applied, one of [`ModelInfo::adapters`]; the model alone where none is given.
    pub adapter: Option<Arc<str>>,
    /// Most tokens to write.
    pub max_tokens: u32,
    /// Decoding ends after the text contains one of these; it is kept in the text.
    pub stop: Vec<String>,
    /// What the turn's text has to be; anything where there is none.
    pub grammar: Option<Grammar>,
    /// Ends decoding at the next token.
    pub cancel: CancellationToken,
}

/// Why decoding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its turn.
    EndOfTurn,
    /// A stop text appeared.
    Stop,
    /// `max_tokens` were written.
    Length,
    /// The request was cancelled.
    Cancelled,
}

/// A decoded turn.
#[derive(Debug, Clone)]
pub struct Completion {
    /// What the model wrote, special tokens left out.
    pub text: String,
    /// The same as tokens, without the one that ended the turn; empty where an engine does not say.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of these, how many were still in the cache.
    pub reused_tokens: u32,
    /// Tokens written.
    pub generated_tokens: u32,
    /// From the call to the first token.
    pub first_token: std::time::Duration,
    /// From the first token to the last.
    pub decoding: std::time::Duration,
}

/// Finds stop texts in a text as it grows.
#[derive(Debug)]
pub struct StopTexts {
    stop: Vec<String>,
    text: String,
}

/// What a piece of text added.
#[derive(Debug, PartialEq, Eq)]
pub struct Added {
    /// New text; may be empty.
    pub delta: String,
    /// Whether a stop text is complete; the text ends with it.
    pub stopped: bool,
}

impl StopTexts {
    /// Nothing written yet.
    #[must_use]
    pub fn new(stop: Vec<String>) -> Self {
        Self { stop, text: String::new() }
    }

    /// Adds a piece, up to the end of the first stop text that it completes.
    pub fn push(&mut self, piece: &str) -> Added {
        let before = self.text.len();
        self.text.push_str(piece);
        let end = self.stop.iter().filter_map(|stop| self.end_of(stop, before)).min();
        if let Some(end) = end {
            self.text.truncate(end);
        }
        let delta = self.text.get(before..).unwrap_or_default().to_owned();
        Added { delta, stopped: end.is_some() }
    }

    /// Everything so far.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Where a stop text ends that was not complete in the first `before` bytes.
    fn end_of(&self, stop: &str, before: usize) -> Option<usize> {
        if stop.is_empty() {
            return None;
        }
        let from = self.text.floor_char_boundary(before.saturating_sub(stop.len() - 1));
        self.text[from..].find(stop).map(|at| from + at + stop.len())
    }
}

impl Completion {
    /// A turn that ended before its first token.
    #[must_use]
    pub fn nothing(finish: Finish, prompt_tokens: u32) -> Self {
        Self {
            text: String::new(),
            tokens: Vec::new(),
            finish,
            prompt_tokens,
            reused_tokens: 0,
            generated_tokens: 0,
            first_token: std::time::Duration::ZERO,
            decoding: std::time::Duration::ZERO,
        }
    }
}

/// What a model is.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// The dialect it was trained to write: `deepmm`, `mmsearch-r1` or `tool-call`.
    pub dialect: String,
    /// One or two sentences on what it can and cannot do.
    pub about: String,
    /// Smallest picture area it sees, in pixels.
    pub min_pixels: u32,
    /// Largest picture area it sees, in pixels.
    pub max_pixels: u32,
    /// Longest conversation in tokens.
    pub context: u32,
    /// Names of the adapters that a turn may ask for.
    pub adapters: Vec<String>,
}

impl ModelInfo {
    /// Whether a turn may ask for the adapter of that name; none is always there.
    ///
    /// # Errors
    /// [`EngineError::AdapterUnknown`] with the names that there are.
    pub fn check_adapter(&self, name: Option<&str>) -> Result<(), EngineError> {
        match name.filter(|name| !self.adapters.iter().any(|known| known == name)) {
            None => Ok(()),
            Some(name) => {
                Err(EngineError::AdapterUnknown { name: name.to_owned(), known: self.adapters.clone() })
            }
        }
    }
}

/// Something that decodes: the engine here, or later a cluster.
#[async_trait]
pub trait Decoder: Send + Sync {
    /// What the model is.
    fn info(&self) -> &ModelInfo;

    /// Decodes one assistant turn; text goes to `deltas` as it is written (a closed receiver is ignored).
    ///
    /// # Errors
    /// [`EngineError`] when the request cannot be decoded; cancellation is not an error.
    async fn generate(
        &self,
        request: GenerateRequest,
        deltas: UnboundedSender<String>,
    ) -> Result<Completion, EngineError>;
}

/// Why a turn could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The conversation is longer than the model's context, or than the memory for keys and values holds.
    #[error(
        "the conversation has {tokens} tokens and may have {context}: the model takes no more, or --kv-cache holds no more"
    )]
    TooLong {
        /// Tokens of the conversation.
        tokens: usize,
        /// The smaller of the two.
        context: usize,
    },
    /// Too many turns are waiting already.
    #[error("{waiting} turns are being decoded or wait for it already; try again in a moment")]
    Busy {
        /// How many may wait.
        waiting: usize,
    },
    /// The server that decodes cannot be reached, or broke off.
    #[error("{0}")]
    Unreachable(String),
    /// The model computed something that is not a number.
    #[error("the model's logits are not finite")]
    NotFinite,
    /// The conversation or one of its pictures cannot be given to the model.
    #[error("{0}")]
    Input(String),
    /// The request names an adapter that the model does not have.
    #[error("there is no adapter {name:?}; {}", known_adapters(known))]
    AdapterUnknown {
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Something inside failed.
    #[error("the engine failed: {0}")]
    Internal(String),
}

impl EngineError {
    /// A stable code for events and error bodies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "context_exceeded",
            Self::Busy { .. } => "engine_busy",
            Self::Unreachable(_) => "engine_unreachable",
            Self::NotFinite => "model_not_finite",
            Self::Input(_) => "input_invalid",
            Self::AdapterUnknown { .. } => "adapter_unknown",
            Self::Internal(_) => "engine_failed",
        }
    }
}

fn known_adapters(known: &[String]) -> String {
    if known.is_empty() {
        return "the model is served without adapters".to_owned();
    }
    format!("the model is served with {}", known.join(", "))
}

impl From<crate::Error> for EngineError {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Conversation(_) | crate::Error::Picture(_) => Self::Input(error.to_string()),
            crate::Error::NotFinite => Self::NotFinite,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<candle_core::Error> for EngineError {
    fn from(error: candle_core::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_text_is_found_across_pieces_and_ends_the_text() {
        let mut text = StopTexts::new(vec![String::new(), "</answer>".into()]);
        assert_eq!(text.push("Ærø </ans"), Added { delta: "Ærø </ans".into(), stopped: false });
        assert_eq!(text.push("wer> and more"), Added { delta: "wer>".into(), stopped: true });
        assert_eq!(text.into_text(), "Ærø </answer>");
    }
}

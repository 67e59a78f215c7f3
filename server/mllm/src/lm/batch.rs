//! The tokens of a step and whose they are.

use std::sync::Arc;

use candle_core::{Result, bail};
use tokio_util::sync::CancellationToken;

use super::choice::Choice;
use super::kv::{BLOCK, BlockId};
use super::lora::Lora;
use crate::config::TextConfig;

/// Tokens of one or more sequences, one sequence after the other.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What each token is.
    pub inputs: Vec<Input>,
    /// The embeddings of those that are given, `[.., hidden]`.
    pub embeds: Vec<f32>,
    /// Time, row and column of each token.
    pub positions: Vec<[u32; 3]>,
    /// Whose tokens they are, in order; together they are all tokens.
    pub segments: Vec<Segment>,
    /// Tokens after which something is wanted.
    pub wanted: Vec<Wanted>,
    /// What each sequence is cancelled by. Once all are, nobody wants what comes of the step; without any it is wanted.
    pub cancels: Vec<CancellationToken>,
}

/// What a token of a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A token of the vocabulary.
    Token(u32),
    /// The next of the embeddings that are given: a part of a picture.
    Embedding,
}

/// A token after which something is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its place in the batch.
    pub token: usize,
    /// What of the one after it.
    pub what: What,
}

/// What is wanted of the token after another.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Scores of all tokens; on a GPU they take longer to bring back than to compute.
    Scores,
    /// The one that is chosen.
    Token(Choice),
}

/// Tokens of one sequence that follow what is in its blocks.
#[derive(Debug, Clone)]
pub struct Segment {
    /// How many.
    pub tokens: usize,
    /// How many tokens before them are in the blocks.
    pub before: usize,
    /// The sequence's blocks, with room for the new tokens.
    pub blocks: Vec<BlockId>,
    /// What is applied to the sequence beside the model's weights.
    pub adapter: Option<Arc<Lora>>,
}

impl Segment {
    /// Tokens in the blocks after the step.
    #[must_use]
    pub fn total(&self) -> usize {
        self.before + self.tokens
    }
}

impl Batch {
    /// Tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Whether nobody wants what comes of the step any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        !self.cancels.is_empty() && self.cancels.iter().all(CancellationToken::is_cancelled)
    }

    /// Whether everything has its place.
    pub(crate) fn check(&self, config: &TextConfig, blocks: usize) -> Result<()> {
        let tokens: usize = self.segments.iter().map(|segment| segment.tokens).sum();
        let given = self.inputs.iter().filter(|input| **input == Input::Embedding).count();
        let is_whole = tokens == self.len() && self.inputs.len() == tokens;
        if !is_whole || self.embeds.len() != given * config.hidden_size {
            bail!(
                "a batch of {} tokens has segments of {tokens}, {given} embeddings and {} values",
                self.len(),
                self.embeds.len()
            );
        }
        let beyond = |input: &Input| matches!(input, Input::Token(id) if *id as usize >= config.vocab_size);
        if let Some(Input::Token(id)) = self.inputs.iter().find(|input| beyond(input)) {
            bail!("token {id} is not in a table of {} tokens", config.vocab_size);
        }
        for segment in &self.segments {
            if segment.tokens == 0 || segment.blocks.len() * BLOCK < segment.total() {
                bail!("{} blocks do not hold {} tokens", segment.blocks.len(), segment.total());
            }
            if segment.blocks.iter().any(|block| block.index() >= blocks) {
                bail!("a block lies outside the pool of {blocks}");
            }
            if segment.adapter.as_ref().is_some_and(|adapter| !adapter.fits(config)) {
                bail!("an adapter was made for a model of another shape");
            }
        }
        if self.wanted.iter().any(|wanted| wanted.token >= tokens) {
            bail!("scores are wanted of a token that is not in the batch");
        }
        Ok(())
    }
}

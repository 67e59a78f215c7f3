//! The tokens of a step and whose they are.

use std::sync::Arc;

use candle_core::{Result, bail};

use super::kv::{BLOCK, BlockId, KvPool};
use super::lora::Lora;
use crate::config::TextConfig;

/// Tokens of one or more sequences, one sequence after the other.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// `[tokens, hidden]`
    pub embeds: Vec<f32>,
    /// Time, row and column of each token.
    pub positions: Vec<[u32; 3]>,
    /// Whose tokens they are, in order; together they are all tokens.
    pub segments: Vec<Segment>,
    /// Tokens after which scores are wanted, by their place in the batch.
    pub wanted: Vec<usize>,
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

    /// Whether everything has its place.
    pub(super) fn check(&self, config: &TextConfig, pool: &KvPool) -> Result<()> {
        let tokens: usize = self.segments.iter().map(|segment| segment.tokens).sum();
        if tokens != self.len() || self.embeds.len() != tokens * config.hidden_size {
            bail!(
                "a batch of {} tokens has segments of {tokens} and {} values",
                self.len(),
                self.embeds.len()
            );
        }
        for segment in &self.segments {
            if segment.tokens == 0 || segment.blocks.len() * BLOCK < segment.total() {
                bail!("{} blocks do not hold {} tokens", segment.blocks.len(), segment.total());
            }
            if segment.blocks.iter().any(|block| block.index() >= pool.blocks()) {
                bail!("a block lies outside the pool of {}", pool.blocks());
            }
            if segment.adapter.as_ref().is_some_and(|adapter| !adapter.fits(config)) {
                bail!("an adapter was made for a model of another shape");
            }
        }
        if self.wanted.iter().any(|row| *row >= tokens) {
            bail!("scores are wanted of a token that is not in the batch");
        }
        Ok(())
    }
}
